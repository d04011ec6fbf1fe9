"""Classification: one label for each text.

    text -> backbone -> head -> logits (B, C) -> softmax -> label
    text in a sentence with a gap -> language model -> label words in the gap -> logits (B, C)        (`_cloze.py`)

Loss: cross-entropy, optionally smoothed (Szegedy et al. 2016) or focal (Lin et al. 2017,
https://arxiv.org/abs/1708.02002): (1 - p_y)^focal * cross-entropy.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith import scratch
from tunesmith.bases.family import FAMILIES, Family, Purpose
from tunesmith.data import Record, Roles
from tunesmith.data.roles import label_of
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Tick, _cloze, _gap, _text, no_tick
from tunesmith.tasks._cloze import Cloze
from tunesmith.tasks._wording import Wording

if TYPE_CHECKING:
    from torch import Tensor


class Classify(_text.TextTask):
    """One label for each text or pair of texts."""

    name: Literal["classify"] = "classify"
    metrics: tuple[str, ...] = ("macro_f1", "accuracy", "balanced_accuracy", "weighted_f1", "mcc", "log_loss", "ece")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes; calms over-confidence and wrong labels."""
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Exponent of the focal loss; 2 makes easy rows count little. 0 is plain cross-entropy."""
    readout: Literal["head", "verbalizer"] = "head"
    """head: new layers on the base. verbalizer: the language head that the base was pretrained with fills a gap with
    label words; it answers before any training."""
    cloze: Cloze = Cloze()
    """The sentence with the gap, and the words (readout: verbalizer)."""
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
    prefer: ClassVar[str] = "each row has exactly one answer out of a fixed list"

    def objection(self, plan: Any) -> str | None:
        if self.costs and self.decide != "cost":
            return "costs have no effect unless decide: cost"
        if self.decide == "cost" and not self.costs:
            return "decide: cost needs costs: {true label: {answered label: cost}}"
        if self.differs("threshold_for") and self.decide != "threshold":
            return "threshold_for has no effect unless decide: threshold"
        if fault := self._cloze_objection():
            return fault
        if self.focal and self.label_smoothing:
            return "focal and label_smoothing pull in opposite directions. Choose one"
        return None

    def _cloze_objection(self) -> str | None:
        if self.readout == "head":
            return "cloze has no effect unless readout: verbalizer" if self.differs("cloze") else None
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; a verbalizer reads the gap. Remove it"
        return self.cloze.objection(pair=self.pair is not None)

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("majority", "tfidf", "probe") + ("untuned",) * self.untrained

    @property
    def untrained(self) -> bool:
        return self.readout == "verbalizer"

    def purpose(self, model_type: str) -> Purpose:
        if self.readout == "head":
            return "classify"
        return "language" if model_type in FAMILIES and FAMILIES[model_type].decoder else "masked"

    def base_objection(self, family: Family) -> str | None:
        if self.readout == "verbalizer" and family.decoder and not self.cloze.ends:
            return (
                f"cloze.template: {family.name} is causal and reads nothing behind {{mask}}. End the template with "
                "{mask}, without a full stop"
            )
        return None

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        assert roles.label is not None
        counts = Counter(label_of(r, roles.label) for r in records)
        if len(counts) < 2:
            found = ", ".join(f"{label} ({n} rows)" for label, n in counts.items()) or "none"
            raise TunesmithError(f"task.label: column '{roles.label}' needs at least 2 classes, found: {found}")
        labels = tuple(sorted(counts))
        self._check_names(labels)
        return Facts(labels=labels, counts={k: counts[k] for k in labels}, side=_text.study_side(self, records))

    def drawn(self, facts: Facts, records: Sequence[Record], roles: Roles, seed: int) -> Facts:
        if self.readout == "head":
            return facts
        shots = _cloze.drawn(self.cloze, records, roles, facts.labels, seed)
        return facts.model_copy(update={"wording": Wording(shots=shots)})

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        if self.readout == "head":
            return facts
        _gap.require_places(tokenizer)
        wording = _cloze.worded(self.cloze, facts.labels, tokenizer, causal=family.decoder)
        words = {label: each[0] for label, each in self.cloze.named(facts.labels).items()}
        drawn = () if facts.wording is None else facts.wording.shots
        shots = _gap.shown(drawn, self.cloze.template, words, tokenizer, self.max_tokens)
        return facts.model_copy(update={"wording": wording.model_copy(update={"shots": shots})})

    def blanks(self, tokenizer: Any) -> Sequence[Record]:
        if self.readout == "head" or self.cloze.calibrate == "none":
            return ()
        texts = [tokenizer.mask_token or t if t == "[MASK]" else t for t in _cloze.BLANKS]
        columns = dict.fromkeys(self.side_columns)
        rows = [columns | {c: text for c in (self.text, self.pair) if c} for text in texts]
        return [Record(i, "no content", i + 1, 0, cells) for i, cells in enumerate(rows)]

    def calibrated(self, outputs_NC: Array, facts: Facts) -> Facts:
        assert facts.wording is not None, "only words are calibrated"
        wording = facts.wording.model_copy(update={"offsets": _cloze.offsets(outputs_NC)})
        return facts.model_copy(update={"wording": wording})

    def _check_names(self, labels: tuple[str, ...]) -> None:
        if self.decide == "threshold" and len(labels) != 2:
            raise TunesmithError(f"task.decide: a threshold decides between 2 classes; this data has {len(labels)}")
        named = {self.positive} - {None} | set(self.costs) | {k for row in self.costs.values() for k in row}
        if strangers := sorted(str(n) for n in named - set(labels)):
            raise TunesmithError(f"task: labels {strangers} are not in the data. Known: {', '.join(labels)}")

    def outputs(self, facts: Facts) -> int:
        return len(facts.labels)

    def positive_index(self, facts: Facts) -> int | None:
        """Output number of the positive class; None where there are not two classes."""
        if len(facts.labels) != 2:
            return None
        return facts.labels.index(self.positive) if self.positive else 1

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        if self.readout == "head":
            encoded = _text.encode(self, records, roles, tokenizer, facts, tick)
        else:
            encoded = _gap.encode(self, records, roles, tokenizer, facts, tick)
        if roles.label is not None:
            number, column = {label: i for i, label in enumerate(facts.labels)}, roles.label
            # -1 marks a label that training never saw: it cannot be answered, and evaluation says how many there are
            found = (number.get(label_of(r, column), -1) for r in records)
            encoded.targets = scratch.filled(found, len(records), np.int64)
        return encoded

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        return _text.cross_entropy(logits_BC, targets_B, self.label_smoothing, self.focal)

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
