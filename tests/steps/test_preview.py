"""`data preview`: pairs of before and after, their differences, and what the steps told."""

import json
from pathlib import Path
from typing import Any

import pytest

import augmenting
import jobs
from kit import TinyBases
from tunesmith.cli import main
from tunesmith.previewing import difference
from tunesmith.replies import REPLIES


def preview(capsys: Any, *words: str) -> Any:
    capsys.readouterr()
    code = main(["data", "preview", *words])
    out, err = capsys.readouterr()
    return out if code == 0 else err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return jobs.write_tickets(tmp_path / "t.csv", 90)


def test_twenty_pairs_of_training_rows(data: Path, tiny_bases: TinyBases, capsys: Any, tmp_path: Path) -> None:
    groups = augmenting.thesaurus(tmp_path)
    steps = f"steps=[dedup,{{name: synonyms, resource: {groups}}},{{name: noise, copies: 3}}]"
    words = [str(data), f"base={tiny_bases['bert']}", steps]
    reply = json.loads(preview(capsys, *words, "--json"))
    REPLIES["data preview"].model_validate(reply)
    assert [p["step"] for p in reply["pairs"]] == ["synonyms"] * 10 + ["noise"] * 10 and reply["rows"] == 72
    for pair in reply["pairs"]:
        for side, other in (("before", "new"), ("after", "gone")):
            assert "".join(text for what, text in pair["difference"] if what != other) == pair[side]
        assert pair["before"] != pair["after"]
    assert any("CC0" in what for what in reply["told"]["synonyms"])
    again = json.loads(preview(capsys, *words, "--json"))
    assert again == reply
    shown = preview(capsys, *words, "--pairs", "2")
    assert shown.count("\n    ") == 2 and "[-" in shown and "{+" in shown


def test_a_plan_file_and_a_plan_without_such_steps(data: Path, tiny_bases: TinyBases, capsys: Any) -> None:
    file = data.parent / "plan.yaml"
    file.write_text(f"task: classify\nbase: {tiny_bases['bert']}\ndata: t.csv\nsteps: [dedup, eda]\n", encoding="utf-8")
    assert preview(capsys, str(file), "--pairs", "3").count("eda  ") == 3
    assert "none of them makes training rows" in preview(capsys, str(file), "steps=[dedup]")


def test_difference_by_words() -> None:
    assert difference("the pump leaks", "the valve leaks") == [
        ["same", "the "], ["gone", "pump"], ["new", "valve"], ["same", " leaks"],
    ]  # fmt: skip
    assert difference("水泵坏了", "水崩坏了")[1:3] == [["gone", "泵"], ["new", "崩"]]
