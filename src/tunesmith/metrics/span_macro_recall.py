"""Span macro recall: the share of true spans that are found, every type of span counts alike.

right / true of each type, and the mean over types that occur. A span is right where both its ends and its type are.
"""

from typing import ClassVar, Literal

from tunesmith.metrics._spans import SpanMetric


class SpanMacroRecall(SpanMetric):
    """Span macro recall: the share of true spans that are found, every type of span counts alike."""

    name: Literal["span_macro_recall"] = "span_macro_recall"
    part: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    average: ClassVar[Literal["micro", "macro", "weighted"]] = "macro"
    prefer: ClassVar[str] = "prefer span_macro_recall when rare types matter as much as frequent ones"
