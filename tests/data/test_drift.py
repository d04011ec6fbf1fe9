"""Splits that are alike ring no alarm more often than told; those that are not ring the right one."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency

from edited import sentences
from tunesmith.data.column_leaks import column_leaks, group_leak, time_leak
from tunesmith.data.drift import (
    ALPHA,
    Telling,
    alarms,
    compared,
    of_labels,
    of_lengths,
    of_wording,
)
from tunesmith.data.record import Record, Roles

ROLES = Roles(("text",), "label")


def records(texts: list[str], labels: list[str], **more: list[str]) -> list[Record]:
    columns = {"text": texts, "label": labels, **more}
    rows = zip(*columns.values(), strict=True)
    return [Record(i, "f", i + 1, i + 2, dict(zip(columns, row, strict=True))) for i, row in enumerate(rows)]


def clean(seed: int, rows: int = 160) -> tuple[list[Record], dict[str, list[Record]]]:
    """Shuffled rows with few, uneven labels and words of uneven frequency."""
    chance = random.Random(seed)
    words = ["pump", "leaks", "oil", "motor", "hot", "noise", "seal", "漏油", "轴承", "worn"]
    texts = [" ".join(chance.choices(words, range(10, 0, -1), k=chance.randint(1, 9))) for _ in range(rows)]
    made = records(texts, chance.choices(["a", "b", "c"], [90, 9, 1], k=rows))
    return made[: rows // 2], {"validation": made[rows // 2 : rows * 3 // 4], "test": made[rows * 3 // 4 :]}


def ring(trials: int) -> int:
    return sum(bool(alarms(compared(*clean(seed), ROLES))) for seed in range(trials))


def test_no_false_alarms() -> None:
    assert ring(20) <= binom.ppf(0.999, 20, ALPHA)


@pytest.mark.slow
def test_no_false_alarms_in_a_thousand() -> None:
    assert ring(1000) <= binom.ppf(0.999, 1000, ALPHA)


@pytest.mark.parametrize("what", ["labels", "lengths", "wording"])
def test_the_level_holds_where_it_can_be_counted(what: str) -> None:
    """At 10 %, where false alarms can be counted in few trials."""
    tests: dict[str, Callable[[list[str], list[str], int], float]] = {
        "labels": lambda one, other, seed: of_labels("t", [t[0] for t in one], [t[0] for t in other], seed).p,  # type: ignore[union-attr]
        "lengths": lambda one, other, _: of_lengths("t", one, other).p,  # type: ignore[union-attr]
        "wording": lambda one, other, seed: of_wording("t", one, other, seed).p,  # type: ignore[union-attr]
    }
    trials = 40 if what == "wording" else 200
    pool = sentences(100, 0, 3)
    rang = 0
    for seed in range(trials):
        random.Random(seed).shuffle(pool)
        rang += tests[what](pool[:60], pool[60:], seed) <= 0.1
    assert rang <= binom.ppf(0.999, trials, 0.1)


def test_labels_equal_chi_squared_where_counts_are_large() -> None:
    train, held = ["a"] * 300 + ["b"] * 200 + ["c"] * 100, ["a"] * 100 + ["b"] * 90 + ["c"] * 65
    found = of_labels("test", train, held)
    known = chi2_contingency(np.array([[300, 200, 100], [100, 90, 65]]), correction=False)
    assert found is not None
    assert found.value == pytest.approx(known.statistic)
    assert found.p == pytest.approx(known.pvalue, rel=0.5)
    assert of_labels("test", ["a"], ["a"]) is None


def test_other_labels_lengths_and_words_ring() -> None:
    texts = sentences(300, 0)
    train = records(texts[:200], ["a", "b"] * 100)
    same = records(texts[200:], ["a", "b"] * 50)
    marked = records([f"{text} refurbished" if i % 2 else text for i, text in enumerate(texts[200:])], ["a", "b"] * 50)
    longer = records([f"{text} {text}" for text in texts[200:]], ["a", "b"] * 50)
    skewed = records(texts[200:], ["a"] * 90 + ["b"] * 10)
    assert not alarms(compared(train, {"test": same}, ROLES))
    found = alarms(compared(train, {"test": marked}, ROLES))
    assert "wording" in {each.what for each in found}
    wording = next(each for each in found if each.what == "wording")
    assert wording.value > 0.7
    assert wording.words[0] == Telling("refurbished", 0.0, 0.5)
    assert "lengths" in {each.what for each in alarms(compared(train, {"test": longer}, ROLES))}
    assert {each.what for each in alarms(compared(train, {"test": skewed}, ROLES))} == {"labels"}


def test_time() -> None:
    def rows(*days: str) -> list[Record]:
        return records(["x"] * len(days), ["a"] * len(days), day=list(days))

    train = rows("2024-01-05", "2024/3/1", "2024-02-01T10:00:00")
    found = time_leak("test", train, rows("2024-02-29", "2024-03-02", "2024-01-01"), "day")
    assert found is not None
    assert (found.rows, found.of, found.shown) == (2, 3, ("2024-03-01", "2024-01-01"))
    assert time_leak("test", train, rows("2024-03-01", "2025-01-01"), "day") is None
    assert time_leak("test", train, rows("soon", "later"), "day") is None


def test_groups() -> None:
    machines = [f"M{i % 20}" for i in range(60)]
    train, held = (
        records(["x"] * 60, ["a"] * 60, machine=machines),
        records(["x"] * 4, ["a"] * 4, machine=["M3", "M3", "N1", ""]),
    )
    found = group_leak("test", train, held, "machine")
    assert found is not None
    assert (found.rows, found.of, found.shown) == (2, 3, ("M3",))
    assert [each.column for each in column_leaks(train, {"test": held}, ROLES)] == ["machine"]
    site = records(["x"] * 60, ["a"] * 60, site=["north", "south"] * 30)
    assert group_leak("test", site, site[:4], "site") is None  # a class of things, no thing
