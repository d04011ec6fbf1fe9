"""Span precision: the share of answered spans that are right, all types pooled.

right / answered over the spans of all types. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanPrecision(SpanMetric):
    """Span precision: the share of answered spans that are right, all types pooled."""

    name: Literal["span_precision"] = "span_precision"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    prefer: ClassVar[str] = "prefer span_precision beside span_f1, to see whether too much is marked"
