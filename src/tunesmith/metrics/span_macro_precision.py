"""Span macro precision: the share of answered spans that are right, every type of span counts alike.

right / answered of each type, and the mean over types that occur. A span is right where both its ends and its type
are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanMacroPrecision(SpanMetric):
    """Span macro precision: the share of answered spans that are right, every type of span counts alike."""

    name: Literal["span_macro_precision"] = "span_macro_precision"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "macro"
    prefer: ClassVar[str] = "prefer span_macro_precision when rare types matter as much as frequent ones"
