"""Pictures as inline SVG: text stays text, and colours come from the page's style sheet by class name.

Every picture is drawn about as wide as a phone, so that its letters have one size everywhere. The same numbers give
the same bytes. Style classes: s1 the model (or validation), s2 what it is compared with, s3 a faint background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 26.0, 40.0
# Average width of a letter, as a share of the letter's size: a CJK letter is a full square.
LATIN, CJK = 0.61, 1.0


@dataclass(frozen=True)
class Series:
    """Points of one curve; a missing y (None) interrupts it."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str = "s1"
    dots: bool = False
    sizes: Sequence[float] | None = None
    """Radius of each dot, where it means something."""


@dataclass(frozen=True)
class Frame:
    """What the axes say and span; a range of None is taken from the points."""

    x_label: str
    y_label: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    mark: float | None = None
    """x of a vertical line."""
    mark_label: str = ""
    diagonal: bool = False


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Whisker:
    """A value with its interval; None where undefined."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    style: str = "s2"


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An element; texts are escaped, `class_` means class, None leaves an attribute out."""
    words = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inside = Markup("").join(children)
    return Markup(f"<{name}{''.join(words)}>{inside}</{name}>")  # noqa: S704 - parts are escaped above


def _short(value: object) -> object:
    # A tenth of a pixel is enough, and keeps the page small.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def svg(parts: Iterable[str], width: float, height: float, alt: str) -> Markup:
    """A picture with a text for those who cannot see it. One wider than a phone keeps its size, and is scrolled."""
    size = f"max-width:{width * 1.2:.0f}px" if width <= WIDTH else f"width:{width:.0f}px"
    box = f"0 0 {_short(float(width))} {_short(float(height))}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=alt, style=size)


def label(text: str, x: float, y: float, anchor: str | None = None, style: str = "t") -> Markup:
    """A text; its anchor is middle, end or (None) start."""
    return tag("text", text, x=x, y=y, class_=style, text_anchor=anchor)


def line(start: tuple[float, float], end: tuple[float, float], style: str) -> Markup:
    """A straight line."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=style)


def width_of(text: str, size: float = 11) -> float:
    """About how many pixels a text takes."""
    return size * sum(CJK if ord(letter) >= 0x2E80 else LATIN for letter in text)


def fitted(text: str, room: float, size: float = 11) -> str:
    """The text, cut to about so many pixels."""
    if width_of(text, size) <= room:
        return text
    while text and width_of(text, size) + size > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """About `num` round numbers between two others."""
    raw = (high - low) / num
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    return [float(f"{i * step:.12g}") for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as short as a reader needs, with a real minus sign; large ones with thin spaces that do not break."""
    if not isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e9):
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}".replace("-", "−")
    text = f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "\u202f").replace("-", "−")


def lines(series: Sequence[Series], frame: Frame, alt: str) -> Markup:
    """Curves over a common pair of axes."""
    shown = [s for s in series if any(y is not None for y in s.y)]
    x = _scale([v for s in shown for v in s.x], frame.x_range, LEFT, WIDTH - RIGHT, air=0)
    y = _scale([v for s in shown for v in s.y if v is not None], frame.y_range, HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, frame)
    if frame.diagonal:
        parts.append(line((x.at(x.low), y.at(x.low)), (x.at(x.high), y.at(x.high)), "dash"))
    for one in shown:
        parts += _curve(one, x, y)
    if frame.mark is not None:
        parts += _mark(x, frame)
    return svg(parts, WIDTH, HEIGHT, alt)


def _scale(
    values: Sequence[float], given: tuple[float, float] | None, start: float, end: float, air: float = 0.06
) -> Scale:
    low, high = given or (min(values, default=0.0), max(values, default=1.0))
    if high - low <= 1e-9 * abs(high):  # all the same, rounding aside
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    room = 0.0 if given else (high - low) * air
    # Room below must not suggest negative losses or rates.
    return Scale(max(0.0, low - room) if low >= 0 else low - room, high + room, start, end)


def axes(x: Scale, y: Scale, frame: Frame) -> list[Markup]:
    """Grid lines, numbers and titles of a pair of axes; the y title stands above, where it can be read."""
    parts = []
    for value, name in _named(ticks(y.low, y.high)):
        parts.append(line((x.start, y.at(value)), (x.end, y.at(value)), "grid"))
        parts.append(label(name, x.start - 6, y.at(value) + 4, "end"))
    for value, name in _named(ticks(x.low, x.high)):
        parts.append(line((x.at(value), y.start), (x.at(value), y.start + 4), "axis"))
        parts.append(label(name, x.at(value), y.start + 17, "middle"))
    parts.append(line((x.start, y.start), (x.end, y.start), "axis"))
    parts.append(label(frame.x_label, (x.start + x.end) / 2, y.start + 34, "middle"))
    parts.append(label(frame.y_label, 2.0, 10.0))
    return parts


def _named(values: Sequence[float]) -> list[tuple[float, str]]:
    """Each value with its number, of so many digits that no two are alike."""
    short = [number(value) for value in values]
    return list(zip(values, short if len(set(short)) == len(short) else (f"{v:.4g}" for v in values), strict=True))


def _mark(x: Scale, frame: Frame) -> list[Markup]:
    assert frame.mark is not None
    at = x.at(frame.mark)
    right = at + 5 + width_of(frame.mark_label) < WIDTH
    place = label(frame.mark_label, at + 5 if right else at - 5, TOP + 9, None if right else "end", "t halo")
    return [line((at, TOP), (at, HEIGHT - BOTTOM), "mark"), place]


def _curve(one: Series, x: Scale, y: Scale) -> list[Markup]:
    path, pen = [], "M"
    for value_x, value_y in zip(one.x, one.y, strict=True):
        if value_y is None:
            pen = "M"
            continue
        path.append(f"{pen}{_short(x.at(value_x))} {_short(y.at(value_y))}")
        pen = "L"
    parts = [tag("path", tag("title", one.name), d="".join(path), class_=f"line {one.style}")]
    if one.dots or sum(value is not None for value in one.y) == 1:  # a line of one point is not seen
        sizes = one.sizes or [3.0] * len(one.x)
        parts += [
            tag("circle", tag("title", f"{one.name}: {number(b)} at {number(a)}"), cx=x.at(a), cy=y.at(b), r=float(r),
                class_=f"dot {one.style}")
            for a, b, r in zip(one.x, one.y, sizes, strict=True) if b is not None
        ]  # fmt: skip
    return parts


def whiskers(rows: Sequence[Whisker], alt: str) -> Markup:
    """A dot with its interval for each row: names above their lines would cost height, so they stand on the left."""
    room = min(132.0, max(width_of(r.name) for r in rows) + 10)
    bottom = 14.0 + 24 * len(rows)
    ends = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    x = _scale(ends, None, room, WIDTH - RIGHT - 4)
    parts = [line((x.at(v), 6.0), (x.at(v), bottom), "grid") for v in ticks(x.low, x.high)]
    parts += [label(number(v), x.at(v), bottom + 14, "middle") for v in ticks(x.low, x.high)]
    for place, row in enumerate(rows):
        parts += _whisker(row, x, 20.0 + 24 * place, room)
    return svg(parts, WIDTH, bottom + 22, alt)


def _whisker(row: Whisker, x: Scale, y: float, room: float) -> list[Markup]:
    name = label(fitted(row.name, room - 8), 0.0, y + 4, style="t strong" if row.style == "s1" else "t")
    if row.value is None:
        return [name, label("undefined", x.start + 4, y + 4)]
    parts = [name, tag("circle", tag("title", f"{row.name}: {number(row.value)}"), cx=x.at(row.value), cy=y, r=4.5,
                       class_=f"dot {row.style}")]  # fmt: skip
    if row.low is not None and row.high is not None:
        parts.insert(1, line((x.at(row.low), y), (x.at(row.high), y), f"whisker {row.style}"))
    return parts


@dataclass(frozen=True)
class Bars:
    """A histogram; of each bar, `wrong` rows are set off."""

    edges: Sequence[float]
    counts: Sequence[int]
    wrong: Sequence[int] = ()


def columns(bars: Bars, frame: Frame, alt: str) -> Markup:
    """A histogram; a line marks x = `frame.mark`."""
    edges, counts = bars.edges, bars.counts
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0.0, max(*counts, 1) * 1.08, HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, frame)
    for style, heights in (("s1", counts), ("wrong", bars.wrong or [0] * len(counts))):
        for low, high, count in zip(edges[:-1], edges[1:], heights, strict=True):
            if count:
                told = tag("title", f"{number(low)} to {number(high)}: {count}")
                parts.append(tag("rect", told, x=x.at(low) + 0.5, y=y.at(count), width=x.at(high) - x.at(low) - 1,
                                 height=y.start - y.at(count), class_=f"bar {style}"))  # fmt: skip
    if frame.mark is not None and x.low <= frame.mark <= x.high:
        parts += _mark(x, frame)
    return svg(parts, WIDTH, HEIGHT, alt)


def scatter(x_N: Sequence[float], y_N: Sequence[float], frame: Frame, alt: str) -> Markup:
    """A dot a row, on axes of one span with the diagonal: one path, because thousands of circles would be heavy."""
    x = _scale([*x_N, *y_N], None, LEFT, WIDTH - RIGHT, air=0.03)
    y = Scale(x.low, x.high, WIDTH - BOTTOM, TOP)
    parts = axes(x, y, frame)
    parts.append(line((x.start, y.start), (x.end, y.end), "dash"))
    dots = "".join(f"M{_short(x.at(a))} {_short(y.at(b))}h0" for a, b in zip(x_N, y_N, strict=True))
    parts.append(tag("path", d=dots, class_="points"))
    return svg(parts, WIDTH, WIDTH, alt)
