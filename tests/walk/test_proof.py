"""The reload proof: a fresh process must find the same answers, and a model that was touched is refused."""

import json
import shutil
from pathlib import Path

import pytest

from jobs import run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import GateRefused, TunesmithError
from tunesmith.prove import prove, prove_apart
from tunesmith.run import Run


@pytest.fixture(scope="module")
def done(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proof")
    run_job(tree(tiny_bases["bert"], write_tickets(folder / "tickets.csv"), folder / "run"))
    return folder / "run"


def copy(run: Path, folder: Path) -> Run:
    shutil.copytree(run, folder / "run")
    return Run(folder / "run")


def test_a_fresh_process_finds_the_same_bits(done: Path) -> None:
    proof = prove_apart(Run(done))
    assert proof["bits"] and proof["equality"] == "bits" and proof["plain"]


def test_one_changed_weight_is_refused_with_exit_code_3(done: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = copy(done, tmp_path)
    file = run.model / "adapter_model.safetensors"
    tensors = load_file(str(file))
    name = next(n for n in tensors if "lora_B" in n)
    tensors[name][0] += 0.5  # one row: LayerNorm would take out a shift of all
    save_file(tensors, str(file), metadata={"format": "pt"})
    with pytest.raises(GateRefused, match="does not answer as the trained model does"):
        prove(run)
    assert GateRefused.exit_code == 3


def test_a_missing_tensor_is_refused(done: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = copy(done, tmp_path)
    file = run.model / "adapter_model.safetensors"
    tensors = load_file(str(file))
    tensors.pop(next(n for n in tensors if "classifier" in n))
    save_file(tensors, str(file), metadata={"format": "pt"})
    with pytest.raises(TunesmithError, match="classifier"):
        prove(run)


def test_another_metric_than_the_stored_one_is_refused(done: Path, tmp_path: Path) -> None:
    run = copy(done, tmp_path)
    stored = json.loads(run.file("metrics.json").read_text(encoding="utf-8"))
    stored["metrics"]["validation"]["macro_f1"]["value"] = 0.123
    run.file("metrics.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(GateRefused, match="the trained one reached 0.123"):
        prove(run)


def test_a_metric_may_differ_as_far_as_outputs_may(done: Path, tmp_path: Path) -> None:
    """A loss of blocks that came from a cache in training is equal to rounding, not to the bit."""
    run = copy(done, tmp_path)
    stored = json.loads(run.file("metrics.json").read_text(encoding="utf-8"))
    main = stored["metrics"]["validation"][stored["main"]]
    value = main["value"]
    for off, holds in ((5e-6, True), (2e-5, False)):
        main["value"] = value + off
        run.file("metrics.json").write_text(json.dumps(stored), encoding="utf-8")
        if holds:
            assert prove(run)["metric"] == {stored["main"]: value}
        else:
            with pytest.raises(GateRefused, match="the trained one reached"):
                prove(run)


def test_another_base_of_the_same_shape_is_refused(done: Path, tmp_path: Path, tiny_bases: TinyBases) -> None:
    import tiny

    run = copy(done, tmp_path)
    other = tiny.make("bert", tmp_path / "other", seed=1)
    card = json.loads((run.model / "tunesmith.json").read_text(encoding="utf-8"))
    card["plan"]["base"]["name"] = str(other)
    (run.model / "tunesmith.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(TunesmithError, match="Answers would differ: refused"):
        prove(run)
