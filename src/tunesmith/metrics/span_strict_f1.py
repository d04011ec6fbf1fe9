"""Span strict F1: precision and recall of marked spans joined, spans that do not begin with B- left out.

2 right / (true + answered) over the spans of all types that begin with B-. A span is right where both its ends and
its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanStrictF1(SpanMetric):
    """Span strict F1: precision and recall of marked spans joined, spans that do not begin with B- left out."""

    name: Literal["span_strict_f1"] = "span_strict_f1"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    strict: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer span_strict_f1 to compare with figures of strict IOB2 scorers"
