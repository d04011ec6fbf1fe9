"""What penalties share that bring the states of two domains together.

Shape letters: B rows, S rows of the source, T rows of the target, H width.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from tunesmith.penalties import Penalty, Term

if TYPE_CHECKING:
    from torch import Tensor


class Aligning(Penalty):
    """A penalty on what tells rows of the target from rows of the source. Abstract."""

    strength: Annotated[float, Field(gt=0)] = 1.0

    reads_states: ClassVar[bool] = True
    least: ClassVar[int] = 1
    """Rows of each domain that a step must have."""

    def objection(self, plan: Any) -> str | None:
        if not plan.task.two_domains:
            return (
                f"{self.name} brings the rows of two domains together, and task {plan.task.name} has one. Use "
                "task: {name: domain, target: FILE, task: …}, or remove it"
            )
        if len([p for p in plan.penalties if p.reads_states]) > 1:
            return f"{self.name} is one of several penalties that do the same. Keep one of them"
        fewest = min(plan.task.mix, 1 - plan.task.mix) * plan.train.batch
        if plan.train.batch_tokens is None and fewest < self.least:
            return (
                f"{self.name} needs {self.least} rows of each domain in a step, and task.mix {plan.task.mix:g} of "
                f"train.batch {plan.train.batch} rows are fewer. Set train.batch higher"
            )
        return super().objection(plan)


class Distance(Term):
    """A distance of the states of two domains, in the loss of every step that has enough rows of both."""

    def __init__(self, distance: Any, strength: float, least: int) -> None:
        self.distance, self.strength, self.least = distance, strength, least

    def of_states(self, states_BH: "Tensor", target_B: "Tensor", share: float) -> "Tensor | None":
        if min(int(target_B.sum()), int((~target_B).sum())) < self.least:
            return None
        distance: Tensor = self.distance(states_BH[~target_B], states_BH[target_B])
        return self.strength * distance
