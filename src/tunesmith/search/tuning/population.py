"""Population-based training: several networks train side by side, and the worse ones go on from the better ones.

After each part of the training the members are compared by what they are worth now. Each of the worst quarter takes the
weights, the optimizer's state and the settings of one of the best quarter, and changes those settings that can change
while a network trains: each times 0.8 or 1.25, or, in one case of four, drawn anew. Jaderberg et al. 2017,
https://arxiv.org/abs/1711.09846.

The schedule is not restarted: a member that takes over at half of the run goes on at half of the schedule, with another
peak. What wins is therefore no plan but a history of settings, which nobody can train again from a plan file; so the
last settings of the winner are trained once more from the start, and that run is what is judged and written down.

All draws are functions of (seed, part, member), and what was decided is written before anybody trains on: a killed
search goes on to the same end bit for bit, with any number of workers.
"""

import json
import math
import random
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json
from tunesmith.plan import Plan
from tunesmith.search.attempt import STANDING, Standing, digest_of, standing
from tunesmith.search.tuning.bench import Bench
from tunesmith.search.tuning.ranges import Range, Value
from tunesmith.search.tuning.space import Values
from tunesmith.search.tuning.tried import State, Tried, of_standing

FILE = "population.json"
LIVE = ("train.lr", "train.head_lr", "train.weight_decay", "train.dropout", "train.clip", "train.momentum")
"""Settings that can change while a network trains: no weight has another shape for them."""
ANEW = 0.25
FACTORS = (0.8, 1.25)


@dataclass
class Member:
    """A network of the population."""

    number: int
    values: Values
    folder: str
    changed: list[dict[str, Any]] = field(default_factory=list)
    spent: tuple[float, float] = (0.0, 0.0)
    """Wall and CPU seconds of what it gave up."""


def search(bench: Bench) -> list[Tried]:
    """Train the population to its end, and the last settings of its best once more from the start."""
    parts, file = bench.asked.generations, bench.folder / FILE
    live = [each for each in bench.space.ranges().values() if each.path in LIVE]
    if not live:
        raise TunesmithError("search.sampler: pbt changes settings while networks train, and none of those in the "
                             f"space can: {', '.join(bench.space.ranges())}. Add one of {', '.join(LIVE)}, or use "
                             "sampler: tpe")  # fmt: skip
    part, members = _kept(file) if file.is_file() else (1, _first(bench))
    with bench.progress.bar("tuning", parts * len(members), "parts", (part - 1) * len(members)) as bar:
        while part <= parts and _trained(bench, members, part / parts):
            bar.advance(len(members), _said(bench, members))
            part += 1
            if part <= parts:
                members = [_next(bench, each, members, part, live) for each in members]
            write_json(file, {"part": part, "members": [asdict(each) for each in members]})
    tried = [_told(bench, each) for each in members]
    if part <= parts and bench.clock.told:
        return tried
    bench.clock.forgive()  # what was found is of no use without it
    return [*tried, _anew(bench, tried)]


def _first(bench: Bench) -> list[Member]:
    """Drawn at random; of combinations that the plan refuses others are drawn."""
    members = []
    for number in range(bench.asked.population):
        for attempt in range(100):
            draw = random.Random(f"{bench.seed}/{number}/{attempt}")
            values = bench.space.fill(lambda each, draw=draw: _drawn(each, draw))[1]  # type: ignore[misc]
            try:
                bench.plan(values)
            except TunesmithError:
                continue
            break
        members.append(Member(number, values, f"trials/{number:02d}-1"))
    return members


def _kept(file: Path) -> tuple[int, list[Member]]:
    found = read_json(file)
    return int(found["part"]), [Member(**each) for each in found["members"]]


def _trained(bench: Bench, members: list[Member], until: float) -> bool:
    """Train all of them to that share; whether nobody was told to stop."""
    waiting, whole = list(members), True
    while waiting or bench.crew.working:
        while waiting and bench.crew.free and not bench.stopping:
            each = waiting.pop(0)
            bench.crew.start(each.number, bench.plan(each.values), bench.folder / each.folder, until)
        if not bench.crew.working:
            return False
        whole = bench.crew.done()[1] is not None and whole
        bench.clock.keep()
    return whole


def _at(bench: Bench, member: Member) -> Standing | None:
    return standing(bench.folder / member.folder, bench.plan(member.values))


def _now(bench: Bench, member: Member) -> float:
    """What a member is worth now, more is better: at its last evaluation, and not the best of its past."""
    found = _at(bench, member)
    lines = (bench.folder / member.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    seen = [line for line in map(json.loads, lines) if line["kind"] == "evaluation"]
    metric = bench.plan(member.values).best_metric
    value = (
        seen[-1].get("validation_loss" if metric == "loss" else metric) if seen and found and not found.failed else None
    )
    if value is None or not math.isfinite(value):
        return -math.inf
    return float(value) if bench.higher else -float(value)


def _said(bench: Bench, members: list[Member]) -> str:
    best = max(_now(bench, each) for each in members)
    return f"best {abs(best):.4f}" if math.isfinite(best) else "no value yet"


def _next(bench: Bench, member: Member, members: list[Member], part: int, live: list[Range]) -> Member:
    """The member as it goes into that part: itself, or a better one with changed settings."""
    worth = {each.number: _now(bench, each) for each in members}
    order = sorted(members, key=lambda each: (worth[each.number], -each.number))
    few = max(1, len(members) // 4)
    donors = [each for each in order[-few:] if (found := _at(bench, each)) and not found.finished]
    if member not in order[:few] or not donors:
        return member
    draw = random.Random(f"{bench.seed}/{part}/{member.number}")
    donor = draw.choice(donors)
    if worth[donor.number] <= worth[member.number]:
        return member
    values = dict(donor.values)
    for each in live:
        if each.name in values:
            values[each.name] = _explored(each, values[each.name], draw)
    try:
        plan = bench.plan(values)
    except TunesmithError:  # the changed settings are no plan: with the donor's own
        values, plan = dict(donor.values), bench.plan(donor.values)
    folder = f"trials/{member.number:02d}-{part}"
    _copy(bench.folder / donor.folder, bench.folder / folder, plan)
    before = _at(bench, member)
    spent = (
        member.spent[0] + (before.seconds if before else 0),
        member.spent[1] + (before.cpu_seconds if before else 0),
    )
    move = {"generation": part - 1, "donor": donor.number, "values": values}
    return Member(member.number, values, folder, [*member.changed, move], spent)


def _copy(donor: Path, folder: Path, plan: Plan) -> None:
    """The donor's weights and state under another plan; there whole or not at all."""
    if folder.exists():
        return
    making = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(donor, making)
    found = Standing(**read_json(making / STANDING))
    write_json(making / STANDING, asdict(replace(found, plan=digest_of(plan), seconds=0.0, cpu_seconds=0.0)))
    making.rename(folder)


def _drawn(each: Range, draw: random.Random) -> Value:
    if each.kind == "choice":
        return draw.choice(each.labels)
    if each.logarithmic:
        value = math.exp(draw.uniform(math.log(each.low), math.log(each.high + each.whole)))
    else:
        value = draw.uniform(each.low, each.high + each.whole)
    return min(int(value), int(each.high)) if each.whole else value


def _explored(each: Range, value: Any, draw: random.Random) -> Value:
    """Near a value, or, in one case of four, anywhere in its range."""
    if draw.random() < ANEW:
        return _drawn(each, draw)
    if each.kind == "choice":
        place = each.labels.index(value) + draw.choice((-1, 1))
        return each.labels[min(max(place, 0), len(each.labels) - 1)]
    near: float = min(max(value * draw.choice(FACTORS), each.low), each.high)
    return round(near) if each.whole else near


def _told(bench: Bench, member: Member) -> Tried:
    found = _at(bench, member)
    if found is None:
        return Tried(member.number, member.values, "open", None, folder=member.folder)
    state: State = "failed" if found.failed else "member" if found.finished else "open"
    return Tried(member.number, member.values, state, of_standing(found), found.share, found.seconds + member.spent[0],
                 found.cpu_seconds + member.spent[1], found.failed or found.reason, member.folder,
                 tuple(member.changed))  # fmt: skip


def _anew(bench: Bench, tried: list[Tried]) -> Tried:
    """The settings that the best member ended with, trained from the start."""
    known = [each for each in tried if each.value is not None and each.state != "failed"]
    if not known:
        reasons = sorted({each.reason for each in tried if each.reason})
        raise TunesmithError(f"tune: no member of the population has a value: {'; '.join(reasons) or 'no time'}")
    best = (max if bench.higher else min)(known, key=lambda each: (each.value, -each.number))
    bench.progress.say(f"tuning: the settings that member {best.number} ended with, from the start")
    folder = "trials/last"
    bench.crew.start("last", bench.plan(best.values), bench.folder / folder, 1.0)
    found = bench.crew.done()[1]
    if found is None:
        return Tried(len(tried), best.values, "open", None, folder=folder)
    state: State = "failed" if found.failed else "done"
    return Tried(len(tried), best.values, state, of_standing(found), found.share, found.seconds, found.cpu_seconds,
                 found.failed or "the last settings of the best member, from the start", folder)  # fmt: skip
