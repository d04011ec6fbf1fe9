"""The course of a race: successive halving within one budget, in which no method is stopped for a slow start alone.

    look      every method, then its other settings, for a ninth of its steps    by 30 % of the budget
              within a method the best settings go on
    middle    the best settings of every method, to a third                      by 55 %
              what is significantly behind, and would end below where the best
              is already even if it climbed as fast as it can have, stops
    finish    the others to the end, best first                                  by 80 %
    seeds     the best, and those not significantly worse or within the          by 100 %
              margin of it, smaller ones first, again

Successive halving: Jamieson and Talwalkar 2016, arXiv 1502.07943, with eta = 3 as in ASHA (Li et al. 2020, arXiv
1810.05934). ASHA promotes before a rung is full so that many workers need not wait for each other; one process has
nobody to wait for, and decides on full rungs. Halving across methods would judge them by how fast they begin, so that a
method falls only by the rule above, or because the budget has no room, which is said. What a piece will cost is known
from the pieces before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tunesmith.deciding.verdict import p_text
from tunesmith.errors import Interrupted
from tunesmith.search import amounts
from tunesmith.search.attempt import Standing
from tunesmith.search.racing.arms import Arm
from tunesmith.search.racing.entry import Entry, Scale, percent
from tunesmith.search.racing.journal import Journal
from tunesmith.search.racing.runner import Runner

LOOK, MIDDLE, END = 1 / 9, 1 / 3, 1.0
PARTS = {LOOK: 0.30, MIDDLE: 0.55, END: 0.80}
"""Share of the budget from which on nothing further is begun at that rung; some arms go on whatever was spent."""
SURE = 2
"""So many best methods go on from the first rung whatever was spent, while there is room to finish the best."""
LATE = 128
"""Exit code of an interruption that nobody asked for."""


@dataclass(frozen=True)
class Limits:
    """What may be spent."""

    seconds: float
    memory_mb: float | None
    seeds: int
    """Of each finalist, at most."""


@dataclass(frozen=True)
class Tests:
    """What validation rows say."""

    worse: Callable[[Entry, Entry], float | None]
    """p-value of "the first is at least as good as the second"; None where it is undefined."""
    error: Callable[[Entry], float]
    """Standard error of a value."""


class Course:
    """A race in progress."""

    def __init__(  # noqa: PLR0913 - who runs, who trains, what is written, what may be spent, what decides
        self, arms: Sequence[Arm], runner: Runner, journal: Journal, limits: Limits, scale: Scale, tests: Tests,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        self.entries = [Entry(arm) for arm in arms]
        self.runner, self.journal, self.limits, self.scale = runner, journal, limits, scale
        self.tests, self._say = tests, say
        self.late = False
        """Whether the budget ran out in the middle of a piece."""

    def run(self) -> None:
        """From the first look to the last seed."""
        self._look()
        self._narrow()
        self._middle()
        self._stop_hopeless()
        self._finish()
        self._repeat()

    @property
    def racing(self) -> list[Entry]:
        """Those still in, best first."""
        found = [e for e in self.entries if e.fate == "racing"]
        return sorted(found, key=lambda e: -self.scale.key(e.last.value) if e.looks else float("inf"))

    def rate(self, arm: Arm) -> float | None:
        """The learning rate of the first arm of its family."""
        first = next(e for e in self.entries if e.arm.name == arm.family)
        return first.looks[0].rate if first.looks else None

    # pieces

    def piece(self, entry: Entry, seed: int, until: float, cost: float, room: float) -> Standing | str:
        """Train it to that share, if the cost is within what may be spent by then; else why not."""

        def decide() -> dict[str, Any]:
            if self.late or self.journal.spent + cost > room:
                left = self.limits.seconds - self.journal.spent
                return {"left": f"no room in the budget: {amounts.told(max(0.0, left))} of "
                                f"{amounts.told(self.limits.seconds)} were left"}  # fmt: skip
            try:
                return {"standing": asdict(self.runner.advance(entry.arm, seed, self.rate(entry.arm), until))}
            except Interrupted as error:
                if error.exit_code != LATE:
                    raise
                return {"left": "the budget ran out while it trained", "late": True}

        found = self.journal.once(f"{entry.arm.name}, seed {seed}, to {until:.3f}", decide)
        self.late = self.late or found.get("late", False)
        if "left" in found:
            return str(found["left"])
        standing = Standing(**found["standing"])
        self._tell(entry, seed, standing)
        return standing

    def _tell(self, entry: Entry, seed: int, standing: Standing) -> None:
        value = standing.failed or ("undefined" if standing.value is None else f"{standing.value:.3f}")
        self._say(f"race: {entry.arm.name}, seed {seed}, {percent(standing.share)}: {value}; "
                  f"{amounts.told(self.journal.spent)} of {amounts.told(self.limits.seconds)}")  # fmt: skip

    def _advance(self, entry: Entry, until: float, cost: float, room: float) -> None:
        """Take the first seed of an arm further, or stop it."""
        found = self.piece(entry, entry.arm.plan.train.seed, until, cost, room)
        if isinstance(found, str):
            where = f"stopped at {percent(entry.last.share)}: " if entry.looks else ""
            entry.stop(where + found, "stopped" if entry.looks else "not tried")
            return
        entry.took(found)
        limit = self.limits.memory_mb
        if limit is not None and entry.fate == "racing" and (found.memory_mb or 0) > limit:
            entry.stop(f"its training held {found.memory_mb:,.0f} MB, and {limit:,.0f} MB are allowed")

    def _reserve(self) -> float:
        """What finishing the best arm so far takes."""
        looked = [e for e in self.racing if e.looks]
        return looked[0].cost(END) if looked else 0.0

    # rungs

    def _look(self) -> None:
        whole = self.limits.seconds
        for entry in self.entries:
            first = next(e for e in self.entries if e.arm.name == entry.arm.family)
            if self._too_large(entry):
                continue
            if entry is first:
                known = [e.looks[0].seconds for e in self.entries if e.looks]
                cost, room = median(known or [0.0]), whole - self._reserve()
            elif first.looks and first.looks[0].rate is not None:
                cost, room = first.looks[0].seconds, min(PARTS[LOOK] * whole, whole - self._reserve())
            else:
                entry.stop(f"its rate is a multiple of that of {first.arm.name}, which is not known: {first.reason}",
                           "not tried")  # fmt: skip
                continue
            self._advance(entry, LOOK, cost, room)

    def _too_large(self, entry: Entry) -> bool:
        """Whether its forecast is more memory than allowed; then it is not tried."""
        limit, arm = self.limits.memory_mb, entry.arm
        if limit is None:
            return False
        held = self.journal.once(f"forecast of {arm.name}", lambda: self.runner.forecast(arm))
        if held is None or held <= limit:
            return False
        entry.stop(f"its forecast is {held:,.0f} MB, and {limit:,.0f} MB are allowed", "not tried")
        return True

    def _narrow(self) -> None:
        """The best settings of each method stay."""
        for family in dict.fromkeys(e.arm.family for e in self.entries):
            own = [e for e in self.racing if e.arm.family == family]
            for entry in own[1:]:
                entry.stop(f"stopped at {percent(entry.last.share)}: {self.scale.behind(entry.last.value, own[0])}")

    def _middle(self) -> None:
        whole = self.limits.seconds
        for place, entry in enumerate(self.racing):
            room = whole - self._reserve()
            room = room if place < SURE else min(room, PARTS[MIDDLE] * whole)
            self._go_on(entry, MIDDLE, room)

    def _go_on(self, entry: Entry, until: float, room: float) -> None:
        if not entry.last.finished and entry.last.share < until:
            self._advance(entry, until, entry.cost(until), room)

    def _stop_hopeless(self) -> None:
        """Those that are significantly behind, and would end below where the best is already even if they climbed as
        fast as they can have."""
        racing = self.racing

        def decide() -> dict[str, str]:
            found = {}
            for entry in racing[1:]:
                p = None if entry.last.finished else self.tests.worse(entry, racing[0])
                if p is None or p >= 0.05:
                    continue
                end = entry.projected(self.tests.error(entry), self.scale.sign)
                if end is not None and self.scale.key(end) < self.scale.key(racing[0].last.value):
                    found[entry.arm.name] = (
                        f"stopped at {percent(entry.last.share)}: {self.scale.behind(entry.last.value, racing[0])} "
                        f"(p {p_text(p)} on validation rows), and too slow to come up"
                    )
            return found

        hopeless = self.journal.once(f"hopeless at {MIDDLE:.3f}", decide)
        for entry in racing:
            if entry.arm.name in hopeless:
                entry.stop(hopeless[entry.arm.name])

    def _finish(self) -> None:
        whole = self.limits.seconds
        for entry in self.racing:
            if any(e.done for e in self.racing):
                self._go_on(entry, END, PARTS[END] * whole)
            elif not entry.last.finished:  # something must finish: it is tried whatever the forecast says
                self._advance(entry, END, 0.0, whole)
        for entry in self.racing:
            if entry.done:
                entry.fate = "finished"
                entry.seeds[entry.arm.plan.train.seed] = entry.last

    # seeds

    def _repeat(self) -> None:
        """Further seeds of the finalists, a round of all of them after another."""
        finished = sorted((e for e in self.entries if e.done and e.fate == "finished"),
                          key=lambda e: -self.scale.key(e.last.value))  # fmt: skip
        if not finished:
            return
        chosen = self.journal.once("finalists", lambda: self._finalists(finished))
        for entry in finished:
            entry.fate, entry.reason = ("finalist", "") if entry.arm.name in chosen["names"] else (
                "finished", chosen["others"][entry.arm.name])  # fmt: skip
        for more in range(1, 1 + chosen["more"]):
            for entry in finished:
                if entry.fate == "finalist":
                    seed = entry.arm.plan.train.seed + more
                    found = self.piece(entry, seed, END, entry.last.seconds, self.limits.seconds)
                    if isinstance(found, Standing) and found.failed is None:
                        entry.seeds[seed] = found
                    else:
                        entry.reason = f"seed {seed}: {found if isinstance(found, str) else found.failed}"

    def _finalists(self, finished: Sequence[Entry]) -> dict[str, Any]:
        """Names of finalists, how many more seeds of each, and why the others are none."""
        best, *rest = finished
        others, rivals = dict[str, str](), list[Entry]()
        for entry in rest:
            p, told = self.tests.worse(entry, best), self.scale.behind(entry.last.value, best)
            within = self.scale.key(best.last.value) - self.scale.key(entry.last.value) <= self.scale.margin
            if p is not None and (p >= 0.05 or within):
                rivals.append(entry)
            else:
                others[entry.arm.name] = told if p is None else f"{told} (p {p_text(p)} on validation rows)"
        # a smaller one may be recommended; a larger one only tells whether the best is the best
        rivals.sort(key=lambda e: (e.size >= best.size, e.size))
        left = self.limits.seconds - self.journal.spent
        for more in range(self.limits.seeds - 1, 0, -1):
            room, chosen = left / more, list[Entry]()
            for entry in (best, *rivals):
                if sum(e.last.seconds for e in chosen) + entry.last.seconds <= room:
                    chosen.append(entry)
            if best in chosen and len(chosen) > (1 if rivals else 0):
                names = [e.arm.name for e in chosen]
                others |= {e.arm.name: "no room in the budget for its further seeds" for e in rivals if e not in chosen}
                return {"names": names, "more": more, "others": others}
        return {"names": [e.arm.name for e in (best, *rivals)], "more": 0, "others": others}
