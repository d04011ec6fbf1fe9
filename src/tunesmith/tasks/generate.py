"""Generation: learn to answer as the rows of a file do, with a causal language model.

    conversation -> template -> tokens -> decoder -> next token, where the answer stands

Loss: cross-entropy of the answer's tokens and of the one that ends it, a mean over tokens, so that a long answer counts
for more than a short one. Instruction tuning: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from tunesmith.tasks import Array, Encoded, Facts
from tunesmith.tasks._language import LanguageTask

if TYPE_CHECKING:
    from torch import Tensor


class Decoding(BaseModel):
    """How answers are written."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    max_new_tokens: PositiveInt = 128
    """Longest answer in tokens."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """0 takes the most probable token; above, tokens are drawn, the more freely the higher."""
    top_k: PositiveInt | None = None
    """Draw among the k most probable tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw among the most probable tokens that have this share of the probability together."""
    repetition_penalty: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Above 1, tokens that stand already become less probable (Keskar et al. 2019)."""

    def objection(self) -> str | None:
        """Settings without effect."""
        if not self.temperature and (self.top_k is not None or self.top_p != 1.0):
            return "top_k and top_p choose what to draw from, and temperature 0 draws nothing. Set a temperature"
        return None


class Generate(LanguageTask):
    """Answers in words: instructions, questions, conversations, or the continuation of plain text."""

    name: Literal["generate"] = "generate"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy", "rougeL", "bleu", "exact_match")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tokens."""
    decode: Decoding = Decoding()
    """How answers are written, to judge them and ever after."""

    writes: ClassVar[bool] = True
    prefer: ClassVar[str] = "the answer is text that is not in a list: instructions, questions, summaries, code"
    source: ClassVar[str] = "Ouyang et al. 2022, https://arxiv.org/abs/2203.02155"

    def objection(self, plan: Any) -> str | None:
        if fault := self.decode.objection():
            return f"decode: {fault}"
        return super().objection(plan)

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        outcome = way.losses(encoded, rows, self.label_smoothing)
        total: Tensor = (outcome.losses_S * outcome.weights()).sum()
        return total

    def columns(self, predicted: Array, scores: Array | None, facts: Facts) -> dict[str, list[Any]]:
        return {"prediction": [str(text) for text in predicted]}
