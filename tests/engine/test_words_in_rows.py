"""Words read in packed rows: the same logits, losses and gradients as transformers' own token classification."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.engine.proof import disagreement
from tunesmith.engine.ways import Packed
from tunesmith.golden import pick, words_in
from tunesmith.model import Model, build, load, rows_for_golden, save
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

SENTENCES = [
    ("the pump leaks oil", "O B-part O B-fluid"),
    ("belt slips", "B-part O"),
    ("水 泵 漏 油", "B-part I-part O B-fluid"),
    (
        "the fan motor of line 12 is too hot and the bearing is worn and oil drops on the floor",
        "O B-part I-part O O O O O O O O B-part O O O B-fluid O O O O",
    ),
    ("nothing", "O"),
]
ROWS = [{"tokens": text.split(), "tags": tags.split()[: len(text.split())]} for text, tags in SENTENCES]


def made(bases: TinyBases, family: str, method: Any = "full", **settings: Any) -> tuple[Model, Encoded, list[Record]]:
    task = {"name": "tag", "tokens": "tokens", "label": "tags", "scheme": "bio", "max_tokens": 100, **settings}
    plan = make_plan({"task": task, "base": str(bases[family]), "data": "unused", "method": method})
    records = list(plan.task.taken_in([Record(i, "t", i + 1, i + 1, dict(row)) for i, row in enumerate(ROWS)]))
    found = find(plan.base.name)
    facts = plan.task.study(records, plan.task.roles())
    model = build(plan, facts, found, load_tokenizer(found))
    return model, model.encode(records, plan.task.roles()), records


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra", "llama", "qwen2"])
def test_packed_rows_give_the_logits_losses_and_gradients_of_the_library(family: str, tiny_bases: TinyBases) -> None:
    model, encoded, _ = made(tiny_bases, family)
    shortcuts = model.shortcuts
    shortcuts.prove(encoded, learning=True)
    assert isinstance(shortcuts.way, Packed), shortcuts.refused
    task: Any = model.plan.task
    assert disagreement(model.net, shortcuts.plain, shortcuts.way, encoded, task.losses) < 1e-5
    order = [3, 0, 4, 2, 1]
    with torch.inference_mode():
        a, b = (way.logits(encoded, order) for way in (shortcuts.plain, shortcuts.way))
    assert torch.allclose(a, b, atol=1e-5) and len(a) == encoded.num_outputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_of_a_step_is_transformers_own(dtype: torch.dtype, tiny_bases: TinyBases) -> None:
    model, encoded, _ = made(tiny_bases, "bert")
    model.net.to(dtype).eval()
    width, rows = int(encoded.lengths.max()), range(len(encoded))
    ids, mask, labels = (
        np.zeros((len(encoded), width), int),
        np.zeros((len(encoded), width), int),
        np.full((len(encoded), width), -100),
    )
    assert encoded.reads is not None and encoded.targets is not None
    for row in rows:
        length = len(encoded.ids[row])
        ids[row, :length], mask[row, :length] = encoded.ids[row], 1
        start, end = encoded.reads.offsets[row], encoded.reads.offsets[row + 1]
        labels[row, encoded.reads[row]] = encoded.targets[start:end]
    theirs = model.net.auto(*(torch.from_numpy(x) for x in (ids, mask)), labels=torch.from_numpy(labels)).loss
    model.shortcuts.prove(encoded)
    task: Any = model.plan.task
    whole = task.weigh(encoded, list(rows))
    parts = [task.step_loss(model.shortcuts.way, encoded, part) for part in ([0, 3], [1, 2, 4])]
    mine = torch.stack(parts).sum() / whole
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-6 if dtype == torch.float32 else 1e-12)
    torch.autograd.backward(theirs - mine)
    biggest = max(float(p.grad.abs().max()) for p in model.net.parameters() if p.grad is not None)
    assert biggest < (1e-5 if dtype == torch.float32 else 1e-12), "and so are its gradients"


@pytest.mark.parametrize(
    ("method", "told"), [("head", "4 of 4 blocks"), ({"name": "layers", "top": 1}, "3 of 4 blocks")]
)
def test_the_trunk_cache_gives_the_same_logits(
    method: Any, told: str, tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    model, encoded, _ = made(tiny_bases, "bert", method)
    before = model.outputs(encoded)
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert any(told in line for line in model.shortcuts.taken), model.shortcuts.refused
    assert np.allclose(model.outputs(encoded), before, atol=1e-5)
    way: Any = model.shortcuts.way
    (cache,) = way.caches.values()
    assert len(cache.states_TH) == (encoded.reads.size if method == "head" else encoded.ids.size)  # type: ignore[union-attr]


def test_windows_of_a_long_text_are_merged_word_by_word(tiny_bases: TinyBases) -> None:
    """Each word's logits are those of its window run alone, whichever windows share a forward pass."""
    model, encoded, _ = made(tiny_bases, "bert", max_tokens=12, stride=4)
    outputs, words, windows = model.outputs(encoded), words_in(encoded), encoded.windows
    assert windows is not None and len(encoded) > len(ROWS) and len(outputs) == sum(len(r["tokens"]) for r in ROWS)
    model.net.eval()
    with torch.inference_mode():
        for number, (window, place, follows) in enumerate(words.tolist()):
            ids = torch.from_numpy(encoded.ids[window].astype(np.int64))[None]
            alone = model.net.auto(ids).logits[0, place].numpy()
            assert follows or np.allclose(alone, outputs[number], atol=1e-5)
    some = pick(encoded, [3, 1])
    starts = np.cumsum([0] + [len(r["tokens"]) for r in ROWS])
    expected = np.concatenate([outputs[starts[3] : starts[4]], outputs[starts[1] : starts[2]]])
    assert np.allclose(model.outputs(some), expected, atol=1e-5)
    assert set(rows_for_golden(encoded)) == set(range(len(ROWS))), "golden rows are texts, not windows"


def test_a_text_answers_the_same_however_it_is_batched(tiny_bases: TinyBases) -> None:
    model, encoded, records = made(tiny_bases, "roberta", "lora", max_tokens=12, stride=4)
    whole = model.outputs(encoded)
    parts = [model.outputs(model.encode([r], model.plan.task.roles(labelled=False))) for r in records]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-5)


def test_the_pipeline_of_transformers_finds_the_same_entities(tiny_bases: TinyBases, tmp_path: Path) -> None:
    import json

    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    model, _, _ = made(tiny_bases, "bert")
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    net = AutoModelForTokenClassification.from_pretrained(tmp_path / "model")
    assert net.config.id2label == dict(enumerate(model.facts.labels))
    ask = pipeline("token-classification", model=net, tokenizer=AutoTokenizer.from_pretrained(tmp_path / "model"),
                   aggregation_strategy="first")  # fmt: skip
    found = 0
    for text in ("the pump leaks oil and the belt slips", "fan 12 is too hot", "水泵漏油 oil"):
        task = again.plan.task
        records = task.taken_in([Record(0, "t", 1, 1, {"text": text})], labelled=False)
        encoded = again.encode(records, task.roles(labelled=False))
        cells = task.columns(*task.answer(again.outputs(encoded), again.facts), again.facts, encoded.words)
        mine = json.loads(cells["prediction"][0])
        theirs = ask(text)
        assert [(e["start"], e["end"], e["entity_group"]) for e in theirs] == \
               [(e["start"], e["end"], e["label"]) for e in mine]  # fmt: skip
        assert [float(e["score"]) for e in theirs] == pytest.approx([e["confidence"] for e in mine], abs=1e-4)
        found += len(mine)
    assert found, "a comparison of nothing proves nothing"


def test_a_row_without_words_is_answered_with_nothing_and_learns_nothing(tiny_bases: TinyBases) -> None:
    model, encoded, _ = made(tiny_bases, "llama")
    empty = Record(0, "t", 1, 1, {"tokens": [], "tags": []})
    task: Any = model.plan.task
    alone = model.encode(task.taken_in([empty]), task.roles())
    assert model.outputs(alone).shape[0] == 0 and task.weigh(alone, [0]) == 1.0
    loss = task.step_loss(model.shortcuts.way, alone, [0])
    assert float(loss.detach()) == 0.0 and loss.requires_grad
    both = model.encode(task.taken_in([empty, Record(1, "t", 2, 2, dict(ROWS[0]))]), task.roles())
    assert np.allclose(model.outputs(both), model.outputs(pick(encoded, [0])), atol=1e-5)


def test_row_weights_count_in_the_loss(tiny_bases: TinyBases) -> None:
    model, encoded, _ = made(tiny_bases, "bert")
    task: Any = model.plan.task
    weighed = replace(encoded, weights=np.array([2, 0, 0, 0, 0], dtype=np.float32))
    model.net.eval()
    way = model.shortcuts.plain
    mine = task.step_loss(way, weighed, [0, 1]) / task.weigh(weighed, [0, 1])
    alone = task.step_loss(way, encoded, [0]) / task.weigh(encoded, [0])
    assert mine.item() == pytest.approx(alone.item(), abs=1e-6)
