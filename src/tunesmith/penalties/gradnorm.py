"""GradNorm: weights of tasks that make their gradients of what they share as large as each other, slow ones larger.

    G_p = |gradient of L_p|,   r_p = (L_p / L_p(0)) / mean_q (L_q / L_q(0))          L_p: mean loss of task p
    w_p proportional to  r_p^alpha / G_p,   sum_p w_p = P

Chen et al. 2018 take steps on w_p towards w_p G_p = mean(G) r_p^alpha. Here w_p is set to where these steps lead, of
running means of G_p and L_p: there is no second learning rate, and a weight cannot become negative. alpha 0 is equal
norms. The gradients of a step are seen task by task (as for PCGrad), so that it costs no further pass.

https://arxiv.org/abs/1711.02257. Shape letters: P tasks.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Penalty, Share, Start, Term

if TYPE_CHECKING:
    from torch import Tensor


class GradNorm(Penalty):
    """Tasks weigh in so that their gradients are as large as each other, those that lag behind larger."""

    name: Literal["gradnorm"] = "gradnorm"
    alpha: Annotated[float, Field(ge=0, le=3)] = 0.5
    """How much more a task gets that lags behind; 0: gradients of equal size."""
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of what was seen before in the running means of norms and losses."""

    of_several: ClassVar[bool] = True
    by_task: ClassVar[bool] = True
    prefer: ClassVar[str] = "losses of different size or speed, such as squared errors beside cross-entropies"
    source: ClassVar[str] = "Chen et al. 2018, https://arxiv.org/abs/1711.02257"

    def objection(self, plan: Any) -> str | None:
        if getattr(plan.task, "weights", None):
            return "gradnorm finds the weights of tasks, and task.weights sets them. Remove one of the two"
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        return _GradNorm(self, at)


class _GradNorm(Term):
    def __init__(self, asked: GradNorm, at: Start) -> None:
        import torch

        self.asked, self.at, self.names = asked, at, list(at.tasks)
        self.seen_3P = torch.zeros(3, len(self.names), dtype=torch.float64)
        """Running norm, running loss, first loss of each task; 0 where none was seen yet."""

    def among(self, shares: Sequence[Share], seed: int) -> None:
        keep = self.asked.memory
        for each in shares:
            norm = (
                sum(float(g.double().square().sum()) for n, g in each.gradients.items() if self.at.is_shared(n)) ** 0.5
            )
            for line, now in ((0, norm / each.part), (1, each.loss)):
                before = float(self.seen_3P[line, each.task])
                self.seen_3P[line, each.task] = keep * before + (1 - keep) * now if before else now
            if not self.seen_3P[2, each.task]:
                self.seen_3P[2, each.task] = each.loss
        weight_P = weights(self.seen_3P, self.asked.alpha)
        for each in shares:
            factor = float(weight_P[each.task])
            each.gradients = {n: g * factor for n, g in each.gradients.items()}

    def state(self) -> "dict[str, Tensor]":
        return {"seen": self.seen_3P.clone()}

    def restore(self, state: "Mapping[str, Tensor]") -> None:
        self.seen_3P = state["seen"].clone()

    def told(self) -> dict[str, float]:
        found = weights(self.seen_3P, self.asked.alpha).tolist()
        return {f"weight.{name}": value for name, value in zip(self.names, found, strict=True)}


def weights(seen_3P: "Tensor", alpha: float) -> "Tensor":
    """(P,): the weight of each task, 1 on average; 1 for those that no step has shown yet."""
    import torch

    norm_P, loss_P, first_P = seen_3P
    known_P = (norm_P > 0) & (first_P > 0)
    out_P = torch.ones_like(norm_P)
    if known_P.any():
        left_P = (loss_P / first_P)[known_P]
        wanted_P = (left_P / left_P.mean()) ** alpha / norm_P[known_P]
        out_P[known_P] = wanted_P * known_P.sum() / wanted_P.sum()
    return out_P
