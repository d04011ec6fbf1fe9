"""Metrics of pairs on numbers that can be checked by hand."""

import numpy as np
import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import intervals
from tunesmith.metrics import METRICS, Answers

#        ln p          tokens  before         rewards
SCORES = np.array([
    [-10.0, -12.0, 5, 4, -11.0, -11.0, 0.10, -0.10],
    [-20.0, -8.0, 10, 2, -18.0, -8.0, -0.20, 0.00],
    [-6.0, -9.0, 3, 3, -6.0, -9.0, 0.00, 0.00],
    [-4.0, -4.0, 2, 2, -6.0, -5.0, 0.20, 0.10],
])  # fmt: skip
PAIRS = Answers("pairs", np.ones(4, dtype=np.int64), np.array([1, 0, 0.5, 1]), SCORES)


def value(name: str, answers: Answers = PAIRS, weights: tuple[float, ...] = (1, 1, 1, 1)) -> float:
    return float(METRICS.make(name).measure(answers, np.array([weights], dtype=np.float64))[0])


def test_by_hand() -> None:
    assert value("reward_accuracy") == (1 + 0 + 0.5 + 1) / 4
    assert value("reward_margin") == pytest.approx((0.2 - 0.2 + 0 + 0.1) / 4)
    assert value("win_rate") == (1 + 0 + 1 + 0.5) / 4
    assert value("kl") == (1 - 2 + 0 + 2) / 4
    assert value("nll_chosen") == (10 + 20 + 6 + 4) / (5 + 10 + 3 + 2)


@pytest.mark.parametrize("name", ("reward_accuracy", "reward_margin", "win_rate", "kl", "nll_chosen"))
def test_weights_are_repeated_rows(name: str) -> None:
    times = (2, 0, 1, 3)
    repeated = np.repeat(np.arange(4), times)
    assert value(name, weights=times) == pytest.approx(value(name, PAIRS.take(repeated), (1,) * 6))


def test_single_answers_are_compared_with_their_point_of_reference() -> None:
    """An unwanted answer should have the lower reward, and counts in no figure on chosen answers."""
    scores = SCORES.copy()
    scores[:, [1, 3, 5]], scores[:, 7] = 0, 0.05
    opinions = Answers("pairs", np.array([1, 0, 0, 1]), np.ones(4), scores)
    assert value("reward_accuracy", opinions) == 1.0
    assert value("reward_margin", opinions) == pytest.approx((0.05 + 0.25 + 0.05 + 0.15) / 4)
    assert value("kl", opinions) == (1 + 2) / 2
    assert value("nll_chosen", opinions) == (10 + 4) / (5 + 2)
    assert np.isnan(value("win_rate", opinions))


def test_intervals_refuse_scores_of_another_shape_and_none() -> None:
    metric = METRICS.make("reward_margin")
    with pytest.raises(TunesmithError, match="pairs need 8 columns"):
        intervals([metric], Answers("pairs", np.ones(4), np.ones(4), SCORES[:, :4]))
    with pytest.raises(TunesmithError, match="reward_margin: needs log-probabilities"):
        metric.measure(Answers("pairs", np.ones(4), np.ones(4)), np.ones((1, 4)))
    found = intervals([metric], PAIRS, resamples=200)["reward_margin"]
    assert found.low < found.value < found.high
