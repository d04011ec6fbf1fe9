"""`tunesmith merge`: folding and weighted merges end proven, or are refused and leave nothing behind."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import validate
from safetensors.torch import load_file

import talkers
from kit import TinyBases
from tunesmith import merge_proof, merging
from tunesmith.cli import main
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table
from tunesmith.files import write_folder
from tunesmith.flows import chat
from tunesmith.golden import EXACT, write_golden
from tunesmith.model import load, save
from tunesmith.replies import REPLIES, schema_of


@pytest.fixture(autouse=True)
def _quick_proof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The proof in this process (one test runs it apart), and a registry of the test's own."""
    monkeypatch.setattr(merge_proof, "prove_merged_apart", merge_proof.prove_merged)
    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "registry"))


def with_golden(run: Path) -> Path:
    """The golden batch of a saved model that writes."""
    model = load(run / "model")
    cells = [{"prompt": q, "response": a} for q, a in talkers.PAIRS]
    task = model.plan.task.resolved(Table("t", ("prompt", "response"), [(0, c) for c in cells], (), ""))
    model.plan = model.plan.model_copy(update={"task": task})
    table = Table("t", ("prompt", "response"), list(enumerate(cells)), (), "")
    records = task.taken_in(Ledger().add(table))
    encoded = model.encode(records, task.roles())
    write_golden(run / "golden", model, encoded, range(len(records)), list(records))
    write_folder(run / "model", lambda folder: save(model, folder))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("merge")
    base = talkers.base(folder / "small")
    specs: dict[str, Any] = {
        "one": {"name": "lora", "r": 4}, "two": {"name": "lora", "r": 8, "targets": "qv"},
        "dora": {"name": "lora", "variant": "dora"}, "prompt": {"name": "prompt", "tokens": 4},
    }  # fmt: skip
    return {n: with_golden(talkers.saved(base, folder / n, m, seed=i)) for i, (n, m) in enumerate(specs.items())}


def classifier(base: Path, run: Path, *, seed: int, labels: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """A saved classifier with its golden batch."""
    from small import model, plan, records

    rows = records(labels=[labels[i % 3] for i in range(10)])
    made = model(plan(base, method="lora", seed=4), rows)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.net.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    write_folder(run / "model", lambda folder: save(made, folder))
    opened = load(run / "model")
    encoded = opened.encode(rows, opened.plan.task.roles(labelled=False))
    write_golden(run / "golden", opened, encoded, range(len(rows)), rows)
    return run


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    reply = json.loads(out) if out else {}
    if code == 0:
        validate(reply, schema_of(str(words[0])))
        REPLIES[str(words[0])].model_validate(reply)
    return code, reply, err


@pytest.mark.parametrize("name", ["one", "dora"])
def test_a_folded_run_answers_alike_without_peft(
    name: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, reply, err = call(capsys, "merge", runs[name], "--out", tmp_path / "whole")
    assert code == 0, err
    proof = reply["proof"]
    assert proof["max_error"] <= EXACT and proof["plain_max_error"] <= EXACT
    assert (proof["written"], proof["written_changed"], proof["equality"]) == (4, 0, "exact")
    names = {p.name for p in (tmp_path / "whole").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "MODEL_CARD.md", "merge.json"} <= names
    assert "adapter_config.json" not in names
    assert chat(tmp_path / "whole").say("what leaks").content == chat(runs[name]).say("what leaks").content


def test_the_proof_runs_apart(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    code, reply, err = call(capsys, "merge", runs["one"], "--out", tmp_path / "whole")
    assert code == 0, err
    assert reply["proof"]["max_error"] <= EXACT


def test_bf16_is_measured(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, reply, err = call(capsys, "merge", runs["one"], "--out", tmp_path / "half", "--dtype", "bf16")
    assert code == 0, err
    assert EXACT < reply["proof"]["plain_max_error"] <= merge_proof.DRIFT
    assert reply["proof"]["equality"] == "bounded"
    assert all(t.dtype == torch.bfloat16 for t in load_file(tmp_path / "half" / "model.safetensors").values())


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_drifts_is_refused_and_leaves_nothing(
    dtype: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    real = merging.save

    def damaged(model: Any, folder: Path) -> None:
        with torch.no_grad():
            model.net.auto.model.layers[1].mlp.down_proj.weight.mul_(9)
        real(model, folder)

    monkeypatch.setattr(merging, "save", damaged)
    code, _, err = call(capsys, "merge", runs["one"], "--out", tmp_path / "bad", "--dtype", dtype)
    assert code == 3 and "golden batch" in err
    assert not list(tmp_path.iterdir())


def states(runs: dict[str, Path], *names: str) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """(weights of the base, those of folded runs)."""
    folded = [merging.folded(load(runs[n] / "model")).net.auto.state_dict() for n in names]
    return load_file(runs["one"].parent / "small" / "model.safetensors"), folded


def test_a_linear_merge_is_the_weighted_sum_of_what_changed_whatever_the_ranks(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("merge", runs["one"], runs["two"], "--how", "linear", "--weights", 0.7, 0.3, "--out", tmp_path / "both")
    code, reply, err = call(capsys, *words)
    assert code == 0, err
    assert reply["proof"]["max_error"] <= EXACT and reply["proof"]["rows"] == 2 * len(talkers.PAIRS)
    base, (one, two) = states(runs, "one", "two")
    made = load_file(tmp_path / "both" / "model.safetensors")
    for name, weight in made.items():
        wanted = base[name] + 0.7 * (one[name] - base[name]) + 0.3 * (two[name] - base[name])
        torch.testing.assert_close(weight, wanted, atol=1e-6, rtol=0)
    assert any(not torch.equal(made[n], base[n]) for n in made)


def test_dare_depends_on_the_seed_alone_and_the_folder_is_a_model(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": f"{q} now", "response": a}) for q, a in talkers.PAIRS]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    both = (runs["one"], runs["two"], "--how", "dare_ties", "--density", 0.6)
    digests = []
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call(capsys, "merge", *both, "--seed", seed, "--out", tmp_path / out)[0] == 0
        digests.append((tmp_path / out / "model.safetensors").read_bytes())
    assert digests[0] == digests[1] != digests[2]
    code, evaluated, err = call(capsys, "evaluate", tmp_path / "a", "--data", data)
    assert code == 0, err
    assert call(capsys, "predict", tmp_path / "a", "--data", data, "--out", tmp_path / "o.csv")[0] == 0
    code, _, err = call(capsys, "register", tmp_path / "a", "--name", "both")
    assert code == 0, err
    assert call(capsys, "evaluate", "both@1", "--data", data)[1]["metrics"] == evaluated["metrics"]
    assert main(["chat", "both@1", "--message", "what leaks"]) == 0


def test_parts_and_merge_are_judged_on_one_file(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": f"{q} now", "response": a}) for q, a in talkers.PAIRS]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ("merge", runs["one"], runs["two"], "--how", "ties", "--data", data, "--out", tmp_path / "both")
    code, reply, err = call(capsys, *words)
    assert code == 0, err
    compared = reply["compared"]
    assert list(compared["metrics"]) == ["merged", "one", "two"] and compared["rows"] == len(talkers.PAIRS)
    for name in ("one", "two"):
        alone = call(capsys, "evaluate", runs[name], "--data", data)[1]["metrics"]
        assert compared["metrics"][name] == alone
        difference = compared["metrics"]["merged"]["perplexity"]["value"] - alone["perplexity"]["value"]
        assert compared["paired"][name]["difference"]["value"] == pytest.approx(difference)
        assert compared["paired"][name]["p_holm"] >= compared["paired"][name]["p"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["prompt"], "method 'prompt' cannot be merged into its base: its virtual tokens"),
        (["one", "two"], "--how linear | ties"),
        (["one", "--how", "ties"], "--how is for several runs"),
        (["one", "two", "--how", "linear", "--density", "0.5"], "no effect with --how linear"),
        (["one", "two", "--how", "ties", "--density", "1.5"], "not a share"),
        (["one", "two", "--how", "ties", "--weights", "1", "-1"], "above 0"),
        (["one", "two", "--how", "linear", "--weights", "1"], "1 weights for 2 runs"),
        (["one", "prompt", "--how", "linear"], "prompt: method 'prompt' cannot be merged"),
        (["nowhere"], "neither a run"),
    ],
)
def test_what_cannot_be_merged_is_refused(
    words: list[str], told: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "merge", *(runs.get(w, w) for w in words), "--out", tmp_path / "out")
    assert code == 1 and told in err
    assert not (tmp_path / "out").exists()


def test_strangers_and_taken_folders_are_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = talkers.base(tmp_path / "other", seed=5)
    stranger = with_golden(talkers.saved(other, tmp_path / "stranger"))
    words = ("merge", runs["one"], stranger, "--how", "linear", "--out")
    code, _, err = call(capsys, *words, tmp_path / "out")
    assert code == 1 and "have different bases" in err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("x", encoding="utf-8")
    code, _, err = call(capsys, "merge", runs["one"], "--out", tmp_path / "taken")
    assert code == 1 and "is there already" in err and (tmp_path / "taken" / "mine").is_file()


def test_classifiers_fold_and_merge_with_their_heads(
    tiny_bases: TinyBases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_bases["roberta"]
    one, two = (classifier(base, tmp_path / name, seed=i) for i, name in enumerate(("one", "two")))
    code, reply, err = call(capsys, "merge", one, "--out", tmp_path / "whole")
    assert code == 0, err
    assert reply["proof"]["plain_max_error"] <= EXACT and reply["proof"]["label_flips"] == 0
    code, _, err = call(capsys, "merge", one, two, "--how", "linear", "--out", tmp_path / "both")
    assert code == 0, err
    made = load_file(tmp_path / "both" / "model.safetensors")["classifier.out_proj.weight"]
    heads = [load(run / "model").net.auto.base_model.model.classifier.modules_to_save["default"] for run in (one, two)]
    torch.testing.assert_close(made, sum(h.out_proj.weight for h in heads) / 2)
    other = classifier(base, tmp_path / "other", seed=3, labels=("x", "y", "z"))
    code, _, err = call(capsys, "merge", one, other, "--how", "linear", "--out", tmp_path / "out")
    assert code == 1 and "have different labels" in err
