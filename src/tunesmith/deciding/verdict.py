"""The verdict on a comparison, and the sentence that says it."""

from dataclasses import dataclass
from typing import Literal

from tunesmith.deciding.needed import Needed, about

Verdict = Literal["better", "worse", "equivalent", "cannot_tell"]
"""What b is beside a."""


@dataclass(frozen=True)
class Told:
    """What the sentence is made of. Numbers are in the unit of the metric, b minus a."""

    a: str
    b: str
    metric: str
    points: float
    """Points in a difference of 1: 100 for shares; 0 for a metric with a unit of its own."""
    value: float
    limits: tuple[float, float] | None
    level: float
    p: float | None
    """Corrected, where there are several comparisons."""
    margin: float | None
    what: str = "test rows"
    """What more would have to be drawn of."""


def verdict(told: Told, better: Literal["higher", "lower"], alpha: float, p_equivalence: float | None) -> Verdict:
    """Equivalent comes first: who names a margin does not care for what lies within it."""
    if told.margin is not None and p_equivalence is not None and p_equivalence <= alpha:
        return "equivalent"
    if told.p is None or told.p > alpha or told.value == 0:
        return "cannot_tell"
    return "better" if (told.value > 0) == (better == "higher") else "worse"


def sentence(told: Told, found: Verdict, needed: Needed) -> str:
    """Such as: full is better than lora by 1.8 points of accuracy (95 % CI 0.6 to 3.1, p = 0.004)."""
    if found == "equivalent":
        assert told.margin is not None
        size = quantity(told.margin, told)
        return f"no difference larger than {size} between {told.a} and {told.b} ({_doubt(told, 1)})"
    if found == "cannot_tell":
        seen = f"{told.b} minus {told.a}: {signed(told.value, told)}; {_doubt(told, 1)}"
        return f"cannot tell: {_more(told, needed)} ({seen})"
    # of a worse one, and of a metric where lower is better, the size is told and not the sign
    sign = 1 if told.value > 0 else -1
    return f"{told.b} is {found} than {told.a} by {quantity(abs(told.value), told)} ({_doubt(told, sign)})"


def _more(told: Told, needed: Needed) -> str:
    if needed.rows is not None:
        return f"about {about(needed.rows)} more {told.what} are needed"
    if needed.seeds is not None:
        return f"more {told.what} alone do not help, about {about(needed.seeds)} more seeds a side are needed"
    if told.limits is not None and told.limits[0] == told.limits[1] == 0:
        return f"the two are alike on all {told.what}"
    return "what was seen is too small to be told apart; name a margin that matters (--margin)"


def _doubt(told: Told, sign: int) -> str:
    parts = []
    if told.limits is not None:
        low, high = sorted(sign * limit for limit in told.limits)
        scale = told.points or 1
        parts.append(f"{told.level * 100:g} % CI {_plain(low * scale)} to {_plain(high * scale)}")
    if told.p is not None:
        parts.append(f"p {p_text(told.p)}")
    return ", ".join(parts) or "no interval"


def quantity(value: float, told: Told) -> str:
    """A difference with its unit: "1.8 points of accuracy", "0.0312 mae"."""
    if not told.points:
        return f"{_short(value)} {told.metric}"
    number = _short(value * told.points)
    return f"{number} point{'' if number == '1' else 's'} of {told.metric}"


def signed(value: float, told: Told) -> str:
    """The same with its sign."""
    return ("+" if value > 0 else "") + quantity(value, told)


def _short(value: float) -> str:
    """The same without ".0"."""
    return _plain(value).removesuffix(".0")


def _plain(value: float) -> str:
    """One decimal where it shows three digits or fewer, else three significant ones; no "-0"."""
    text = f"{value:.1f}" if 0.05 <= abs(value) < 100 else f"{value:.3g}"
    return "0" if text == "-0" else text


def p_text(p: float) -> str:
    """As it is written behind "p": "= 0.004", "< 0.001"."""
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
