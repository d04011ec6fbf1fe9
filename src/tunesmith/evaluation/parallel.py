"""Parallel coordinates: an axis for each setting and one for what came of it; a line is a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from markupsafe import Markup

from tunesmith.evaluation.plots import fitted, label, line, number, svg, tag, width_of

TOP, BOTTOM, GAP, LACKING = 34.0, 208.0, 96.0, 224.0
"""Pixels: where axes begin and end, how far two stand apart, and where lines of trials without a setting pass."""


@dataclass(frozen=True)
class Axis:
    """A setting."""

    name: str
    ends: tuple[float, float] | None = None
    """Of numbers; None: words."""
    words: Sequence[Any] = ()
    logarithmic: bool = False

    def at(self, value: Any) -> float:
        """How high a value stands, 0 to 1."""
        if self.ends is None:
            place = next(i for i, word in enumerate(self.words) if word == value and type(word) is type(value))
            return (place + 0.5) / len(self.words)
        low, high = (log10(end) if self.logarithmic else end for end in self.ends)
        here = log10(value) if self.logarithmic else value
        return 0.5 if high == low else (here - low) / (high - low)

    def marks(self) -> list[tuple[float, str]]:
        """What is written beside it."""
        values: Sequence[Any] = self.words if self.ends is None else self.ends
        return [(self.at(value), number(value) if _is_number(value) else str(value)) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Thread:
    """A trial: its values, by the name of the axis; those that it does not have are left out."""

    name: str
    values: Mapping[str, Any]
    style: str = "s3"


def parallel(axes: Sequence[Axis], threads: Sequence[Thread], alt: str) -> Markup:
    """The picture; later threads lie above earlier ones. A line passes below the axis of a setting that it lacks."""
    left = 14.0 + max(width_of(text, 9) for _, text in axes[0].marks())
    x = [left + GAP * i for i in range(len(axes))]
    parts = [_thread(axes, x, each) for each in threads]
    for axis, place in zip(axes, x, strict=True):
        parts.append(line((place, TOP), (place, BOTTOM), "axis"))
        parts.append(label(fitted(axis.name.rpartition(".")[2] or axis.name, GAP - 6), place, 12.0, "middle",
                           "t strong"))  # fmt: skip
        parts += [label(fitted(text, GAP - 30, 9), place - 5, _y(high) + 3, "end", "t tiny halo")
                  for high, text in axis.marks()]  # fmt: skip
        parent = axis.name.rpartition(".")[0]
        parts += [label(fitted(parent, GAP - 6, 9), place, 24.0, "middle", "t tiny")] if parent else []
        lacking = any(axis.name not in each.values for each in threads)
        parts += [label("–", place - 5, LACKING + 3, "end", "t tiny halo")] if lacking else []
    return svg(parts, x[-1] + 40.0, LACKING + 10, alt)


def _y(high: float) -> float:
    return BOTTOM - high * (BOTTOM - TOP)


def _thread(axes: Sequence[Axis], x: Sequence[float], thread: Thread) -> Markup:
    points = [(place, _y(axis.at(thread.values[axis.name])) if axis.name in thread.values else LACKING)
              for axis, place in zip(axes, x, strict=True)]  # fmt: skip
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return tag("path", tag("title", thread.name), d=path, class_=f"line {thread.style}")
