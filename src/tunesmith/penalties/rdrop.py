"""R-Drop: two passes under different dropout must say the same.

    mean of both losses  +  strength / 2 * [KL(p || q) + KL(q || p)]          p, q: answers of the two passes

classes: softmax over classes. multilabel: each label a coin. numbers: squared difference of the two answers.
It doubles the work of everything that is trained, and needs dropout there.

Wu et al. 2021 (R-Drop), https://arxiv.org/abs/2106.14448.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import TunesmithError
from tunesmith.penalties import Penalty, Said, Start, Term

if TYPE_CHECKING:
    from torch import Tensor


class RDrop(Penalty):
    """Two passes under different dropout must say the same."""

    name: Literal["rdrop"] = "rdrop"
    strength: Annotated[float, Field(gt=0)] = 1.0
    """The paper's alpha; it used 0.1 to 5 by task."""

    reads_outputs: ClassVar[bool] = True
    prefer: ClassVar[str] = "there are few rows and time for twice the work; the gain is steadiness"
    source: ClassVar[str] = "Wu et al. 2021, https://arxiv.org/abs/2106.14448"

    def begin(self, at: Start) -> Term:
        return _RDrop(self, at.kind)


class _RDrop(Term):
    def __init__(self, asked: RDrop, kind: str) -> None:
        self.asked, self.kind = asked, kind

    def of_outputs(self, said: Said) -> "Tensor":
        import torch

        second_BC = said.again()
        if torch.equal(second_BC, said.logits_BC):
            raise TunesmithError(
                "penalties: rdrop has no effect: both passes said the same, because nothing that is trained has "
                "dropout. Set train.dropout: 0.1, or remove rdrop"
            )
        apart_B = apart(said.logits_BC, second_BC, self.kind)
        # the task's loss of the first pass is counted already: half of the difference makes it the mean of both
        mean = (said.loss(second_BC) - said.loss(said.logits_BC)) / 2
        return mean + self.asked.strength / 2 * (apart_B * said.weights_B).sum()


def apart(first_BC: "Tensor", second_BC: "Tensor", kind: str) -> "Tensor":
    """KL(p || q) + KL(q || p) of each row, (B,); for numbers twice the squared difference."""
    from torch.nn.functional import log_softmax, logsigmoid

    if kind == "numbers":
        return 2 * (first_BC - second_BC).square().sum(-1)
    if kind == "classes":
        logs = [log_softmax(x, dim=-1) for x in (first_BC, second_BC)]
        return ((logs[0].exp() - logs[1].exp()) * (logs[0] - logs[1])).sum(-1)
    yes = [logsigmoid(x) for x in (first_BC, second_BC)]
    no = [logsigmoid(-x) for x in (first_BC, second_BC)]
    coins = sum((s[0].exp() - s[1].exp()) * (s[0] - s[1]) for s in (yes, no))
    return coins.sum(-1)  # type: ignore[union-attr]
