"""Which finalist to take: the smallest that is not significantly worse than the best, and loses no more than a margin.

The best is the finalist with the best mean over seeds on validation rows, which the race has used. Everything else is
asked of test rows, which it has not. Of each other finalist, one-sided:

    H0: it is at least as good as the best        rejected at level alpha, corrected for all of them (Holm): it is worse

Not to be found worse is no proof, least of all on few rows: so its mean may not lie further below the best than the
margin (one point where the metric is a share, else one standard error of the difference: Breiman et al. 1984, section
3.4.3, the 1-SE rule); and the loss that would have been found four times in five is told, below. On many rows the least
loss is significant: one that is shown to be smaller than the margin (one-sided, level alpha) may be taken, too.

    (z_(1 - alpha / k) + z_.8) * standard error        for k finalists beside the best

With several seeds the variance is that of rows and that of seeds (`deciding.seeds`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tunesmith.deciding.bootstrap import Bootstrapped, bootstrapped
from tunesmith.deciding.comparison import finite
from tunesmith.deciding.needed import POWER
from tunesmith.deciding.pairs import Pair, Side
from tunesmith.deciding.seeds import TwoWay, two_way
from tunesmith.deciding.verdict import Told, p_text, quantity, signed
from tunesmith.evaluation.significance import holm
from tunesmith.metrics import Metric

Value = Mapping[str, float | None]
"""{value, low, high}."""


@dataclass(frozen=True)
class Rule:
    """How it is decided."""

    metric: Metric
    level: float = 0.95
    margin: float | None = None
    """In the unit of the metric; None: as above."""
    resamples: int = 2000
    seed: int = 0

    @property
    def alpha(self) -> float:
        """Chance of calling a finalist worse that is not."""
        return 1 - self.level


@dataclass(frozen=True)
class Beside:
    """A finalist beside the best: it minus the best, in the unit of the metric."""

    value: float
    low: float | None
    high: float | None
    p: float
    """Of "it is at least as good", one-sided."""
    p_adjusted: float
    p_within: float
    """Of "it loses the margin or more"."""
    margin: float
    detectable: float
    """The loss that would have been found with power .8."""
    keeps_up: bool
    """Whether it may be recommended."""


@dataclass(frozen=True)
class Judged:
    """Finalists on the rows that decide."""

    best: str
    recommended: str
    values: Mapping[str, Value]
    """{arm: {value, low, high}}."""
    beside: Mapping[str, Beside]
    """Of all but the best."""


Spread = Bootstrapped | TwoWay


def judge(sides: Mapping[str, Side], best: str, smallest: Sequence[str], rule: Rule) -> Judged:
    """`sides`: the answers of each seed of each finalist, to the same rows; `smallest`: their names, smallest first.
    A finalist on which the metric is undefined is never recommended."""
    spreads = {name: _spread(rule, sides[best], side) for name, side in sides.items() if name != best}
    known = {name: each for name, each in spreads.items() if not np.isnan(each.value)}
    p = {name: worse(each, rule.metric) for name, each in known.items()}
    corrected = dict(zip(known, holm(list(p.values())), strict=True))
    beside = {name: _beside(each, p[name], corrected[name], len(known), rule) for name, each in known.items()}
    recommended = next(name for name in smallest if name == best or (name in beside and beside[name].keeps_up))
    values = {name: value_of(rule, side) for name, side in sides.items()}
    return Judged(best, recommended, values, beside)


def worse(spread: Spread, metric: Metric) -> float:
    """One-sided p-value of "b is at least as good as a"."""
    below = spread.below(0.0)
    return 1 - below if metric.better == "higher" else below


def worse_of(pair: Pair, resamples: int, seed: int) -> float | None:
    """The same of one model a side; None where the metric is undefined."""
    found = bootstrapped(pair, resamples=resamples, seed=seed)
    return None if np.isnan(found.value) or not len(found.drawn_R) else worse(found, pair.metric)


def _spread(rule: Rule, a: Side, b: Side) -> Spread:
    make = two_way if len(b) > 1 else bootstrapped
    return make(Pair(rule.metric, a, b), resamples=rule.resamples, seed=rule.seed)


def _beside(spread: Spread, p: float, p_adjusted: float, num: int, rule: Rule) -> Beside:
    from scipy.stats import norm

    points, sign = rule.metric.points, 1 if rule.metric.better == "higher" else -1
    margin = rule.margin if rule.margin is not None else 1 / points if points else spread.error
    within = spread.below(-margin) if sign > 0 else 1 - spread.below(margin)
    low, high = spread.interval(rule.level) or (None, None)
    detectable = float(norm.ppf(1 - rule.alpha / num) + norm.ppf(POWER)) * spread.error
    keeps_up = -sign * spread.value <= margin and (p_adjusted > rule.alpha or within <= rule.alpha)
    return Beside(spread.value, low, high, p, p_adjusted, within, margin, detectable, keeps_up)


def value_of(rule: Rule, side: Side) -> Value:
    """What a side reaches, with its interval: over seeds, where it has several."""
    found = _spread(rule, (), side)
    low, high = found.interval(rule.level) or (None, None)
    return {"value": finite(found.value), "low": finite(low), "high": finite(high)}


def sentences(found: Judged, rule: Rule, rows: str, seeds: int) -> list[str]:
    """The recommendation among several finalists in words, with its doubt."""
    num = len(found.values)
    over = f"on {rows}" + (f" over {seeds} seeds" if seeds > 1 else ", one seed each")
    if found.recommended == found.best:
        said = [f"{found.best}: the best of {num} finalists {over}, and no smaller one keeps up with it."]
        said += [f"{name}: {_against(name, each, found, rule)}." for name, each in found.beside.items()]
    else:
        own = found.beside[found.recommended]
        how = "is not significantly worse than" if own.p_adjusted > rule.alpha else "loses less than the margin beside"
        said = [f"{found.recommended}: the smallest of {num} finalists that {how} the best, "
                f"{found.best}: {_against(found.recommended, own, found, rule)}, {over}."]  # fmt: skip
        shown = f"shown (p {p_text(own.p_within)})" if own.p_within <= rule.alpha else "not shown"
        told = _told(own, found.recommended, found, rule)
        said.append(f"A loss of {quantity(own.detectable, told)} would have been found four times in five; that it "
                    f"loses less than {quantity(own.margin, told)} is {shown}.")  # fmt: skip
    if seeds == 1:
        said.append("One seed says which of these trained models is better, not which method is.")
    return said


def _against(name: str, each: Beside, found: Judged, rule: Rule) -> str:
    told, scale = _told(each, name, found, rule), rule.metric.points or 1
    span = ""
    if each.low is not None and each.high is not None:
        span = f"{rule.level * 100:g} % CI {each.low * scale:.3g} to {each.high * scale:.3g}, "
    return f"{signed(each.value, told)} ({span}one-sided p {p_text(each.p_adjusted)})"


def _told(each: Beside, name: str, found: Judged, rule: Rule) -> Told:
    limits = None if each.low is None or each.high is None else (each.low, each.high)
    return Told(found.best, name, rule.metric.name, rule.metric.points, each.value, limits, rule.level, each.p_adjusted,
                each.margin)  # fmt: skip


def told_beside(each: Beside | None) -> dict[str, float | bool | None] | None:
    """As JSON."""
    if each is None:
        return None
    return {name: value if isinstance(value, bool) else finite(value) for name, value in asdict(each).items()}
