"""Adversarial training: learn, too, where a small step in weights hurts the most.

    words      e' = e + epsilon * g / |g|                e: embeddings of words, g: their gradient      (FGM)
    weights    w' = w + epsilon * |w| * g / |g|          each matrix of the base by its own norms       (AWP)

After the gradients of a step are there, the weights move that way, gradients of the same rows are added, and the
weights are put back. It doubles the work of a step.

Miyato, Dai & Goodfellow 2017, https://arxiv.org/abs/1605.07725 (words; on the table of embeddings, as is usual, so that
a word is disturbed alike wherever it stands); Wu, Xia & Wang 2020, https://arxiv.org/abs/2004.05884 (weights).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.errors import TunesmithError
from tunesmith.penalties import Penalty, Start, Term

if TYPE_CHECKING:
    from torch import nn

_USUAL = {"words": 1.0, "weights": 1e-3}


class Adversarial(Penalty):
    """Learn, too, where a small step in weights hurts the most."""

    name: Literal["adversarial"] = "adversarial"
    where: Literal["words", "weights"] = "words"
    """words: the embeddings of words, for methods that move them (full). weights: every matrix that moves, the head's
    left out."""
    epsilon: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Size of the disturbance. auto: 1 for words (a norm), 0.001 for weights (a share of their norm)."""

    prefer: ClassVar[str] = "there are few rows and time for twice the work, against small changes of wording"
    source: ClassVar[str] = "FGM https://arxiv.org/abs/1605.07725, AWP https://arxiv.org/abs/2004.05884"

    @property
    def size(self) -> float:
        """The disturbance as a number."""
        return _USUAL[self.where] if self.epsilon == "auto" else self.epsilon

    def objection(self, plan: Any) -> str | None:
        if self.where == "words" and not plan.method.moves_base():
            return (
                f"adversarial disturbs the embeddings of words, and {plan.method.name} gives them no gradient. "
                "Set where: weights, or use method full"
            )
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        wanted = at.is_words if self.where == "words" else lambda n: not at.is_head(n) and at.moving[n].ndim >= 2
        chosen = {n: p for n, p in at.moving.items() if wanted(n)}
        if not chosen:
            raise TunesmithError(
                f"penalties: adversarial finds no {self.where} that move under this method. "
                + ("Set where: weights, or use method full" if self.where == "words" else "Remove it")
            )
        return _Adversarial(self, chosen)


class _Adversarial(Term):
    def __init__(self, asked: Adversarial, chosen: "Mapping[str, nn.Parameter]") -> None:
        self.asked, self.chosen = asked, chosen

    def after(self, again: Callable[[], object]) -> None:
        import torch

        moved = {n: p for n, p in self.chosen.items() if p.grad is not None}
        held = {n: p.detach().clone() for n, p in moved.items()}
        with torch.no_grad():
            for parameter in moved.values():
                assert parameter.grad is not None
                length = parameter.grad.norm()
                if length > 0:
                    reach = 1.0 if self.asked.where == "words" else parameter.norm()
                    parameter.add_(parameter.grad * (self.asked.size * reach / length))
        try:
            again()
        finally:
            with torch.no_grad():
                for name, parameter in moved.items():
                    parameter.copy_(held[name])
