"""Cut-off: a second pass sees each row with some of its word embeddings blotted out, and must say the same.

    loss(x) + strength * loss(x') + consistency * JS(p || p')        x': the row with embeddings set to zero

    token     a share of the words, wherever they stand
    span      the same share, in one stretch
    feature   a share of the numbers of every embedding, the same for all words of a row

JS: the Jensen-Shannon divergence of both answers. classes: of the softmax; multilabel: of each label as a coin;
numbers, in its place: the squared distance of both from their mean, (a - b)^2 / 4.

Only words are cut, no special token and no virtual one, and one word stays. Their places stay, too: attention sees that
something stood there (the paper's code hides them from it).

What is cut is drawn from (seed of the step, row), alike for packed and padded rows. It doubles the work of what is
trained and, as it changes what enters the lowest block, costs the trunk cache.

Shen et al. 2020, https://arxiv.org/abs/2009.13818.

Shape letters: B rows, C outputs, T tokens of a row, H width of its word embeddings.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.penalties import Penalty, Said, Start, Term

if TYPE_CHECKING:
    from torch import Tensor

How = Literal["token", "span", "feature"]


class Cutoff(Penalty):
    """A second pass sees each row with some of its word embeddings blotted out, and must say the same."""

    name: Literal["cutoff"] = "cutoff"
    how: How = "span"
    """token: single words. span: words that stand together. feature: numbers of all embeddings."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Of the words, rounded up; of the numbers."""
    strength: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the loss of the second pass."""
    consistency: Annotated[float, Field(ge=0)] = 1.0
    """Weight of what both passes say apart."""

    reads_outputs: ClassVar[bool] = True
    disturbs_words: ClassVar[bool] = True
    prefer: ClassVar[str] = (
        "answers hang on single words of texts that say it several times; there is time for twice the work"
    )
    source: ClassVar[str] = "Shen et al. 2020, https://arxiv.org/abs/2009.13818"

    def objection(self, plan: Any) -> str | None:
        if plan.task.sees or plan.task.hears:
            return f"cutoff blots out embeddings of words, and rows of task {plan.task.name} have none. Remove it"
        if not self.strength and not self.consistency:
            return "cutoff with strength 0 and consistency 0 has no effect. Set one of them, or remove it"
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        return _Cutoff(self, at)


class _Cutoff(Term):
    def __init__(self, asked: Cutoff, at: Start) -> None:
        self.asked, self.at = asked, at

    def of_outputs(self, said: Said) -> "Tensor":
        with self.at.shaded(self.shade):
            cut_BC = said.again()
        apart_B = divergence(said.logits_BC, cut_BC, self.at.kind)
        return self.asked.strength * said.loss(cut_BC) + self.asked.consistency * (apart_B * said.weights_B).sum()

    def shade(self, seed: int, row: int, ids_T: Any, width: int) -> "Tensor":
        """(T, 1), or (1, H) of features: 0 where a row is cut, 1 elsewhere."""
        import torch

        generator = np.random.default_rng([seed, row, 7])
        if self.asked.how == "feature":
            kept = np.ones(width, np.float32)
            kept[generator.choice(width, max(1, round(self.asked.share * width)), replace=False)] = 0
            return torch.from_numpy(kept)[None]
        words, kept = np.flatnonzero(~np.isin(ids_T, list(self.at.special))), np.ones(len(ids_T), np.float32)
        count = min(math.ceil(self.asked.share * len(words)), len(words) - 1)
        if count > 0 and self.asked.how == "token":
            kept[generator.choice(words, count, replace=False)] = 0
        elif count > 0:
            first = int(generator.integers(len(words) - count + 1))
            kept[words[first : first + count]] = 0
        return torch.from_numpy(kept)[:, None]


def divergence(first_BC: "Tensor", second_BC: "Tensor", kind: str) -> "Tensor":
    """Jensen-Shannon divergence of two answers to each row, (B,); of numbers a quarter of the squared difference."""
    import torch
    from torch.nn.functional import log_softmax, logsigmoid

    if kind == "numbers":
        return (first_BC - second_BC).square().sum(-1) / 4
    if kind == "classes":
        logs = [log_softmax(x, dim=-1) for x in (first_BC, second_BC)]
    else:  # (B, C, 2): each label a coin
        logs = [torch.stack([logsigmoid(x), logsigmoid(-x)], -1) for x in (first_BC, second_BC)]
    middle = torch.logaddexp(*logs) - math.log(2)
    apart = sum(log.exp() * (log - middle) for log in logs) / 2
    return apart.flatten(1).sum(1)  # type: ignore[union-attr]
