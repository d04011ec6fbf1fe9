"""The picture of the benchmark: a bar for each ratio on a logarithmic axis, with the floor as a mark. Plain SVG.

matplotlib is no dependency of the project, and a drawing of rectangles needs none.
"""

from collections.abc import Sequence
from html import escape
from math import log10

from floors import FLOORS
from standing import Measured, Spread

LEFT, WIDTH, LINE, TOP = 130, 640, 16, 54
COLOURS = {"trainer": "#2f6f9f", "trainer best": "#9fc3de"}
NAMES = {"trainer": "against defaults", "trainer best": "against best options"}


def bars(found: Sequence[Measured]) -> str:
    """The ratios of CPU seconds of all training jobs, each on its most rows; empty where there are none."""
    most: dict[str, Measured] = {}
    for each in sorted(found, key=lambda m: m.some["rows"]):
        most[each.job] = each
    drawn = [(each, arm, ratio) for each in most.values() for arm in COLOURS if (ratio := each.ratio(arm))]
    if not drawn:
        return ""
    drawn.sort(key=lambda one: (one[0].job.rsplit("-", 1)[0], one[0].some["epochs"], one[1]))
    largest = max([ratio.high for _, _, ratio in drawn] + [floor.least for floor in FLOORS if floor.job in most])
    scale = (WIDTH - LEFT - 70) / log10(max(10.0, largest * 1.1))
    height = TOP + LINE * len(drawn) + 30
    parts = [_axis(scale, largest, height), *_legend()]
    for number, (each, arm, ratio) in enumerate(drawn):
        parts.append(_bar(each.job if arm == "trainer" else "", arm, ratio, scale, TOP + LINE * number))
        parts += [_floor(f.least, scale, TOP + LINE * number) for f in FLOORS if (f.job, f.arm) == (each.job, arm)]
    title = "CPU seconds of training, peer / ours (logarithmic; red: floor)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{_text(10, 18, title, size=13)}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222222">{escape(words)}</text>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _legend() -> list[str]:
    return [
        part
        for number, (arm, colour) in enumerate(COLOURS.items())
        for part in (_box(10 + 150 * number, 28, 10, 10, colour), _text(24 + 150 * number, 37, NAMES[arm]))
    ]


def _axis(scale: float, largest: float, height: float) -> str:
    """A thin line at every round ratio."""
    marks = [mark for mark in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200) if mark <= largest * 1.1]
    lines = [
        _box(LEFT + scale * log10(mark), TOP - 4, 0.7, height - TOP - 18, "#cccccc")
        + _text(LEFT + scale * log10(mark), height - 10, f"{mark}x", anchor="middle")
        for mark in marks
    ]
    return "\n".join(lines)


def _bar(name: str, arm: str, ratio: Spread, scale: float, y: float) -> str:
    """A bar to the median, a thin one over the spread, and the number; a ratio below 1 goes to the left."""
    at = [scale * log10(value) for value in (ratio.low, ratio.median, ratio.high)]
    body = _box(LEFT + min(0.0, at[1]), y, abs(at[1]), LINE - 4, COLOURS[arm])
    spread = _box(LEFT + at[0], y + LINE / 2 - 3, max(0.8, at[2] - at[0]), 1.5, "#222222")
    number = _text(LEFT + max(at[2], 0.0) + 6, y + 10, f"{ratio.median:.3g}x")
    return _text(LEFT - 8, y + 10, name, anchor="end") + body + spread + number


def _floor(least: float, scale: float, y: float) -> str:
    return _box(LEFT + scale * log10(least) - 1, y - 2, 2, LINE, "#c0392b")
