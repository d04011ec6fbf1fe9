"""Peers with environments of their own, and the rows of language models."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import contest
import environments
import pytest
import rows
import run
import sft


def test_rows_are_the_same_again_and_learn_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft.texts, "MADE", tmp_path / "made")
    file, about = sft.prepare("32k-70", 16)
    assert sft.prepare("32k-70", 16)[1]["digest"] == about["digest"] != sft.prepare("32k-50", 16)[1]["digest"]
    rows = json.loads(file.read_text())
    assert about["learnt_share"] == pytest.approx(0.3, abs=0.02)
    assert all(sft.LEAST <= len(ids) <= sft.LONGEST for ids in rows["ids"])
    assert sft.labels([5, 6, 7], 1) == [-100, 6, 7]
    assert min(json.loads(sft.prepare("32k-0", 16)[0].read_text())["given"]) == 1


def test_every_arm_starts_from_the_same_a(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from tunesmith.bases.load import quiet

    small = {**sft.SHAPE, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}
    found = []
    for _ in range(2):
        auto = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2", vocab_size=30, **small))
        with quiet():
            net = get_peft_model(auto, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]))
        sft.fill(net)
        found.append({n: p.detach().clone() for n, p in net.named_parameters() if "lora_A" in n})
    assert found[0] and all((found[0][name] == found[1][name]).all() for name in found[0])
    first, second = list(found[0].values())[:2]
    assert not (first == second).all()


def test_a_peer_is_made_once_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments.texts, "MADE", tmp_path)
    assert environments.python("ours") == sys.executable
    assert environments.python("adapters") is None
    assert "known: adapters" in str(environments.make("setfit"))
    said = subprocess.CompletedProcess([], 1, "", "ERROR: one\nERROR: No matching distribution\n")
    monkeypatch.setattr(environments.subprocess, "run", lambda *a, **k: said)
    assert "could not be installed: ERROR: No matching distribution" in str(environments.make("adapters"))
    commands: list[Any] = []

    def install(words: list[str], **_: Any) -> Any:
        commands.append(words)
        (tmp_path / "env-adapters").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(environments.subprocess, "run", install)
    assert environments.make("adapters") is None and len(commands) == 3
    assert commands[-1][1:] == ["-c", "import adapters"], "what is installed must start, too"
    assert environments.make("adapters") is None and len(commands) == 3, "it is there"
    assert environments.python("adapters") == str(tmp_path / "env-adapters" / "bin" / "python")


def test_an_arm_without_its_environment_is_skipped_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments.texts, "MADE", tmp_path)
    job = contest.chosen(["full-1"])[0]
    assert not run._can_run(job, contest.ADAPTERS, rows.Rows(tmp_path, {"rows": 32}))
    assert "--peer adapters makes it" in capsys.readouterr().out


def test_levers_are_switched_off_and_on_alone() -> None:
    arms = {arm.name: arm.options for arm in contest.LEVERS}
    assert arms["all on"] == {} and arms["pack off"] == {"pack": False}
    assert arms["pack and reads alone"] == {"pack": True, "reads": True, "cache": "off", "check": False}
