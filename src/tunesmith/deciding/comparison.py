"""A comparison, whole: the difference with its interval, tests, effect, equivalence, and what would tell more.

The p-value that the verdict rests on is McNemar's mid-p where a metric is a share of rows that are right or wrong and
rows stand for themselves (Fagerland et al. 2013); over several seeds that of the two-way variance; else that of the BCa
bootstrap, which is about the metric itself. The permutation test asks more (that the two answer alike in every way),
and stands beside it.

Equivalence: two one-sided tests against the margin (Schuirmann 1987), each by the same interval: the difference lies
above -margin, and it lies below +margin.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tunesmith.deciding.bootstrap import Bootstrapped, bootstrapped
from tunesmith.deciding.effect import cohen_dz, cohen_g
from tunesmith.deciding.needed import Needed, aimed_error, needed, needed_of_both
from tunesmith.deciding.pairs import Pair
from tunesmith.deciding.seeds import TwoWay, of_seeds, two_way
from tunesmith.deciding.verdict import Told, sentence, verdict
from tunesmith.evaluation.significance import Discordance, discordance, holm, paired_permutation

FEW = 50
"""Below so many units intervals cover less than they say (docs/comparing.md has the table)."""


@dataclass(frozen=True)
class Question:
    """What is asked of every comparison."""

    margin: float | None = None
    """Differences within it, in the unit of the metric, do not matter."""
    level: float = 0.95
    resamples: int = 2000
    seed: int = 0
    permute: bool = True

    @property
    def alpha(self) -> float:
        """Chance of a false alarm that is accepted."""
        return 1 - self.level


@dataclass(frozen=True)
class Found:
    """A comparison before others are known beside which it must be corrected."""

    a: str
    b: str
    pair: Pair
    spread: Bootstrapped | TwoWay
    right: Discordance | None
    permutation: float | None
    p: float | None
    p_equivalence: float | None
    limits: tuple[float, float] | None
    notes: tuple[str, ...]


def examine(a: str, b: str, pair: Pair, asked: Question) -> Found:
    """All that the rows of two sides say. Raises TunesmithError for sides on different rows."""
    several = len(pair.a) > 1 or len(pair.b) > 1
    make = two_way if several else bootstrapped
    spread = make(pair, resamples=asked.resamples, seed=asked.seed)
    right = None if several else _right(pair)
    limits, known = spread.interval(asked.level), not np.isnan(spread.value)
    p = equivalence = permutation = None
    if known and limits is not None:
        below = spread.below(0.0)
        p = min(1.0, 2 * min(below, 1 - below)) if right is None else right.mid_p
        limits, equivalence = _equivalence(pair, spread, right, limits, asked)
        if asked.permute and not several and pair.a[0].kind != "several":
            permutation = paired_permutation(
                pair.metric, pair.b[0], pair.a[0], resamples=asked.resamples, seed=asked.seed, groups=pair.b[0].groups
            ).p
    notes = _notes(pair, spread, right)
    return Found(a, b, pair, spread, right, permutation, p, equivalence, limits, notes)


def _right(pair: Pair) -> Discordance | None:
    """Rows that one side gets right, where the metric is their share and each stands for itself."""
    if pair.b[0].groups is not None:
        return None
    right_a, right_b = pair.metric.right(pair.a[0]), pair.metric.right(pair.b[0])
    return None if right_a is None or right_b is None else discordance(right_a, right_b)


def _equivalence(
    pair: Pair, spread: Bootstrapped | TwoWay, right: Discordance | None, limits: tuple[float, float], asked: Question
) -> tuple[tuple[float, float] | None, float | None]:
    """(limits, p-value of "they differ by the margin or more")."""
    margin = asked.margin
    if spread.error == 0 and spread.value == 0:
        if right is None:  # nothing differs, and nobody knows how rare what would differ is
            return None, None
        # none of N rows told the two apart: the share of rows that do lies below 1 - alpha^(1/N), the rule of three
        # (Hanley and Lippman-Hand 1983), and no difference is larger than that share
        most = 1 - asked.alpha ** (1 / pair.rows)
        return (-most, most), None if margin is None else (1 - min(margin, 1.0)) ** pair.rows
    if margin is None:
        return limits, None
    return limits, max(spread.below(-margin), 1 - spread.below(margin))


def _notes(pair: Pair, spread: Bootstrapped | TwoWay, right: Discordance | None) -> tuple[str, ...]:
    notes = []
    if pair.units < FEW:
        notes.append(f"{pair.units} rows or groups are few: intervals cover less than they say")
    if right is not None and right.only_a + right.only_b < 10:
        notes.append(f"only {right.only_a + right.only_b} rows tell the two apart: trust the p-value, not the interval")
    if not pair.metric.picks:
        notes.append(f"{pair.metric.name} is read beside other metrics: more of it is no better model")
    if spread.fallback:
        notes.append(f"the interval is the plain percentile one: {spread.fallback}")
    if spread.undefined:
        notes.append(f"the metric was not defined on {spread.undefined} draws, which are left out")
    return tuple(notes)


def decide(found: Sequence[Found], asked: Question) -> list[dict[str, Any]]:
    """The comparisons as replies, corrected for their number (Holm), each with its verdict and sentence."""
    p, equivalence = _corrected([f.p for f in found]), _corrected([f.p_equivalence for f in found])
    num = max(1, sum(f.p is not None for f in found))
    return [_reply(f, p[i], equivalence[i], asked, num) for i, f in enumerate(found)]


def _corrected(p: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([each for each in p if each is not None]))
    return [None if each is None else next(known) for each in p]


def _reply(
    found: Found, p_adjusted: float | None, p_equivalence: float | None, asked: Question, num: int
) -> dict[str, Any]:
    pair, spread, right = found.pair, found.spread, found.right
    whole = pair.units == pair.rows
    told = Told(found.a, found.b, pair.metric.name, pair.metric.points, spread.value, found.limits, asked.level,
                p_adjusted, asked.margin, "test rows" if whole else "groups of test rows")  # fmt: skip
    said = verdict(told, pair.metric.better, asked.alpha, p_equivalence)
    more = _needed(found, asked, num) if said == "cannot_tell" else Needed(None)
    low, high = found.limits or (None, None)
    effect = cohen_dz(spread.value, spread.error, pair.units) if right is None else cohen_g(right.only_a, right.only_b)
    return {
        "a": found.a, "b": found.b, "metric": pair.metric.name, "better": pair.metric.better, "rows": pair.rows,
        "seeds": [len(pair.a), len(pair.b)],
        "difference": {"value": finite(spread.value), "low": finite(low), "high": finite(high)}, "level": asked.level,
        "p": finite(found.p), "p_adjusted": finite(p_adjusted),
        "test": spread.name if right is None else "McNemar mid-p", "tests": _tests(found),
        "effect": asdict(effect), "margin": asked.margin, "p_equivalence": finite(p_equivalence),
        "verdict": said, "rows_needed": more.rows, "seeds_needed": more.seeds,
        "sentence": sentence(told, said, more), "notes": list(found.notes),
    }  # fmt: skip


def _needed(found: Found, asked: Question, num: int) -> Needed:
    spread, pair = found.spread, found.pair
    aim = aimed_error(spread.value, asked.margin, asked.alpha / num)
    if isinstance(spread, TwoWay):
        seeds = min(len(pair.a), len(pair.b))
        return needed_of_both(spread.rows_variance, spread.seeds_variance, pair.units, seeds, aim)
    return needed(spread.error, pair.units, aim)


def _tests(found: Found) -> dict[str, Any]:
    """Every test that was made, uncorrected."""
    spread, pair = found.spread, found.pair
    if isinstance(spread, TwoWay):
        seeds = {"a": of_seeds(pair, pair.a).tolist(), "b": of_seeds(pair, pair.b).tolist()}
        variance = {"rows": finite(spread.rows_variance), "seeds": finite(spread.seeds_variance)}
        return {"rows and seeds": {"p": finite(found.p), "variance": variance, "values": seeds}}
    below = spread.below(0.0) if len(spread.drawn_R) else float("nan")
    tests: dict[str, Any] = {
        "bootstrap": {
            "p": finite(min(1.0, 2 * min(below, 1 - below))), "method": "percentile" if spread.fallback else "BCa",
            "bias": spread.bias, "acceleration": spread.acceleration, "resamples": len(spread.drawn_R),
        }
    }  # fmt: skip
    if found.permutation is not None:
        tests["permutation"] = {"p": found.permutation}
    if found.right is not None:
        tests["mcnemar"] = {"only_a": found.right.only_a, "only_b": found.right.only_b, "exact_p": found.right.p,
                            "mid_p": found.right.mid_p}  # fmt: skip
    return tests


def finite(value: float | None) -> float | None:
    """What JSON can say."""
    return None if value is None or not np.isfinite(value) else float(value)
