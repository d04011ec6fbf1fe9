"""Several tasks end to end: the plan of the page, folders of each task, each task alone beside it, answers to files."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import run_job
from kit import TinyBases
from tunesmith import flows
from tunesmith.progress import Progress

ROOT = Path(__file__).parent.parent.parent
QUICK = {"resamples": 100, "baselines": ["majority"]}


def page_plan() -> dict[str, Any]:
    page = (ROOT / "docs" / "tasks" / "multi.md").read_text(encoding="utf-8")
    block = next(b for b in page.split("```yaml\n")[1:] if "data: examples" in b).partition("```")[0]
    plan: dict[str, Any] = yaml.safe_load(block)
    return plan


@pytest.fixture(scope="module")
def done(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The plan of the page on the first rows of its file, with what is learnt of weights and conflicts."""
    folder = tmp_path_factory.mktemp("several")
    plan = page_plan()
    assert (ROOT / plan["data"]).is_file()
    rows = (ROOT / plan["data"]).read_text(encoding="utf-8").splitlines()[:61]
    (folder / "tickets.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    plan |= {"base": str(tiny_bases["bert"]), "data": str(folder / "tickets.csv"), "run": str(folder / "run")}
    plan["task"] |= {"alone": True, "sampling": "temperature"}
    plan |= {"train": {"epochs": 2, "batch": 32}, "evaluate": QUICK, "penalties": ["uncertainty"]}
    return run_job(plan), folder


def test_the_plan_of_the_page_runs_and_every_folder_is_proven(done: tuple[dict[str, Any], Path]) -> None:
    reply, folder = done
    assert reply["proof"]["plain"] and reply["equality"] == "bits"
    assert list(reply["metrics"]["test"])[:2] == ["joint", "failure.macro_f1"]
    model = folder / "run" / "model"
    trunk = next(model.glob("model-trunk-*.safetensors"))
    same = [model / name / trunk.name for name in ("failure", "severity", "hours")]
    assert all(trunk.samefile(each) for each in same), "the trunk lies on the disk once"
    assert not (model / "model.safetensors").exists()
    assert json.loads((model / "severity" / "config.json").read_text())["label2id"] == {
        "high": 0,
        "low": 1,
        "medium": 2,
    }
    assert json.loads((model / "hours" / "task.json").read_text())["scale"] > 0
    ledger = json.loads((folder / "run" / "data.json").read_text())["ledger"]
    assert ledger["rows"] == 180 == sum(ledger["fates"].values())


def test_the_report_says_who_went_with_whom(done: tuple[dict[str, Any], Path]) -> None:
    reply, folder = done
    found = json.loads((folder / "run" / "metrics.json").read_text())["together"]
    assert found["names"] == ["failure", "severity", "hours"] and found["looks"] >= 1
    assert sorted(name for group in found["groups"] for name in group) == sorted(found["names"])
    for name, one in found["alone"].items():
        assert one["together"] - one["alone"] == pytest.approx(one["difference"]["value"], abs=1e-9)
        assert one["together"] == pytest.approx(reply["metrics"]["test"][f"{name}.{one['metric']}"]["value"])
        assert one["verdict"] in ("helped", "hurt", "cannot tell") and one["adjusted"] >= one["p"]
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    tables = ("Each task beside itself trained alone", "Weights of the tasks at the end", "Proposed grouping")
    for told in ("Several tasks on one backbone", *tables, "failure: What is mixed up", "hours: Answers against"):
        assert told in page, told


def test_files_are_answered_by_all_tasks_and_judged_by_those_they_have_labels_of(
    done: tuple[dict[str, Any], Path],
) -> None:
    _, folder = done
    run, out = folder / "run", folder / "out.csv"
    (folder / "new.csv").write_text("text,severity\nthe pump leaks,low\nbelt slips,high\n", encoding="utf-8")
    flows.predict(run, folder / "new.csv", out, progress=Progress(silent=True))
    with out.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert set(json.loads(rows[0]["prediction"])) == {"failure", "severity", "hours"}
    assert rows[0]["failure.prediction"] == json.loads(rows[0]["prediction"])["failure"]
    assert sum(float(v) for k, v in rows[0].items() if k.startswith("severity.p:")) == pytest.approx(1, abs=1e-5)
    answered = flows.ask(run, [{"text": "the pump leaks"}])
    assert answered[0]["severity"] == rows[0]["severity.prediction"]
    table = run / "predictions.parquet"
    import pyarrow.parquet as pq

    stored = pq.read_table(table).to_pydict()
    assert set(stored["task"]) == {"failure", "severity", "hours"} and all(stored["prediction"])
    file = folder / "again.csv"
    file.write_text((folder / "tickets.csv").read_text(encoding="utf-8"), encoding="utf-8")
    judged = flows.evaluate(run, file, progress=Progress(silent=True))
    assert judged["rows"] == 180 and judged["metrics"]["hours.mae"]["value"] > 0
