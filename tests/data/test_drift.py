"""Splits that are alike ring no alarm more often than told; those that are not ring the right one."""

import random
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency

from edited import sentences
from tunesmith.data.audit import audit
from tunesmith.data.column_leaks import column_leaks, group_leak, time_leak
from tunesmith.data.drift import (
    ALPHA,
    Telling,
    alarms,
    compared,
    of_labels,
    of_lengths,
    of_states,
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


@pytest.mark.parametrize("what", ["labels", "lengths", "wording", "embeddings"])
def test_the_level_holds_where_it_can_be_counted(what: str) -> None:
    """At 10 %, where false alarms can be counted in few trials."""
    tests: dict[str, Callable[[list[str], list[str], int], float]] = {
        "labels": lambda one, other, seed: of_labels("t", [t[0] for t in one], [t[0] for t in other], seed).p,  # type: ignore[union-attr]
        "lengths": lambda one, other, _: of_lengths("t", one, other).p,  # type: ignore[union-attr]
        "embeddings": lambda one, other, seed: of_states("t", drawn(one), drawn(other), seed).p,
        "wording": lambda one, other, seed: of_wording("t", one, other, seed).p,  # type: ignore[union-attr]
    }
    trials = {"wording": 40, "embeddings": 60}.get(what, 200)
    pool = sentences(100, 0, 3)
    rang = 0
    for seed in range(trials):
        random.Random(seed).shuffle(pool)
        rang += tests[what](pool[:60], pool[60:], seed) <= 0.1
    assert rang <= binom.ppf(0.999, trials, 0.1)


def drawn(texts: list[str]) -> np.ndarray:
    """States as a base might have them: of the text, and of chance."""
    return np.stack([drawn_of(text) for text in texts])


@cache
def drawn_of(text: str) -> np.ndarray:
    return np.random.default_rng(list(text.encode())).normal(size=24)


def test_other_states_ring_where_words_do_not() -> None:
    """The same words, and a topic that the base alone sees."""
    texts = sentences(240, 0)
    train, held = records(texts[:160], ["a", "b"] * 80), {"test": records(texts[160:], ["a", "b"] * 40)}

    def read(shift: float) -> Callable[[Sequence[Record]], np.ndarray]:
        return lambda rows: (
            drawn([str(r.cells["text"]) for r in rows]) + shift * (str(rows[0].cells["text"]) == texts[160])
        )

    assert not alarms(compared(train, held, ROLES, states=read(0.0)))
    (found,) = alarms(compared(train, held, ROLES, states=read(1.0)))
    assert (found.what, found.measure) == ("embeddings", "AUC") and found.value > 0.9


def test_numbers_are_compared_by_their_distribution() -> None:
    train, same, other = ([*map(str, np.random.default_rng(seed).normal(shift, 1, 200))]
                          for seed, shift in ((0, 0), (1, 0), (2, 1)))  # fmt: skip
    texts = sentences(200, 1)
    held = {"validation": records(texts, same), "test": records(texts, other)}
    rang = alarms(compared(records(texts, train), held, Roles(("text",), "label", numeric_label=True)))
    assert [(each.split, each.what, each.measure) for each in rang] == [("test", "labels", "largest distance")]


def test_the_audit_is_bounded_and_draws_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts cost no more than short ones; the random states of a training run stay as they were."""
    monkeypatch.setattr("tunesmith.data.drift.LETTERS", 20_000)
    texts = [f"{text} " * 4 for text in sentences(300, 2)]
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr,index]
    found = audit(records(texts[:200], ["a"] * 200), {"test": records(texts[200:], ["a"] * 100)}, ROLES)
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[union-attr,index]
    wording = next(each for each in found.comparisons if each.what == "wording")
    letters = sum(map(len, texts[:200]))
    assert wording.rows[0] < 200 < letters / 200 and wording.rows[0] * letters / 200 <= 22_000
    about = found.about()
    assert (
        about["level"] == ALPHA and not about["unread"] and {"p_corrected", "differs"} <= set(about["comparisons"][0])
    )
    pictures = audit(records(["a"] * 30, ["a", "b"] * 15), {"test": records(["b"] * 30, ["a"] * 30)},
                     Roles(("pixels",), "label", file="text"))  # fmt: skip
    assert pictures.unread == "these inputs are no texts"
    assert [each.what for each in pictures.comparisons] == ["labels"]


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


def test_quantities_and_sentences_name_nobody() -> None:
    hours = records(["x"] * 60, ["a"] * 60, hours=[f"{i % 20 / 2}" for i in range(60)])
    assert group_leak("test", hours, hours[:4], "hours") is None
    numbers = records(["x"] * 60, ["a"] * 60, customer=[str(i % 20) for i in range(60)])
    assert group_leak("test", numbers, numbers[:4], "customer") is not None  # a number may be a name
    said = [f"Replaced seal {i % 20} and tightened all of its bolts" for i in range(60)]
    repairs = records(["x"] * 60, ["a"] * 60, repair=said)
    assert group_leak("test", repairs, repairs[:4], "repair") is None
