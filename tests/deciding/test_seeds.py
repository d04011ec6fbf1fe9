"""Several seeds a side: the variance of rows and of seeds, each by hand."""

import numpy as np
import pytest
from scipy import stats

from tunesmith.deciding.comparison import Question, decide, examine
from tunesmith.deciding.pairs import Pair
from tunesmith.deciding.seeds import two_way
from tunesmith.errors import TunesmithError
from tunesmith.metrics import METRICS, Answers


def sides(rates: list[list[float]], rows: int = 400, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)

    def one(rate: float) -> Answers:
        return Answers("classes", truth, np.where(rng.random(rows) < rate, truth, 1 - truth), labels=("n", "y"))

    made = [tuple(one(rate) for rate in side) for side in rates]
    return Pair(METRICS.make("accuracy"), *made)


def test_the_variance_is_that_of_rows_and_seeds() -> None:
    pair = sides([[0.7, 0.72, 0.8], [0.8, 0.9]])
    found = two_way(pair, resamples=4000)
    right = [np.array([each.truth == each.predicted for each in side], dtype=float) for side in (pair.a, pair.b)]
    row_gap = right[1].mean(0) - right[0].mean(0)
    rows = row_gap.var() / pair.rows
    seeds = [side.mean(1).var(ddof=1) / len(side) for side in right]
    assert found.value == pytest.approx(row_gap.mean()) and found.rows_variance == pytest.approx(rows, rel=0.08)
    assert found.seeds_variance == pytest.approx(sum(seeds))
    total = found.rows_variance + sum(seeds)
    freedom = total**2 / (found.rows_variance**2 / 399 + seeds[0] ** 2 / 2 + seeds[1] ** 2 / 1)
    assert found.freedom == pytest.approx(freedom)
    low, high = found.interval(0.95) or (0, 0)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, freedom) * total**0.5)
    assert found.below(low) == pytest.approx(0.025) and found.below(high) == pytest.approx(0.975)


def test_seeds_that_scatter_take_the_verdict_away() -> None:
    """What rows alone show of one seed each, the recipes do not hold."""
    one = sides([[0.70], [0.84]])
    many = sides([[0.70, 0.85, 0.6], [0.84, 0.66, 0.9]])
    asked = Question(resamples=400, permute=False)
    verdicts = [decide([examine("A", "B", pair, asked)], asked)[0] for pair in (one, many)]
    assert [v["verdict"] for v in verdicts] == ["better", "cannot_tell"]
    assert verdicts[1]["seeds"] == [3, 3] and verdicts[1]["rows_needed"] is None and verdicts[1]["seeds_needed"] > 0
    assert "more seeds a side" in verdicts[1]["sentence"]


def test_one_side_with_one_seed_is_refused() -> None:
    with pytest.raises(TunesmithError, match="Give each at least two, or one"):
        two_way(sides([[0.7, 0.8], [0.8]]))


def test_seeds_without_scatter_leave_the_rows() -> None:
    pair = sides([[0.7], [0.8]])
    twice = Pair(pair.metric, pair.a * 2, pair.b * 2)
    assert two_way(twice).seeds_variance == 0 and two_way(twice).freedom == pytest.approx(399)
