"""Generation: learn to answer as the rows of a file do, with a causal language model.

    conversation -> template -> tokens -> decoder -> next token, where the answer stands

Loss: cross-entropy of the answer's tokens and of the one that ends it, a mean over tokens, so that a long answer counts
for more than a short one. Instruction tuning: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import Field

from tunesmith.bases.family import Purpose
from tunesmith.bases.find import Found
from tunesmith.bases.sighted import ASKED
from tunesmith.data import Record, Roles
from tunesmith.data.record import DIGEST
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.tasks import Array, Encoded, Facts, Tick, _files, _seen, no_tick
from tunesmith.tasks._language import PROMPT, LanguageTask
from tunesmith.tasks._pixels import processed

if TYPE_CHECKING:
    from torch import Tensor


class Generate(LanguageTask):
    """Answers in words: instructions, questions, conversations, or the continuation of plain text."""

    name: Literal["generate"] = "generate"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy", "rougeL", "bleu", "exact_match")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tokens."""
    image: str | None = None
    """Column with the path of an image, from the folder of the file, for a base that sees (LLaVA, PaliGemma): captions,
    and answers to questions about images."""
    vision: Literal["rest", "learn"] = "rest"
    """Whether methods that move the base (full) move what sees, too. Where it rests, it runs once a row."""
    writes: ClassVar[bool] = True
    pipeline: ClassVar[str] = "text-generation"
    prefer: ClassVar[str] = "the answer is text that is not in a list: instructions, questions, summaries, code"
    source: ClassVar[str] = "Ouyang et al. 2022, https://arxiv.org/abs/2203.02155"

    @property
    def opens_images(self) -> bool:
        return self.image is not None

    @property
    def weighs_images(self) -> bool:
        return False

    def wanted_steps(self) -> tuple[str, ...]:
        return type(self).usual_steps if self.image is None else ("pictures", "dedup")

    def objection(self, plan: Any) -> str | None:
        if text := super().objection(plan):
            return text
        if self.image is None:
            return (
                "vision has no effect without images. Name their column (image), or remove it" * (self.vision != "rest")
                or None
            )
        return _seen.objection(self, plan)

    def purpose(self, model_type: str) -> Purpose:
        return "language" if self.image is None else "image_to_text"

    def configured(self) -> dict[str, Any]:
        return {ASKED: self.vision} if self.vision != "rest" else {}

    def processor(self, base: Found, saved: Path | None = None) -> Any:
        if self.image is None:
            return super().processor(base, saved)
        from tunesmith.bases.seeing import load_seeing

        return load_seeing(base, saved)

    def resolved(self, table: Table) -> "Generate":
        if self.image is None or self.mapping is not None:
            return cast("Generate", super().resolved(table))
        _files.require_free(table, DIGEST)
        found = self.model_copy(update={"mapping": _seen.columns(table, self.image)})
        return cast("Generate", super(Generate, found).resolved(table))

    def roles(self, *, labelled: bool = True) -> Roles:
        """All questions about one picture stay on one side of a split."""
        roles = super().roles(labelled=labelled)
        if self.image is None:
            return roles
        return Roles((PROMPT,), roles.label, file=self.image, group=DIGEST if labelled else None)

    def room(self, tokenizer: Any) -> int:
        return self.max_tokens if self.image is None else _seen.room(self, tokenizer)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        encoded = super().encode(records, roles, tokenizer, facts, tick)
        return encoded if self.image is None else _seen.seen(encoded, records, self.image, tokenizer)

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]] | None:
        return None if self.image is None else ("seen", processed(folder, records, self.image))

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        outcome = way.losses(encoded, rows, self.label_smoothing)
        total: Tensor = (outcome.losses_S * outcome.weights()).sum()
        return total

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        return {"prediction": [str(text) for text in predicted]}
