"""Whole jobs that put several runs' adapters together: fusion and average, of texts and of pictures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import jobs
import pictures
import tunesmith
from kit import TinyBases
from tunesmith import merge_proof
from tunesmith.errors import TunesmithError

ADAPTER = {"name": "adapter", "reduction_factor": 4}


@pytest.fixture(scope="module")
def texts(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two runs of different tasks on one base, and a plan that fuses them."""
    top = tmp_path_factory.mktemp("texts")
    data = jobs.write_tickets(top / "t.csv", rows=60)
    one = jobs.tree(tiny_bases["bert"], data, top / "one", epochs=2) | {"method": ADAPTER}
    two = one | {
        "task": {"name": "regress", "text": "text", "label": "hours", "max_tokens": 32},
        "run": str(top / "two"),
    }
    for tree in (one, two):
        jobs.run_job(tree)
    return one | {"method": {"name": "fusion", "of": [one["run"], two["run"]]}, "top": top}


def fusing(texts: dict[str, Any], run: Path, **changes: Any) -> dict[str, Any]:
    return {k: v for k, v in texts.items() if k != "top"} | {"run": str(run), **changes}


def copies(texts: dict[str, Any], folder: Path) -> list[str]:
    """The parts, where they may be changed and deleted."""
    return [str(shutil.copytree(run, folder / Path(run).name)) for run in texts["method"]["of"]]


def test_runs_of_two_tasks_are_fused_proven_and_may_then_be_deleted(texts: dict[str, Any], tmp_path: Path) -> None:
    parts = copies(texts, tmp_path)
    reply = jobs.run_job(fusing(texts, tmp_path / "run", method={"name": "fusion", "of": parts}), apart=True)
    assert reply["status"] == "done" and not reply["proof"]["plain"] and reply["proof"]["bits"]
    before = tunesmith.ask(tmp_path / "run", [{"text": "oil drips"}, {"text": "hot smoke"}])
    for part in parts:
        shutil.rmtree(part)
    assert tunesmith.ask(tmp_path / "run", [{"text": "oil drips"}, {"text": "hot smoke"}]) == before
    (table,) = json.loads((tmp_path / "run" / "learnt.json").read_text())
    assert table["header"] == ["place", "one", "two"] and len(table["rows"]) == 4
    assert all(sum(row[1:]) == pytest.approx(1) for row in table["rows"])
    assert "Attention to each part" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_kill_costs_nothing(texts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.training.loop import Loop

    whole = jobs.run_job(fusing(texts, tmp_path / "whole"))
    after = Loop._after_step

    def dies(loop: Loop) -> None:
        after(loop)
        if loop.state.step == 4:
            raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_after_step", dies)
        with pytest.raises(KeyError):
            jobs.run_job(fusing(texts, tmp_path / "killed"))
    again = jobs.run_job(fusing(texts, tmp_path / "killed"))
    assert again["status"] == "resumed" and again["weights_sha256"] == whole["weights_sha256"]
    assert again["golden_sha256"] == whole["golden_sha256"]


def test_another_content_of_a_part_is_another_run(texts: dict[str, Any], tmp_path: Path) -> None:
    parts = copies(texts, tmp_path)
    tree = fusing(texts, tmp_path / "run", method={"name": "fusion", "of": parts}, train={"epochs": 1, "batch": 16})
    jobs.run_job(tree)
    shutil.rmtree(parts[1])
    shutil.copytree(parts[0], parts[1])
    with pytest.raises(TunesmithError, match="sources"):
        jobs.run_job(tree)


def test_runs_that_are_not_done_or_of_another_base_are_refused(
    texts: dict[str, Any], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    parts = copies(texts, tmp_path)
    method = {"name": "fusion", "of": parts}
    with pytest.raises(TunesmithError, match="one learnt on another base than .*roberta, or on more or fewer blocks"):
        jobs.run_job(fusing(texts, tmp_path / "run", method=method, base=str(tiny_bases["roberta"])))
    with pytest.raises(TunesmithError, match="or on more or fewer blocks"):
        jobs.run_job(fusing(texts, tmp_path / "run", method=method, base={"name": texts["base"], "layers": 2}))
    (Path(parts[1]) / "reply.json").unlink()
    with pytest.raises(TunesmithError, match=r"method: .*two is no finished run"):
        jobs.run_job(fusing(texts, tmp_path / "run", method=method))
    with pytest.raises(TunesmithError, match=r"nowhere is no finished run"):
        jobs.run_job(fusing(texts, tmp_path / "run", method={"name": "fusion", "of": ["nowhere", parts[0]]}))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs on pictures of two kinds by one convolutional base: two of adapters, two of LoRA."""
    top = tmp_path_factory.mktemp("seen")
    base = pictures.make("resnet", top / "resnet")
    for seed, name in enumerate("ab"):
        data = pictures.shapes(top / f"data-{name}", each=8, seed=seed)
        for method in ({**ADAPTER, "reduction_factor": 2}, {"name": "lora", "r": 2}):
            jobs.run_job({
                "task": "image", "base": str(base), "data": str(data), "method": method,
                "run": str(top / f"{method['name']}-{name}"), "evaluate": {"resamples": 100, "baselines": []},
                "train": {"epochs": 2, "batch": 8, "lr": 0.01},
            })  # fmt: skip
    return {"top": top}


def test_runs_on_pictures_are_fused(seen: dict[str, Path], tmp_path: Path) -> None:
    top = seen["top"]
    for kind in ("adapter", "lora"):
        reply = jobs.run_job({
            "task": "image", "base": str(top / "resnet"), "data": str(top / "data-a"), "run": str(tmp_path / kind),
            "method": {"name": "fusion", "of": [str(top / f"{kind}-{n}") for n in "ab"]},
            "evaluate": {"resamples": 100, "baselines": []}, "train": {"epochs": 1, "batch": 8},
        })  # fmt: skip
        assert reply["status"] == "done" and reply["proof"]["max_error"] <= 1e-5


def test_adapters_on_pictures_are_averaged_and_proven(
    seen: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_proof, "prove_merged_apart", merge_proof.prove_merged)
    top, runs = seen["top"], [seen["top"] / "adapter-a", seen["top"] / "adapter-b"]
    reply = tunesmith.merge(runs, tmp_path / "mean", how="average", weights=[3, 1], data=top / "data-b")
    assert reply["warnings"] == [] and reply["proof"]["max_error"] <= 1e-5 and not reply["proof"]["plain"]
    assert set(reply["compared"]["metrics"]) == {"merged", "adapter-a", "adapter-b"}
    mean, a, b = (
        load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "mean", *(r / "model" for r in runs))
    )
    assert mean.keys() == a.keys() and any("bottleneck_up" in n for n in a) and any("classifier" in n for n in a)
    for name, tensor in mean.items():
        assert torch.allclose(tensor, 0.75 * a[name] + 0.25 * b[name], atol=1e-7), name
    assert any(not torch.equal(a[n], b[n]) for n in a)
    tunesmith.predict(tmp_path / "mean", top / "data-b", tmp_path / "out.csv")
    assert "prediction" in (tmp_path / "out.csv").read_text().splitlines()[0]


def test_lora_on_pictures_is_averaged_by_its_updates(
    seen: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_proof, "prove_merged_apart", merge_proof.prove_merged)
    runs = [seen["top"] / "lora-a", seen["top"] / "lora-b"]
    reply = tunesmith.merge(runs, tmp_path / "mean", how="linear")
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5


def test_averages_without_sense_are_refused(seen: dict[str, Path], tmp_path: Path) -> None:
    top = seen["top"]

    def refused(*names: str, how: str = "average", **more: Any) -> str:
        with pytest.raises(TunesmithError) as caught:
            tunesmith.merge([top / n for n in names], tmp_path / "out", how=how, **more)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "lora can be merged by --how linear" in refused("lora-a", "lora-b")
    assert "have different settings" in refused("adapter-a", "lora-b")
    assert "Use --how average" in refused("adapter-a", "adapter-b", how="linear")
    assert "--density has no effect with --how average" in refused("adapter-a", "adapter-b", density=0.5)
