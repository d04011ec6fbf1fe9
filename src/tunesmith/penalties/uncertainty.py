"""Uncertainty: how much each of several tasks counts is learnt, as the noise of its answers.

    loss of a row of task p = c_p exp(-s_p) * loss + s_p / 2        s_p = log sigma_p^2, learnt, 0 at the start
                                                                    c_p = 1/2 for numbers, 1 for classes and label sets

For numbers that is the negative log-likelihood of a Gaussian with variance sigma^2, less a constant; for classes nearly
that of a softmax of outputs / sigma^2. A task whose loss stays large gets a small weight; s_p / 2 keeps weights from
vanishing. In balance exp(s_p) is twice the weighted loss of the task: a weight of 1 / (2 loss).

Kendall, Gal & Cipolla 2018, https://arxiv.org/abs/1705.07115. Shape letters: B rows, P tasks.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Penalty, Said, Start, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class Uncertainty(Penalty):
    """How much each of several tasks counts is learnt, as the noise of its answers."""

    name: Literal["uncertainty"] = "uncertainty"
    rate: Annotated[float, Field(gt=0)] = 0.01
    """Peak learning rate of the log variances; it follows the schedule of the others."""

    of_several: ClassVar[bool] = True
    reads_outputs: ClassVar[bool] = True
    prefer: ClassVar[str] = "tasks whose losses differ in size, and nobody knows what each is worth"
    source: ClassVar[str] = "Kendall et al. 2018, https://arxiv.org/abs/1705.07115"

    def objection(self, plan: Any) -> str | None:
        if getattr(plan.task, "weights", None):
            return "uncertainty learns the weights of tasks, and task.weights sets them. Remove one of the two"
        if any(each.name == "gradnorm" for each in plan.penalties):
            return "uncertainty and gradnorm both weigh the tasks. Keep one of the two"
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        return _Uncertainty(self, at)


class _Uncertainty(Term):
    def __init__(self, asked: Uncertainty, at: Start) -> None:
        import torch
        from torch import nn

        self.asked, self.at, self.names = asked, at, list(at.tasks)
        device = next(iter(at.moving.values())).device
        self.log_variance_P = nn.Parameter(torch.zeros(len(self.names), device=device))
        self.half_P = torch.tensor([0.5 if kind == "numbers" else 1.0 for kind in at.tasks.values()], device=device)

    def of_outputs(self, said: Said) -> "Tensor":
        import torch

        task_B = torch.from_numpy(self.at.task_of(said.rows).astype("int64")).to(said.logits_BC.device)
        loss_B = said.losses(said.logits_BC)
        whole_B = weighed(loss_B, self.log_variance_P[task_B], self.half_P[task_B])
        return ((whole_B - loss_B) * said.weights_B).sum()  # the task's loss is counted already

    def parameters(self) -> "Mapping[str, tuple[nn.Parameter, float]]":
        return {"log_variance": (self.log_variance_P, self.asked.rate)}

    def state(self) -> "dict[str, Tensor]":
        return {"log_variance": self.log_variance_P.detach().clone()}

    def restore(self, state: "Mapping[str, Tensor]") -> None:
        import torch

        with torch.no_grad():
            self.log_variance_P.copy_(state["log_variance"])

    def told(self) -> dict[str, float]:
        weight_P = (self.half_P * (-self.log_variance_P.detach()).exp()).tolist()
        return {f"weight.{name}": weight for name, weight in zip(self.names, weight_P, strict=True)}


def weighed(loss_B: "Tensor", log_variance_B: "Tensor", half_B: "Tensor") -> "Tensor":
    """Kendall's loss of each row, (B,)."""
    return half_B * (-log_variance_B).exp() * loss_B + log_variance_B / 2
