"""Span macro F1: precision and recall of marked spans joined, every type of span counts alike.

2 right / (true + answered) of each type, and the mean over types that occur. A span is right where both its ends and
its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanMacroF1(SpanMetric):
    """Span macro F1: precision and recall of marked spans joined, every type of span counts alike."""

    name: Literal["span_macro_f1"] = "span_macro_f1"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "macro"
    prefer: ClassVar[str] = "prefer span_macro_f1 when rare types matter as much as frequent ones"
