"""The plan of the page on augmentation runs as it stands there, on a tiny base, and accounts for every row."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import yaml

import jobs
from kit import TinyBases

ROOT = Path(__file__).parent.parent.parent


def test_the_plan_of_the_page(tiny_bases: TinyBases, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "augmentation.md").read_text(encoding="utf-8")
    plan = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0])
    lines = (ROOT / "examples" / "data" / "tickets.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "tickets.csv").write_text("".join(lines[:131]), encoding="utf-8")
    plan |= {"base": str(tiny_bases["bert"]), "data": str(tmp_path / "tickets.csv"), "run": str(tmp_path / "run")}
    reply = jobs.run_job(plan | {"evaluate": {"baselines": [], "resamples": 100}})
    assert reply["status"] == "done"
    ledger = pq.read_table(tmp_path / "run" / "ledger.parquet").to_pylist()
    made = [row for row in ledger if row["made"]]
    assert made and all(row["split"] == "train" for row in made)
    assert {row["made_by"] for row in made} == {"eda", "eda, noise"}  # every class has fewer than 60 rows
    told = json.loads((tmp_path / "run" / "data.json").read_text())["ledger"]["changes"]
    assert sum(row["made"] for row in made) == told["eda"]["rows added"] + told["noise"]["rows added"]
    assert json.loads((tmp_path / "run" / "run.json").read_text()).get("files") is None
    shutil.rmtree(tmp_path / "run")
