"""Span strict precision: the share of answered spans that are right, spans that do not begin with B- left out.

right / answered over the spans of all types that begin with B-. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanStrictPrecision(SpanMetric):
    """Span strict precision: the share of answered spans that are right, spans that do not begin with B- left out."""

    name: Literal["span_strict_precision"] = "span_strict_precision"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    strict: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer span_strict_precision to compare with figures of strict IOB2 scorers"
