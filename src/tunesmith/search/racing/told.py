"""What `tunesmith race` answers: the recommendation, every arm with what it reached and why it stopped."""

from collections.abc import Sequence
from typing import Any

from tunesmith.deciding.comparison import finite
from tunesmith.plan import Plan
from tunesmith.search.racing import Limits, Outcome, Race, metric_of
from tunesmith.search.racing.arms import Arm, Field
from tunesmith.search.racing.course import PARTS
from tunesmith.search.racing.entry import Entry
from tunesmith.search.racing.judged import sentences, told_beside

ORDER = ("finalist", "finished", "stopped", "failed", "not tried")


def reply_of(race: Race, found: Outcome) -> dict[str, Any]:
    """The reply, without its addresses."""
    course, judged, rule = found.course, found.judged, race.rule
    scale = course.scale
    entries = sorted(course.entries, key=lambda e: (
        ORDER.index(e.fate), -round(e.last.share, 2) if e.looks else 0, -scale.key(_quality(e, found)),
    ))  # fmt: skip
    rows = f"{found.rows:,} {race.split} rows"
    said = sentences(judged, rule, rows, found.seeds) if judged else [_nothing(course.entries, race)]
    if judged and len(judged.values) == 1:
        said = [_alone(judged.best, sum(e.fate == "finished" for e in course.entries))]
    warnings = [] if race.split == "test" else [
        "the plan holds out no test rows: finalists are compared on validation rows, which the race has used, so that "
        "all look better than they are. Give data.test a share or a file"
    ]  # fmt: skip
    return {
        "status": "done", "metric": rule.metric.name, "better": rule.metric.better, "level": rule.level,
        "margin": rule.margin, "split": race.split, "rows": found.rows, "seeds": found.seeds,
        "budget_seconds": race.limits.seconds, "memory_limit_mb": race.limits.memory_mb,
        "seconds": round(course.journal.spent, 1), "recommended": judged.recommended if judged else None,
        "best": judged.best if judged else None, "said": said + _unjudged(course.entries, found),
        "ranking": [_line(e, found) for e in entries], "refused": race.field.refused, "warnings": warnings,
    }  # fmt: skip


def _quality(entry: Entry, found: Outcome) -> float | None:
    """On the rows that decide where it has been asked of them, else on validation rows."""
    if entry.arm.name in found.values:
        return found.values[entry.arm.name]["value"]
    return entry.last.value if entry.looks else None


def _line(entry: Entry, found: Outcome) -> dict[str, Any]:
    arm, judged = entry.arm, found.judged
    line: dict[str, Any] = {
        "arm": arm.name, "method": arm.plan.method.name, "settings": arm.settings, "fate": entry.fate,
        "reason": _reason(entry, found), "forecast": None, "learning_rate": None, "share": 0.0, "validation": None,
        "test": found.values.get(arm.name), "against": None, "seeds": len(entry.seeds), "seconds": None,
        "memory_mb": None, "learning": None, "parameters": None, "trainable_share": None, "answer_ms": None,
        "course": [],
    }  # fmt: skip
    if judged is not None:
        line["against"] = told_beside(judged.beside.get(arm.name))
    if not entry.looks:
        return line
    last, first = entry.last, Entry(arm, entry.looks[:1])
    whole = first.last.seconds + first.cost(1.0) if first.last.failed is None else None
    return line | {
        "forecast": {"seconds": whole, "memory_mb": first.last.memory_mb, "disk_mb": None},
        "learning_rate": last.rate, "share": last.share, "validation": finite(last.value),
        "seconds": last.seconds, "memory_mb": last.memory_mb, "learning": last.learning, "parameters": last.parameters,
        "trainable_share": last.learning / max(1, last.parameters), "answer_ms": last.answer_ms,
        "course": [{"share": s.share, "value": finite(s.value), "seconds": s.seconds} for s in entry.looks],
    }  # fmt: skip


def _reason(entry: Entry, found: Outcome) -> str:
    judged, name = found.judged, entry.arm.name
    if judged is None or entry.fate != "finalist":
        return entry.reason
    if name == judged.recommended:
        return "recommended" + (", and the best" if name == judged.best else "")
    if name == judged.best:
        return "the best, and larger than the recommended one"
    if name not in judged.beside:
        return "its metric is undefined on these rows"
    if judged.beside[name].keeps_up:
        return "keeps up with the best, and larger than the recommended one"
    if judged.beside[name].p_adjusted <= 1 - found.level:
        return "significantly worse than the best, and not shown to lose less than the margin"
    return "not significantly worse than the best, and further below it than the margin"


def _unjudged(entries: Sequence[Entry], found: Outcome) -> list[str]:
    """Methods of which nothing is said, because the budget ended before they did."""
    if found.judged is None:
        return []
    room = [e.arm.name for e in entries if e.arm.name == e.arm.family and _family_without_end(e, entries)]
    seeds = [e.arm.name for e in entries if e.fate == "finished" and "budget" in e.reason]
    said = [f"The budget had no room to finish {', '.join(room)}: of these nothing is said."] if room else []
    return said + ([f"It had none for further seeds of {', '.join(seeds)}, which may be as good."] if seeds else [])


def _family_without_end(first: Entry, entries: Sequence[Entry]) -> bool:
    own = [e for e in entries if e.arm.family == first.arm.family]
    out = any("budget" in e.reason for e in own if e.fate in ("stopped", "not tried") and (e is first or e.looks))
    return out and not any(e.done for e in own)


def _alone(best: str, others: int) -> str:
    """What a single finalist means."""
    if not others:
        return f"{best}: the only arm that finished, so that it is compared with nothing."
    return f"{best}: the best of {others + 1} that finished; all others are significantly worse on validation rows."


def _nothing(entries: Sequence[Entry], race: Race) -> str:
    """Why nobody is recommended."""
    failed = [e for e in entries if e.fate == "failed"]
    if failed and len(failed) == sum(bool(e.looks) for e in entries):
        return f"Every arm failed; the first, {failed[0].arm.name}: {failed[0].reason}"
    costs = [e.last.seconds + e.cost(1.0) for e in entries if e.looks and e.last.failed is None]
    least = f" Finishing the quickest arm takes about {min(costs):.0f} s." if costs else ""
    return f"Nothing finished within {race.limits.seconds:.0f} s, so that nothing is recommended.{least} Give more time"


def planned(plan: Plan, field: Field, limits: Limits) -> dict[str, Any]:
    """What would run: the reply of a dry race."""
    metric, budget = metric_of(plan), limits.seconds
    return {
        "status": "planned", "metric": metric.name, "better": metric.better, "budget_seconds": budget,
        "memory_limit_mb": limits.memory_mb, "seeds": limits.seeds,
        "rungs": [{"share": share, "until_seconds": PARTS[share] * budget} for share in PARTS],
        "recommended": None, "said": [], "refused": field.refused, "warnings": [],
        "ranking": [_planned(arm) for arm in field.arms],
    }  # fmt: skip


def _planned(arm: Arm) -> dict[str, Any]:
    why = "as it stands" if arm.name == arm.family else f"settings of {arm.family} that decide"
    return {"arm": arm.name, "method": arm.plan.method.name, "settings": arm.settings, "fate": "planned",
            "reason": why, "forecast": None}  # fmt: skip


def chosen_plan(plan: Plan, found: Outcome) -> Plan | None:
    """The recommended plan, as `train` takes it: the user's, with the method and rate that won."""
    if found.judged is None:
        return None
    course, name = found.course, found.judged.recommended
    arm = next(e.arm for e in course.entries if e.arm.name == name)
    won = arm.with_seed(plan.train.seed, course.rate(arm))
    return plan.model_copy(update={"method": won.method, "train": won.train, "run": None})
