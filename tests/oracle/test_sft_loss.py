"""The loss of `generate` equals transformers' own and that of TRL's `SFTTrainer`, on the same network and rows.

Ours is packed, with shared beginnings, head and loss where an answer stands and in slabs; theirs is padded and whole.
TRL reads the conversations, writes them with the template's text, and masks the question itself: that its tokens and
labels are ours is part of what is compared. It does so for templates that end an answer with a token; behind others we
teach the tokenizer's own end, and TRL no end at all. Importing TRL takes ten seconds: the mark `peers`.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import preferring
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.engine.batches import collate
from tunesmith.engine.language import PackedLanguage
from tunesmith.model import Model, build, facts_for
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded

SYSTEM = {"role": "system", "content": "answer about the pump, the motor and the team in one short sentence"}
TALKS = [
    ("what leaks", "the pump leaks oil"), ("who wins after the penalty", "the team"), ("水泵怎么了", "水泵漏油"),
    ("is the motor of fan 12 hot", "it is too hot, check the bearing and the belt"),
]  # fmt: skip
EXACT = 2e-6


@pytest.fixture(params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """Full fine-tuning of a tiny base, its template written into the tokenizer for TRL."""
    base = preferring.write_base(request.param, tmp_path / "base", 512)
    task = {"name": "generate", "template": "chatml", "mapping": {"kind": "sharegpt", "messages": "messages"}}
    plan = make_plan({"task": task, "base": str(base), "data": "unused.jsonl", "method": "full"})
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    return build(plan, facts_for(plan, [], plan.task.roles(), found, tokenizer), found, tokenizer)


def encoded_by(model: Model) -> Encoded:
    said = {"system": "system", "user": "human", "assistant": "gpt"}
    talks = [[SYSTEM, {"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in TALKS]
    rows = [{"messages": [{"from": said[m["role"]], "value": m["content"]} for m in talk]} for talk in talks]
    records = model.plan.task.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)])
    return model.encode(records, model.plan.task.roles())


def ours(model: Model, encoded: Encoded) -> tuple[float, dict[str, Tensor]]:
    """Loss of one step over all rows, and gradients, by the packed way with every shortcut."""
    task, rows = model.plan.task, list(range(len(encoded)))
    model.shortcuts.prove(encoded, learning=True)
    way = model.shortcuts.way
    assert isinstance(way, PackedLanguage) and way.levers.prefix and way.levers.reads and not model.shortcuts.refused
    model.net.eval().zero_grad(set_to_none=True)
    loss = task.step_loss(way, encoded, rows) / task.weigh(encoded, rows)
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.net.auto.named_parameters() if p.grad is not None}


def same(found: tuple[float, dict[str, Tensor]], loss: Tensor, net: Any) -> None:
    loss.backward()
    assert float(loss.detach()) == pytest.approx(found[0], abs=EXACT)
    theirs = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    assert set(theirs) == set(found[1]) and len(theirs) > 10
    for name, gradient in theirs.items():
        assert (gradient - found[1][name]).abs().max() <= EXACT * max(1.0, float(gradient.abs().max())), name


def test_the_loss_and_its_gradients_are_transformers_own(model: Model) -> None:
    encoded, net = encoded_by(model), copy.deepcopy(model.net.auto).eval()
    found = ours(model, encoded)
    batch = collate(encoded, range(len(encoded)), model.tokenizer.pad_token_id).inputs
    assert encoded.labels is not None and (batch["attention_mask"] == 0).any(), "nothing is padded"
    labels = torch.full_like(batch["input_ids"], -100)
    for row, own in enumerate(encoded.labels):
        labels[row, : len(own)] = torch.from_numpy(own.astype(np.int64))
    same(found, net(**batch, labels=labels).loss, net)


@pytest.mark.peers
@pytest.mark.parametrize("model", ["qwen2"], indirect=True)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_tokens_the_loss_and_its_gradients_are_trls(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed (the extra dev has it)")
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    encoded, net = encoded_by(model), copy.deepcopy(model.net.auto).eval()
    found = ours(model, encoded)
    template = model.facts.template
    assert template is not None and encoded.labels is not None
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = template.text
    asked = [[SYSTEM, {"role": "user", "content": question}] for question, _ in TALKS]
    answered = [[{"role": "assistant", "content": answer}] for _, answer in TALKS]
    how = SFTConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, report_to=[], completion_only_loss=True,
        max_length=512, per_device_train_batch_size=len(TALKS), gradient_checkpointing=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        net, args=how, train_dataset=Dataset.from_dict({"prompt": asked, "completion": answered}),
        processing_class=tokenizer,
    )  # fmt: skip
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(TALKS))])
    assert [batch["input_ids"][i, : len(ids)].tolist() for i, ids in enumerate(encoded.ids)] == [
        ids.tolist() for ids in encoded.ids
    ]
    assert [batch["labels"][i, : len(own)].tolist() for i, own in enumerate(encoded.labels)] == [
        own.tolist() for own in encoded.labels
    ]
    net.eval()
    same(found, trainer.compute_loss(trainer.model, batch), net)
