"""Generation: learn to answer as the rows of a file do, with a causal language model.

    conversation -> template -> tokens -> decoder -> next token, where the answer stands

Loss: cross-entropy of the answer's tokens and of the one that ends it, a mean over tokens, so that a long answer counts
for more than a short one. Instruction tuning: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.data.words import Words
from tunesmith.tasks import Array, Encoded, Facts
from tunesmith.tasks._language import LanguageTask

if TYPE_CHECKING:
    from torch import Tensor


class Generate(LanguageTask):
    """Answers in words: instructions, questions, conversations, or the continuation of plain text."""

    name: Literal["generate"] = "generate"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy", "rougeL", "bleu", "exact_match")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tokens."""
    writes: ClassVar[bool] = True
    prefer: ClassVar[str] = "the answer is text that is not in a list: instructions, questions, summaries, code"
    source: ClassVar[str] = "Ouyang et al. 2022, https://arxiv.org/abs/2203.02155"

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        outcome = way.losses(encoded, rows, self.label_smoothing)
        total: Tensor = (outcome.losses_S * outcome.weights()).sum()
        return total

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        return {"prediction": [str(text) for text in predicted]}
