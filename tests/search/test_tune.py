"""`tunesmith tune` as a user types it: a whole search, killed and gone on with, and what it leaves behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import jobs
from kit import TinyBases
from tunesmith import flows
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import read_plan
from tunesmith.progress import Progress
from tunesmith.replies import REPLIES
from tunesmith.search.tuning import crew

ROOT = Path(__file__).parent.parent.parent
pytest.importorskip("optuna", reason="needs the extra [tune]")
SILENT = Progress(silent=True)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def plan_of_the_page() -> dict[str, Any]:
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    return dict(yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0]))


def small(base: Path, folder: Path, **search: Any) -> Path:
    """The plan of the page, cut to seconds."""
    jobs.write_tickets(folder / "tickets.csv", 60)
    tree = plan_of_the_page()
    tree["task"] |= {"max_tokens": 32}
    tree |= {"base": str(base), "evaluate": {"resamples": 100}}
    tree["train"] |= {"epochs": 3, "batch": 16}
    tree["search"] = {"trials": 3, "workers": 1} | search
    (folder / "plan.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder / "plan.yaml"


def test_the_plan_of_the_page_killed_and_gone_on_with(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    plan = small(tiny_bases["bert"], tmp_path, trials=2)
    words = ["tune", str(plan), "train.epochs=1", "--quiet", "--json"]
    pieces: list[tuple[str, float]] = []
    real = crew.advance

    def killing(ground: Any, plan: Any, folder: Path, until: float) -> Any:
        pieces.append((folder.name, until))
        if len(pieces) == 3:
            raise KeyboardInterrupt
        return real(ground, plan, folder, until)

    monkeypatch.setattr(crew, "advance", killing)
    assert main(words) == 130
    stopped = pieces[-1][0]
    assert main(words) == 0
    assert pieces[3][0] == "untuned" and pieces[4][0] == stopped, "it goes on where it was"
    reply = json.loads(capsys.readouterr().out)
    REPLIES["tune"].model_validate(reply)
    top = Path(reply["folder"])
    assert top.parent.name == "runs" and re.fullmatch(r"tickets-classify-lora-[0-9a-f]{8}-tune", top.name)
    assert (top / "search.sqlite").is_file() and "What it is worth" in (top / "tune.html").read_text()
    assert len(reply["tried"]) == 2 and reply["trials"]["done"] >= 1 and reply["corners"]["every"]
    best, worth = reply["best"], reply["worth"]
    made = read_plan(Path(best["plan"]))
    assert made.train.lr == best["settings"]["train.lr"] and made.run is None
    assert made.method.model_dump()["alpha"] == 2 * best["settings"]["method.r"]
    assert worth["test"]["rows"] == 12 and worth["against"]["a"] == "untuned" and worth["against"]["rows"] == 12
    done = [t["value"] for t in reply["tried"] if t["state"] == "done"]
    assert best["value"] == max(done) == pytest.approx(worth["seen"]["value"])
    assert worth["optimism"] == pytest.approx(worth["seen"]["value"] - worth["test"]["value"])

    count = len(pieces)
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert [until for _, until in pieces[count:]] == [1.0], "only the plan as it is was looked at, which is there"
    assert again["best"] == best and again["worth"] == worth and again["tried"] == reply["tried"]

    with pytest.raises(TunesmithError, match=r'differs in:\n  - tune.pruner: "asha" -> "none"\nChoose'):
        flows.tune(
            plan, ["train.epochs=1", f"run={str(top).removesuffix('-tune')}", "search.pruner=none"], progress=SILENT
        )


def test_what_is_refused_is_refused_before_anything_is_trained(tiny_bases: TinyBases, tmp_path: Path) -> None:
    plan = small(tiny_bases["bert"], tmp_path)
    with pytest.raises(TunesmithError, match="method.targets: nowhere of .* is refused"):
        flows.tune(plan, ["method.targets={choice: [all, nowhere]}"], progress=SILENT)
    tokens = {"name": "prompt", "tokens": {"integer": [1, 5000]}}
    tree = yaml.safe_load(plan.read_text()) | {"method": tokens}
    with pytest.raises(TunesmithError, match="method.tokens: 5000 .*virtual tokens leave no place"):
        flows.tune(tree, progress=SILENT)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["sampler=pbt", "population=4", "generations=2", "search.trials=20"], ["workers=2"]])
def test_a_search_in_two_processes_killed_with_its_head(
    tiny_bases: TinyBases, tmp_path: Path, words: list[str], capsys: Any
) -> None:
    """SIGKILL to the process that asks; its workers notice, and the same command ends as an uninterrupted one."""
    plan = small(tiny_bases["bert"], tmp_path, untuned=False, pruner="none")
    if words[0] == "sampler=pbt":
        words = [*words, "search.pruner=asha", "workers=2"]
    command, last = ["tune", str(plan), *words], ["--quiet", "--json"]
    source = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    whole = [sys.executable, "-m", "tunesmith", *command, "run=runs/cut", *last]
    child = subprocess.Popen(whole, env=os.environ | source)
    deadline = time.monotonic() + 540
    while not list(Path("runs/cut-tune/trials").glob("*/history.jsonl")):
        assert child.poll() is None and time.monotonic() < deadline, child.kill()
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    replies = []
    for run in ("runs/cut", "runs/whole"):
        assert main([*command, f"run={run}", *last]) == 0
        replies.append(json.loads(capsys.readouterr().out))
    cut, whole = ([{k: t[k] for k in ("values", "state", "value")} for t in r["tried"]] for r in replies)
    assert cut == whole and replies[0]["worth"] == replies[1]["worth"]


@pytest.mark.slow
def test_ray_with_two_workers_on_one_machine(tiny_bases: TinyBases, tmp_path: Path, capsys: Any) -> None:
    """A search on Ray whose head is killed in the middle is restored by the same command."""
    pytest.importorskip("ray", reason="needs the extra [ray]")
    plan = small(tiny_bases["bert"], tmp_path, untuned=False, trials=4)
    command = ["tune", str(plan), "engine=ray", "search.workers=2", "--quiet", "--json"]
    source = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-m", "tunesmith", *command], env=os.environ | source)
    deadline = time.monotonic() + 540
    while not list(Path("runs").glob("*-tune/trials/*/standing.json")):
        assert child.poll() is None and time.monotonic() < deadline, child.kill()
        time.sleep(0.2)
    time.sleep(11)  # Ray writes down what it knows every ten seconds
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = {p.parent.name for p in Path("runs").glob("*-tune/trials/*/standing.json")}
    done = subprocess.run([sys.executable, "-m", "tunesmith", *command], env=os.environ | source, check=True,
                          stdout=subprocess.PIPE)  # fmt: skip
    reply = json.loads(done.stdout)
    REPLIES["tune"].model_validate(reply)
    assert reply["engine"] == "ray" and len(reply["tried"]) == 4
    assert before & {Path(t["folder"]).name for t in reply["tried"]}, "trials that had begun are among them"
    assert {t["state"] for t in reply["tried"]} <= {"done", "stopped"} and reply["best"]["value"] is not None
    assert reply["worth"]["test"]["value"] is not None
