"""Span weighted precision: the share of answered spans that are right, types weighed by their true spans.

right / answered of each type, and the mean over types by their true spans. A span is right where both its ends and
its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanWeightedPrecision(SpanMetric):
    """Span weighted precision: the share of answered spans that are right, types weighed by their true spans."""

    name: Literal["span_weighted_precision"] = "span_weighted_precision"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "weighted"
    prefer: ClassVar[str] = "prefer span_weighted_precision to compare with reports that weigh types by their size"
