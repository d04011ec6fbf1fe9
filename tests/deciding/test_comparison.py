"""A comparison: which test decides, equivalence, correction, verdicts in the words of the docs, and what would tell."""

import numpy as np
import pytest
from made import classes, numbers
from scipy import stats

from tunesmith.deciding.comparison import Question, decide, examine
from tunesmith.deciding.effect import cohen_dz, cohen_g
from tunesmith.deciding.needed import MOST, Needed, about, aimed_error, needed, needed_of_both
from tunesmith.deciding.pairs import Pair
from tunesmith.deciding.verdict import Told, sentence, verdict
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.significance import holm, mcnemar
from tunesmith.metrics import METRICS, Answers


def told(value: float, limits: tuple[float, float] | None, p: float, **more: object) -> Told:
    asked: dict = {"points": 100, "metric": "accuracy", "margin": None, **more}
    return Told("A", "B", asked["metric"], asked["points"], value, limits, 0.95, p, asked["margin"])


def test_the_sentences() -> None:
    """As the issue of `compare` words them."""
    better = told(0.018, (0.006, 0.031), 0.004)
    assert sentence(better, verdict(better, "higher", 0.05, None), Needed(None)) == (
        "B is better than A by 1.8 points of accuracy (95 % CI 0.6 to 3.1, p = 0.004)"
    )
    alike = told(0.001, (-0.004, 0.006), 0.6, margin=0.01)
    assert sentence(alike, verdict(alike, "higher", 0.05, 0.01), Needed(None)).startswith(
        "no difference larger than 1 point of accuracy between A and B (95 % CI -0.4 to 0.6"
    )
    open_ = told(0.01, (-0.02, 0.04), 0.4)
    said = sentence(open_, verdict(open_, "higher", 0.05, None), Needed(2264))
    assert said.startswith("cannot tell: about 2,300 more test rows are needed (B minus A: +1 point of accuracy;")
    lower = told(-0.25, (-0.4, -0.1), 0.0001, points=0, metric="mae")
    assert sentence(lower, verdict(lower, "lower", 0.05, None), Needed(None)) == (
        "B is better than A by 0.2 mae (95 % CI 0.1 to 0.4, p < 0.001)"
    )
    assert verdict(lower, "higher", 0.05, None) == "worse" and verdict(told(0.0, None, 0.0), "higher", 0.05, None) == (
        "cannot_tell"
    )
    assert "more seeds a side" in sentence(open_, "cannot_tell", Needed(None, 4))
    assert "--margin" in sentence(open_, "cannot_tell", Needed(None))


def test_equivalence_wins_over_a_difference_that_does_not_matter() -> None:
    """Who names a margin does not care for what lies within it, however sure it is."""
    assert verdict(told(0.002, (0.001, 0.003), 0.001, margin=0.01), "higher", 0.05, 0.0001) == "equivalent"


def test_accuracy_is_decided_by_mcnemar_and_anything_else_by_the_bootstrap() -> None:
    pair = classes(0, 300, 0.7, 0.8)
    [reply] = decide([examine("A", "B", pair, Question(resamples=400))], Question())
    theirs = mcnemar(pair.a[0], pair.b[0])
    assert reply["test"] == "McNemar mid-p" and reply["p"] == theirs.mid_p
    assert reply["tests"]["mcnemar"]["only_a"] == theirs.only_a and reply["effect"]["name"] == "cohen_g"
    assert reply["effect"]["value"] == pytest.approx(theirs.only_b / (theirs.only_a + theirs.only_b) - 0.5)
    [other] = decide([examine("A", "B", classes(0, 300, 0.7, 0.8, "macro_f1"), Question(resamples=400))], Question())
    assert other["test"] == "paired bootstrap (BCa)" and other["p"] == other["tests"]["bootstrap"]["p"]
    assert other["effect"]["name"] == "cohen_dz" and reply["verdict"] == other["verdict"] == "better"


def test_permutation_is_scipys() -> None:
    """All 2^8 swaps of the errors of eight rows."""
    pair = numbers(4, 8, shift=0.5)
    a, b = (abs(each.predicted - each.truth) for each in (pair.a[0], pair.b[0]))
    theirs = stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert examine("A", "B", pair, Question(resamples=400)).permutation == pytest.approx(theirs.pvalue)


def test_several_arms_are_corrected() -> None:
    """Holm over verdicts: what one arm alone would show, one of four may not."""
    asked = Question(resamples=400, permute=False)
    found = [examine("A", str(i), classes(i, 200, 0.75, 0.83), asked) for i in range(4)]
    replies = decide(found, asked)
    assert [r["p_adjusted"] for r in replies] == pytest.approx(holm([f.p or 0.0 for f in found]))
    assert decide(found[:1], asked)[0]["p_adjusted"] == found[0].p


def test_equivalence_is_the_interval_of_90_percent_within_the_margin() -> None:
    for seed in range(2):
        pair = classes(seed, 400, 0.8, 0.8)
        plain = examine("A", "B", pair, Question(resamples=1000, permute=False))
        low, high = plain.spread.interval(0.9) or (0, 0)
        widest = max(-low, high)
        for margin, alike in ((widest * 1.06, True), (widest * 0.94, False)):
            asked = Question(margin=margin, resamples=1000, permute=False)
            assert (decide([examine("A", "B", pair, asked)], asked)[0]["verdict"] == "equivalent") is alike


def test_answers_that_are_all_alike_tell_as_much_as_their_number() -> None:
    """No row of N tells two models apart: the rule of three, and no claim for a metric without one."""
    pair = classes(0, 100, 0.8, 0.8)
    same = Pair(pair.metric, pair.a, pair.a)
    asked = Question(margin=0.05, resamples=100, permute=False)
    [reply] = decide([examine("A", "B", same, asked)], asked)
    assert reply["difference"]["high"] == pytest.approx(3 / 100, abs=1e-3) and reply["verdict"] == "equivalent"
    assert reply["p_equivalence"] == pytest.approx(0.95**100)
    few = same.take(np.arange(20))
    assert decide([examine("A", "B", few, asked)], asked)[0]["verdict"] == "cannot_tell"
    unknown = examine("A", "B", Pair(METRICS.make("macro_f1"), pair.a, pair.a), asked)
    assert unknown.limits is None and decide([unknown], asked)[0]["verdict"] == "cannot_tell"


def test_rows_on_which_nothing_is_defined() -> None:
    flat = Answers("numbers", np.arange(30.0), np.ones(30))
    [reply] = decide([examine("A", "B", Pair(METRICS.make("spearman"), (flat,), (flat,)), Question())], Question())
    assert reply["verdict"] == "cannot_tell" and reply["p"] is None and reply["difference"]["value"] is None


def test_rows_needed_are_those_of_the_textbook() -> None:
    """A paired t-test with d_z = 0.2: 199 rows for a power of .8 (Cohen 1988, table 2.4.1; normal: 197)."""
    error = aimed_error(0.2, None, 0.05)
    assert round((1 / error) ** 2) == 196
    assert needed(1 / 10**0.5, 10, error) == Needed(187)  # 197 in all
    found = aimed_error(0.0, 0.2, 0.05)  # equivalence of equals: (z_.95 + z_.9)^2 / 0.04
    assert 1 / found**2 == pytest.approx((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) ** 2 / 0.04, rel=1e-6)
    assert needed(0.1, 100, 0.0) == Needed(None) and needed(1.0, MOST, 1e-3) == Needed(None)
    assert needed_of_both(4e-4, 1e-4, 100, 3, 0.02) == needed(0.02, 100, 3e-4**0.5)
    assert needed_of_both(1e-4, 9e-4, 100, 3, 0.02) == Needed(None, 6)  # 9 seeds of variance 27e-4
    assert needed_of_both(9e-4, 9e-4, 100, 3, 0.02) == Needed(None)
    assert [about(n) for n in (7, 99, 101, 2264, 123_456)] == ["7", "99", "110", "2,300", "130,000"]


def test_effects() -> None:
    assert cohen_g(5, 15).value == 0.25 and cohen_g(5, 15).size == "large" and cohen_g(0, 0).size is None
    assert cohen_dz(0.1, 0.02, 100).value == pytest.approx(0.5) and cohen_dz(0.1, 0.02, 100).size == "medium"
    assert cohen_dz(0.0, 0.0, 100).value is None


def test_other_rows_are_refused() -> None:
    pair = classes(0, 40, 0.8, 0.8)
    with pytest.raises(TunesmithError, match="not measured on the same rows"):
        Pair(pair.metric, pair.a, (pair.b[0].take(np.arange(39)),))
