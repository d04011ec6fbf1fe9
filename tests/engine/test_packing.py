"""Packed rows are exact: loss, logits and gradients equal the padded computation in fp64 within rounding."""

from typing import Any

import numpy as np
import pytest
import tongues
import torch

import small
from kit import TinyBases
from tunesmith.engine.network import training_mode
from tunesmith.engine.packing import pack
from tunesmith.engine.proof import disagreement
from tunesmith.engine.ways import Packed
from tunesmith.model import Model
from tunesmith.tasks import Encoded

PACKING = (
    "bert", "distilbert", "roberta", "xlm-roberta", "electra", "llama", "qwen2", "qwen3", "mistral", "gemma", "phi",
    "gpt2", "gpt_neox",
)  # fmt: skip
METHODS: tuple[Any, ...] = (
    "full", "head", "gradual", "lora", "adapter", "bitfit", "ia3", ["lora", "adapter"], {"name": "layers", "top": 1},
    {"name": "adapter", "place": "parallel"}, {"name": "adapter", "place": "houlsby"},
    {"name": "prompt", "tokens": 3}, {"name": "ptuning", "tokens": 2},
)  # fmt: skip
ROWS = small.records()
EXACT = 1e-10


def made(bases: TinyBases, family: str, method: Any, task: Any = "classify", **engine: Any) -> Model:
    asked = small.plan(bases[family], method=method, task=task)
    model = small.model(asked.model_copy(update={"engine": asked.engine.model_copy(update=engine)}), ROWS)
    for parameter in model.net.parameters():  # adapters start at 0: moved away, so that they show in the answer
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, parameter.mean().item(), 0.05)
    return model


def compare(model: Model, encoded: Encoded) -> float:
    """Largest relative difference of logits, loss and gradients in fp64, over all rows, with dropout off."""
    model.shortcuts.prove(encoded, learning=True)
    assert isinstance(model.shortcuts.way, Packed), model.shortcuts.refused
    model.net.double()
    tongues.unrounded(model.net)
    return disagreement(model.net, model.shortcuts.plain, model.shortcuts.way, encoded, model.plan.task.losses)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("family", ("bert", "distilbert", "llama"))
def test_every_method_is_exact_when_packed(family: str, method: Any, tiny_bases: TinyBases) -> None:
    if family == "llama" and method == "bitfit":
        pytest.skip("Llama has no biases")
    model = made(tiny_bases, family, method)
    assert compare(model, small.encoded(model, ROWS)) <= EXACT
    assert not model.shortcuts.refused


@pytest.mark.parametrize("pool", ("base", "mean"))
@pytest.mark.parametrize("reads", (True, False))
@pytest.mark.parametrize("family", PACKING)
def test_every_family_is_exact_with_each_reading(family: str, reads: bool, pool: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family, "full", {"name": "classify", "pool": pool}, reads=reads)
    assert compare(model, small.encoded(model, ROWS)) <= EXACT
    assert model.shortcuts.whole is (pool == "mean" or not reads)


def test_pairs_keep_their_token_types(tiny_bases: TinyBases) -> None:
    rows = small.records(pair=["oil", "heat and noise", "", "x", "belt", "a", "b", "the hall", "goal", "match"])
    asked = small.plan(tiny_bases["bert"], task={"name": "classify", "pair": "pair"})
    model = small.model(asked, rows)
    encoded = small.encoded(model, rows)
    assert encoded.types is not None
    assert compare(model, encoded) <= EXACT


def test_side_features_reach_the_right_rows(tiny_bases: TinyBases) -> None:
    rows = small.records(age=[float(i) for i in range(len(ROWS))])
    task = {"name": "classify", "side_columns": ["age"], "side": "vector"}
    model = small.model(small.plan(tiny_bases["bert"], task=task), rows)
    torch.nn.init.normal_(model.net.side.weight)
    assert compare(model, small.encoded(model, rows)) <= EXACT


def test_answers_come_in_the_order_asked_for(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "full")
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded)
    model.net.eval()
    some = [7, 2, 5, 0]
    with torch.no_grad():
        mixed = model.shortcuts.way.logits(encoded, some).numpy()
    assert np.abs(mixed - model.outputs(encoded)[some]).max() <= 1e-6


def test_a_pack_lays_rows_end_to_end(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "full")
    encoded = small.encoded(model, ROWS)
    rows = pack(encoded, range(len(ROWS)), "last", virtual=2)
    lengths = encoded.ids.lengths_of(rows.rows) + 2
    assert len(rows.ids_T) == lengths.sum()
    assert sum(run.length * run.rows for run in rows.runs) == lengths.sum()
    assert (lengths[:-1] <= lengths[1:]).all(), "shortest first"
    assert rows.reads_Q.tolist() == (np.cumsum(lengths) - 1).tolist()
    for row, start, length in zip(rows.rows, np.cumsum(lengths) - lengths, lengths, strict=True):
        assert rows.ids_T[start + 2 : start + length].tolist() == encoded.ids[row].tolist()
        assert rows.positions_T[start : start + length].tolist() == list(range(length))


def test_pieces_keep_to_the_token_budget_and_lose_no_row(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "full")
    encoded = small.encoded(model, ROWS)
    model.shortcuts.prove(encoded)
    pieces = list(model.shortcuts.way.pieces(encoded, [3, 1, 8, 9, 0], 20))
    assert sorted(r for piece in pieces for r in piece) == [0, 1, 3, 8, 9]
    assert all(len(p) == 1 or encoded.ids.lengths_of(p).sum() <= 20 for p in pieces)
    assert len(pieces) > 1


def test_switched_off_means_the_library_alone(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "full", pack=False)
    model.shortcuts.prove(small.encoded(model, ROWS))
    assert model.shortcuts.way is model.shortcuts.plain
    assert "engine.pack" in model.shortcuts.refused[0]


@pytest.mark.parametrize(("family", "method", "word"), (("deberta-v2", "full", "deberta"), ("bert", "prefix", "keys")))
def test_what_cannot_be_packed_says_why(family: str, method: str, word: str, tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, family, method)
    model.shortcuts.prove(small.encoded(model, ROWS), learning=True)
    assert model.shortcuts.way is model.shortcuts.plain
    assert word in model.shortcuts.refused[0]


def test_a_wrong_shortcut_is_found_and_named(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.engine import layouts

    wrong = layouts.Bert.tail
    monkeypatch.setattr(layouts.Bert, "tail", lambda self, *a: wrong(self, *a) * 1.001)
    model = made(tiny_bases, "bert", "full")
    model.shortcuts.prove(small.encoded(model, ROWS), learning=True)
    assert model.shortcuts.whole, "the last block runs in full"
    assert isinstance(model.shortcuts.way, Packed), "and the rest is still packed"
    assert model.shortcuts.refused[0].startswith("last block only where it is read: on 3 rows it differed")
    monkeypatch.setattr(layouts.Bert, "embed", lambda self, trunk, pack, words: trunk.embeddings(pack.ids_T[None]))
    model.shortcuts.prove(small.encoded(model, ROWS), learning=True)
    assert model.shortcuts.way is model.shortcuts.plain, "positions that do not begin anew: found, and done plainly"


def test_the_check_leaves_no_trace(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "lora")
    before = torch.get_rng_state()
    model.shortcuts.prove(small.encoded(model, ROWS), learning=True)
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is None for p in model.net.parameters())


def test_dropout_is_drawn_anew_for_every_position(tiny_bases: TinyBases) -> None:
    model = made(tiny_bases, "bert", "full")
    encoded = small.encoded(model, [ROWS[1], ROWS[1]])
    model.shortcuts.prove(encoded)
    training_mode(model.net, model.plan.method, model.family)
    logits = model.shortcuts.way.logits(encoded, [0, 1]).detach()
    assert not torch.allclose(logits[0], logits[1]), "equal rows of one pack drop different units"


def test_packed_and_padded_runs_take_the_same_steps(tiny_bases: TinyBases) -> None:
    """Same rows in the same order: with dropout off, whole runs agree up to rounding."""
    ends = []
    for on in (True, False):
        asked = small.plan(tiny_bases["bert"], method="full", epochs=3, lr=1e-3, dropout=0.0, batch=4)
        asked = asked.model_copy(update={"engine": asked.engine.model_copy(update={"pack": on})})
        model = small.model(asked, ROWS)
        from tunesmith.engine.network import override_dropout

        override_dropout(model.net, 0.0)
        encoded = small.encoded(model, ROWS)
        small.loop(model, encoded).run()
        ends.append(model.outputs(encoded))
    assert np.abs(ends[0] - ends[1]).max() <= 2e-4


def test_rows_beyond_the_attention_window_are_never_packed_later_on(tiny_bases: TinyBases) -> None:
    """Proven on short rows, asked with longer ones: a packed row would see farther than the base's window."""
    model = made(tiny_bases, "mistral", "full")
    encoded = small.encoded(model, ROWS)
    model.net.auto.config.sliding_window = int(encoded.lengths.max()) - 1
    short = small.encoded(model, [r for r, n in zip(ROWS, encoded.lengths, strict=True) if n < encoded.lengths.max()])
    model.shortcuts.prove(short)
    assert isinstance(model.shortcuts.way, Packed)
    assert model.shortcuts.way_for(short) is model.shortcuts.way
    assert model.shortcuts.way_for(encoded) is model.shortcuts.plain
