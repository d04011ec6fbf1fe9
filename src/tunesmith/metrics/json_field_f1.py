"""JSON field F1: which fields of the reference's JSON the answer's JSON has, with the right value.

A field is a leaf with the whole path to it: {"a": [{"b": 1}]} has a/0/b = 1. Over all rows together
2 |fields in both| / (|fields answered| + |fields of the reference|); of several references the one with the best F1 of
the row. An answer that is no JSON has no field: it answers nothing, and all it should have found is missed. Places in a
list count, spelling of values counts, the order of keys does not; 1 equals 1.0.
"""

from collections import Counter
from typing import ClassVar, Literal

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import divide
from tunesmith.metrics._json import Field, fields, parsed
from tunesmith.metrics._texts import once, pairs


class JsonFieldF1(Metric):
    """JSON field F1: fields of the answer's JSON that are in the reference's with the same value, all rows pooled."""

    name: Literal["json_field_f1"] = "json_field_f1"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer json_field_f1 for extraction into JSON, where each field is worth the same"
    source: ClassVar[str] = "micro F1 (van Rijsbergen 1979) over the leaves of RFC 8259 values"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows. Raises TunesmithError for a reference that is no JSON."""
        count_N2 = once(answers, self.name, lambda: _counts(answers))
        total_R2 = weight_RN @ count_N2
        return divide(2 * total_R2[:, 0], total_R2[:, 1])


def _counts(answers: Answers) -> Floats:
    """For each row (fields in both, fields of both sides added up)."""
    counts = []
    for row, (references, said) in enumerate(pairs(answers), start=1):
        value = parsed(said)
        answered: Counter[Field] = fields(value[0]) if value else Counter()
        sides = [_against(answered, _reference(each, row)) for each in references]
        counts.append(max(sides, key=lambda side: side[0] / side[1]))
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def _against(answered: Counter[Field], wanted: Counter[Field]) -> tuple[int, int]:
    return (answered & wanted).total(), answered.total() + wanted.total()


def _reference(text: str, row: int) -> Counter[Field]:
    value = parsed(text)
    if value is None:
        raise TunesmithError(
            f"json_field_f1: the reference of row {row} is no JSON: {text!r:.80}. "
            "Repair the data, or take a metric of plain text, such as token_f1"
        )
    return fields(value[0])
