"""Killed at any moment, the same command goes on and ends with the same weights, bit for bit, and the same journal."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from jobs import forked, history, run_job, tree, write_tickets
from kit import TinyBases


@pytest.fixture(scope="module")
def setting(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("kills")
    return folder, tiny_bases["bert"], write_tickets(folder / "tickets.csv")


def reference(folder: Path, base: Path, data: Path, **train: object) -> tuple[dict, list[dict], float]:
    run = folder / "reference"
    shutil.rmtree(run, ignore_errors=True)
    began = time.monotonic()
    reply = run_job(tree(base, data, run, **train))
    return reply, history(run), time.monotonic() - began


def kill_once(folder: Path, base: Path, data: Path, moment: float, **train: object) -> tuple[dict, list[dict], bool]:
    """Kill a fresh run after `moment` seconds, then run the same command to its end."""
    run = folder / "killed"
    shutil.rmtree(run, ignore_errors=True)
    pid = forked(tree(base, data, run, **train), folder / "log")
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    reply = run_job(tree(base, data, run, **train))
    return reply, history(run), os.WIFSIGNALED(status)


def check_kills(setting: tuple[Path, Path, Path], count: int, seed: int, **train: object) -> None:
    folder, base, data = setting
    reply, journal, seconds = reference(folder, base, data, **train)
    generator = random.Random(seed)
    killed = 0
    for _ in range(count):
        moment = generator.uniform(0, seconds)
        again, lines, was_killed = kill_once(folder, base, data, moment, **train)
        killed += was_killed
        # the first run also waited for imports: one that ended before its kill says how long runs really take
        seconds = seconds if was_killed else min(seconds, moment)
        assert again["weights_sha256"] == reply["weights_sha256"], f"other weights after a kill at {moment:.2f} s"
        assert again["golden_sha256"] == reply["golden_sha256"]
        assert lines == journal, f"another journal after a kill at {moment:.2f} s"
    assert killed >= count // 2, "too few kills hit a living process to prove anything"


def test_ten_random_kills_resume_bit_exact(setting: tuple[Path, Path, Path]) -> None:
    check_kills(setting, 10, seed=1)


@pytest.mark.faults
def test_two_hundred_random_kills_resume_bit_exact(setting: tuple[Path, Path, Path]) -> None:
    check_kills(setting, 200, seed=2)


LONG = {"epochs": 16, "patience": None, "save_every": "1000 steps", "evaluate_every": "8 epochs"}
"""Long enough for a signal to find it at work."""


@pytest.fixture(scope="module")
def straight(setting: tuple[Path, Path, Path]) -> dict:
    folder, base, data = setting
    return run_job(tree(base, data, folder / "straight", **LONG))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_same_command_goes_on(
    setting: tuple[Path, Path, Path], straight: dict, number: int, code: int
) -> None:
    folder, base, data = setting
    train = LONG
    run = folder / "asked"
    shutil.rmtree(run, ignore_errors=True)
    pid = forked(tree(base, data, run, **train), folder / "log")
    deadline = time.monotonic() + 60
    while not (run / "history.jsonl").is_file() or len(history(run)) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code, (folder / "log").read_text(encoding="utf-8")
    assert "Run the same command again" in (folder / "log").read_text(encoding="utf-8")
    assert len(list((run / "checkpoints").glob("step-*"))) == 1
    resumed = run_job(tree(base, data, run, **train))
    assert resumed["status"] == "resumed"
    assert resumed["weights_sha256"] == straight["weights_sha256"]


METHODS = {
    "full": "full", "gradual": "gradual", "ptuning": {"name": "ptuning", "tokens": 4, "hidden": 16},
    "prefix": {"name": "prefix", "tokens": 4, "projection": True, "hidden": 16},
    "adalora": {"name": "lora", "variant": "adalora"}, "sparse": {"name": "layers", "sparse": {"by": "fisher"}},
    "ema": "lora", "cached": {"name": "layers", "top": 1}, "cached in memory": {"name": "layers", "top": 1},
    "head": "head", "padded": "full", "penalised": "full", "swa": "full",
    "token budget": "full",
}  # fmt: skip
PENALTIES = {"penalised": ["l2sp", "mixout", "adversarial", "rdrop"]}
BUDGET = {"batch": 32, "batch_tokens": 80, "micro_tokens": 40}
TRAIN = {"ema": {"ema": 0.9}, "swa": {"swa": 0.3}, "token budget": BUDGET}
ENGINE = {"padded": {"pack": False}, "cached in memory": {"cache": "memory"}}


QUICK = ("cached", "head", "penalised")
"""Tried by default; the others under the mark `faults`."""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.faults) for n in METHODS])
def test_resume_is_exact_for_methods_with_a_memory(name: str, setting: tuple[Path, Path, Path]) -> None:
    """Where PEFT's own export cannot be resumed (P-tuning, projected prefixes), state is beside weights, or rows
    come from a cache."""
    folder, base, data = setting
    plans = []
    for run in ("whole", "halved"):
        plan = tree(base, data, folder / f"{name}-{run}", epochs=4, patience=None, **TRAIN.get(name, {}))
        parts = {"method": METHODS[name], "penalties": PENALTIES.get(name, [])}
        plans.append(plan | parts | {"engine": ENGINE.get(name, {})})
    whole = run_job(plans[0])
    pid = forked(plans[1], folder / "log")
    run = folder / f"{name}-halved"
    deadline = time.monotonic() + 60
    while not list((run / "checkpoints").glob("step-0000000[7-9]")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    again = run_job(plans[1])
    assert again["weights_sha256"] == whole["weights_sha256"]
