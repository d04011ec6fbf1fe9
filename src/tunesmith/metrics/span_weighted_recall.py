"""Span weighted recall: the share of true spans that are found, types weighed by their true spans.

right / true of each type, and the mean over types by their true spans. A span is right where both its ends and its
type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanWeightedRecall(SpanMetric):
    """Span weighted recall: the share of true spans that are found, types weighed by their true spans."""

    name: Literal["span_weighted_recall"] = "span_weighted_recall"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "weighted"
    prefer: ClassVar[str] = "prefer span_weighted_recall to compare with reports that weigh types by their size"
