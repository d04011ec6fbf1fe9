"""Span strict recall: the share of true spans that are found, spans that do not begin with B- left out.

right / true over the spans of all types that begin with B-. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanStrictRecall(SpanMetric):
    """Span strict recall: the share of true spans that are found, spans that do not begin with B- left out."""

    name: Literal["span_strict_recall"] = "span_strict_recall"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    strict: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer span_strict_recall to compare with figures of strict IOB2 scorers"
