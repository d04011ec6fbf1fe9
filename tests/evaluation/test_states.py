"""`data check --base`: states of a frozen base help to see outliers and drift; where there are none, that is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.data import Record, Roles
from tunesmith.engine.answers import pooled_states
from tunesmith.evaluation.states import states_by
from tunesmith.flows import check
from tunesmith.progress import Progress


def table(path: Path, texts: list[str]) -> Path:
    path.write_text("\n".join(["text,label", *(f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts))]) + "\n")
    return path


def test_rows_are_read_alone_and_the_same_again(tiny_bases: TinyBases) -> None:
    rows = [Record(i, "t", i + 1, i + 2, {"text": "the pump leaks oil " * i}) for i in range(1, 6)]
    read = states_by(find(str(tiny_bases["bert"])), Roles(("text",)), Progress(silent=True))
    states = read(rows)
    assert states.shape[0] == 5 and np.isfinite(states).all()
    alone = states_by(find(str(tiny_bases["bert"])), Roles(("text",)), Progress(silent=True))
    assert alone(rows[2:3]) == pytest.approx(states[2:3], abs=1e-5)


def test_no_text_is_read_twice(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks ask for the same rows, and rows repeat each other; what is new is read beside what is known."""
    rows = [Record(i, "t", i + 1, i + 2, {"text": "the pump leaks oil " * (i % 4 + 1)}) for i in range(8)]
    counts: list[int] = []

    def counted(net: Any, encoded: Any, *more: Any) -> Any:
        counts.append(len(encoded))
        return pooled_states(net, encoded, *more)

    monkeypatch.setattr("tunesmith.engine.answers.pooled_states", counted)
    read = states_by(find(str(tiny_bases["bert"])), Roles(("text",)), Progress(silent=True))
    first, both, again = read(rows[:3]), read(rows), read(rows[::-1])
    assert counts == [3, 1]
    assert np.array_equal(both[:3], first) and np.array_equal(both[4:], both[:4]) and np.array_equal(again, both[::-1])


def test_the_check_compares_states_of_files(tmp_path: Path, tiny_bases: TinyBases) -> None:
    train = table(tmp_path / "train.csv", [f"the pump {i} leaks oil at night" for i in range(60)])
    held = table(tmp_path / "test.csv", [f"smoke comes out of fan {i}" for i in range(60)])
    told = [f["remedy"] for f in check(train, held, base=str(tiny_bases["bert"]))["findings"] if f["kind"] == "drift"]
    assert any("the embeddings of held-out rows differ" in remedy for remedy in told)
    told = [f["remedy"] for f in check(train, held)["findings"] if f["kind"] == "drift"]
    assert told and not any("embeddings" in remedy for remedy in told)


def test_a_base_that_cannot_is_told(tmp_path: Path, tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    file = table(tmp_path / "t.csv", [f"the pump {i} leaks oil at night" for i in range(60)])
    assert "no head that classifies" in " ".join(check(file, base=str(tiny_bases["t5"]))["notes"])
    monkeypatch.setattr("tunesmith.evaluation.states.MOST_BYTES", 0)
    assert "too large to be run" in " ".join(check(file, base=str(tiny_bases["bert"]))["notes"])
