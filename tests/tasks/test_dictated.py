"""Whisper in `transcribe`: labels are those of the library's tokenizer, losses those of its own labelled forward pass,
texts the most probable ones; every method is saved and opened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, WhisperTokenizer

import sounds
from kit import settings
from tunesmith.bases.find import find
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import read
from tunesmith.engine.dictation import DictationWay
from tunesmith.errors import TunesmithError
from tunesmith.flows import fitted
from tunesmith.golden import EXACT, error_of
from tunesmith.methods import METHODS
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.prepare import run_steps
from tunesmith.progress import Progress
from tunesmith.prove import plain_logits, plain_network
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

CLOSE = 1e-6
REFUSED = ("expand", "head", "prefix", "prompt", "ptuning")
SOME = ("full", "lora")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.dictating(tmp_path_factory.mktemp("base") / "whisper")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sounds.spoken(tmp_path_factory.mktemp("spoken") / "data", 6)


def case(method: Any, base: Path, data: Path, **task: Any) -> tuple[Model, list[Any]]:
    if isinstance(method, str):
        more = {"adapter": {"reduction_factor": 4}}.get(method) or settings(method, base, "speech")
        method = {"name": method, **more}
    plan = make_plan(
        {
            "task": {"name": "transcribe", "language": "en", "seconds": 1.0, **task}, "base": str(base),
            "data": str(data), "method": method,
            "train": {"epochs": 1, "batch": 8, "warmup": 0.0, "keep": "last", "lr": 1e-2},
        }
    )  # fmt: skip
    found = find(str(base))
    plan = fitted(plan, found)
    table, ledger = read(data), Ledger()
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    records = list(run_steps(plan, "every_row", ledger.add(table), plan.task.roles(), ledger))
    processor = plan.task.processor(found)
    return build(plan, facts_for(plan, records, plan.task.roles(), found, processor), found, processor), records


def test_labels_and_losses_are_the_librarys(base: Path, data: Path) -> None:
    """Its tokenizer's tokens without the start, which its forward pass puts before labels; its mean over tokens."""
    model, records = case("full", base, data)
    encoded = model.encode(records, model.plan.task.roles())
    tokenizer = WhisperTokenizer.from_pretrained(base, language="en", task="transcribe")
    processor = model.tokenizer
    assert tokenizer.convert_ids_to_tokens(processor.prefix) == ["<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    model.net.eval()
    wanted, rows = 0.0, list(range(len(records)))
    with torch.inference_mode():
        for row, record in enumerate(records):
            ids = tokenizer(record.cells["text"])["input_ids"]
            assert encoded.labels[row].tolist() == ids[1:] and ids[0] == processor.start
            heard = torch.from_numpy(encoded.waves.clip(row).copy())[None]
            wanted += float(model.net.auto(heard, labels=torch.tensor([ids[1:]])).loss) * (len(ids) - 1)
        plain = float(model.plan.task.step_loss(model.shortcuts.plain, encoded, rows))
    model.shortcuts.prove(encoded, learning=True)
    assert not model.shortcuts.refused
    outputs = model.outputs(encoded)
    assert plain == pytest.approx(wanted, rel=CLOSE) and outputs[:, 0].sum() == pytest.approx(wanted, rel=CLOSE)
    assert model.plan.task.weigh(encoded, rows) == encoded.labels.size == outputs[:, 1].sum()
    assert set(encoded.labels.lengths.tolist()) != {encoded.labels.lengths[0]}, "no row is padded"


def test_texts_are_the_most_probable_ones(base: Path, data: Path) -> None:
    """By a decoder that is run anew for every token, one clip at a time; and by the library's own `generate`."""
    model, records = case("full", base, data)
    _louder(model)
    encoded = model.encode(records, model.plan.task.roles())
    way, processor, auto = model.shortcuts.way, model.tokenizer, model.net.auto
    assert isinstance(way, DictationWay)
    model.net.eval()
    said = way.heard(encoded, range(len(records)))
    assert len(set(said)) > 1, "every clip says the same: nothing would be seen"
    auto.generation_config.update(suppress_tokens=None, begin_suppress_tokens=None, forced_decoder_ids=None)
    for row, text in enumerate(said):
        heard, ids = torch.from_numpy(encoded.waves.clip(row).copy())[None], [processor.start, *processor.prefix]
        first = len(ids)
        with torch.inference_mode():
            while len(ids) < processor.longest_text and ids[-1] != processor.end:
                ids.append(int(auto(heard, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            begun = torch.tensor([ids[:first]])
            made = auto.generate(heard, decoder_input_ids=begun, max_new_tokens=8, do_sample=False)
        assert text == processor.text([i for i in ids[first:] if i != processor.end])
        own = [i for i in made[0].tolist() if i < processor.end]
        assert own == [i for i in ids[first : first + 8] if i < processor.end][: len(own)] and own
    outputs = model.outputs(encoded)
    assert model.plan.task.answer(outputs, model.facts)[0].tolist() == said


def _louder(model: Model) -> None:
    """Let what is heard decide."""
    for name, parameter in model.net.named_parameters():
        if "encoder_attn" in name and parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.0, generator=torch.Generator().manual_seed(len(name)))


def test_no_text_depends_on_the_clips_beside_it(base: Path, data: Path) -> None:
    model, records = case("full", base, data)
    _louder(model)
    roles = model.plan.task.roles()
    together = model.outputs(model.encode(records, roles))
    for row, record in enumerate(records):
        assert error_of(model.outputs(model.encode([record], roles))[0], together[row]) <= EXACT


def test_an_encoder_that_rests_is_run_once(base: Path, data: Path) -> None:
    outputs = []
    for cache in (True, False):
        model, records = case({"name": "lora", "top": 1}, base, data)
        encoded = model.encode(records, model.plan.task.roles())
        model.shortcuts.prove(encoded, learning=True)
        if cache:
            model.shortcuts.cache({"train": encoded}, Progress(silent=True))
            assert any("the encoder (2 of 4 blocks) never moves" in line for line in model.shortcuts.taken)
        outputs.append(model.outputs(encoded))
    assert error_of(outputs[0], outputs[1]) <= EXACT


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in METHODS.names() if m not in (*REFUSED, *SOME)])
def test_every_method(method: str, base: Path, data: Path, tmp_path: Path) -> None:
    check_method(method, base, data, tmp_path)


@pytest.mark.parametrize("method", SOME)
def test_method(method: str, base: Path, data: Path, tmp_path: Path) -> None:
    check_method(method, base, data, tmp_path)


def check_method(method: str, base: Path, data: Path, tmp_path: Path) -> None:
    model, records = case(method, base, data)
    roles = model.plan.task.roles()
    encoded = model.encode(records, roles)
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    Loop(Job(model, encoded, encoded, lambda _: {"cer": 0.0}, Path(), save=False)).run()
    after = model.net.state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed and not {n for n in changed if n not in moving and "proj_out" not in n}  # which is the word table
    outputs = model.outputs(encoded)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, roles)), outputs) <= EXACT
    library = AutoProcessor.from_pretrained(tmp_path / "model")
    clip = np.zeros(16000, np.float32)
    assert np.array_equal(library(clip, sampling_rate=16000)["input_features"][0], model.tokenizer(clip))
    assert library.tokenizer("ab").input_ids == [model.tokenizer.start, *model.tokenizer.labels("ab")]
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


@pytest.mark.parametrize("method", REFUSED)
def test_what_cannot_work_is_refused_by_name(method: str, base: Path, data: Path) -> None:
    with pytest.raises(TunesmithError, match="whisper.*[Uu]se "):
        case(method, base, data)


def test_languages_are_named_where_the_base_marks_them(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="task.language: .* marks the language of each text"):
        case("full", base, data, language=None)
    with pytest.raises(TunesmithError, match="task.language: Unsupported language: klingon"):
        case("full", base, data, language="klingon")
    with pytest.raises(TunesmithError, match="has no mark for de"):
        case("full", base, data, language="de")
    model, _ = case("full", base, data, language="Chinese", translate=True)
    marks = model.tokenizer.tokenizer.convert_ids_to_tokens(model.tokenizer.prefix)
    assert marks == ["<|zh|>", "<|translate|>", "<|notimestamps|>"]
    english = sounds.dictating(tmp_path / "english", marks=False)
    with pytest.raises(TunesmithError, match="was made for one language"):
        case("full", english, data)
    model, _ = case("full", english, data, language=None)
    assert model.tokenizer.tokenizer.convert_ids_to_tokens(model.tokenizer.prefix) == ["<|notimestamps|>"]
    marked = sounds.dictating(tmp_path / "marked")  # with the tokens, as real ones for English have them
    file = marked / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"is_multilingual": False}))
    with pytest.raises(TunesmithError, match="was made for one language"):
        case("full", marked, data)
    waveform = sounds.make("wav2vec2", tmp_path / "wav2vec2")
    with pytest.raises(TunesmithError, match="language: a wav2vec2 writes characters"):
        case("full", waveform, data)


def test_a_text_beyond_the_decoders_places_is_refused_with_its_row(base: Path, tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(200, 0.3, np.random.default_rng(0)))
    (tmp_path / "t.csv").write_text(f"path,text\na.wav,{'ab' * 30}\n")
    model, records = case("full", base, tmp_path / "t.csv")
    with pytest.raises(TunesmithError, match=r"t.csv:2: a text of 64 tokens, and the decoder has 40 places"):
        model.encode(records, model.plan.task.roles())
