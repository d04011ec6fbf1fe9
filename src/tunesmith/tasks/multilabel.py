"""Multi-label classification: any number of labels, none included, for each text.

    text -> backbone -> head -> logits (B, C) -> sigmoid -> labels whose probability reaches their threshold

Loss: binary cross-entropy, the mean over the labels of a row. The thresholds are chosen on validation rows. Outputs
start at the log-odds of their label (Lin et al. 2017, §3.3, https://arxiv.org/abs/1708.02002): else the first hundred
steps learn that labels are rare, and next to nothing of texts.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell
from tunesmith.data.roles import labels_of
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Tick, _side, _text, no_tick

if TYPE_CHECKING:
    from torch import Tensor


class Multilabel(_text.TextTask):
    """Any number of labels for each text."""

    name: Literal["multilabel"] = "multilabel"
    metrics: tuple[str, ...] = ("macro_f1", "micro_f1", "samples_f1", "subset_accuracy", "hamming_loss", "roc_auc")
    separator: str = ","
    """What separates labels inside a text cell."""
    threshold: Literal["each", "one", "half"] = "each"
    """Chosen on validation rows for each label or one for all, or 0.5. Rare labels share the common one."""
    start: Literal["shares", "drawn"] = "shares"
    """What a new output says before anything is learnt: its label's share of the training rows, or about one half."""

    kind: ClassVar[Literal["multilabel"]] = "multilabel"
    problem_type: ClassVar[str] = "multi_label_classification"
    pipeline: ClassVar[str] = "text-classification"
    prefer: ClassVar[str] = "a row may have several answers, or none"

    def objection(self, plan: Any) -> str | None:
        return _side.objection(self)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        assert roles.label is not None
        counts = Counter(one for r in records for one in labels_of(r, roles.label, self.separator))
        if not counts:
            raise TunesmithError(f"task.label: no row has a label in column '{roles.label}'")
        labels = tuple(sorted(counts))
        facts = _side.with_side(self, records, Facts(labels=labels, counts={k: counts[k] for k in labels}))
        return facts.model_copy(update={"start": self._start(facts, len(records))})

    def _start(self, facts: Facts, rows: int) -> tuple[float, ...]:
        """Log-odds of each label; half a row is added to both sides, so that labels of no or of all rows have one."""
        if self.start == "drawn":
            return ()
        return tuple(math.log((facts.counts[k] + 0.5) / (rows - facts.counts[k] + 0.5)) for k in facts.labels)

    def grown(self, facts: Facts, earlier: Facts) -> Facts:
        own = dict(zip(facts.labels, facts.start, strict=True)) if facts.start else {}
        found = _text.grown_labels(facts, earlier)
        return found.model_copy(update={"start": tuple(own.get(k, 0.0) for k in found.labels) if own else ()})

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        column = self.label
        if not labelled or column is None:
            return records

        def listed(record: Record) -> Record:
            found: list[Cell] = list(labels_of(record, column, self.separator))
            return replace(record, cells=record.cells | {column: found})

        return stored.records(map(listed, records))

    def outputs(self, facts: Facts) -> int:
        return len(facts.labels)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        encoded = _text.encode(self, records, roles, tokenizer, facts, tick)
        if roles.label is not None:
            number = {label: i for i, label in enumerate(facts.labels)}
            targets = _text.table(len(records), len(number))
            for i, record in enumerate(records):
                for one in labels_of(record, roles.label, self.separator):
                    if one in number:
                        targets[i, number[one]] = 1.0
            encoded.targets = targets
        return encoded

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(logits_BC, targets_B, reduction="none").mean(-1)

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        scores = 1 / (1 + np.exp(-np.asarray(outputs_NC, dtype=np.float64)))
        thresholds = np.array(facts.thresholds or (0.5,))
        return (scores >= thresholds).astype(np.int64), scores

    def tuned(self, scores_NC: Array, truth: Array, facts: Facts, choose: Any) -> Facts:
        if self.threshold == "half":
            return facts
        found = choose.label_thresholds(scores_NC, truth, each=self.threshold == "each")
        return facts.model_copy(update={"thresholds": tuple(float(t) for t in found)})

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.targets is not None
        return encoded.targets.astype(np.int64)

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None
        chosen = [[facts.labels[c] for c in np.flatnonzero(row)] for row in predicted]
        out: dict[str, list[Any]] = {"prediction": [json.dumps(names, ensure_ascii=False) for names in chosen]}
        # how sure the whole set is, if labels were independent: the product over labels of the side that was taken
        sure = np.where(predicted == 1, scores, 1 - scores).prod(axis=1)
        out["confidence"] = [round(float(s), 6) for s in sure]
        for c, label in enumerate(facts.labels):
            out[f"p:{label}"] = [round(float(p), 6) for p in scores[:, c]]
        return out
