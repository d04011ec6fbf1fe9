"""What tasks share that give a row one of several classes: labels, losses, and how probabilities become an answer.

Loss: cross-entropy, optionally smoothed (Szegedy et al. 2016) or focal (Lin et al. 2017,
https://arxiv.org/abs/1708.02002): (1 - p_y)^focal * cross-entropy. Of a label that is a distribution (`_soft.py`) the
cross-entropy between it and the answer: - sum_c q_c log p_c.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith import scratch
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.roles import label_of
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, LogitsTask, _soft, _text

if TYPE_CHECKING:
    from torch import Tensor


class ClassTask(LogitsTask):
    """Settings of every task with one class a row, and what follows from them. Abstract: what a row is made of is the
    task's."""

    metrics: tuple[str, ...] = ("macro_f1", "accuracy", "balanced_accuracy", "weighted_f1", "mcc", "log_loss", "ece")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes; calms over-confidence and wrong labels."""
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Exponent of the focal loss; 2 makes easy rows count little. 0 is plain cross-entropy."""
    decide: Literal["argmax", "threshold", "cost"] = "argmax"
    """How probabilities become a label. threshold: two classes, chosen on validation rows and stored."""
    threshold_for: Literal["f1", "balanced_accuracy", "accuracy", "mcc"] = "f1"
    """What the threshold is chosen to maximise (decide: threshold)."""
    positive: str | None = None
    """The label that counts as positive among two; the last in order unless named."""
    costs: dict[str, dict[str, float]] = {}
    """decide: cost. {true label: {answered label: cost}}; what is not named costs 0 when right, 1 when wrong."""

    kind: ClassVar[Literal["classes"]] = "classes"
    problem_type: ClassVar[str | None] = "single_label_classification"

    def objection(self, plan: Any) -> str | None:
        if self.costs and self.decide != "cost":
            return "costs have no effect unless decide: cost"
        if self.decide == "cost" and not self.costs:
            return "decide: cost needs costs: {true label: {answered label: cost}}"
        if self.differs("threshold_for") and self.decide != "threshold":
            return "threshold_for has no effect unless decide: threshold"
        if self.focal and self.label_smoothing:
            return "focal and label_smoothing pull in opposite directions. Choose one"
        return self.own_objection(plan)

    def own_objection(self, plan: Any) -> str | None:
        """Further rules, of the task itself."""
        return None

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        assert roles.label is not None
        counts = Counter(label_of(r, roles.label) for r in records)
        counts.update(dict.fromkeys(_soft.names(records) - set(counts), 0))
        if len(counts) < 2:
            found = ", ".join(f"{label} ({n} rows)" for label, n in counts.items()) or "none"
            raise TunesmithError(f"task.label: column '{roles.label}' needs at least 2 classes, found: {found}")
        labels = tuple(sorted(counts))
        self._check_names(labels)
        return Facts(labels=labels, counts={k: counts[k] for k in labels})

    def _check_names(self, labels: tuple[str, ...]) -> None:
        if self.decide == "threshold" and len(labels) != 2:
            raise TunesmithError(f"task.decide: a threshold decides between 2 classes; this data has {len(labels)}")
        if self.positive is not None and len(labels) != 2:
            raise TunesmithError(f"task.positive: names one of 2 classes; this data has {len(labels)}. Remove it")
        named = {self.positive} - {None} | set(self.costs) | {k for row in self.costs.values() for k in row}
        if strangers := sorted(str(n) for n in named - set(labels)):
            raise TunesmithError(f"task: labels {strangers} are not in the data. Known: {', '.join(labels)}")

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        column = self.roles().label
        return records if not labelled or column is None else _soft.hardened(records, column)

    def aimed(self, encoded: Encoded, records: Sequence[Record], facts: Facts) -> Encoded:
        """With the distributions that stand in place of labels, where there are any."""
        encoded.soft, notes = _soft.shares(records, encoded.targets, facts)
        encoded.notes += notes
        if encoded.soft is not None and self.focal:
            raise TunesmithError(
                "task.focal: weighs a row by the surprise at its one true label, and these labels are distributions. "
                "Set focal to 0; label_smoothing and weights of rows go with them"
            )
        return encoded

    def outputs(self, facts: Facts) -> int:
        return len(facts.labels)

    def positive_index(self, facts: Facts) -> int | None:
        """Output number of the positive class; None where there are not two classes."""
        if len(facts.labels) != 2:
            return None
        return facts.labels.index(self.positive) if self.positive else 1

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        from torch.nn import functional

        if targets_B.is_floating_point():  # (B, C); a row of zeros is one whose label nobody knows
            soft_B = functional.cross_entropy(
                logits_BC, targets_B.to(logits_BC.dtype), reduction="none", label_smoothing=self.label_smoothing
            )
            return soft_B * (targets_B.sum(-1) > 0)
        plain = functional.cross_entropy(
            logits_BC, targets_B, reduction="none", label_smoothing=self.label_smoothing, ignore_index=-1
        )
        if not self.focal:
            return plain
        surprise = 1 - (-plain).exp()
        return surprise.clamp_min(1e-7) ** self.focal * plain  # at 0 a power below 1 has no finite gradient

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        scores = _text.softmax(outputs_NC)
        if self.decide == "threshold" and facts.thresholds:
            positive = self.positive_index(facts)
            assert positive is not None
            return np.where(scores[:, positive] >= facts.thresholds[0], positive, 1 - positive), scores
        if self.decide == "cost":
            return (scores @ self.cost_matrix(facts)).argmin(axis=-1), scores
        return scores.argmax(axis=-1), scores

    def cost_matrix(self, facts: Facts) -> Array:
        """(C, C): cost of answering column j when row i is true."""
        matrix = 1.0 - np.eye(len(facts.labels))
        for true, row in self.costs.items():
            for answered, cost in row.items():
                matrix[facts.labels.index(true), facts.labels.index(answered)] = cost
        return matrix

    def tuned(self, scores_NC: Array, truth: Array, facts: Facts, choose: Any) -> Facts:
        positive = self.positive_index(facts)
        if self.decide != "threshold" or positive is None:
            return facts
        threshold = choose.threshold(scores_NC[:, positive], truth == positive, self.threshold_for)
        return facts.model_copy(update={"thresholds": (float(threshold),)})

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.targets is not None
        return encoded.targets

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None
        out: dict[str, list[Any]] = {"prediction": [facts.labels[i] for i in predicted]}
        out["confidence"] = [round(float(row[i]), 6) for row, i in zip(scores, predicted, strict=True)]
        for c, label in enumerate(facts.labels):
            out[f"p:{label}"] = [round(float(p), 6) for p in scores[:, c]]
        return out


def class_numbers(records: Sequence[Record], column: str, facts: Facts) -> Array:
    """(N,) int64; -1 marks a label that training never saw: it cannot be answered, and evaluation says how many."""
    number = {label: i for i, label in enumerate(facts.labels)}
    return scratch.filled((number.get(label_of(r, column), -1) for r in records), len(records), np.int64)
