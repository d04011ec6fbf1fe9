"""`data trial`: the same held-out rows for all arms, training rows alone made more of, and a trial that goes on."""

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import jobs
from kit import TinyBases
from tunesmith import flows, trialling
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.replies import REPLIES

ROOT = Path(__file__).parent.parent.parent
SILENT = Progress(silent=True)
OTHER = {
    "leak": "petrol spills dribbles trickles",
    "heat": "warm torrid scalding fiery",
    "noise": "clatter din racket thud",
}


def tree(base: Path, data: Any, folder: Path, *steps: Any, **train: Any) -> dict[str, Any]:
    made = jobs.tree(base, data, folder / "tried", save_every="1 epoch", log_every="1 epoch", **{"lr": 0.003, **train})
    return made | {"data": data, "method": "full", "steps": ["dedup", *steps]}


def test_a_trial_and_how_it_goes_on(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    plan = tree(tiny_bases["bert"], {"train": str(data), "test": 0.3}, tmp_path, "eda", epochs=1)
    plan["evaluate"] |= {"robustness": ["upper", "sound"]}
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    words = ["data", "trial", "plan.yaml", "--seeds", "2", "--rows", "20", "--method", "head", "--json"]
    assert main(words) == 0
    reply = json.loads(capsys.readouterr().out)
    REPLIES["data trial"].model_validate(reply)
    assert list(reply["arms"]) == ["without", "with"] and reply["seeds"] == [0, 1]
    assert reply["rows"] == {"train": [20, 20], "judged": [18, 18]}
    assert reply["arms"]["without"]["made"] == [0, 0] and min(reply["arms"]["with"]["made"]) > 10
    assert list(reply["robustness"]) == ["upper"], "no text of these has Chinese"
    assert reply["said"][0].startswith("with: ")
    top = Path(reply["folder"])
    for seed in (0, 1):
        held = [
            json.loads((top / f"seed-{seed}" / arm / "trial.json").read_text())["held_out"] for arm in reply["arms"]
        ]
        assert held[0] == held[1]
        ledger = pq.read_table(top / f"seed-{seed}" / "with" / "ledger.parquet").to_pylist()
        assert {row["split"] for row in ledger if row["made"]} == {"train"}
        assert not (top / f"seed-{seed}" / "with" / "checkpoints").exists()

    made = []  # a trial that was killed in its last run makes that one alone, and says the same
    real = trialling._run
    monkeypatch.setattr(trialling, "_run", lambda trial, seed, arm, *rest: made.append((seed, arm)) or real(
        trial, seed, arm, *rest))  # fmt: skip
    (top / "seed-1" / "with" / "trial.json").unlink()
    assert main(words) == 0
    assert made == [(1, "with")] and json.loads(capsys.readouterr().out) == reply

    file = top / "seed-1" / "with" / "trial.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"held_out": {"test": "other"}}))
    with pytest.raises(TunesmithError, match="judged on other rows than without"):
        flows.trial(make_plan(plan | {"method": "head"}), seeds=2, rows=20, progress=SILENT)


def test_what_cannot_be_tried_is_refused() -> None:
    small = {"task": "classify", "base": "minilm", "data": "x.csv"}
    with pytest.raises(
        TunesmithError, match="The plan has clean, dedup. Add one of backtranslate, .*steps=.clean, dedup, eda"
    ):
        flows.trial(make_plan(small))
    with pytest.raises(TunesmithError, match="one seed says nothing"):
        flows.trial(make_plan(small | {"steps": ["eda"]}), seeds=1)
    with pytest.raises(TunesmithError, match="sample stands twice"):
        flows.trial(make_plan(small | {"steps": [{"name": "sample", "rows": 9}, "eda"]}), rows=5)
    arms = trialling.arms_of(make_plan(small | {"steps": ["dedup", "eda", "noise"]}), 10, each=True)
    named = {arm: [step.name for step in plan.steps] for arm, plan in arms.items()}
    assert named == {
        "without": ["dedup", "sample"], "with": ["dedup", "sample", "eda", "noise"],
        "eda": ["dedup", "sample", "eda"], "noise": ["dedup", "sample", "noise"],
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", ["augmentation", "robustness"])
def test_the_commands_of_the_pages(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, capsys: Any
) -> None:
    """The plan of each page, tried with the command of the page."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    plan = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0])
    lines = (ROOT / "examples" / "data" / "tickets.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "tickets.csv").write_text("".join(lines[:131]), encoding="utf-8")
    plan |= {"base": str(tiny_bases["bert"]), "data": "tickets.csv", "train": {"epochs": 1}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    monkeypatch.chdir(tmp_path)
    line = next(each for each in text.splitlines() if each.startswith("tunesmith data trial plan.yaml"))
    assert main(shlex.split(line)[1:]) == 0
    said = capsys.readouterr().out
    assert said.count(" over 3 seeds ") == (3 if page == "augmentation" else 1)
    assert ("slip 0.2" in said) == (page == "robustness")


def write(path: Path, words: dict[str, list[str]], rows: int, seed: int) -> Path:
    draw = random.Random(seed)
    lines = ["text,label"]
    for i in range(rows):
        label = list(words)[i % 3]
        lines.append(f"{' '.join(draw.choices(words[label], k=4))} {draw.choice(['pump', 'fan'])} {i},{label}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["helps", "hurts"])
def test_the_verdict_on_a_planted_case(tiny_bases: TinyBases, tmp_path: Path, verdict: str) -> None:
    """helps: test texts use words that a thesaurus gives for those of the training texts. hurts: the thesaurus gives
    words of another class."""
    known = {label: words[:4] for label, words in jobs.WORDS.items()}
    other = {label: words.split() for label, words in OTHER.items()}
    labels = list(known)
    if verdict == "helps":
        groups, asked = [(a, b) for label in labels for a, b in zip(known[label], other[label], strict=True)], other
    else:
        turned = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
        groups, asked = (
            [(a, b) for label in labels for a, b in zip(known[label], known[turned[label]], strict=True)],
            known,
        )
    (tmp_path / "groups.csv").write_text("\n".join(f"{a},{b}" for a, b in groups) + "\n")
    data = {
        "train": str(write(tmp_path / "a.csv", known, 120, 0)),
        "test": str(write(tmp_path / "b.csv", asked, 90, 1)),
    }
    step = {"name": "synonyms", "resource": str(tmp_path / "groups.csv"), "rate": 1.0, "copies": 3, "senses": 2}
    plan = make_plan(tree(tiny_bases["bert"], data, tmp_path, step, epochs=8))
    reply = flows.trial(plan, seeds=3, progress=SILENT)
    told = reply["arms"]["with"]
    assert told["verdict"] == verdict and told["p_holm"] < 0.05, reply["said"]
    assert np.sign(told["difference"]["low"]) == np.sign(told["difference"]["high"])
