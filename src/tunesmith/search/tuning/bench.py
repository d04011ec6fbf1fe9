"""What every engine works with: the space, what is asked, where trials are, and who trains them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.search.ground import Ground
from tunesmith.search.tuning.asked import Search
from tunesmith.search.tuning.clock import Deadline
from tunesmith.search.tuning.crew import Crew
from tunesmith.search.tuning.space import Space, Tree, Values

RUNGS = {1: 1 / 9, 3: 1 / 3, 9: 1.0}
"""Where trials are compared: ninths of all steps, and the share. Factor 3, as in Li et al. 2018 (1603.06560)."""


@dataclass
class Bench:
    """A search at work."""

    space: Space
    asked: Search
    folder: Path
    seed: int
    higher: bool
    """Whether more is better."""
    planned: Callable[[Tree, Ground], Plan]
    """A plan from a filled tree, fitted to its base; raises TunesmithError where it is refused. Other processes can
    import it."""
    ground: Ground
    crew: Crew
    clock: Deadline
    progress: Progress

    @property
    def online(self) -> bool:
        """Whether bases may be fetched."""
        return self.ground.online

    def plan_of(self, tree: Tree) -> Plan:
        """The plan of a filled tree."""
        return self.planned(tree, self.ground)

    def plan(self, values: Values) -> Plan:
        """The plan with these values."""
        return self.plan_of(self.space.filled(values))

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / f"{number:04d}"

    @property
    def stopping(self) -> bool:
        """Whether nothing new is begun."""
        return self.clock.signal is not None

    @property
    def rungs(self) -> list[int]:
        """Ninths of all steps after which trials are compared."""
        return [9] if self.asked.pruner == "none" else list(RUNGS)
