"""What a search looks at before its first trial: its space, every corner of it, and the base."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.plan import Plan
from tunesmith.plan_rules import ranges_in
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import higher_is_better
from tunesmith.search.ground import Ground
from tunesmith.search.tuning import carry
from tunesmith.search.tuning.asked import Search
from tunesmith.search.tuning.bench import Bench
from tunesmith.search.tuning.clock import Deadline
from tunesmith.search.tuning.corners import Corners, check_corners
from tunesmith.search.tuning.crew import crew_for
from tunesmith.search.tuning.guided import usual
from tunesmith.search.tuning.reading import asked_of, space_of
from tunesmith.search.tuning.space import Space, Tree, at


@dataclass(frozen=True)
class Opened:
    """A search that can begin."""

    space: Space
    asked: Search
    first: Plan
    """The plan at the first corner, which stands for all of them."""
    planned: Callable[[Tree, Ground], Plan]
    ground: Ground
    progress: Progress
    notes: list[str]
    corners: Corners

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two searches the same, beside the plan: how many trials, in what time and by how many workers is
        no part of it."""
        tree = self.space.tree
        ranges = {path: at(tree, path) for path in ranges_in(tree)}
        return {"space": ranges} | self.asked.model_dump(
            include={"engine", "sampler", "pruner", "population", "generations"}
        )

    def carry_out(self, folder: Path, stop: Stop) -> dict[str, Any]:
        """Search in a claimed folder, and say what was found."""
        asked, clock = self.asked, Deadline(folder, self.asked.seconds, stop)
        self.ground.stop = clock
        trials = asked.population if asked.sampler == "pbt" else asked.trials
        crew = crew_for(1 if asked.engine == "ray" else asked.workers, trials, self.ground, clock)
        bench = Bench(self.space, asked, folder, self.first.train.seed, higher_is_better(self.first), self.planned,
                      self.ground, crew, clock, self.progress)  # fmt: skip
        reply = carry.carry_out(bench, self.notes, self.corners.told)
        from tunesmith.evaluation.tune_page import write_tune_page

        return reply | {"page": str(write_tune_page(reply, folder / "tune.html"))}


def look(tree: Tree, planned: Callable[[Tree, Ground], Plan], ground: Ground, progress: Progress) -> Opened:
    """Raises TunesmithError where the space is none, or holds values that the plan refuses."""
    asked = asked_of(tree)
    space, notes = space_of(tree, asked, lambda plan: usual(plan, ground.found(plan)))
    corners = check_corners(space, lambda filled: planned(filled, ground))
    if corners.refused:
        notes.append(f"{corners.refused} of {corners.checked} combinations of ends are no plan, and trials there will "
                     f"fail at no cost: {corners.reason}")  # fmt: skip
    for note in notes:
        progress.say(note)
    return Opened(space, asked, corners.first, planned, ground, progress, notes, corners)
