"""A search from its first trial to its last word: what `flows.tune` calls in a claimed folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.files import write_json, write_text
from tunesmith.plan import Plan
from tunesmith.plan_text import dump_plan
from tunesmith.search.attempt import Standing
from tunesmith.search.tuning.bench import Bench
from tunesmith.search.tuning.importance import importance
from tunesmith.search.tuning.tried import State, Tried, counted, of_standing, ranked
from tunesmith.search.tuning.winner import Contender, judged

UNTUNED = "untuned"
BEST = "best.yaml"
WHOLE: tuple[State, ...] = ("done", "member")
"""States of trials that were trained to the end, and whose answers are kept."""


def carry_out(bench: Bench, notes: list[str], corners: dict[str, Any]) -> dict[str, Any]:
    """Try, judge, and say: the reply of `tune`. Raises Interrupted where somebody wants it to stop."""
    try:
        untuned = _untuned(bench)
        tried = engine_of(bench)(bench)
        _check(bench, tried)
        best, tried = _best(bench, tried)
        contender = Contender("tuned", bench.plan_of(bench.space.filled(best.values)), bench.folder / best.folder)
        whole = [t for state in WHOLE for t in ranked(tried, higher=bench.higher, state=state)]
        rivals = [_contender(bench, each) for each in whole]
        bench.progress.say("tuning: judging the best on rows that no trial saw")
        found = judged(bench.ground, contender, rivals, untuned)
    finally:
        bench.clock.keep()
        bench.crew.close()
    write_text(bench.folder / BEST, dump_plan(contender.plan.model_copy(update={"run": None})))
    ranges = bench.space.ranges()
    if bench.clock.over:
        notes = [*notes, f"the budget of {bench.asked.budget} is over: {counted(tried)['open']} trials were left open "
                 "and go on where a larger budget is given"]  # fmt: skip
    reply = {
        "folder": str(bench.folder), "engine": bench.asked.engine, "sampler": bench.asked.sampler,
        "pruner": "none" if bench.asked.sampler == "pbt" else bench.asked.pruner, "seed": bench.seed,
        "trials": counted(tried), "seconds": bench.clock.seconds,
        "cpu_seconds": sum(each.cpu_seconds for each in tried), "picked_by": contender.plan.best_metric,
        "best": {"trial": best.number, "settings": best.values, "value": best.value,
                 "plan": str(bench.folder / BEST)},
        "worth": found, "importance": importance(ranges, tried, higher=bench.higher),
        "space": {name: {"kind": each.kind, "of": list(each.labels or each.ends)} for name, each in ranges.items()},
        "corners": corners, "tried": [_plain(each) for each in tried], "notes": notes,
    }  # fmt: skip
    write_json(bench.folder / "reply.json", reply)
    return reply


def engine_of(bench: Bench) -> Any:
    """What tries."""
    if bench.asked.engine == "ray":
        from tunesmith.search.tuning import cluster

        return cluster.search
    if bench.asked.sampler == "pbt":
        from tunesmith.search.tuning import population

        return population.search
    from tunesmith.search.tuning import embedded

    return embedded.search


def _check(bench: Bench, tried: list[Tried]) -> None:
    if bench.clock.told:
        done = len(tried) - counted(tried)["open"]
        raise Interrupted(f"stopped after {done} of {bench.asked.trials} trials. Run the same command again to go on",
                          bench.clock.exit_code)  # fmt: skip


def _plain(tried: Tried) -> dict[str, Any]:
    return asdict(tried) | {"changed": [dict(each) for each in tried.changed]}


def _contender(bench: Bench, tried: Tried) -> Contender:
    return Contender(str(tried.number), bench.plan_of(bench.space.filled(tried.values)), bench.folder / tried.folder)


def _untuned(bench: Bench) -> Contender | None:
    """The plan with its defaults, trained to the end; None where it is not asked for, or cannot be."""
    if not bench.asked.untuned:
        return None
    folder = bench.folder / UNTUNED
    try:
        plan = bench.plan_of(bench.space.plain())
    except TunesmithError as error:
        bench.progress.say(f"tuning: nothing stands for the plan without a search, which is refused: {error}")
        return None
    bench.progress.say("tuning: first the plan as it is, which the best is compared with")
    standing = _trained(bench, UNTUNED, plan, folder)
    return Contender(UNTUNED, plan, folder) if standing and standing.finished and not standing.failed else None


def _trained(bench: Bench, key: str, plan: Plan, folder: Path) -> Standing | None:
    bench.crew.start(key, plan, folder, 1.0)
    return bench.crew.done()[1]


def _best(bench: Bench, tried: list[Tried]) -> tuple[Tried, list[Tried]]:
    """The best trial that was trained to the end. Where time ran out before one was, the best so far is."""
    if done := ranked(tried, higher=bench.higher):
        return done[0], tried
    unfinished: tuple[State, ...] = ("open", "stopped")
    for state in unfinished:
        for each in ranked(tried, higher=bench.higher, state=state):
            bench.progress.say(
                f"tuning: no trial reached the end; trial {each.number}, the best so far, is taken there"
            )
            bench.clock.forgive()
            standing = _trained(bench, "best", bench.plan(each.values), bench.folder / each.folder)
            if standing is None:
                _check(bench, tried)
            elif not standing.failed and (value := of_standing(standing)) is not None:
                best = Tried(each.number, each.values, "done", value, 1.0, standing.seconds, standing.cpu_seconds,
                             "taken to the end behind the search", each.folder)  # fmt: skip
                return best, [best if t.number == best.number else t for t in tried]
    reasons = sorted({each.reason for each in tried if each.reason})
    raise TunesmithError("tune: no trial has a value" + (f": {'; '.join(reasons[:3])}" if reasons else
                         ". Give it more time: search.budget"))  # fmt: skip
