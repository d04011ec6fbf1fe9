"""Span F1: precision and recall of marked spans joined, all types pooled.

2 right / (true + answered) over the spans of all types. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanF1(SpanMetric):
    """Span F1: precision and recall of marked spans joined, all types pooled."""

    name: Literal["span_f1"] = "span_f1"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    prefer: ClassVar[str] = "prefer span_f1 as the main figure of tagging"
