"""Tagging end to end: the plan of its page, Chinese notes by characters, files in and out, long texts."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_chinese import chinese_base

from jobs import run_job
from kit import TinyBases
from tunesmith import flows
from tunesmith.progress import Progress

ROOT = Path(__file__).parent.parent.parent
NOTES = ROOT / "examples" / "data" / "marks_zh.jsonl"
QUICK = {"evaluate": {"resamples": 100}, "train": {"epochs": 1, "batch": 16}}


def notes(count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in NOTES.read_text(encoding="utf-8").splitlines()[:count]]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_notes_are_what_the_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_marks", ROOT / "examples" / "make_marks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", tmp_path / "again.jsonl")
    module.main()
    assert (tmp_path / "again.jsonl").read_bytes() == NOTES.read_bytes()
    rows = notes(1000)
    assert len(rows) == len({row["text"] for row in rows}) == 300
    kinds = {span["label"] for row in rows for span in row["spans"]}
    assert kinds == {"设备", "部件", "故障", "时间", "地点"} and any(not row["spans"] for row in rows)


def test_the_plan_of_the_page_runs(tiny_bases: TinyBases, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tasks" / "tag.md").read_text(encoding="utf-8")
    block = next(b for b in page.split("```yaml\n")[1:] if "base: minilm" in b).partition("```")[0]
    plan = yaml.safe_load(block)
    assert (ROOT / plan["data"]).is_file()
    plan |= QUICK | {"base": str(tiny_bases["bert"]), "data": str(lines(tmp_path / "n.jsonl", notes(60)))}
    reply = run_job(plan | {"run": str(tmp_path / "run")})
    assert reply["proof"]["plain"] and reply["equality"] == "bits"
    assert set(reply["baselines"]) == {"majority", "dictionary"}
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "pipeline_tag: token-classification" in card


def test_chinese_notes_are_learnt_by_characters_and_answered_in_place(tmp_path: Path) -> None:
    rows = notes(300)
    base = chinese_base(tmp_path / "base", "".join(sorted({c for row in rows for c in row["text"]})))
    plan = {
        "task": {"name": "tag", "max_tokens": 60}, "base": str(base), "method": "full",
        "data": {"train": str(lines(tmp_path / "n.jsonl", rows)), "validation": 0.1, "test": 0.2},
        "train": {"epochs": 12, "batch": 8, "lr": 3e-3, "evaluate_every": "6 epochs", "save_every": "30 epochs"},
        "evaluate": {"resamples": 100}, "run": str(tmp_path / "run"),
    }  # fmt: skip
    reply = run_job(plan)
    ours, theirs = (found["test"]["span_f1"]["value"] for found in (reply["metrics"], reply["baselines"]["dictionary"]))
    assert ours > 0.5 > theirs, "even without any pretraining: a character alone does not tell a machine"
    assert reply["paired"]["dictionary"]["difference"]["low"] > 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for told in ("Type by type", "设备", "word list", "Spans by type", "5 types of spans"):
        assert told in page
    text = "今早7点锅炉房的3号循环水泵机械密封漏油"
    answered = flows.load(tmp_path / "run")
    from tunesmith.asking import answers_for
    from tunesmith.data.table import Table

    found = json.loads(answers_for(answered, Table("t", ("text",), [(1, {"text": text})], (), ""))["prediction"][0])
    assert found and all(text[span["start"] : span["end"]] == span["text"] for span in found)


def test_files_of_words_go_in_and_come_out_with_their_columns(tiny_bases: TinyBases, tmp_path: Path) -> None:
    sentence = "the\tO\npump\tB-part\nleaks\tO\noil\tB-fluid\n\nbelt\tI-part\nslips\tO\nat\tO\nnight\tO\n\n"
    other = "fan\tB-part\nmotor\tI-part\nis\tO\nhot\tO\n\nwater\tB-fluid\ndrops\tO\n\n"
    numbered = "".join((sentence + other).replace("night", f"night{i}").replace("hot", f"hot{i}") for i in range(20))
    (tmp_path / "t.conll").write_text(numbered, encoding="utf-8")
    plan = QUICK | {
        "task": {"name": "tag", "max_tokens": 8, "stride": 2}, "base": str(tiny_bases["bert"]), "method": "head",
        "data": str(tmp_path / "t.conll"), "run": str(tmp_path / "run"),
    }  # fmt: skip
    run_job(plan)
    data = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))
    assert data["ledger"]["changes"]["tag"] == {"tags that break the scheme bio, read as spans of their own": 20}
    assert data["tokens"]["truncated_rows"] == 0
    assert yaml.safe_load((tmp_path / "run" / "plan.yaml").read_text(encoding="utf-8"))["task"]["scheme"] == "bio"
    for suffix in (".jsonl", ".csv"):
        out = tmp_path / f"out{suffix}"
        flows.predict(tmp_path / "run", tmp_path / "t.conll", out, progress=Progress(silent=True))
        assert len(out.read_text(encoding="utf-8").splitlines()) == 80 + (suffix == ".csv")
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["tokens"] == ["the", "pump", "leaks", "oil"] and first["tags"][1] == "B-part"
    assert isinstance(json.loads(first["prediction"]), list)
    measured = flows.evaluate(tmp_path / "run", tmp_path / "t.conll", progress=Progress(silent=True))
    assert measured["rows"] == 80 and measured["metrics"]["span_f1"]["value"] is not None


def test_data_check_reads_a_tagged_file(tmp_path: Path) -> None:
    (tmp_path / "t.conll").write_text("a\tB-x\nb\tO\n\nc\tI-x\nd\tO\n\n", encoding="utf-8")
    reply = flows.check(tmp_path / "t.conll")
    assert reply["rows"] == 2
    assert "tags that break the scheme bio, read as spans of their own: 1" in reply["notes"]
