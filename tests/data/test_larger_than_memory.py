"""Data larger than memory: the way through files gives what the way through memory gives, to the last cell."""

import gzip
import json
import os
import random
import subprocess
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiny
from tunesmith import scratch
from tunesmith.checks import check
from tunesmith.data import Record
from tunesmith.data.coded import coded
from tunesmith.data.overlap import conflicts, overlap, twins
from tunesmith.data.record import Roles
from tunesmith.data.rows import TableRecords, chosen, ids, reweighed
from tunesmith.data.spread import Spread
from tunesmith.data.stored import Stored, records, table_rows
from tunesmith.data.table import Format, read
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare

WORDS = ("pump", "fan", "belt", "oil", "hot", "Ｆull", "&amp;", "<b>bold</b>", "泵", "漏油", "é", "noise", "\u200b")
SMALL, LARGE = 1 << 30, 0
"""Limits that keep everything in memory, and nothing."""


def write(path: Path, rows: int, seed: int) -> str:
    """Tickets with repeated texts, disagreeing labels, HTML, several scripts, line breaks, and broken rows."""
    generator = random.Random(seed)
    lines, texts = ["text,label,hours,who,tags"], [""]
    for _ in range(rows):
        text = " ".join(generator.choices(WORDS, k=generator.randint(2, 9)))
        text = generator.choice(texts) if generator.random() < 0.2 else text
        texts.append(text.upper() + " \n" if generator.random() < 0.1 else text or "x")
        label, tags = generator.choice("aabbbc"), ";".join(generator.sample("xyz", generator.randint(0, 2)))
        lines.append(f'"{texts[-1]}",{label},{generator.random() * 9:.2f},g{generator.randint(0, 40)},{tags}')
        lines += ["broken,row"] * (generator.random() < 0.02)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


CLASSES = {"name": "classify", "text": "text", "label": "label", "max_tokens": 12}
PLANS: dict[str, dict[str, Any]] = {
    "classes": {},
    "two files, one of weight 2": {"data": ["a", "b"], "steps": ["clean", "dedup", "balance"]},
    "own files": {
        "data": ["a"], "validation": "v", "test": "t",
        "steps": ["clean", {"name": "dedup", "conflicts": "drop"}, {"name": "balance", "how": "over"}],
    },
    "groups": {
        "group": "who", "steps": ["clean", {"name": "dedup", "by": "exact"}, {"name": "balance", "how": "under"}],
    },
    "no dedup, no test": {"steps": ["clean"], "test": None},
    "numbers": {"task": {"name": "regress", "text": "text", "label": "hours", "max_tokens": 12}},
    "label sets": {"task": {"name": "multilabel", "text": "text", "label": "tags", "separator": ";"}},
    "pairs and a side vector": {"task": CLASSES | {"pair": "who", "side_columns": ["hours"], "side": "vector"}},
    "side columns as text": {"task": CLASSES | {"side_columns": ["hours", "who"]}},
}  # fmt: skip


def outcome(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Everything that is made of a plan's data."""
    files = {name: str(folder / f"{name}.csv") for name in "abvt"}
    train = [{"file": files[n], "weight": 2.0 if n == "b" else 1.0} for n in asked.get("data", ["a"])]
    held = {k: files.get(asked[k], asked[k]) for k in ("validation", "test") if k in asked}
    data = {"train": train, "format": {"on_bad": "drop"}, "group": asked.get("group"), **held}
    tree = {"task": asked.get("task", CLASSES), "base": "unused", "data": data}
    prepared = prepare(make_plan(tree | {k: asked[k] for k in ("steps",) if k in asked}))
    task, tokenizer = prepared.plan.task, tiny.tokenizer("bert")
    facts = task.study(prepared.splits["train"], prepared.roles)
    encoded = {s: task.encode(rows, prepared.roles, tokenizer, facts) for s, rows in prepared.splits.items()}
    prepared.ledger.to_parquet(folder / "ledger.parquet")
    arrays = ("lost", "targets", "side", "weights", "lengths")
    return {
        "in files": not isinstance(prepared.splits["train"], list),
        "splits": {s: list(rows) for s, rows in prepared.splits.items()},
        "ledger": pq.read_table(folder / "ledger.parquet").to_pylist(),
        "about": prepared.about(),
        "facts": facts,
        "findings": check(prepared.splits["train"], prepared.roles),
        "tokens": {s: [row.tolist() for row in e.ids] for s, e in encoded.items()},
        "types": {s: e.types and [row.tolist() for row in e.types] for s, e in encoded.items()},
        "arrays": {s: [(a, str(v.dtype), v.tolist()) for a in arrays if (v := getattr(e, a)) is not None]
                   for s, e in encoded.items()},
    }  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("larger")
    for seed, (name, rows) in enumerate({"a": 1400, "b": 400, "v": 100, "t": 100}.items()):
        write(folder / f"{name}.csv", rows, seed)
    return folder


@pytest.mark.parametrize("name", PLANS)
def test_files_and_memory_give_the_same_rows_ledger_and_tokens(
    name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "LIMIT", SMALL)
    memory = outcome(PLANS[name], files)
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    monkeypatch.setattr(scratch, "_BLOCK", 700)
    monkeypatch.setattr("tunesmith.data.alike._PART", 300)
    large = outcome(PLANS[name], files)
    assert not memory.pop("in files") and large.pop("in files")
    for part, expected in memory.items():
        assert large[part] == expected, part


ROWS = [
    {"text": f"row {i} 泵\u2028😀", "label": "ab"[i % 2], "n": i if i % 3 else None, "f": i / 7, "t": [i, {"k": "é"}]}
    for i in range(3000)
]


def as_csv(path: Path) -> Path:
    path.write_text("text,label\n" + "".join(f'"{r["text"]}\n","{r["label"]}"\n' for r in ROWS), encoding="utf-8")
    return path


def as_lines(path: Path) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    return path


def as_parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist([{k: v for k, v in r.items() if k != "t"} for r in ROWS]), path)
    return path


def as_gz(path: Path) -> Path:
    plain = as_csv(path.with_suffix("")).read_bytes()
    path.write_bytes(gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]) + b"\0" * 100)
    return path


@pytest.mark.parametrize(
    ("make", "name"), [(as_csv, "t.csv"), (as_lines, "t.jsonl"), (as_parquet, "t.parquet"), (as_gz, "t.csv.gz")]
)
def test_every_format_is_read_the_same(make: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make(tmp_path / name)
    monkeypatch.setattr(scratch, "LIMIT", SMALL)
    memory = read(file)
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    large = read(file)
    assert isinstance(memory.rows, list) and isinstance(large.rows, Stored)
    assert list(large.rows) == memory.rows and len(large.rows) == len(ROWS)
    assert (large.columns, large.notes, large.sha256) == (memory.columns, memory.notes, memory.sha256)
    assert large.rows[-1] == memory.rows[-1] and large.rows[1020:1030:3] == memory.rows[1020:1030:3]


def test_a_bad_byte_deep_in_a_file_is_named_with_its_place(tmp_path: Path) -> None:
    lines = [b"text,label"] + [b"words and words,x"] * 200_000
    lines[180_001] = b"words \xff,x"
    (tmp_path / "t.csv").write_bytes(b"\n".join(lines))
    with pytest.raises(TunesmithError, match=r"t\.csv:180002:7: byte 3240017 \(0xff\) is not utf-8 \(invalid start"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "value", (0, -7, 10**40, 1.0, -0.0, 1e-320, True, None, "", "\ud800", "\0", [], [[1, None]], {"a": {"b": []}})
)
def test_any_cell_comes_back_as_it_was(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    ((_, back),) = table_rows([(1, {"c": value})], lambda _: None)
    assert back["c"] == value and type(back["c"]) is type(value) and repr(back["c"]) == repr(value)
    (record,) = records([Record(5, "t.csv", 1, 2, {"c": value}, 0.1)])
    assert record == Record(5, "t.csv", 1, 2, {"c": value}, 0.1)


def test_rows_of_different_keys_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    rows = [Record(i, "t.csv", i, i, {"ab"[i % 2]: i}) for i in range(5)]
    assert list(records(rows)) == rows


@pytest.mark.parametrize("bad", ([], [1], [3, 4], [1, 2, 7], [6, 7, 8]))
def test_records_of_a_table_count_over_bad_rows(bad: list[int]) -> None:
    lines = [(n + 1, {"text": str(n)}) for n in range(1, 9) if n not in bad]
    found = TableRecords(lines, "t.csv", 100, bad)
    assert [(r.row, r.id, r.cells["text"]) for r in found] == [
        (n, 99 + n, str(n)) for n in range(1, 9) if n not in bad
    ]  # fmt: skip
    assert [found[i] for i in range(len(found))] == list(found) == found[:] and found[-1] == list(found)[-1]
    assert ids(found).tolist() == [r.id for r in found]


def test_some_of_some_rows() -> None:
    base = TableRecords([(i, {"text": str(i)}) for i in range(9)], "t.csv", 0, [])
    some = chosen(chosen(base, np.array([8, 3, 3, 0, 5])), np.array([4, 1, 2]))
    assert [r.cells["text"] for r in some] == ["5", "3", "3"] and ids(some).tolist() == [5, 3, 3]
    heavy = reweighed(some, np.array([1.5, 2.0, 0.5]))
    assert [(r.weight, r.cells["text"]) for r in chosen(heavy, np.array([2, 0]))] == [(0.5, "3"), (1.5, "5")]


def test_twins_are_those_of_a_dictionary() -> None:
    generator, roles = random.Random(0), Roles(("text",), "label")
    for _ in range(30):
        rows = [
            Record(i, "t", i, i, {"text": generator.choice("abCdeF"), "label": generator.choice("xy")})
            for i in range(generator.randint(1, 20))
        ]
        keys = [str(r.cells["text"]).lower() for r in rows]
        many = [i for i, k in enumerate(keys) if keys.count(k) > 1]
        pairs = list(zip(keys, [r.cells["label"] for r in rows], strict=True))
        found = twins(rows, roles)
        assert found.rows.tolist() == many
        assert found.first.tolist() == [keys.index(keys[i]) for i in many]
        assert found.same.tolist() == [pairs.index(pairs[i]) for i in many]
        clash = [k for k in dict.fromkeys(keys) if len({p for p in pairs if p[0] == k}) > 1]
        assert [g[0].cells["text"].lower() for g in conflicts(rows, roles)] == clash  # type: ignore[union-attr]
        half = len(rows) // 2
        expected = [(keys[:half].index(k), half + j) for j, k in enumerate(keys[half:]) if k in keys[:half]]
        assert [(a.id, b.id) for a, b in overlap(rows[:half], rows[half:], roles)] == expected


def test_rows_by_name_and_spread_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_BLOCK", 64)
    values = np.random.default_rng(0).integers(0, 9, 1000)
    made = coded(str(v) for v in values)
    for name, rows in zip(made.names, made.rows(), strict=True):
        assert rows.tolist() == np.flatnonzero(values == int(name)).tolist()
    assert made.counts["3"] == (values == 3).sum()
    for count in (1, 2, 7, 1000):
        spread = Spread.of([values[: count // 2], values[count // 2 : count]])
        for share in (0.5, 0.95):
            assert spread.at(share) == np.quantile(values[:count], share)
        assert spread.largest == values[:count].max()


SCRIPT = """
import ctypes, sys, json
from tunesmith import scratch
scratch.LIMIT = int(sys.argv[2])
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
task = {"name": "classify", "text": "text", "label": "label"}
before = anonymous()
prepared = prepare(make_plan({"task": task, "base": "unused", "data": {"train": sys.argv[1], "cache": False}}))
if sys.platform == "linux":
    ctypes.CDLL(None).malloc_trim(0)  # what is held, not what was and may be used again
print(json.dumps([len(prepared.ledger), anonymous() - before]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def growth(rows: int, limit: int) -> float:
        file = tmp_path / f"{rows}.csv"
        file.write_text(
            "text,label\n" + "".join(f"{sha256(b'%d' % i).hexdigest()[:40]},{'ab'[i % 2]}\n" for i in range(rows))
        )
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(file), str(limit)], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        entries, kilobytes = json.loads(done.stdout)
        assert entries == rows
        return float(kilobytes)

    few, many, in_memory = growth(2_000, 1 << 16), growth(40_000, 1 << 16), growth(40_000, 1 << 30)
    assert (many - few) * 1024 / 38_000 < 50, "bytes of anonymous memory for each further row"
    assert in_memory > 3 * many, "the comparison says nothing unless rows in memory cost much more"


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    table = read(as_csv(tmp_path / "t.csv"))
    assert list((tmp_path / "scratch").iterdir()) == [] and len(list(table.rows)) == len(ROWS)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(TunesmithError, match=r"temporary files.*No such file.*TMPDIR"):
        read(tmp_path / "t.csv")


def test_a_format_can_be_named_for_large_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", LARGE)
    (tmp_path / "t.txt").write_text("".join(f"a, b {i},{'xy'[i % 2]}\n" for i in range(2000)))
    table = read(tmp_path / "t.txt", Format(label_last=True, delimiter=","))
    assert table.rows[1999] == (2000, {"text": "a, b 1999", "label": "y"}) and asdict(table)["columns"] == (
        "text",
        "label",
    )
