"""Differences over seeds and rows: against classical formulas where one of the two is all there is, and coverage."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.crossed import crossed
from tunesmith.evaluation.helping import CLEAN, Answered, Asked, judged, sentence
from tunesmith.metrics import METRICS, Answers

ACCURACY = METRICS.make("accuracy")
ASKED = Asked(metric="accuracy", resamples=300, seed=0, level=0.95)


def answers(right: Any) -> Answers:
    """Rows of one class, answered rightly or not."""
    return Answers("classes", np.ones(len(right), np.int64), np.asarray(right, np.int64), None, ("no", "yes"))


def drawn(seeds: int, rows: int, effect: float, spread: float, draw: Any, same: bool = True) -> tuple[Any, Any]:
    pool, pairs, places = draw.normal(0, 0.1, 4 * rows), [], []
    for _ in range(seeds):
        which = np.arange(rows) if same else draw.choice(4 * rows, rows, replace=False)
        shift = draw.normal(effect, spread)
        pairs.append(tuple(answers(draw.random(rows) < 0.6 + pool[which] + way * shift / 2) for way in (1, -1)))
        places.append(which)
    return pairs, places


def test_rows_alone_give_the_normal_interval_of_a_paired_difference() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.random(400) < 0.8, draw.random(400) < 0.7
    made = crossed(ACCURACY, [(answers(one), answers(other))] * 3, [np.arange(400)] * 3, resamples=4000)
    apart = one.astype(float) - other
    half = 1.96 * apart.std() / 20
    assert made.value == pytest.approx(apart.mean()) and made.of_seeds == pytest.approx(0, abs=1e-12)
    assert (made.low, made.high) == (
        pytest.approx(made.value - half, abs=2e-3),
        pytest.approx(made.value + half, abs=2e-3),
    )
    assert made.p == pytest.approx(2 * stats.norm.sf(made.value / (half / 1.96)), rel=0.2)


def test_seeds_alone_give_students_interval() -> None:
    pairs, places = drawn(5, 200, 0.1, 0.2, np.random.default_rng(1), same=True)
    places = [each + 1000 * i for i, each in enumerate(places)]  # every seed has rows of its own
    made = crossed(ACCURACY, pairs, places, resamples=4000)
    by_seed = [float((a.predicted - b.predicted).mean()) for a, b in pairs]
    low, high = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (made.low, made.high) == (pytest.approx(low, rel=0.03), pytest.approx(high, rel=0.03))
    assert made.p == pytest.approx(stats.ttest_1samp(by_seed, 0).pvalue, rel=0.1)


def test_rows_that_depend_on_each_other_are_drawn_together() -> None:
    right, wrong = np.repeat(np.random.default_rng(2).random(40) < 0.7, 10), np.zeros(400)
    apart = [np.arange(400), np.arange(400) // 10]
    plain, grouped = (crossed(ACCURACY, [(answers(right), answers(wrong))] * 2, [each] * 2) for each in apart)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)  # type: ignore[operator]
    with pytest.raises(TunesmithError, match="one seed says nothing"):
        crossed(ACCURACY, [(answers(right), answers(wrong))], apart[:1])


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_holds_the_truth_as_often_as_it_says(seeds: int, spread: float, same: bool) -> None:
    draw, held = np.random.default_rng(3), 0
    for _ in range(400):
        made = crossed(ACCURACY, *drawn(seeds, 150, 0.0, spread, draw, same), resamples=200)
        held += made.low <= 0 <= made.high  # type: ignore[operator]
    assert held >= stats.binom.ppf(0.0005, 400, 0.93), "95 % of 400, within chance and two points"


def test_a_planted_difference_is_told_both_ways_and_none_is_not() -> None:
    """Three seeds of 300 rows: arms that are better, worse, and the same."""
    draw, found = np.random.default_rng(4), []
    for _ in range(3):
        arms = {"without": 0.7, "better": 0.9, "worse": 0.5, "same": 0.7}
        made = {arm: {CLEAN: answers(draw.random(300) < share)} for arm, share in arms.items()}
        found.append(Answered("test", np.arange(300), made))
    told = judged(found, ASKED)
    assert [told[arm].get("verdict") for arm in told] == [None, "helps", "hurts", "cannot tell"]
    assert told["better"]["difference"]["low"] > 0 > told["worse"]["difference"]["high"]
    assert (
        told["better"]["p_holm"] == pytest.approx(3 * told["better"]["p"], rel=1e-6) or told["better"]["p_holm"] < 0.05
    )
    assert told["better"]["seeds_needed"] is None and (told["same"]["seeds_needed"] or told["same"]["rows_needed"])
    assert "helps: accuracy +0.2" in sentence("better", told["better"], told["without"], ASKED)
    assert "would tell" in (said := sentence("same", told["same"], told["without"], ASKED)) or "it takes" in said
    assert judged(found, ASKED) == told, "the same answers give the same numbers"


def test_of_errors_less_is_better() -> None:
    draw, found = np.random.default_rng(5), []
    for _ in range(3):
        truth = draw.normal(size=200)
        made = {arm: {CLEAN: Answers("numbers", truth, truth + draw.normal(size=200) * noise)}
                for arm, noise in (("without", 1.0), ("calmer", 0.3))}  # fmt: skip
        found.append(Answered("test", np.arange(200), made))
    told = judged(found, ASKED.model_copy(update={"metric": "mae"}))["calmer"]
    assert told["difference"]["value"] < 0 and told["verdict"] == "helps"
