"""Span weighted F1: precision and recall of marked spans joined, types weighed by their true spans.

2 right / (true + answered) of each type, and the mean over types by their true spans. A span is right where both its
ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanWeightedF1(SpanMetric):
    """Span weighted F1: precision and recall of marked spans joined, types weighed by their true spans."""

    name: Literal["span_weighted_f1"] = "span_weighted_f1"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "weighted"
    prefer: ClassVar[str] = "prefer span_weighted_f1 to compare with reports that weigh types by their size"
