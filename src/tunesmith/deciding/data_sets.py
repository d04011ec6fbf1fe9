"""Two methods on many data sets, one score each: which is better beyond this collection?

Wilcoxon's signed-rank test asks whether the differences lie around 0 (Demsar 2006, Statistical comparisons of
classifiers over multiple data sets; data sets without a difference count half on each side). The Bayesian signed-rank
test answers what is wanted: how probable is it that one is better by more than what matters, that they are alike for
all practical purposes, that the other is (Benavoli, Corani, Demsar and Zaffalon 2017, Time for a change). The sign
test is the same without the sizes of differences, for scores of data sets that cannot be put on one scale.

The interval is that of the median of all Walsh averages (z_i + z_j) / 2 (Hodges and Lehmann 1963), exact for any
distribution that is symmetric.

Shape letters: D data sets, W Walsh averages, R draws.
"""

from dataclasses import dataclass

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Floats

PRIOR = 0.5
"""Weight of a data set without a difference, which is believed in before any is seen."""
DRAWS = 20_000


@dataclass(frozen=True)
class Belief:
    """Probabilities that a is better by more than the region, that neither is, that b is."""

    a: float
    alike: float
    b: float


@dataclass(frozen=True)
class OverSets:
    """What D differences b minus a say together."""

    value: float
    """Median of the Walsh averages."""
    limits: tuple[float, float] | None
    """None where there are too few data sets for any interval of that level: fewer than 6 for 95 %."""
    p: float
    wins: tuple[int, int, int]
    """Data sets on which a has the higher score, neither, b."""
    signed_rank: Belief
    sign: Belief


def over_sets(
    scores_a: Floats, scores_b: Floats, *, rope: float, level: float = 0.95, seed: int = 0, draws: int = DRAWS
) -> OverSets:  # fmt: skip
    """All that follows from two columns of scores. Raises TunesmithError below two data sets."""
    from scipy.stats import wilcoxon

    difference_D = np.asarray(scores_b, dtype=np.float64) - np.asarray(scores_a, dtype=np.float64)
    if len(difference_D) < 2:
        raise TunesmithError("compare: one data set is none to generalise from. Give the scores of at least two")
    p = 1.0 if not difference_D.any() else float(wilcoxon(difference_D, zero_method="zsplit").pvalue)
    walsh_W = np.sort(walsh(difference_D))
    wins = tuple(int((np.sign(difference_D) == sign).sum()) for sign in (-1, 0, 1))
    return OverSets(
        float(np.median(walsh_W)), _limits(walsh_W, len(difference_D), level), min(1.0, p), (wins[0], wins[1], wins[2]),
        signed_rank(difference_D, rope, seed, draws), sign_test(difference_D, rope, seed, draws),
    )  # fmt: skip


def walsh(difference_D: Floats) -> Floats:
    """(z_i + z_j) / 2 of all pairs i <= j, (W,)."""
    first, second = np.triu_indices(len(difference_D))
    mean_W: Floats = (difference_D[first] + difference_D[second]) / 2
    return mean_W


def _limits(walsh_W: Floats, num: int, level: float) -> tuple[float, float] | None:
    """The order statistics between which the centre lies at that level: as many off each end as the signed-rank sum
    falls short of with at most half of what is left."""
    ways = np.ones(1)
    for rank in range(1, num + 1):
        ways = np.convolve(ways, np.r_[1, np.zeros(rank - 1), 1])
    off = int((np.cumsum(ways / 2.0**num) <= (1 - level) / 2).sum())
    return (float(walsh_W[off - 1]), float(walsh_W[-off])) if off else None


def sign_test(difference_D: Floats, rope: float, seed: int = 0, draws: int = DRAWS) -> Belief:
    """Which of three regions holds most data sets: Dirichlet over their counts, the prior in the middle one."""
    counts = [(difference_D < -rope).sum(), (abs(difference_D) <= rope).sum() + PRIOR, (difference_D > rope).sum()]
    # a region without a data set has no share: a Dirichlet of almost no weight
    return _largest(np.random.default_rng(seed).dirichlet(np.maximum(counts, 1e-6), draws))


def signed_rank(difference_D: Floats, rope: float, seed: int = 0, draws: int = DRAWS) -> Belief:
    """The same of Walsh averages: data sets (and one without a difference, of weight PRIOR) are weighed by a Dirichlet,
    and each pair of them counts by the product of its weights."""
    z = np.r_[0.0, difference_D]
    mean = (z[:, None] + z) / 2
    weight_RD = np.random.default_rng(seed).dirichlet(np.r_[PRIOR, np.ones(len(difference_D))], draws)
    share = [((weight_RD @ region) * weight_RD).sum(1) for region in (mean < -rope, abs(mean) <= rope, mean > rope)]
    return _largest(np.stack(share, axis=1))


def _largest(share_R3: Floats) -> Belief:
    won = np.bincount(share_R3.argmax(1), minlength=3) / len(share_R3)
    return Belief(float(won[0]), float(won[1]), float(won[2]))
