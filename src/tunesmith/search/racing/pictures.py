"""Pictures of a race: quality against what it costs, with the frontier, and how arms came to where they ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

from tunesmith.evaluation.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    fitted,
    label,
    line,
    number,
    svg,
    tag,
    ticks,
    width_of,
)


@dataclass(frozen=True)
class Point:
    """An arm: what it costs and how good it is."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    chosen: bool = False


def frontier(points: Sequence[Point], *, lower: bool) -> list[Point]:
    """Those that no other beats or equals in both cost and quality, cheapest first; `lower` quality is better."""
    sign = -1 if lower else 1
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -sign * p.y)):
        if not found or sign * point.y > sign * found[-1].y:
            found.append(point)
    return found


def pareto(points: Sequence[Point], x_label: str, y_label: str, *, lower: bool, show: Callable[[float], str]) -> Markup:
    """Quality (upwards) against a cost on a logarithmic axis; a line joins the frontier, whose arms are named."""
    ends = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    air = (max(ends) - min(ends)) * 0.08 or abs(max(ends)) * 0.1 or 0.1
    y = Scale(min(ends) - air, max(ends) + air, HEIGHT - BOTTOM, TOP)
    marks = _marks(min(p.x for p in points), max(p.x for p in points))
    x = Scale(log10(marks[0]), log10(marks[-1]), LEFT + 8, WIDTH - RIGHT - 8)
    parts = [label(y_label, 2.0, 10.0), line((LEFT, y.start), (WIDTH - RIGHT, y.start), "axis")]
    for value in ticks(y.low, y.high):
        parts += [line((LEFT, y.at(value)), (WIDTH - RIGHT, y.at(value)), "grid"),
                  label(number(value), LEFT - 6, y.at(value) + 4, "end")]  # fmt: skip
    for value in marks:
        parts += [line((x.at(log10(value)), y.start), (x.at(log10(value)), y.start + 4), "axis"),
                  _mark(show(value), x.at(log10(value)), y.start + 17)]  # fmt: skip
    parts.append(label(x_label, (x.start + x.end) / 2, y.start + 34, "middle"))
    best = frontier(points, lower=lower)
    path = " ".join(f"{'M' if i == 0 else 'L'}{x.at(log10(p.x)):.1f} {y.at(p.y):.1f}" for i, p in enumerate(best))
    parts.append(tag("path", d=path, class_="line s4"))
    for point in points:
        parts += _dot(point, x, y, show)
    parts += _names(best, x, y)
    told = ", ".join(f"{p.name} {number(p.y)} at {show(p.x)}" for p in points)
    return svg(parts, WIDTH, HEIGHT, f"{y_label} against {x_label}: {told}")


def _mark(text: str, x: float, y: float) -> Markup:
    """A number below the axis; the last one ends with the picture."""
    over = x + width_of(text) / 2 > WIDTH
    return label(text, WIDTH - 1 if over else x, y, "end" if over else "middle")


def _marks(low: float, high: float) -> list[float]:
    """Round numbers around all values, few enough to be read."""
    for factors in ((1, 2, 5), (1,)):
        powers = range(floor(log10(low)), ceil(log10(high)) + 1)
        every = [float(f"{f * 10.0**power:.6g}") for power in powers for f in factors]
        first = max((i for i, v in enumerate(every) if v <= low * 1.0001), default=0)
        last = min((i for i, v in enumerate(every) if v >= high * 0.9999), default=len(every) - 1)
        last = max(last, first + 1) if first + 1 < len(every) else last
        if last - first < 6:
            break
    found = every[first : last + 1]
    return found if len(found) > 1 else [found[0], found[0] * 10]


def _dot(point: Point, x: Scale, y: Scale, show: Callable[[float], str]) -> list[Markup]:
    style, at = "s1" if point.chosen else "s2", (x.at(log10(point.x)), y.at(point.y))
    parts = []
    if point.low is not None and point.high is not None:
        parts.append(line((at[0], y.at(point.low)), (at[0], y.at(point.high)), f"whisker {style}"))
    told = tag("title", f"{point.name}: {number(point.y)} at {show(point.x)}")
    return [*parts, tag("circle", told, cx=at[0], cy=at[1], r=4.5 if point.chosen else 3.5, class_=f"dot {style}")]


def _names(points: Sequence[Point], x: Scale, y: Scale) -> list[Markup]:
    """Names beside their dots, moved up or down where one would cover another."""
    parts, taken = [], list[tuple[float, float, float]]()
    for point in sorted(points, key=lambda p: not p.chosen):
        text = fitted(point.name, 130)
        wide, right = width_of(text), x.at(log10(point.x)) + 7
        left = right if right + wide < WIDTH else max(LEFT, right - 14 - wide)
        for away in (0, -13, 13, -26, 26, -39, 39):
            at = y.at(point.y) + 4 + away
            clear = all(abs(at - other) > 11 or left > end or left + wide < start for start, end, other in taken)
            if TOP + 6 < at < y.start - 2 and clear:
                taken.append((left, left + wide, at))
                parts.append(label(text, left, at, None, "t halo strong" if point.chosen else "t halo"))
                break
    return parts
