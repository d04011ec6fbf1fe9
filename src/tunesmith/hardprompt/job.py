"""A whole search: rows, speaker, journal, search, measurement on rows that it never saw, and the account of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import intervals
from tunesmith.evaluation.significance import paired_bootstrap
from tunesmith.files import write_json, write_text
from tunesmith.hardprompt.candidates import Candidate, instructions
from tunesmith.hardprompt.journal import Journal
from tunesmith.hardprompt.search import Search, shown
from tunesmith.hardprompt.speakers import ENDLESS, Endpoint, Local, Speaker
from tunesmith.metrics import METRICS, Metric
from tunesmith.plan import Plan
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress
from tunesmith.run import Run, lease


@dataclass(frozen=True)
class Asked:
    """What is asked of a search, beside the plan."""

    budget: int
    """Most calls, the measurement on held-out rows included."""
    out: Path
    """Folder of the journal and the report."""
    own: tuple[str, ...] = ()
    """The user's instructions; the first is the plain one."""
    shots: int = 4
    """Most examples."""
    metric: str | None = None
    """What is searched for; the first of the plan's metrics that reads written answers unless named."""
    endpoint: str | None = None
    model: str | None = None
    key_env: str | None = None


def carry_out(plan: Plan, found: Found | None, asked: Asked, progress: Progress) -> dict[str, Any]:
    """Search, measure, write `hardprompt.json` and `hardprompt.txt`; returns the former."""
    metric = metric_of(plan, asked.metric)
    prepared = prepare(plan, progress)
    if "test" not in prepared.splits:
        raise TunesmithError("data.test: the result is measured on rows that the search never sees; set data.test=0.2")
    speaker = _speaker(prepared, found, asked)
    with lease(Run(asked.out)):
        journal = Journal(asked.out / "calls.jsonl", speaker, asked.budget)
        search = Search(journal, metric, prepared.splits, plan.train.seed, asked.shots)
        _refuse_examples(search, asked.shots)
        progress.say(f"searching within {asked.budget} calls, by {metric.name}")
        plain, best, held = search.run(instructions(asked.own))
        reply = _measured(plan, search, plain, best, held)
        write_json(asked.out / "hardprompt.json", reply)
        write_text(asked.out / "hardprompt.txt", told(reply) + "\n")
    return reply


def _refuse_examples(search: Search, shots: int) -> None:
    """A template without a place for earlier turns shows no examples; said before any call."""
    speaker = search.journal.speaker
    if not isinstance(speaker, Local) or not shots:
        return
    try:
        tried = Candidate("x", (0,)).dialogue(search.splits["validation"][0], search.splits["train"])
        speaker.laid([tried], limit=ENDLESS)  # its length is another matter: see Search._fits
    except TunesmithError as error:
        raise TunesmithError(f"--shots: {error}. For a search without examples: --shots 0") from error


def metric_of(plan: Plan, name: str | None) -> Metric:
    """The metric that the search follows. Raises TunesmithError for one that it cannot follow."""
    if not plan.task.writes:
        raise TunesmithError(f"task: {plan.task.name} writes no answers; a hard prompt is searched for generate")
    if plan.task.opens_images:
        raise TunesmithError("task.image: a hard prompt is searched for texts alone. Remove it")
    fitting = [n for n in METRICS.names() if _follows(METRICS.find(n))]
    names = [name] if name else [n for n in plan.metric_names if n in fitting]
    if not names or names[0] not in fitting:
        raise TunesmithError(
            f"--metric: {name or 'none of the plan'} cannot be followed. Fitting: {', '.join(fitting)}"
        )
    return METRICS.make(names[0])


def _follows(metric: type[Metric]) -> bool:
    needs_more = metric.reads_training or not metric.picks or metric.model_fields["name"].default == "schema_valid"
    return "text" in metric.kinds and metric.reads_text and not needs_more


def _speaker(prepared: Prepared, found: Found | None, asked: Asked) -> Speaker:
    plan = prepared.plan
    task: Any = plan.task
    if asked.endpoint:
        if not asked.model:
            raise TunesmithError("--model: an endpoint has many models; name one")
        return Endpoint(asked.endpoint, asked.model, task.decode, plan.train.seed, asked.key_env)
    from tunesmith.bases.load import load_tokenizer
    from tunesmith.model import Model, family_for, untuned

    assert found is not None, "a local search has a base"
    tokenizer = load_tokenizer(found)
    facts = task.meet(task.study(prepared.splits["train"], prepared.roles), tokenizer, family_for(plan, found))
    return Local(untuned(Model(plan, facts, found, cast("Any", None), tokenizer)))


def _measured(plan: Plan, search: Search, plain: Candidate, best: Candidate, held: int) -> dict[str, Any]:
    """Both candidates on the held-out rows, with intervals and a paired test; and what the search cost."""
    drawn = np.random.default_rng([search.seed, 3]).permutation(len(search.splits["test"]))
    rows = sorted(int(row) for row in drawn[:held])
    answers = {n: search.answers(c, "test", rows, f"held out, {n}") for n, c in (("plain", plain), ("best", best))}
    how: dict[str, Any] = {
        "resamples": plan.evaluate.resamples, "seed": plan.train.seed, "level": plan.evaluate.level
    }  # fmt: skip
    value = {n: asdict(intervals([search.metric], a, **how)[search.metric.name]) for n, a in answers.items()}
    found = asdict(paired_bootstrap(search.metric, answers["best"], answers["plain"], **how))
    train = search.splits["train"]
    return {
        "metric": search.metric.name, "better": search.metric.better, "speaker": search.journal.speaker.identity,
        "best": shown(best, train), "plain": shown(plain, train), "changed": best != plain,
        "held_out": {
            "rows": held, **{n: _finite(v) for n, v in value.items()}, "difference": _finite(found),
            "p": found["p"], "test": "paired bootstrap",
        },
        "calls": search.journal.cost(),
        "trials": [
            {"stage": t.stage, **asdict(t.candidate), "rows": t.rows, "value": _number(t.value)} for t in search.trials
        ],
    }  # fmt: skip


def _finite(found: dict[str, Any]) -> dict[str, float | None]:
    return {name: _number(found[name]) for name in ("value", "low", "high")}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def told(reply: dict[str, Any]) -> str:
    """The report as text."""
    held, calls, best = reply["held_out"], reply["calls"], reply["best"]
    lines = [f"{reply['metric']} ({reply['better']} is better) on {held['rows']} rows that the search never saw:"]
    for name in ("plain", "best", "difference"):
        lines.append(f"  {name:11} {_interval(held[name])}" + (f"   p = {held['p']:.3f}" * (name == "difference")))
    if not reply["changed"]:
        lines.append("nothing was found on the validation rows that is better than the plain instruction")
    lines.append(f"instruction: {best['instruction'] or '(none)'}")
    lines += [
        f"example: {e['asked'][:60]!r} -> {e['answer'][:60]!r} ({e['source']}:{e['line']})" for e in best["examples"]
    ]
    lines.append(
        f"{calls['calls']} of {calls['budget']} calls ({calls['made_now']} made now), {calls['asked_tokens']} tokens "
        f"asked, {calls['written_tokens']} written"
    )
    if calls["cut_calls"]:
        lines.append(
            f"{calls['cut_calls']} prompts were too long and lost a part: raise task.max_tokens, or lower --shots"
        )
    lines += ["", "stage                   rows    value  candidate"]
    for trial in reply["trials"]:
        value = "undefined" if trial["value"] is None else f"{trial['value']:.4g}"
        words = f"{trial['instruction'][:50] or '(none)'}" + f" + examples {list(trial['shots'])}" * bool(
            trial["shots"]
        )
        lines.append(f"{trial['stage']:22} {trial['rows']:5} {value:>8}  {words}")
    return "\n".join(lines)


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "undefined"
    if found["low"] is None:
        return f"{found['value']:.4g}"
    return f"{found['value']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"


def own_instructions(texts: Sequence[str], file: str | None) -> tuple[str, ...]:
    """Instructions given one by one, and those of a file, one a line."""
    if file is None:
        return tuple(texts)
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TunesmithError(f"--instructions: cannot read {file}: {error}") from error
    return (*texts, *(line for line in lines if line.strip()))
