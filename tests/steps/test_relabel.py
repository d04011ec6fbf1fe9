"""Relabel: decisions about labels are applied to the rows they were made for, and to no others."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tunesmith.data import Record, Roles
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.prepare import prepare
from tunesmith.run import identity
from tunesmith.steps._fixes import digest_of
from tunesmith.steps.relabel import Relabel

ROLES = Roles(("text",), "label")
ROWS = [("oil below the pump", "leak"), ("fan too loud", "leak"), ("belt slips", "noise"), ("it hums", "noise")]


def enter(rows: list[tuple[str, str]] = ROWS, source: str = "t.csv") -> tuple[Ledger, list[Record]]:
    ledger = Ledger()
    cells = [(i + 2, {"text": t, "label": v}) for i, (t, v) in enumerate(rows)]
    return ledger, list(ledger.add(Table(source, ("text", "label"), cells, (), "")))


def step(tmp_path: Path, *rows: str, header: str = "source,row,text,given,decision", **settings: str) -> Relabel:
    file = tmp_path / "fixes.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return Relabel(file=str(file), **settings)  # type: ignore[arg-type]


def test_applied_and_counted(tmp_path: Path) -> None:
    ledger, records = enter()
    fixes = step(
        tmp_path, "t.csv,2,Fan  too LOUD,leak,noise", "t.csv,1,oil below the pump,leak,keep",
        "t.csv,3,belt slips,noise,drop", "t.csv,4,it hums,,",
    )  # fmt: skip
    found = fixes.run(records, ROLES, ledger, 0)
    assert [(r.row, r.cells["label"]) for r in found] == [(1, "leak"), (2, "noise"), (4, "noise")]
    told = {"labels changed": 1, "labels kept": 1, "rows without a decision, left as they are": 1}
    assert dict(ledger.changes["relabel"]) == told
    assert ledger.counts() | {"unplaced": 3, "dropped": 1} == ledger.counts()
    assert "fixes.csv:4" in next(iter(ledger.summary()["reasons"]))


@pytest.mark.parametrize("seed", range(3))
def test_counts_add_up(tmp_path: Path, seed: int) -> None:
    """Random decisions: every row is accounted for, twice gives the same, untouched rows are untouched."""
    order = np.random.default_rng(seed)
    rows = [(f"text {i}", str(order.choice(["a", "b", "c"]))) for i in range(60)]
    _, known = enter(rows)
    picked = sorted(order.choice(60, 25, replace=False).tolist())
    decisions = {i: str(order.choice(["keep", "drop", "a", "b", ""])) for i in picked} | {picked[0]: "c"}
    lines = [f"{i + 1},{digest_of(known[i], ROLES)},{decisions[i]}" for i in picked]
    fixes = step(tmp_path, *lines, header="row,digest,decision")
    outcomes = []
    for _ in range(2):
        ledger, records = enter(rows)
        found = fixes.run(records, ROLES, ledger, 0)
        outcomes.append(([(r.row, r.cells["label"]) for r in found], dict(ledger.changes["relabel"]), ledger.counts()))
        dropped = sum(d == "drop" for d in decisions.values())
        assert ledger.counts()["dropped"] == dropped
        assert len(found) == 60 - dropped
        assert sum(ledger.changes["relabel"].values()) + dropped == 25
        assert all(r.cells == records[r.id].cells for r in found if r.id not in decisions)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("t.csv,2,belt slips,,noise", r"t\.csv:3: not the row that .*fixes\.csv:2 decided about: now 'fan too loud'"),
        ("t.csv,2,fan too loud,noise,noise", r"t\.csv:3: has the label 'leak', and .*:2 decided about 'noise'"),
        ("t.csv,9,fan too loud,,noise", r"fixes\.csv:2: no training row of t\.csv is row 9"),
        ("u.csv,2,fan too loud,,noise", r"source 'u\.csv' is none of the training files\. Files: 't\.csv'"),
        ("t.csv,2,fan too loud,,nois", r"no label named 'nois'\. Did you mean 'noise'.*new_labels: allow"),
        ("t.csv,2,,,noise", "neither digest nor text"),
        ("t.csv,two,fan too loud,,noise", "not a row number"),
        ("t.csv,2,fan too loud,,", "nothing is decided"),
        ("t.csv,2,fan too loud,,noise\nt.csv,2,fan too loud,,drop", r"fixes\.csv:3: row 2 stands in .*csv:2, too"),
        ("t.csv,2,fan too loud,,noise\n,2,fan too loud,,drop", r"fixes\.csv:3: .*fixes\.csv:2 is about the same row"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, line: str, message: str) -> None:
    ledger, records = enter()
    with pytest.raises(TunesmithError, match=message):
        step(tmp_path, line).run(records, ROLES, ledger, 0)


def test_changed_digest_is_refused(tmp_path: Path) -> None:
    _, old = enter()
    fixes = step(tmp_path, f"t.csv,2,{digest_of(old[1], ROLES)},noise", header="source,row,digest,decision")
    ledger, records = enter([ROWS[0], ("fan too quiet", "leak"), *ROWS[2:]])
    with pytest.raises(TunesmithError, match=r"t\.csv:3: not the row .* now 'fan too quiet'"):
        fixes.run(records, ROLES, ledger, 0)


def test_words_that_are_labels(tmp_path: Path) -> None:
    rows = [("a b", "drop"), ("c d", "keep")]
    ledger, records = enter(rows)
    with pytest.raises(TunesmithError, match="'drop' is a label of these data, too. Write '=drop'"):
        step(tmp_path, "t.csv,2,c d,,drop").run(records, ROLES, ledger, 0)
    found = step(tmp_path, "t.csv,2,c d,,=drop").run(records, ROLES, ledger, 0)
    assert [r.cells["label"] for r in found] == ["drop", "drop"]


def test_new_label(tmp_path: Path) -> None:
    ledger, records = enter()
    found = step(tmp_path, "t.csv,2,fan too loud,,fan", new_labels="allow").run(records, ROLES, ledger, 0)
    assert found[1].cells["label"] == "fan"


def test_source_by_file_name(tmp_path: Path) -> None:
    ledger, records = enter(source="/somewhere/else/t.csv")
    assert step(tmp_path, "t.csv,2,fan too loud,,noise").run(records, ROLES, ledger, 0)[1].cells["label"] == "noise"


@pytest.mark.parametrize(
    ("task", "steps", "message"),
    [
        ("classify", ["dedup", {"name": "relabel", "file": "f"}], "behind dedup"),
        ("classify", [{"name": "relabel", "file": "f"}, "clean"], "before clean"),
        ("classify", [{"name": "relabel", "file": "f"}, {"name": "relabel", "file": "g"}], "stands twice"),
        ("regress", [{"name": "relabel", "file": "f"}], "task regress has others"),
    ],
)
def test_objections(task: str, steps: list[object], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        make_plan({"task": task, "base": "minilm", "data": "t.csv", "steps": steps})


def test_content_of_the_fixes_is_the_run(tmp_path: Path) -> None:
    """Another decision is another run; the same decisions at another place are the same one."""
    rows = [f"text number {i},{'ab'[i % 2]}" for i in range(30)]
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "plan.yaml").write_text(
        "task: classify\nbase: minilm\ndata: t.csv\nsteps: [clean, {name: relabel, file: fixes.csv}, dedup]\n"
    )
    who = []
    for file, decision in (("fixes.csv", "b"), ("fixes.csv", "drop"), ("others.csv", "drop")):
        (tmp_path / file).write_text(f"row,text,decision\n1,text number 0,{decision}\n", encoding="utf-8")
        plan = (tmp_path / "plan.yaml").read_text().replace("fixes.csv", file)
        (tmp_path / "asked.yaml").write_text(plan)
        asked = read_plan(tmp_path / "asked.yaml")
        assert SimpleNamespace(**asked.model_dump()["steps"][1]).file == str(tmp_path / file)  # beside the plan
        prepared = prepare(asked)
        who.append(identity(prepared.plan, prepared.digests, "base"))
        assert sum(prepared.ledger.counts().values()) == 30
    assert who[0] != who[1]
    assert who[1] == who[2]
