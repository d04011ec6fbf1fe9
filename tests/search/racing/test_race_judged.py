"""The recommendation: the smallest that keeps up, by answers whose truth is known."""

import numpy as np
import pytest

from tunesmith.deciding.pairs import Pair, Side
from tunesmith.metrics import METRICS, Answers
from tunesmith.search.racing.judged import Rule, judge, sentences, worse_of

ACCURACY, MAE = METRICS.make("accuracy"), METRICS.make("mae")


def answers(shares: float, rows: int = 1000, seed: int = 0) -> Answers:
    """Right on that share of the rows; what is hard for one is hard for all."""
    truth = np.random.default_rng([7, rows]).integers(0, 2, rows)
    hard = np.random.default_rng([8, rows]).permutation(rows) / rows
    hard = hard + np.random.default_rng([9, seed]).normal(0, 0.02, rows)
    return Answers("classes", truth, np.where(hard < shares, truth, 1 - truth), None, ("a", "b"))


def apart(right: int, rows: int = 60) -> Answers:
    """So many rows right, and which is chance."""
    truth = np.random.default_rng(7).integers(0, 2, rows)
    order = np.random.default_rng([3, right]).permutation(rows)
    return Answers("classes", truth, np.where(order < right, truth, 1 - truth), None, ("a", "b"))


def numbers(error: float, rows: int = 400, seed: int = 0) -> Answers:
    truth = np.random.default_rng(7).normal(0, 1, rows)
    return Answers("numbers", truth, truth + np.random.default_rng([1, seed]).normal(0, error, rows))


def side(share: float, first: int, seeds: int = 3, rows: int = 1000) -> Side:
    return tuple(answers(share, rows, first + seed) for seed in range(seeds))


def test_the_smallest_that_keeps_up_is_recommended() -> None:
    rule = Rule(ACCURACY, resamples=300)
    sides = {"big": side(0.90, 0), "middle": side(0.897, 10), "small": side(0.85, 20)}
    found = judge(sides, "big", ["small", "middle", "big"], rule)
    assert found.recommended == "middle" and not found.beside["small"].keeps_up
    assert found.beside["small"].p_adjusted < 0.01 < found.beside["middle"].p_adjusted
    assert found.beside["small"].value == pytest.approx(-0.05, abs=0.02)
    said = sentences(found, rule, "1,000 test rows", 3)
    assert said[0].startswith(
        "middle: the smallest of 3 finalists that is not significantly worse than the best, big: "
    )
    assert "on 1,000 test rows over 3 seeds" in said[0] and "four times in five" in said[1]
    alone = judge({"big": sides["big"], "small": sides["small"]}, "big", ["small", "big"], rule)
    assert alone.recommended == "big" and "no smaller one keeps up" in sentences(alone, rule, "rows", 3)[0]


def test_few_rows_do_not_make_a_large_loss_small() -> None:
    few: dict[str, Side] = {"big": (apart(54),), "small": (apart(50),)}
    found = judge(few, "big", ["small", "big"], Rule(ACCURACY, resamples=300))
    own = found.beside["small"]
    assert own.p_adjusted > 0.05 and own.value == pytest.approx(-4 / 60), "not significant, and far below"
    assert found.recommended == "big"
    wide = judge(few, "big", ["small", "big"], Rule(ACCURACY, margin=0.2, resamples=300))
    assert wide.recommended == "small" and wide.beside["small"].margin == 0.2
    assert "One seed says" in sentences(wide, Rule(ACCURACY, margin=0.2), "60 test rows", 1)[-1]


def test_a_significant_loss_that_is_shown_to_be_within_the_margin_may_be_taken() -> None:
    rule = Rule(ACCURACY, margin=0.05, resamples=300)
    sides = {"big": side(0.90, 0, 1, 4000), "small": side(0.885, 3, 1, 4000)}
    own = judge(sides, "big", ["small", "big"], rule).beside["small"]
    assert own.p_adjusted < 0.05 and own.p_within < 0.05 and own.keeps_up
    strict = judge(sides, "big", ["small", "big"], Rule(ACCURACY, resamples=300)).beside["small"]
    assert not strict.keeps_up, "1.5 points are more than the margin of one"


def test_where_lower_is_better_more_is_worse() -> None:
    rule = Rule(MAE, resamples=300)
    sides: dict[str, Side] = {
        "big": (numbers(0.5),),
        "small": (numbers(0.8, seed=1),),
        "equal": (numbers(0.495),),
    }
    found = judge(sides, "big", ["small", "equal", "big"], rule)
    assert found.recommended == "equal" and found.beside["small"].value > 0.1
    assert found.beside["small"].p < 0.01
    own = found.beside["equal"]
    assert own.margin == pytest.approx(own.detectable / (1.960 + 0.842), rel=0.01), "one standard error; two compared"


def test_an_undefined_metric_is_not_recommended() -> None:
    constant = Answers("numbers", np.arange(50.0), np.ones(50))
    good = Answers("numbers", np.arange(50.0), np.arange(50.0) + np.random.default_rng(0).normal(0, 9, 50))
    found = judge({"big": (good,), "small": (constant,)}, "big", ["small", "big"], Rule(METRICS.make("spearman")))
    assert found.recommended == "big" and found.beside == {}
    assert worse_of(Pair(METRICS.make("spearman"), (good,), (constant,)), 100, 0) is None


def test_of_equals_few_are_called_worse() -> None:
    false = 0
    for draw in range(100):
        generator = np.random.default_rng([draw, 5])
        truth = generator.integers(0, 2, 300)
        one, other = (
            Answers("classes", truth, np.where(generator.random(300) < 0.8, truth, 1 - truth), None, ("a", "b"))
            for _ in range(2)
        )
        p = worse_of(Pair(ACCURACY, (one,), (other,)), 200, draw)
        false += p is not None and p < 0.05
    assert 1 <= false <= 11, "5 % of 100 is 5; 11 is three standard errors above"
