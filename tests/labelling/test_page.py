"""The page on label quality does what it says: its commands answer, and its plans are carried out."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jobs import write_tickets
from kit import TinyBases
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.flows import train
from tunesmith.labelling.agree import Agree, agree_in
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.progress import Progress
from tunesmith.replies import REPLIES

PAGE = Path(__file__).parents[2] / "docs" / "label-quality.md"
NAMES = ["ann", "bob", "eve"]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def votes(folder: Path) -> None:
    """votes.csv and long.csv: the same votes of three annotators on 40 rows, with gaps."""
    order = np.random.default_rng(0)
    wide, long = ["text,ann,bob,eve"], ["id,who,label,text"]
    for i in range(40):
        truth = i % 2
        said = [("leak", "noise")[truth if order.random() < skill else 1 - truth] for skill in (0.95, 0.9, 0.6)]
        if i == 39:
            said = ["", "", ""]
        elif i % 9 == 4:
            said[2] = ""
        text = f"{('oil drips', 'it hums')[truth]} number {i}"
        wide.append(",".join([text, *said]))
        long += [f"r{i},{who},{label},{text}" for who, label in zip(NAMES, said, strict=True) if label]
    (folder / "votes.csv").write_text("\n".join(wide) + "\n", encoding="utf-8")
    (folder / "long.csv").write_text("\n".join(long) + "\n", encoding="utf-8")


def call(capsys: pytest.CaptureFixture[str], words: list[str]) -> Any:
    assert main([*words, "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    REPLIES[" ".join(words[:2])].model_validate(reply)
    return reply


def test_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    votes(tmp_path)
    monkeypatch.chdir(tmp_path)
    wide, long = (shlex.split(block)[1:] for block in blocks("sh")[:2])
    found, same = call(capsys, wide), call(capsys, long)
    assert (found["items"], same["items"]) == (40, 39)
    assert found["krippendorff_alpha"]["value"] == pytest.approx(same["krippendorff_alpha"]["value"])
    assert found["notes"] == ["1 items have no label, and no consensus"]
    rows = [line.split(",") for line in Path("consensus.csv").read_text().splitlines()]
    assert rows[0][:6] == ["text", *NAMES, "consensus", "confidence"]
    assert rows[40][4] == ""
    assert main(wide) == 0
    told = capsys.readouterr().out
    for text in ("krippendorff_alpha", "Cohen's kappa", "alpha without", "task.label=soft", "without luck"):
        assert text in told


def test_out_of_a_long_table(tmp_path: Path) -> None:
    votes(tmp_path)
    reply = agree_in(tmp_path / "long.csv", Agree(item="id", annotator="who", label="label", out=tmp_path / "o.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(39)]
    assert rows[1]["text"] == "it hums number 1"
    assert sum(row["uncertain"] for row in rows) == reply["consensus"]["uncertain"] > 0
    for row in rows:
        soft = json.loads(row["soft"])
        assert sum(soft.values()) == pytest.approx(1, abs=1e-5)
        assert soft[row["consensus"]] == row["confidence"] == max(soft.values())


def test_refused(tmp_path: Path) -> None:
    votes(tmp_path)
    with pytest.raises(TunesmithError, match=r"who said what\? Pass --annotators a,b,c"):
        agree_in(tmp_path / "votes.csv", Agree())
    with pytest.raises(TunesmithError, match="not both"):
        agree_in(tmp_path / "votes.csv", Agree(annotators=("ann", "bob"), item="text"))
    with pytest.raises(TunesmithError, match=r"no column named 'bop'\. Did you mean 'bob'"):
        agree_in(tmp_path / "votes.csv", Agree(annotators=("ann", "bop")))


def test_labels_then_relabel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cleanlab")
    monkeypatch.chdir(tmp_path)
    lines = write_tickets(Path("tickets.csv"), 60).read_text().splitlines()
    lines[1] = lines[1].replace(",leak,", ",noise,")
    Path("tickets.csv").write_text("\n".join(lines) + "\n")
    words = shlex.split(blocks("sh")[2])[1:]
    words = [word for word in words if word not in ("--base", "minilm")]
    reply = call(capsys, words)
    assert reply["first"][0]["row"] == 1
    file = Path("suspects.csv")
    head, first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([head, first + "leak", *rest]) + "\n")
    prepared = prepare(make_plan(yaml.safe_load(blocks("yaml")[1])))
    assert prepared.ledger.changes["relabel"]["labels changed"] == 1
    assert next(r for rows in prepared.splits.values() for r in rows if r.row == 1).cells["label"] == "leak"


def test_learning_from_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bases: TinyBases) -> None:
    """A run of the page's plan: proven to reload, judged by classes, and told that it learnt from distributions."""
    votes(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = Path("votes.csv").read_text().splitlines()[:40]  # the row that nobody labelled is left out
    Path("votes.csv").write_text("\n".join(lines) + "\n")
    assert main([*shlex.split(blocks("sh")[0])[1:], "--json"]) == 0
    asked = yaml.safe_load(blocks("yaml")[0])
    asked |= {"base": str(tiny_bases["bert"]), "train": {"max_steps": 2}, "run": "run",
              "evaluate": {"baselines": ["majority"], "resamples": 100}}  # fmt: skip
    made = train(plan=make_plan(asked), progress=Progress(silent=True))
    assert made.reply["proof"]["plain"]
    assert any("labels are distributions" in note for note in made.reply["warnings"])
    assert made.metrics["test"]["accuracy"]["value"] is not None
