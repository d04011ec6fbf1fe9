"""Spans that are right: true, answered and both, counted by row and type once, and added up for each resample.

A span is right where its first word, its last word and its type are. Nakayama 2018, seqeval 1.2.2, gives the same
numbers: by default, and with mode strict and scheme IOB2.

Shape letters: R resamples, N rows, T types.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.data.words import spans_of
from tunesmith.metrics import Answers, Floats, Kind, Metric

_BIG = 1 << 31


class SpanMetric(Metric):
    """Precision, recall or F1 of spans. Abstract."""

    kinds: ClassVar[tuple[Kind, ...]] = ("tags",)
    part: ClassVar[Literal["precision", "recall", "f1"]]
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "micro"
    strict: ClassVar[bool] = False
    source: ClassVar[str] = "Tjong Kim Sang and De Meulder 2003, CoNLL-2003 (conlleval); seqeval 1.2.2"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; 0 where there is no span."""
        counts_NT3 = _counts(answers, strict=self.strict)
        num, types = counts_NT3.shape[:2]
        counts_RT3 = (weight_RN @ counts_NT3.reshape(num, 3 * types)).reshape(len(weight_RN), types, 3)
        if self.average == "micro":
            return _value(self.part, counts_RT3.sum(1))
        value_RT, true_RT = _value(self.part, counts_RT3), counts_RT3[..., 0]
        # a type that neither is true nor answered in a resample is not there
        share_RT = true_RT if self.average == "weighted" else (counts_RT3[..., :2].sum(-1) > 0).astype(np.float64)
        return _ratio((value_RT * share_RT).sum(1), share_RT.sum(1))


def _value(part: str, counts: Floats) -> Floats:
    """From (true, answered, right) in the last axis."""
    true, answered, right = np.moveaxis(counts, -1, 0)
    if part == "f1":
        return _ratio(2 * right, true + answered)
    return _ratio(right, answered if part == "precision" else true)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _counts(answers: Answers, *, strict: bool) -> Floats:
    """(N, T, 3): true, answered and right spans."""
    name = f"spans {strict}"
    if name not in answers.prepared:
        assert answers.words is not None, "tags are those of words"
        offsets, types = answers.words.offsets, max(1, (len(answers.labels) - 1) // 2)
        true, said = (spans_of(np.asarray(tags, dtype=np.int64), offsets, strict=strict)
                      for tags in (answers.truth, answers.predicted))  # fmt: skip
        keys = dict(zip((true.first * _BIG + true.last).tolist(), true.types.tolist(), strict=True))
        pairs = zip((said.first * _BIG + said.last).tolist(), said.types.tolist(), strict=True)
        right = np.array([keys.get(key) == kind for key, kind in pairs], dtype=bool)
        found = np.zeros((3, answers.rows, types))
        for count, spans in zip(found, (true, said), strict=False):
            np.add.at(count, (spans.rows, spans.types), 1.0)
        np.add.at(found[2], (said.rows[right], said.types[right]), 1.0)
        answers.prepared[name] = np.moveaxis(found, 0, -1)
    made: Floats = answers.prepared[name]
    return made
