"""Rows of another topic are found by words and by states, and clean rows are hardly ever told."""

import csv
import random

import numpy as np
import pytest

from edited import sentences
from kit import SHARED
from tunesmith.checks import Finding, Seen
from tunesmith.checks.odd_rows import AGAINST, LIMIT, OddRows, far, modified_z
from tunesmith.data import Record, Roles

ODD = ["the orchestra rehearsed a sombre requiem by candle light", "knead dough gently then bake until golden brown",
       "glaciers carved the valley during an earlier epoch"]  # fmt: skip


def rows(texts: list[str]) -> list[Record]:
    return [Record(i, "t.csv", i + 1, i + 2, {"text": text}) for i, text in enumerate(texts)]


def looked(texts: list[str], **more: object) -> list[Finding]:
    return list(OddRows().look(Seen(rows(texts), Roles(("text",)), **more)))  # type: ignore[arg-type]


def tickets(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    parts = [["pump", "motor", "belt", "valve", "bearing"], ["leaks", "squeals", "stops", "overheats", "vibrates"],
             ["in hall", "at line", "on press", "near tank"]]  # fmt: skip
    return [f"the {' '.join(map(chance.choice, parts))} {chance.randint(1, 9)} since {chance.randint(1, 12)} days"
            for _ in range(count)]  # fmt: skip


def test_planted_rows_come_first_with_score_and_nearest_row() -> None:
    (found,) = looked([*tickets(300), *ODD[:2], f"{ODD[2]}, bitch", ""])
    assert "b***h" in found.remedy and "bitch" not in str(found)
    assert (found.kind, found.severity, found.column) == ("odd_rows", "info", "text")
    assert {one["row"] for one in found.listed[:3]} == {"t.csv:302", "t.csv:303", "t.csv:304"}
    assert all(one["score"] > LIMIT and one["nearest"].startswith("t.csv:") for one in found.listed)
    assert "far from all others by words and letters" in found.remedy and "t.csv:306" not in found.remedy


def test_clean_rows_are_told_in_less_than_one_of_a_hundred() -> None:
    told = sum(found.rows for seed in range(2) for found in looked(sentences(150, seed)))
    assert told <= 3
    assert looked(tickets(40)) == [], "too few rows to say what is usual"


def test_states_of_a_base_are_used_where_there_are_some() -> None:
    chance = np.random.default_rng(0)
    states = np.vstack([chance.normal(0, 0.3, (200, 16)) + 1, -np.ones((1, 16))])
    (found,) = looked([f"row {i}" for i in range(201)], states=lambda records: states[: len(records)])
    assert found.listed[0]["row"] == "t.csv:202" and "by states of the base" in found.remedy


def test_what_is_compared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.checks.odd_rows.AGAINST", 60)
    monkeypatch.setattr("tunesmith.checks.odd_rows.LETTERS", 4000)
    (found,) = looked([*tickets(400), *ODD * 3])
    assert "of 409 rows" in found.remedy
    assert AGAINST == 5_000


def test_distances_equal_plain_ones() -> None:
    points = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    score, nearest = far(points)
    for row in range(40):
        cosines = sorted(
            ((float(points[row] @ points[other]), other) for other in range(40) if other != row), reverse=True
        )
        assert score[row] == pytest.approx(-np.log(max(1e-3, np.mean([c for c, _ in cosines[:10]]))), rel=1e-4)
        assert nearest[row] == cosines[0][1]
    assert modified_z(np.array([1.0, 1, 1, 1, 9])).tolist() == [0] * 5  # nothing is usual where most are equal
    assert modified_z(np.array([0.0, 1, 2, 3, 100]))[-1] == pytest.approx(0.6745 * 98)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "banking77").is_dir(), reason="../shared/data/banking77 is not here")
def test_reviews_of_films_among_questions_to_a_bank() -> None:
    with (SHARED / "data" / "banking77" / "train.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    lines = (SHARED / "data" / "sst2" / "train.tsv").read_text("utf-8").splitlines()
    planted = random.Random(1).sample([t for line in lines if len(t := line.split("\t")[0]) > 25], 20)
    (clean,) = looked(texts)
    assert clean.rows < 0.01 * len(texts)
    (found,) = looked(texts + planted)
    places = {f"t.csv:{len(texts) + i + 2}" for i in range(20)}
    assert sum(one["row"] in places for one in found.listed) >= 15
