"""A live test: its evidence by hand, its promise at every look, its interval, and logs that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import beta

from tunesmith.comparing.live import compare_log
from tunesmith.deciding.sequential import (
    Seen,
    evidence,
    intervals,
    log_e,
    log_e_of_difference,
    more_needed,
    running_interval,
    running_p,
    seen_of,
)  # fmt: skip
from tunesmith.errors import TunesmithError


def stream(seed: int, a: float, b: float, num: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_b = rng.random(num) < 0.5
    return is_b, (rng.random(num) < np.where(is_b, b, a)).astype(float)


def test_the_mixture_is_its_integral() -> None:
    for num, total, p in ((5, 3, 0.4), (20, 2.5, 0.2)):

        def ratio(q: float, num: int = num, total: float = total, p: float = p) -> float:
            return (q / p) ** total * ((1 - q) / (1 - p)) ** (num - total) / (q * (1 - q)) ** 0.5 / beta(0.5, 0.5)

        assert np.exp(log_e(num, total, p)) == pytest.approx(quad(ratio, 0, 1)[0], rel=1e-5)
    assert np.exp(log_e(4, 2, 0.0)) == np.inf, "a chance of 0 is ruled out by a hit"


def test_evidence_is_a_martingale_when_the_guess_is_right() -> None:
    """The mean over all 2^10 ways that ten fair outcomes can come is 1."""
    hits = np.array([bin(way).count("1") for way in range(1024)])
    assert np.exp(log_e(10, hits, 0.5)).mean() == pytest.approx(1.0)
    with_means = np.random.default_rng(0).beta(2, 2, (40_000, 10)).sum(1)  # not 0 or 1: no more than 1
    assert np.exp(log_e(10, with_means, 0.5)).mean() < 1.0


def test_the_pooled_mean_is_the_minimum() -> None:
    is_b, y = stream(3, 0.3, 0.5, 200)
    assert evidence(is_b, y)[-1] == pytest.approx(log_e_of_difference(seen_of(is_b, y), np.zeros(1))[0], abs=1e-6)


def test_false_alarms_at_any_look() -> None:
    """Of 200 streams without a difference, watched at each of 500 outcomes, at most 5 % ever alarm (mean + 3 sigma)."""
    for chance in (0.1, 0.5):
        alarms = sum(running_p(*stream(seed, chance, chance, 500))[-1] <= 0.05 for seed in range(200))
        assert alarms <= 10 + 3 * 3.1
    naive = 0
    for seed in range(100):  # the same streams by a test that is meant for one look
        is_b, y = stream(seed, 0.5, 0.5, 500)
        num_b, num_a = np.cumsum(is_b), np.cumsum(~is_b)
        ready = (num_a > 20) & (num_b > 20)
        gap = (np.cumsum(y * is_b)[ready] / num_b[ready]) - (np.cumsum(y * ~is_b)[ready] / num_a[ready])
        naive += bool((abs(gap) > 1.96 * 0.5 * np.sqrt(1 / num_a[ready] + 1 / num_b[ready])).any())
    assert naive > 15, "which is why it is not used"


def test_interval_and_p_agree_and_hold_the_truth() -> None:
    is_b, y = stream(1, 0.3, 0.5, 800)
    low, high = running_interval(is_b, y, 0.05)
    assert low < 0.2 < high and (low > 0) == (running_p(is_b, y)[-1] <= 0.05)
    [lower], [upper] = intervals(seen_of(is_b, y), 0.05)
    assert lower <= low and high <= upper
    assert log_e_of_difference(seen_of(is_b, y), np.array([upper]))[0] == pytest.approx(np.log(20), abs=0.01)
    assert running_interval(np.array([True, True]), np.array([1.0, 0.0]), 0.05) == (-1.0, 1.0)


def test_more_needed_is_when_the_evidence_is_there() -> None:
    seen = Seen(200, 100.0, 200, 112.0)
    more = more_needed(seen, 0.05)
    assert more is not None
    factor = (400 + more) / 400
    assert log_e_of_difference(seen.times(factor), np.zeros(1))[0] == pytest.approx(np.log(20), abs=0.05)
    assert more_needed(Seen(10, 5.0, 10, 5.0), 0.05) is None


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def compared(log: Path, *versions: str, **asked: object) -> dict:
    words: dict = {"scale": (0.0, 1.0), "margin": None, "level": 0.95, **asked}
    return compare_log(log, versions, words["scale"], words["margin"], words["level"])


def test_a_log_of_answers_and_later_outcomes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(500):
        version = "t@1" if i % 2 else "t@2"
        lines.append(f'{{"id": {i}, "version": "{version}", "answer": "leak"}}')
        if i >= 100:  # outcomes come later
            good = int(rng.random() < (0.45 if (i - 100) % 2 else 0.75))
            lines.append(f'{{"id": {i - 100}, "outcome": {good}}}')
    log = write(tmp_path / "ab.jsonl", *lines)
    reply = compared(log, "t@1", "t@2")
    assert reply["verdict"] == "better" and reply["rows"] == 400 and reply["decided_at"] < 400
    assert reply["versions"]["t@2"]["waiting"] == 50 and reply["warnings"] == []
    assert reply["difference"]["low"] < 0.3 < reply["difference"]["high"]
    assert compared(log)["a"] == "t@2" and compared(log)["verdict"] == "worse"
    assert compared(log, margin=0.9)["verdict"] == "equivalent"
    few = write(tmp_path / "few.jsonl", *lines[:200])
    assert compared(few, "t@1", "t@2")["rows_needed"] > 0


def test_stars_are_outcomes_on_a_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [
        f'{{"id": "{i}", "version": "{"ab"[i % 2]}", "outcome": {rng.integers(1, 5) + i % 2}}}' for i in range(1500)
    ]
    reply = compared(write(tmp_path / "stars.jsonl", *lines), scale=(1.0, 5.0))
    assert reply["difference"]["value"] == pytest.approx(1.0, abs=0.2) and reply["verdict"] == "better"
    assert reply["versions"]["a"]["mean"] == pytest.approx(2.5, abs=0.1)


def test_outcomes_that_are_missing_of_one_version_are_warned_of(tmp_path: Path) -> None:
    known = [{"id": i, "version": "ab"[i % 2]} | ({} if i % 4 == 1 else {"outcome": 1}) for i in range(400)]
    [warning] = compared(write(tmp_path / "l.jsonl", *map(json.dumps, known)))["warnings"]
    assert "outcomes are missing for 0% of a and 50% of b" in warning


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"id": 1, "version": "a"}', "{broken}", ""], ":2: not JSON"),
        (['{"version": "a"}'], ":1: a line of a log is"),
        (['{"id": 1, "outcome": 1}'], ":1: an outcome for the id '1', which nobody answered"),
        (['{"id": 1, "version": "a"}', '{"id": 1, "version": "b"}'], ":2: the id '1' was answered before"),
        (['{"id": 1, "version": "a", "outcome": 1}', '{"id": 1, "outcome": 0}'], ":2: a second outcome"),
        (['{"id": 1, "version": "a", "outcome": 5}'], "--scale LOW HIGH"),
        (['{"id": 1, "version": "a", "outcome": 1}'], "here are 1 (a)"),
        (['{"id": 1, "version": "a", "outcome": 1}', '{"id": 2, "version": "b"}'], "b has no outcome yet"),
    ],
)
def test_logs_that_are_none_are_refused_with_the_line(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        compared(write(tmp_path / "log.jsonl", *lines))
    assert said in str(caught.value)


def test_a_line_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    whole = '{"id": 1, "version": "a", "outcome": 1}\n{"id": 2, "version": "b", "outcome": 0}\n'
    log.write_text(whole + '{"id": 3, "ver', encoding="utf-8")
    assert compared(log)["rows"] == 2
    with pytest.raises(TunesmithError, match="no version named 'c'"):
        compared(log, "a", "c")
    with pytest.raises(TunesmithError, match="no such file"):
        compared(tmp_path / "none.jsonl")
