"""Expand: new blocks change nothing at the start, only they learn, and the deeper model is a plain one."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import journey
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import talkers
import tiny
from tunesmith.bases.family import family_of
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data.ragged import Ragged
from tunesmith.engine.language import PackedLanguage
from tunesmith.errors import TunesmithError
from tunesmith.listing import count_method
from tunesmith.methods import METHODS
from tunesmith.methods.expand import Expand, new_places
from tunesmith.model import build, family_for
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded, Facts

LANGUAGE = ("llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt2", "gpt_neox")


def writer(family: str, **more: Any) -> Any:
    torch.manual_seed(0)
    shape = tiny._SHAPES[family] | {"initializer_range": 0.15, **more}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=tiny.VOCABULARY, **shape)).eval()


@pytest.mark.parametrize("blocks", [1, 3, 4])
@pytest.mark.parametrize("family", LANGUAGE)
def test_a_deeper_language_model_says_the_same_to_the_bit_and_writes_with_keys_kept(family: str, blocks: int) -> None:
    net, ids = writer(family), torch.arange(20, 40)[None]
    before = net(ids).logits
    written = net.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    facts = family_of(family, "language")
    net = Expand(blocks=blocks).apply(net, facts)
    assert len(facts.block_list(net)) == net.config.num_hidden_layers == 4 + blocks
    assert torch.equal(net(ids).logits, before), "what a new block adds is zero"
    assert torch.equal(net.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0), written)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.requires_grad)
    assert (net(ids).logits - before).abs().max() > 1e-2
    kept = net.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    again = net.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0, use_cache=False)
    assert torch.equal(kept, again), "every block has keys of its own"


def test_kinds_of_blocks_are_those_they_were_copied_from() -> None:
    kinds = ["full_attention", "full_attention", "sliding_attention", "sliding_attention"]
    net = writer("qwen2", layer_types=kinds, use_sliding_window=True, sliding_window=4)
    ids = torch.arange(20, 40)[None]
    before = net(ids).logits
    net = Expand(blocks=2).apply(net, family_of("qwen2", "language"))
    assert net.config.layer_types == [*kinds[:2], kinds[1], *kinds[2:], kinds[3]]
    assert torch.equal(net(ids).logits, before)


def test_new_blocks_are_spread_evenly() -> None:
    assert new_places(32, 8) == [4, 9, 14, 19, 24, 29, 34, 39], "LLaMA Pro: one behind every four"
    for depth in range(1, 9):
        for count in range(1, depth + 1):
            places = new_places(depth, count)
            assert len(set(places)) == count and places[-1] == depth + count - 1
            groups = [b - a - 1 for a, b in pairwise([-1, *places])]
            assert sum(groups) == depth and max(groups) - min(groups) <= 1


@pytest.mark.parametrize("family", tiny.DECODERS)
def test_blocks_below_the_lowest_new_one_never_move(family: str) -> None:
    for blocks, still in ((1, 4), (2, 2), (4, 1)):
        made = Expand(blocks=blocks)
        net = made.apply(tiny.fresh(family), family_of(family))
        assert made.still(net, family_of(family)) == still


def test_a_base_that_it_cannot_deepen_is_refused() -> None:
    with pytest.raises(TunesmithError, match="bert normalises behind each sum.*Use adapter or lora"):
        Expand().apply(tiny.fresh("bert"), family_of("bert"))
    assert "whose stacks are counted apart" in str(Expand().base_objection(family_of("t5", "seq2seq")))
    with pytest.raises(TunesmithError, match="5 new blocks asked for, and this base has 4 blocks"):
        Expand(blocks=5).apply(tiny.fresh("llama"), family_of("llama"))
    mixed = METHODS.find("mixed").model_validate({"parts": ["expand", "lora"]})
    assert "saved whole; remove expand from parts" in str(mixed.objection(None))


def test_learnt_and_counts_are_those_of_the_new_blocks() -> None:
    made = Expand(blocks=2)
    net = made.apply(tiny.fresh("llama"), family_of("llama"))
    (table,) = made.learnt(net, family_of("llama"), None)
    assert table.rows == ((2, 0.0, 0.0), (5, 0.0, 0.0))
    (table,) = journey.travel("expand", "llama").made.learnt(
        journey.travel("expand", "llama").net, family_of("llama"), None
    )
    assert all(row[1] > 0 and row[2] > 0 for row in table.rows)
    block = sum(p.numel() for p in family_of("llama").block_list(net)[0].parameters())
    found = count_method(made, tiny.fresh("llama").config, 3)
    assert found["trained"] == found["added"] == 2 * block
    assert found["stored"] == found["base"] + found["head"] + 2 * block


def test_rows_run_packed_through_new_blocks(tmp_path: Path) -> None:
    """Copies of blocks had configurations of their own, so that rows saw each other there: found by the self-check."""
    base = find(str(talkers.base(tmp_path / "base")))
    plan = make_plan({"task": "generate", "base": base.name, "data": "unused.jsonl", "method": "expand"})
    tokenizer = load_tokenizer(base)
    facts = plan.task.meet(Facts(), tokenizer, family_for(plan, base))
    model = build(plan, facts, base, tokenizer)
    ids = Ragged.of([[5, 6, 7, 8, 9], [9, 8, 7], [6, 9, 5, 7]])
    zeros = np.zeros(3, np.int32)
    rows = Encoded(ids, None, zeros, None, None, np.ones(3, np.float32), labels=ids)
    model.shortcuts.prove(rows, learning=True)
    assert not model.shortcuts.refused and isinstance(model.shortcuts.way, PackedLanguage)


def test_a_whole_job_is_proven_by_plain_transformers(tmp_path: Path) -> None:
    base = talkers.base(tmp_path / "base")
    data = talkers.rows(tmp_path / "rows.jsonl", talkers.PAIRS[:2])
    general = tmp_path / "general.txt"
    general.write_text("\n".join(f"the pump of line {i} leaks oil" for i in range(12)), encoding="utf-8")
    evaluate = {"baselines": ["untuned"], "forgetting": str(general)}
    reply = talkers.run(base, data, tmp_path / "run", {"name": "expand", "blocks": 2}, evaluate=evaluate)
    tuned, before = (each["test"]["perplexity"]["value"] for each in (reply["metrics"], reply["baselines"]["untuned"]))
    assert tuned < 0.5 * before
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5
    assert AutoConfig.from_pretrained(tmp_path / "run" / "model").num_hidden_layers == 6
