"""Span recall: the share of true spans that are found, all types pooled.

right / true over the spans of all types. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanRecall(SpanMetric):
    """Span recall: the share of true spans that are found, all types pooled."""

    name: Literal["span_recall"] = "span_recall"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    prefer: ClassVar[str] = "prefer span_recall where a span that is missed costs most"
