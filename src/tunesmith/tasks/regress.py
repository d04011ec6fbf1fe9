"""Regression: a number for each text or pair of texts (ratings, hours, similarity).

    text -> backbone -> head -> output (B, 1) -> output * scale + center

The network learns the standardised value, so that one learning rate fits every unit. Loss: squared error, or Huber
(1964): quadratic below `delta` standard deviations, linear beyond, so that wild labels pull less.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveFloat

from tunesmith import scratch
from tunesmith.data import Record, Roles
from tunesmith.data.roles import number_of
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Tick, _side, _text, no_tick

if TYPE_CHECKING:
    from torch import Tensor


class Regress(_text.TextTask):
    """A number for each text or pair of texts."""

    name: Literal["regress"] = "regress"
    metrics: tuple[str, ...] = ("spearman", "pearson", "mae", "rmse", "r2")
    loss: Literal["squared", "huber"] = "squared"
    """huber where a few labels are wild."""
    delta: PositiveFloat = 1.0
    """Where Huber turns linear, in standard deviations of the training labels."""
    bounds: tuple[float, float] | None = None
    """Answers are cut to this range, e.g. [0, 5] for a rating."""

    kind: ClassVar[Literal["numbers"]] = "numbers"
    problem_type: ClassVar[str] = "regression"
    pipeline: ClassVar[str] = "text-classification"
    prefer: ClassVar[str] = "the answer is a number, or an order matters more than a class"

    def objection(self, plan: Any) -> str | None:
        if self.differs("delta") and self.loss != "huber":
            return "delta has no effect unless loss: huber"
        if self.bounds and self.bounds[0] >= self.bounds[1]:
            return f"bounds must be [low, high] with low < high, got {list(self.bounds)}"
        return _side.objection(self)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        assert roles.label is not None
        values = _numbers(records, roles.label)
        if not len(values) or values.min() == values.max():
            raise TunesmithError(f"task.label: column '{roles.label}' has one value only; there is nothing to learn")
        notes = {"range": f"{values.min():g} to {values.max():g}"}
        return _side.with_side(
            self, records, Facts(center=float(values.mean()), scale=float(values.std()), notes=notes)
        )

    def grown(self, facts: Facts, earlier: Facts) -> Facts:
        return facts.model_copy(update={"center": earlier.center, "scale": earlier.scale})  # what its outputs mean

    def outputs(self, facts: Facts) -> int:
        return 1

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        encoded = _text.encode(self, records, roles, tokenizer, facts, tick)
        if roles.label is not None:
            values = _numbers(records, roles.label)
            encoded.targets = scratch.room(len(values), np.float32)
            for part in scratch.blocks(len(values)):
                encoded.targets[part] = (values[part] - facts.center) / facts.scale
        return encoded

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        from torch.nn import functional

        output_B = logits_BC.squeeze(-1)
        if self.loss == "huber":
            return functional.huber_loss(output_B, targets_B, reduction="none", delta=self.delta)
        return functional.mse_loss(output_B, targets_B, reduction="none")

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        values = np.asarray(outputs_NC, dtype=np.float64)[:, 0] * facts.scale + facts.center
        return (np.clip(values, *self.bounds) if self.bounds else values), None

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.targets is not None
        return encoded.targets.astype(np.float64) * facts.scale + facts.center

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        return {"prediction": [float(v) for v in predicted]}


def _numbers(records: Sequence[Record], column: str) -> Array:
    """(N,) float64."""
    return scratch.filled((number_of(r, column) for r in records), len(records), np.float64)
