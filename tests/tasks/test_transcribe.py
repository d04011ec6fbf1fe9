"""Recognition of speech: the loss and the texts are the library's, alphabets come from the training rows."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sounds
from kit import settings
from tunesmith.bases.find import find
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.prepare import run_steps
from tunesmith.prove import plain_logits, plain_network
from tunesmith.tasks import Facts, _ctc
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("bases")
    return {norm: sounds.make("wav2vec2", top / norm, norm) for norm in ("group", "layer")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.spoken(tmp_path_factory.mktemp("spoken") / "data", 8)


def case(method: Any, base: Path, data: Path, **task: Any) -> tuple[Model, list[Any]]:
    more = {"adapter": {"reduction_factor": 4}}.get(str(method)) or settings(method, base, "ctc")
    plan = make_plan(
        {
            "task": {"name": "transcribe", **task}, "base": str(base), "data": str(data),
            "method": {"name": method, **more},
            "train": {"epochs": 1, "batch": 8, "warmup": 0.0, "keep": "last", "lr": 1e-2},
        }
    )  # fmt: skip
    table, ledger = read(data), Ledger()
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    records = list(run_steps(plan, "every_row", ledger.add(table), plan.task.roles(), ledger))
    found = find(str(base))
    processor = plan.task.processor(found)
    return build(plan, facts_for(plan, records, plan.task.roles(), found, processor), found, processor), records


@pytest.mark.parametrize("norm", ("group", "layer"))
def test_the_loss_is_the_librarys(norm: str, bases: dict[str, Path], data: Path) -> None:
    """Wav2Vec2ForCTC's own loss, one clip at a time, and the sum over clips of several lengths."""
    model, records = case("full", bases[norm], data)
    encoded = model.encode(records, model.plan.task.roles())
    model.net.eval()
    way, rows = model.shortcuts.way, list(range(len(records)))
    model.net.auto.config.ctc_loss_reduction = "sum"
    theirs = 0.0
    with torch.inference_mode():
        ours = sum(
            float(model.plan.task.step_loss(way, encoded, piece)) for piece in way.pieces(encoded, rows, 100_000)
        )
        for row in rows:
            clip = torch.from_numpy(encoded.waves.clip(row).copy())[None]
            labels = torch.from_numpy(encoded.labels[row].astype(np.int64))[None]
            theirs += float(model.net.auto(clip, labels=labels).loss)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert model.plan.task.weigh(encoded, rows) == encoded.labels.size


def test_the_loss_is_that_of_all_alignments() -> None:
    """By counting every path of four steps over three characters."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 3, generator=generator)
    chances = logits[0].softmax(-1)
    for wanted in ([1], [1, 2], [1, 1], [2, 1, 2]):
        paths = itertools.product(range(3), repeat=4)
        said = [p for p in paths if [k for k, _ in itertools.groupby(p) if k != _ctc.BLANK] == wanted]
        total = sum(math.prod(float(chances[t, c]) for t, c in enumerate(path)) for path in said)
        found = _ctc.of_texts(logits, torch.tensor(wanted), torch.tensor([4]), torch.tensor([len(wanted)]))
        assert float(found) == pytest.approx(-math.log(total), rel=1e-5)
        assert _ctc.least_steps(wanted) == min(4, len(wanted) + (wanted == [1, 1]))


def test_greedy_texts_are_those_of_the_saved_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    labels = _ctc.alphabet(["ba c", "水"])
    assert labels == ("<pad>", "<unk>", "|", "a", "b", "c", "水")
    _ctc.save_tokenizer(labels, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    path = [0, 4, 4, 0, 3, 2, 2, 5, 0, 5, 6]
    logits = torch.nn.functional.one_hot(torch.tensor([path]), 7).float()
    heard = _ctc.greedy(logits, [len(path)])[0]
    assert _ctc.text(heard, labels) == tokenizer.decode(path) == "ba cc水"
    assert tokenizer("ba c").input_ids == _ctc.numbers("ba c", labels) == [4, 3, 2, 5]
    assert _ctc.numbers("x", labels) == [_ctc.UNKNOWN] and _ctc.text([1, 3], labels) == "a"
    assert _ctc.right([3, 4], [3, 5, 5]) == 1 and _ctc.right([4] * 9, [3]) == 0


REFUSED = ("expand", "prefix", "prompt", "ptuning")


@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_is_saved_and_opened(method: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    base = bases["layer" if method in ("lora", "adapter", "layers") else "group"]
    if method in REFUSED:
        with pytest.raises(TunesmithError, match="wav2vec2.*Use "):
            case(method, base, data)
        return
    model, records = case(method, base, data)
    roles = model.plan.task.roles()
    encoded = model.encode(records, roles)
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    Loop(Job(model, encoded, encoded, lambda _: {"cer": 0.0}, Path(), save=False)).run()
    after = model.net.state_dict()
    assert not [n for n in before if n not in moving and not torch.equal(before[n], after[n])]
    outputs = model.outputs(encoded)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, roles)), outputs) <= EXACT
    if ecosystem(model.plan, model.family) == "plain":
        labels = torch.full((len(records), int(encoded.labels.lengths.max())), -100)
        for row, own in enumerate(encoded.labels):
            labels[row, : len(own)] = torch.tensor(own)
        waves = encoded.waves
        tensors = {waves.name: waves.padded(range(len(encoded))), "lengths": torch.from_numpy(waves.lengths),
                   "labels": labels, "logits": torch.from_numpy(outputs)}  # fmt: skip
        with torch.inference_mode():
            plain = plain_logits(plain_network(tmp_path / "model", model), model, tensors)
        assert error_of(plain, outputs) <= EXACT


def test_no_text_depends_on_the_clips_beside_it(bases: dict[str, Path], data: Path) -> None:
    for base in bases.values():
        model, records = case("full", base, data)
        roles = model.plan.task.roles()
        together = model.outputs(model.encode(records, roles))
        for row, record in enumerate(records):
            alone = model.outputs(model.encode([record], roles))[0]
            assert error_of(alone, together[row, : len(alone)]) <= EXACT


def test_what_cannot_be_learnt_is_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sounds.write(tmp_path / "a.wav", sounds.tone(200, 0.2, rng))
    for text, fault in (
        ("abc" * 20, r"t.csv:2: a text of 60 characters needs 60 steps in time, and its clip has 19"),
        ("a|b", "stands for a space"), (" ", "holds no text"),
    ):  # fmt: skip
        (tmp_path / "t.csv").write_text(f'path,text\na.wav,"{text}"\n')
        with pytest.raises(TunesmithError, match=fault):
            model, records = case("full", bases["group"], tmp_path / "t.csv", audio="path", text="text")
            model.encode(records, model.plan.task.roles())
    (tmp_path / "t.csv").write_text("path,text\na.wav,ab\n")
    model, records = case("full", bases["group"], tmp_path / "t.csv", seconds=0.1)
    with pytest.raises(TunesmithError, match=r"t.csv:2: longer than task.seconds: 0.1"):
        model.encode(records, model.plan.task.roles())


def test_case_is_one_for_what_is_learnt_and_compared(bases: dict[str, Path], tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(200, 0.3, np.random.default_rng(0)))
    (tmp_path / "t.csv").write_text("path,text\na.wav,  aB   c\n")
    model, records = case("full", bases["group"], tmp_path / "t.csv", case="upper")
    encoded = model.encode(records, model.plan.task.roles())
    assert encoded.references == [("AB C",)] and model.facts.labels == (*_ctc.FIRST, "A", "B", "C")
    assert model.plan.task.truth(encoded, Facts()).tolist() == [("AB C",)]
