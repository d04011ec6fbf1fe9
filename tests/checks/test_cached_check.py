"""`data check` a second time: told without looking while nothing differs, and never from what does not fit."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tunesmith import checking, doctor
from tunesmith.cli import main
from tunesmith.data import kept
from tunesmith.flows import check, plan_around
from tunesmith.progress import Progress

ROWS = "text,label,site\nthe pump leaks oil,leak,1\nthe pump leaks  oil,heat,2\nhot motor,heat,x@y.org\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def looked(*files: Path, **how: Any) -> dict[str, Any]:
    return check(*files, progress=Progress(silent=True), **how)


def bare(reply: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in reply.items() if k != "cached"})


def test_the_second_time_is_told_without_looking(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, first = looked(file, again=False), looked(file)
    monkeypatch.setattr(checking, "read", None)
    second = looked(file)
    assert [r["cached"] for r in (plain, first, second)] == [False, False, True]
    assert bare(plain) == bare(first) == bare(second)
    assert {f["kind"] for f in second["findings"]} >= {"conflicts", "tiny_classes"}


def test_whatever_differs_is_looked_at_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked(file)
    assert not looked(file, file)["cached"]
    assert not looked(file, plan=plan_around(file, ["task.label=site"], None))["cached"]
    with monkeypatch.context() as updated:
        updated.setattr(kept, "code", lambda: "another version")
        assert not looked(file)["cached"]
    assert not looked(file, again=False)["cached"]
    assert looked(file)["cached"]
    file.write_text(ROWS.replace("hot", "hat"), encoding="utf-8")
    assert not looked(file)["cached"]


def test_a_changed_file_of_the_program_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own" / "data").mkdir(parents=True)
    (part := tmp_path / "own" / "step.py").write_text("1", encoding="utf-8")
    monkeypatch.setattr(kept, "__file__", str(tmp_path / "own" / "data" / "kept.py"))
    before = kept.code.__wrapped__()
    part.write_text("2", encoding="utf-8")
    assert kept.code.__wrapped__() != before


def test_what_is_damaged_or_in_the_making_is_not_read(file: Path) -> None:
    looked(file)
    (folder,) = kept.held()
    (folder / "reply.json").write_text("{}", encoding="utf-8")
    assert not looked(file)["cached"]
    assert looked(file)["cached"]

    def killed(folder: Path) -> None:
        (folder / "half").write_text("1", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.keep("check-x", killed)
    assert kept.look("check-x") is None
    assert kept.held() == [folder]


def test_room_is_bounded_and_can_be_emptied(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "ROOM", 5000)
    for place, key in enumerate("abc"):
        assert kept.keep(key, lambda folder: (folder / "data").write_bytes(bytes(2000)) and None) == ""
        os.utime(kept.root() / key / "about.json", (place, place))
    assert [f.name for f in kept.held()] == ["b", "c"]
    assert "larger" in kept.keep("d", lambda folder: (folder / "data").write_bytes(bytes(6000)) and None)
    assert [f.name for f in kept.held()] == ["b", "c"]
    kept.clean()
    looked(file)
    assert "1 results" in doctor._results(clean=False)["found"]
    doctor._results(clean=True)
    assert kept.held() == []


def test_quick_work_is_not_kept_and_the_command_says_what_is(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "SECONDS", 60.0)
    looked(file)
    assert kept.held() == []
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    page = str(file.with_suffix(".html"))
    for words, told in (((), False), ((), True), (("--no-cache",), False)):
        assert main(["data", "check", str(file), "--page", page, *words]) == 0
        assert ("from cache" in capsys.readouterr().out) is told
