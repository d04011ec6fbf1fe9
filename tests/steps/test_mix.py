"""Mix: files in the proportions asked for, no row twice before all stand once, everything told."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare


def files(tmp_path: Path, *sizes: int) -> list[str]:
    names = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{'abc'[number]}.csv"
        rows = [f"row {i} of file {number},{'xy'[i % 2]}" for i in range(size)]
        path.write_text("text,label\n" + "\n".join(rows) + "\n")
        names.append(str(path))
    return names


def mixed(names: list[str], steps: list[Any] | None = None, **mix: Any) -> Prepared:
    held = Path(names[0]).with_name("held.csv")
    held.write_text("text,label\n" + "\n".join(f"held {i},{'xy'[i % 2]}" for i in range(10)) + "\n")
    data = {"train": names, "validation": str(held), "test": None}
    chain = ["dedup", {"name": "mix", **mix}, *(steps or [])]
    return prepare(make_plan({"task": "classify", "base": "minilm", "data": data, "steps": chain}))


def by_file(rows: Any) -> list[int]:
    return [count for _, count in sorted(Counter(Path(r.source).name for r in rows).items())]


@pytest.mark.parametrize(
    ("sizes", "mix", "drawn", "most"),
    [
        ((140, 100), {"shares": [7, 3]}, [140, 60], [1, 1]),  # the first is used up
        ((200, 100), {"shares": [1, 1]}, [100, 100], [1, 1]),
        ((200, 50), {"shares": [1, 1], "repeats": 2}, [100, 100], [1, 2]),
        ((200, 50), {"shares": [1, 1], "repeats": 9}, [200, 200], [1, 4]),  # the larger one is never repeated
        ((200, 50), {"shares": [0.5, 0.5], "rows": 60}, [30, 30], [1, 1]),
        ((200, 50), {"rows": 100}, [80, 20], [1, 1]),
        ((200, 50), {"temperature": 2, "rows": 90}, [60, 30], [1, 1]),  # sqrt 200 : sqrt 50 = 2 : 1
        ((100, 100, 50), {"shares": [16, 4, 1], "temperature": 2, "rows": 70}, [40, 20, 10], [1, 1, 1]),
    ],
)
def test_the_proportions_that_were_asked_for(
    tmp_path: Path, sizes: tuple[int, ...], mix: dict[str, Any], drawn: list[int], most: list[int]
) -> None:
    prepared = mixed(files(tmp_path, *sizes), **mix)
    assert by_file(prepared.splits["train"]) == drawn
    told = prepared.about()["ledger"]["told"]["mix"]
    assert [each["drawn"] for each in told] == drawn and [each["most times a row"] for each in told] == most
    assert all(each["rows"] == each["drawn"] + each["left out"] for each in told if each["most times a row"] == 1)
    assert sum(each["share"] for each in told) == pytest.approx(1, abs=1e-5)
    times = Counter(r.id for r in prepared.splits["train"]).values()
    assert max(times) == max(most)
    assert len(prepared.splits["validation"]) == 10


def test_held_out_rows_of_the_same_files_are_never_drawn(tmp_path: Path) -> None:
    chain = ["dedup", {"name": "mix", "shares": [1, 1], "repeats": 4}]
    plan = {"task": "classify", "base": "minilm", "data": files(tmp_path, 200, 50), "steps": chain}
    with_mix, without = (prepare(make_plan(plan | {"steps": chain[:n]})) for n in (2, 1))
    for split in ("validation", "test"):
        assert list(with_mix.splits[split]) == list(without.splits[split])
    train = [r.id for r in with_mix.splits["train"]]
    assert set(train) <= {r.id for r in without.splits["train"]} and len(train) > 250


def test_the_ledger_says_how_often_each_row_stands(tmp_path: Path) -> None:
    prepared = mixed(files(tmp_path, 200, 50), shares=[1, 1], repeats=3)
    prepared.ledger.to_parquet(tmp_path / "ledger.parquet")
    lines = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    stands = Counter(r.id for rows in prepared.splits.values() for r in rows)
    assert [line["times"] for line in lines] == [stands[i] for i in range(260)]
    gone = [line for line in lines if not line["times"]]
    assert gone and {(line["fate"], line["reason"]) for line in gone} == {("dropped", "mix: not drawn")}
    assert sum(prepared.ledger.counts().values()) == 260
    repeated = [n for i, n in stands.items() if lines[i]["source"].endswith("b.csv") and lines[i]["split"] == "train"]
    assert max(repeated) - min(repeated) == 0 and len(repeated) == 50  # 150 of 50 rows: three times each


def test_the_same_for_a_seed_and_nested_for_more_rows(tmp_path: Path) -> None:
    names = files(tmp_path, 200, 100)

    def drawn(**mix: Any) -> list[int]:
        return [r.id for r in mixed(names, **mix).splits["train"]]

    assert drawn(shares=[7, 3]) == drawn(shares=[7, 3])
    assert set(drawn(shares=[7, 3], rows=50)) < set(drawn(shares=[7, 3], rows=100))
    one, other = (np.array(drawn(shares=s, rows=100)) for s in ([1, 1], [3, 2]))
    assert set(one[one < 200]) < set(other[other < 200])  # what another file gets changes nothing in this one


def test_rows_made_of_others_and_weights_come_behind(tmp_path: Path) -> None:
    balance = {"name": "balance", "how": "over"}
    prepared = mixed(files(tmp_path, 40, 30), [balance], shares=[1, 1], repeats=2)
    labels = Counter(r.cells["label"] for r in prepared.splits["train"])
    assert len(set(labels.values())) == 1
    prepared.ledger.to_parquet(tmp_path / "l.parquet")
    times = pq.read_table(tmp_path / "l.parquet").column("times").to_pylist()
    assert sum(times) == sum(map(len, prepared.splits.values()))


@pytest.mark.parametrize(
    ("sizes", "mix", "says"),
    [
        ((40,), {"shares": [1]}, "two files or more"),
        ((40, 40), {"shares": [1, 2, 3]}, "3 numbers for 2 files"),
        ((40, 40), {}, "changes nothing"),
        ((40, 40), {"shares": [1, 0]}, "greater than 0"),
        ((40, 40), {"shares": [1, float("inf")]}, "finite"),
        ((40, 40), {"shares": [1, 9], "rows": 300}, r"270 of .*b\.csv, and 40 .*repeats: 7, or .*rows: 44"),
        ((40, 40), {"shares": [1, 999], "rows": 20}, r"gives .*a\.csv no row"),
        ((40, 40), {"shares": [1, 9], "repeats": 2, "steps": [{"name": "length", "least": 1}]}, "before length"),
        ((40, 40), {"shares": [1, 9], "repeats": 2, "steps": [{"name": "balance", "how": "under"}]}, "before balance"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, sizes: tuple[int, ...], mix: dict[str, Any], says: str) -> None:
    with pytest.raises(TunesmithError, match=says):
        mixed(files(tmp_path, *sizes), **mix)


def test_a_row_that_was_cut_leaves_with_its_last_piece() -> None:
    from tunesmith.data.format import Table
    from tunesmith.data.ledger import Ledger
    from tunesmith.steps.mix import _taken

    ledger = Ledger()
    rows: list[Record] = list(ledger.add(Table("a.csv", ("text",), [(2, {"text": "a"}), (3, {"text": "b"})], (), "")))
    pieces = [rows[0], rows[0], rows[1], rows[1]]
    assert len(_taken(pieces, np.array([1, 0, 0, 0]), ledger)) == 1
    assert (ledger.fate(0), ledger.fate(1)) == ("kept", "dropped")


def test_the_report_shows_what_was_drawn(tmp_path: Path) -> None:
    from tunesmith.evaluation.report_blocks import Table as Shown
    from tunesmith.evaluation.report_data import _ledger

    about = mixed(files(tmp_path, 140, 100), shares=[7, 3]).about()["ledger"]
    (shown,) = [b for b in _ledger(about) if isinstance(b, Shown) and b.caption == "Step mix"]
    assert shown.header == ["File", "Rows", "Share", "Drawn", "Left out", "Most times a row"]
    assert [row[0].text for row in shown.rows] == [each["file"] for each in about["told"]["mix"]]
    assert [row[3].text for row in shown.rows] == ["140", "60"]
