"""Two domains end to end: the plan of its page, what stands beside the result, a kill, and rows in the wrong place."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import history, run_job, write_tickets
from kit import TinyBases
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare

ROOT = Path(__file__).parent.parent.parent
OTHER = {"pump": "turbine", "fan": "rotor", "belt": "chain", "night": "dawn"}
INNER = {"name": "classify", "text": "text", "label": "label", "max_tokens": 32}


def strange(path: Path, rows: int, seed: int, labels: str) -> Path:
    """Tickets in other words; labels: all, none, or every fourth."""
    write_tickets(path, rows, seed)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    out = [header]
    for i, line in enumerate(lines):
        text, label, hours = line.rsplit(",", 2)
        for old, new in OTHER.items():
            text = text.replace(old, new)
        known = labels == "all" or (labels == "some" and i % 4 == 0)
        out.append(f"zz {text} again,{label if known else ''},{hours}")
    path.write_text("\n".join(out) + "\n", encoding="utf-8")
    return path


def tree(base: Path, folder: Path, run: str, **more: Any) -> dict[str, Any]:
    files = {"s.csv": lambda p: write_tickets(p, 75), "t.csv": lambda p: strange(p, 40, 9, "some"),
             "test.csv": lambda p: strange(p, 30, 11, "all")}  # fmt: skip
    for name, write in files.items():
        if not (folder / name).exists():
            write(folder / name)
    return {
        "task": {"name": "domain", "task": INNER, "target": str(folder / "t.csv")}, "base": str(base),
        "data": {"train": str(folder / "s.csv"), "test": str(folder / "test.csv"), "validation": 0.2},
        "method": "lora", "penalties": ["dann"],
        "train": {"epochs": 1, "batch": 16, "lr": 0.01, "save_every": "1 step", "log_every": "1 step"},
        "evaluate": {"baselines": ["majority", "source"], "resamples": 100}, "run": str(folder / run), **more,
    }  # fmt: skip


def test_a_run_says_what_the_source_alone_gives_and_how_far_apart_they_are(
    tiny_bases: TinyBases, tmp_path: Path
) -> None:
    asked = tree(tiny_bases["bert"], tmp_path, "run")
    reply = run_job(asked)
    run = tmp_path / "run"
    assert reply["proof"]["plain"] and reply["equality"] == "bits"
    assert set(reply["baselines"]) == set(reply["paired"]) == {"majority", "source"}
    assert reply["paired"]["source"]["p"] is not None and len(reply["metrics"]["test"]["macro_f1"]) == 3
    assert any("60 rows of the source and 10 of the target are learnt from, 30 of" in w for w in reply["warnings"])
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["domains"]
    assert found["rows"] == 15 and found["target"] == "test"
    for name in ("before", "source", "after"):
        assert -2 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 2
    assert found["before"]["value"] > 0.5, "other words are told apart"
    steps = [line for line in history(run) if line["kind"] == "step"]
    alone = [line for line in history(run / "source_alone") if line["kind"] == "step"]
    assert len(steps) == len(alone) and all("penalty" in line for line in steps)
    assert not any("penalty" in line for line in alone), "the source alone is not pulled at"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "How far apart source and target are" in page and "After training on the source alone" in page
    assert "pipeline_tag: text-classification" in (run / "MODEL_CARD.md").read_text(encoding="utf-8")
    from tunesmith.flows import ask

    assert len(ask(run, [{"text": "the rotor drips oil"}])) == 1


@pytest.mark.faults
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from tunesmith.training.loop import Loop

    more = {"evaluate": {"baselines": ["source"], "resamples": 100}}
    whole = run_job(tree(tiny_bases["bert"], tmp_path, "whole", **more))
    real, count = Loop._after_step, 0

    def stop(loop: Loop) -> None:
        nonlocal count
        count += 1
        real(loop)
        if count in (4, 9):  # once in the run itself, once in what stands beside it
            raise Interrupted("stopped", 130)

    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loop, "_after_step", stop)
            with pytest.raises(Interrupted):
                run_job(tree(tiny_bases["bert"], tmp_path, "cut", **more))
    again = run_job(tree(tiny_bases["bert"], tmp_path, "cut", **more))
    assert count == 9 and again["status"] == "resumed"
    for name in ("weights_sha256", "golden_sha256", "metrics", "baselines", "paired"):
        assert again[name] == whole[name], name


def test_the_plan_of_the_page_runs(tiny_bases: TinyBases, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tasks" / "domain.md").read_text(encoding="utf-8")
    block = next(b for b in page.split("```yaml\n")[1:] if "base: minilm" in b).partition("```")[0]
    plan = yaml.safe_load(block)
    usual = tree(tiny_bases["bert"], tmp_path, "run")
    plan["task"] = plan["task"] | {"target": usual["task"]["target"], "task": plan["task"]["task"] | {"label": "label"}}
    plan |= {"base": usual["base"], "data": usual["data"], "evaluate": {"resamples": 100, "baselines": ["majority"]}}
    plan["train"] |= {"epochs": 1, "batch": 16}
    reply = run_job(plan | {"run": str(tmp_path / "run")})
    assert reply["equality"] == "bits" and set(reply["metrics"]) == {"validation", "test"}


def test_rows_that_are_judged_on_are_not_learnt_from_even_without_a_label(
    tiny_bases: TinyBases, tmp_path: Path
) -> None:
    asked = tree(tiny_bases["bert"], tmp_path, "run")
    lines = (tmp_path / "test.csv").read_text(encoding="utf-8").splitlines()
    with (tmp_path / "t.csv").open("a", encoding="utf-8") as stream:
        stream.write("".join(f"{line.rsplit(',', 2)[0]},,1.0\n" for line in lines[1:4]) + "zz twice,,1\nzz twice,,1\n")
    prepared = prepare(make_plan(asked))
    test = {r.cells["text"] for r in prepared.splits["test"]}
    assert len(test) == 30 and not test & {r.cells["text"] for r in prepared.lessons}
    assert len(prepared.bare) == 31 and len(prepared.joined) == 10, "of two equal rows one is left"
    assert any("3 rows left the rows without a label because" in note for note in prepared.notes)
    counts = prepared.ledger.counts()
    assert counts["train"] == len(prepared.lessons) and counts["dropped"] == 3 and counts["duplicate"] == 1
    assert sum(counts.values()) == 75 + 40 + 30 + 5


def test_a_test_that_is_drawn_from_the_source_is_said_to_be_one(tiny_bases: TinyBases, tmp_path: Path) -> None:
    asked = tree(tiny_bases["bert"], tmp_path, "run")
    asked["data"] |= {"test": 0.2}
    asked["evaluate"] |= {"baselines": []}
    reply = run_job(asked)
    assert any("test rows are drawn from the source" in w and "data.test" in w for w in reply["warnings"])
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["domains"]["target"] == "training"


def test_a_target_that_nobody_looks_at_is_refused_before_training(tiny_bases: TinyBases, tmp_path: Path) -> None:
    asked = tree(tiny_bases["bert"], tmp_path, "run", penalties=[])
    strange(tmp_path / "t.csv", 30, 4, "none")
    with pytest.raises(TunesmithError, match="nothing looks at rows without one"):
        run_job(asked)


def test_what_read_texts_of_the_target_before_is_the_base_of_the_next_plan(
    tiny_bases: TinyBases, tmp_path: Path
) -> None:
    asked = tree(tiny_bases["bert"], tmp_path, "run")
    texts = [line.rsplit(",", 2)[0] for line in (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[1:]]
    (tmp_path / "t.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    before = {
        "task": {"name": "generate", "format": "text", "max_tokens": 32, "decode": {"max_new_tokens": 2}},
        "base": str(tiny_bases["llama language"]), "data": {"train": str(tmp_path / "t.txt"), "test": None},
        "method": "full", "train": {"max_steps": 2, "epochs": 1, "batch": 8},
        "evaluate": {"metrics": ["perplexity"], "baselines": [], "resamples": 100, "forgetting": False},
        "run": str(tmp_path / "read"),
    }  # fmt: skip
    run_job(before)
    asked |= {"base": str(tmp_path / "read" / "model"), "evaluate": {"baselines": [], "resamples": 100}}
    assert run_job(asked)["equality"] == "bits"
