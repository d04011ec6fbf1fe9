"""The page of the task `embed`: its plan runs as it stands, on small data and a tiny base; and TREC's layout reads."""

import re
from pathlib import Path

import pytest
import yaml

import embedding
from jobs import run_job
from kit import TinyBases

PAGE = Path(__file__).parent.parent.parent / "docs" / "tasks" / "embed.md"


def block(language: str, number: int) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(found[number])


def test_the_plan_of_the_page_runs(tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = embedding.write(tmp_path / "rows.jsonl", embedding.pairs(40)).read_text(encoding="utf-8")
    (tmp_path / "faq.jsonl").write_text(block("json", 0) + rows, encoding="utf-8")
    plan = yaml.safe_load(block("yaml", 1)) | {"base": str(tiny_bases["bert"])}
    reply = run_job(plan | {"evaluate": {"resamples": 100}})
    assert reply["proof"]["plain"] and set(reply["baselines"]) == {"bm25", "untuned"}
    assert (tmp_path / plan["run"] / "model" / "modules.json").is_file()


def test_a_trec_file_reads_as_the_page_says(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = embedding.write_beir(tmp_path)
    lines = [line.split("\t") for line in data.read_text(encoding="utf-8").splitlines()[1:]]
    trec = tmp_path / "qrels.txt"
    trec.write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in lines), encoding="utf-8")
    told = re.search(r"`data.format: (\{.*?\})`", PAGE.read_text(encoding="utf-8").replace("\n", " "))
    assert told is not None
    plan = embedding.tree(tiny_bases["bert"], trec, tmp_path / "run")
    plan["data"] = {"train": str(trec), "format": yaml.safe_load(told.group(1))}
    assert run_job(plan)["metrics"]["test"]["ndcg_at_10"]["value"] is not None
