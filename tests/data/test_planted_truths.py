"""What is planted in data is found, and what is clean is not: duplicates, near-duplicates, contradictions, leaks and
columns that give the label away, as `data check` and the step dedup tell of them.

Clean rows are random sentences, none of which is a near twin of another one; and the real rows of thucnews10, whose
flagged rows are counted whether they are near twins or not.
"""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edited import copied, sentences
from tunesmith.checking import Deep, check_files, findings_in
from tunesmith.data import near
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import normal
from tunesmith.data.record import Record, Roles
from tunesmith.data.table import read
from tunesmith.steps.dedup import Dedup
from tunesmith.tasks import TASKS

ROLES = Roles(("text",), "label")
HEADLINES = "thucnews10/dev.txt"


def records(texts: Sequence[str], labels: Sequence[str] | str = "x", **more: Sequence[str]) -> list[Record]:
    return [
        Record(
            i,
            "f.csv",
            i + 1,
            i + 2,
            {"text": text, "label": labels[i % len(labels)]} | {k: v[i] for k, v in more.items()},
        )
        for i, text in enumerate(texts)
    ]


def file(path: Path, rows: Sequence[Record]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.DictWriter(stream, list(rows[0].cells))
        out.writeheader()
        out.writerows(row.cells for row in rows)
    return path


def counts(findings: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {each["kind"]: each["rows"] for each in findings}


def shuffled(texts: Sequence[str], seed: int = 0) -> list[str]:
    found = list(texts)
    random.Random(seed).shuffle(found)
    return found


def entered(rows: list[Record], path: Path) -> tuple[list[Record], Ledger]:
    ledger = Ledger()
    return list(ledger.add(read(file(path, rows)))), ledger


DISGUISES = (
    str,
    str.upper,
    lambda t: f"  {t.replace(' ', '   ')} ",
    lambda t: t.replace("e", "ｅ"),
    lambda t: t + "\u200b",
)


@pytest.mark.parametrize("by", ["exact", "normalised", "near"])
def test_all_exact_duplicates_and_no_other_row(tmp_path: Path, by: str) -> None:
    texts = sentences(400, 0)
    ways = DISGUISES[:1] if by == "exact" else DISGUISES
    copies = [ways[i % len(ways)](text) for i, text in enumerate(texts[:100])]
    rows, ledger = entered(records(shuffled([*texts, *copies])), tmp_path / "rows.csv")
    left = Dedup(name="dedup", by=by).run(rows, ROLES, ledger, 0)  # type: ignore[arg-type]
    assert sorted(normal(str(r.cells["text"])) for r in left) == sorted(texts)
    assert ledger.counts()["duplicate"] == 100
    if by == "normalised":
        assert counts(findings_in(rows, ROLES, None))["duplicates"] == 100


def test_exact_copies_leave_a_crowd_of_near_twins(tmp_path: Path) -> None:
    """Of rows of one template many stay that are near twins of none of the first that stay: their copies must leave."""
    texts = [
        f"pump {i // 26 % 26} drips at line {i * 7919 % 997:03d}{chr(97 + i % 26) * 3} since {i:04d}"
        for i in range(400)
    ]
    rows, ledger = entered(records(shuffled(texts * 2), "abc"), tmp_path / "rows.csv")
    left = Dedup(name="dedup", by="near").run(rows, ROLES, ledger, 0)
    stay = [(r.cells["text"], r.cells["label"]) for r in left]
    assert len(set(stay)) == len(stay)


@pytest.mark.parametrize("how", ["characters", "words"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_near_duplicates_among_clean_rows(tmp_path: Path, how: str, seed: int) -> None:
    """At least 95 of 100 copies with a tenth edited, and under 1 % of the clean rows."""
    texts = sentences(600, seed)
    edited = [
        copied(text, how, i, " ".join(texts).split() if how == "words" else "abcdefg ")
        for i, text in enumerate(texts[:200])
    ]
    known = {text: i for i, text in enumerate(texts)} | {text: i for i, text in enumerate(edited)}
    rows, ledger = entered(records(shuffled([*texts, *edited], seed)), tmp_path / "rows.csv")
    left = Dedup(name="dedup", by="near").run(rows, ROLES, ledger, 0)
    stay = {known[str(row.cells["text"])] for row in left}
    assert len(rows) - len(left) >= 0.95 * 200
    assert len(stay) >= 0.99 * 600, "clean rows left"
    told = counts(findings_in(rows, ROLES, None, Deep()))
    assert told["near_duplicates"] == len(rows) - len(left)


def test_clean_real_rows(real_data: Path) -> None:
    lines = (real_data / HEADLINES).read_text(encoding="utf-8").splitlines()[:4000]
    found = near.groups(records(sorted({normal(line.rpartition("\t")[0]) for line in lines})), ROLES)
    assert sum(map(len, found.members())) < 0.01 * len(found.first)


KINDS = {
    "duplicates", "conflicts", "overlap", "near_overlap", "near_duplicates", "near_conflicts", "telling_column",
    "label_in_text", "label_twins", "boilerplate", "personal_data", "secrets", "mojibake", "html",
}  # fmt: skip
Cells = list[dict[str, Any]]


def clean_cells() -> tuple[Cells, Cells]:
    """300 rows to learn from and 5 held-out ones that nothing is wrong with; so few are no matter of drift."""
    rows = [
        {
            "text": text,
            "label": ("fault", "order", "praise")[i * 7 % 3],
            "site": f"s{i * 31 % 7}",
            "score": i * 7919 % 300,
        }
        for i, text in enumerate(sentences(305, 4))
    ]
    return rows[:300], rows[300:]


def plant(rows: Cells, held: Cells) -> None:
    """Ten repeats, seven contradictions, eight exact leaks and six near ones, columns that tell the label, and texts
    that hold what they should not; in place."""
    order = sorted(range(300), key=lambda i: rows[i]["label"])
    for number, i in enumerate(order):
        rows[i] |= {"ticket": f"{rows[i]['label'][0]}-{i % 9}", "number": number}
    held += [rows[i] | {"text": rows[i]["text"]} for i in range(201, 217, 2)]
    held += [rows[i] | {"text": copied(rows[i]["text"], "characters", i)} for i in range(221, 233, 2)]
    for row in held:
        row |= {"ticket": "q", "number": 0}
    for row in rows[:200]:
        row["text"] += " praise" if row["label"] == "praise" else ""
    rows += [dict(rows[i]) for i in range(10)]
    rows += [rows[i] | {"label": "fault" if rows[i]["label"] == "praise" else "praise"} for i in range(20, 27)]
    for number, row in enumerate(rows[300:]):
        row["number"] = 300 + number
    for i, text in enumerate(
        ["ann@example.org wrote", "password: hunter2secret", "the cafÃ© is closed", "<p>closed</p>"]
    ):
        rows[30 + i]["text"] = text
    rows[34]["label"] = f" {rows[34]['label'].title()}"


def looked(folder: Path, rows: Cells, held: Cells) -> list[dict[str, Any]]:
    paths = []
    for name, cells in (("train.csv", rows), ("held.csv", held)):
        paths.append(file(folder / name, [Record(i, "f", i + 1, i + 2, each) for i, each in enumerate(cells)]))
    return list(check_files(paths, None, None, again=False)["findings"])


def test_nothing_is_told_of_clean_rows(tmp_path: Path) -> None:
    told = looked(tmp_path, *clean_cells())
    assert not KINDS & set(counts(told)), told


def test_contradictions_leaks_and_giveaway_columns(tmp_path: Path) -> None:
    """Everything that is planted, with the number of rows that it concerns."""
    rows, held = clean_cells()
    plant(rows, held)
    told = looked(tmp_path, rows, held)
    found = counts(told)
    assert (found["duplicates"], found["conflicts"], found["overlap"], found["near_overlap"]) == (10, 14, 8, 6)
    assert {f["column"] for f in told if f["kind"] == "telling_column"} == {"ticket", "number"}
    assert KINDS - {"boilerplate", "near_duplicates", "near_conflicts"} <= set(found)


REPEATS = {"alpaca_en_demo": 14, "alpaca_zh_demo": 8, "dpo_en_demo": 5, "dpo_zh_demo": 11}


@pytest.mark.parametrize("name", list(REPEATS))
def test_duplicates_of_real_files(real_data: Path, name: str) -> None:
    """Rows that are the same from first to last, as often as comparing their JSON text says."""
    table = read(real_data / "llamafactory_demo" / f"{name}.json")
    task = TASKS.make("generate" if name.startswith("alpaca") else "prefer").resolved(table)
    ledger = Ledger()
    rows = task.taken_in(ledger.add(table), ledger)
    assert counts(findings_in(rows, task.roles(), task))["duplicates"] == REPEATS[name]
    assert len(rows) - len(Dedup(name="dedup").run(rows, task.roles(), ledger, 0)) == REPEATS[name]
