"""Advising: which method, settings and base for these rows, this machine and this wish; in seconds, without training.

    rows, base, machine -> case -> rules.yaml and measured.yaml -> methods ranked, settings with reasons, bases ranked

Nothing is hidden: a rule is a row of rules.yaml with its reason and source, a measurement is a line of measured.yaml
with the file that it comes from, and the reply says for each method which of them counted.
"""

import time
from collections.abc import Collection, Sequence
from typing import Any

from tunesmith.advising import bases
from tunesmith.advising.case import Case
from tunesmith.advising.probing import Probe, probe
from tunesmith.advising.ranking import Advised, Fitted, Forecast, Ranking, rank
from tunesmith.advising.reading import Look, Wish, case_of, look, machine
from tunesmith.advising.rules import that_apply
from tunesmith.bases.find import Found
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress

__all__ = ["Advised", "Case", "Look", "Probe", "Ranking", "Wish", "advise", "look", "rank"]


def advise(  # noqa: PLR0913 - what is advised on, and what is asked of those above
    plan: Plan, found: Found, prepared: Prepared, wish: Wish, fitted: Fitted, *, forecast: Forecast | None = None,
    named: Sequence[str] = (), without: Collection[str] = (), online: bool = False, progress: Progress,
) -> tuple[dict[str, Any], Plan]:  # fmt: skip
    """(the reply, the recommended plan). `named`: further bases to rank; `without`: measured data sets to leave out.

    Raises TunesmithError where no method is left, with what each lacks.
    """
    began = time.monotonic()
    seen, computer = look(plan, found, prepared), machine()
    case = case_of(seen, wish, computer)
    probed = probe(seen, case.tokens_median, progress)
    case = case.model_copy(
        update={"probe": probed.value, "probe_guess": probed.guess, "label_noise": probed.label_noise}
    )
    ranking = rank(seen, case, fitted, forecast, without)
    if not ranking.order:
        told = "\n".join(f"  - {name}: {why}" for name, why in ranking.refused.items())
        raise TunesmithError(f"advise: no method is left for this plan, base and wish:\n{told}")
    best = ranking.order[0]
    rows = [
        bases.about(name, seen, progress, online=online, probed=_known(name, own, plan, probed))
        for name, own in bases.here(named, plan.base.name).items()
    ]
    rows = [row for row in rows if row["usable"] or row["base"] in (*named, plan.base.name)]
    unread = [row["warning"] for row in rows if row["base"] == plan.base.name and row.get("warning")]
    reply = {
        "recommended": best.method, "ranking": [each.as_json() for each in ranking.order], "refused": ranking.refused,
        "bases": bases.ordered(rows), "known": case.known() | {"cores": computer["cores"]}, "also": _also(case),
        "warnings": unread + _warnings(best, probed, wish), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    return reply, best.plan


def _known(name: str, named: bool, plan: Plan, probed: Probe) -> Probe | None:
    """What needs no probe, or shall have none: the plan's base was probed, and bases that nobody named are not run."""
    if name == plan.base.name:
        return probed
    return None if named else Probe(note="name it with --bases")


def _also(case: Case) -> list[dict[str, str]]:
    """What to do beside training."""
    return [{"do": r.say, "reason": r.because, "rule": r.rule, "source": r.source} for r in that_apply(case, "say")]


def _warnings(best: Advised, probed: Probe, wish: Wish) -> list[str]:
    found = [f"{best.method}: {text}" for text in best.trouble]
    if wish.budget_minutes is not None and best.forecast["seconds"] is None:
        found.append("--budget: time is not forecast here, so that nothing was measured against it")
    if best.forecast["memory_mb"] is None:
        found.append("memory is not forecast for this task and base: whether it fits is seen when the run begins")
    return [*found, *([probed.note] if probed.note else [])]
