"""Masked words: which places are hidden, the loss against transformers' own, heads, long texts, and resuming."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded
from tunesmith.tasks._language import UNREAD
from tunesmith.tasks._masking import NEVER, Lexicon, Masking, hidden, units_of

ASKED = {"name": "masked", "text": "text", "max_tokens": 32}


def case(base: Path, method: Any = "full", **more: Any) -> tuple[Model, Encoded]:
    plan = make_plan({
        "task": ASKED | more, "base": str(base), "data": "unused.csv", "method": method,
        "train": {"epochs": 1, "batch": 4, "warmup": 0.0, "keep": "last", "dropout": 0.0},
    })  # fmt: skip
    made = small.model(plan, small.records())
    return made, small.encoded(made, small.records())


def faced(made: Model, encoded: Encoded, rows: list[int], seed: int) -> Encoded:
    torch.manual_seed(seed)
    return made.plan.task.faced(None, encoded, rows, 1000)


# places


def test_how_many_places_are_hidden_is_no_draw() -> None:
    units = np.array([NEVER, *range(40), NEVER], np.int32)
    for seed in range(20):
        places = hidden(units, 0.15, np.random.default_rng(seed))
        assert len(places) == 6 and (np.diff(places) > 0).all() and places[0] > 0 and places[-1] < 41
    assert len(hidden(np.array([NEVER, 0, NEVER], np.int32), 0.15, np.random.default_rng(0))) == 1
    assert len(hidden(np.array([NEVER, NEVER], np.int32), 0.15, np.random.default_rng(0))) == 0


def test_words_are_hidden_whole_but_for_one_where_the_number_demands_it() -> None:
    sizes = [1, 3, 2, 1, 4, 2, 1, 1, 2, 3]
    units = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    broken = 0
    for seed in range(50):
        places = hidden(units, 0.4, np.random.default_rng(seed))
        assert len(places) == 8
        counts = np.bincount(units[places], minlength=len(sizes))
        torn = [u for u in range(len(sizes)) if 0 < counts[u] < sizes[u]]
        assert len(torn) <= 1
        broken += len(torn)
    assert broken < 10, "as a rule smaller words fill what is left"


def test_eight_in_ten_show_the_mask_and_one_in_ten_another_token() -> None:
    from tunesmith.data.ragged import Ragged

    tokens = np.full(4000, 50, np.int32)
    masking = Masking(Ragged.of([list(range(4000))]), 0.5, 4, 300, (0, 1, 2, 3, 4))
    shown, places = masking.drawn(0, tokens, (7, 0))
    assert len(places) == 2000 and (np.delete(shown, places) == 50).all()
    of = shown[places]
    assert (of == 4).mean() == pytest.approx(0.8, abs=0.03)
    assert (of == 50).mean() == pytest.approx(0.1, abs=0.02)
    assert not np.isin(of[of != 4], (0, 1, 2, 3)).any() and len(np.unique(of)) > 100


def test_pieces_of_a_word_and_words_of_a_lexicon_are_one_unit() -> None:
    text = "Pumpengehäuse leckt. 水泵漏油"
    offsets = [(0, 4), (4, 13), (14, 19), (19, 20), (21, 22), (22, 23), (23, 24), (24, 25)]
    assert units_of(text, offsets, None) == [0, 0, 1, 2, 3, 4, 5, 6]
    assert units_of(text, offsets, Lexicon(["水泵", "漏油", "泵漏"])) == [0, 0, 1, 2, 3, 3, 4, 4]


# the loss


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "deberta-v2"])
def test_the_loss_is_that_of_transformers_on_the_same_masks(tiny_bases: TinyBases, family: str) -> None:
    made, encoded = case(tiny_bases[f"{family} language"])
    rows = list(range(len(encoded)))
    seen = faced(made, encoded, rows, 5)
    assert seen.labels is not None and seen.reads is not None
    made.net.eval()
    made.shortcuts.prove(encoded, learning=True)
    packed = family != "deberta-v2"
    assert (made.shortcuts.way is not made.shortcuts.plain) == packed, made.shortcuts.refused
    mine = made.plan.task.step_loss(made.shortcuts.way, seen, rows) / made.plan.task.weigh(encoded, rows)
    width = int(seen.lengths.max())
    ids, mask, labels = (np.full((len(rows), width), fill) for fill in (made.tokenizer.pad_token_id, 0, UNREAD))
    for row in rows:
        length = len(seen.ids[row])
        ids[row, :length], mask[row, :length], labels[row, :length] = seen.ids[row], 1, seen.labels[row]
    net: Any = made.net.auto
    theirs = net(**{n: torch.from_numpy(v) for n, v in
                    (("input_ids", ids), ("attention_mask", mask), ("labels", labels))}).loss  # fmt: skip
    assert float(mine.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    outputs = made.outputs(encoded)
    assert made.plan.task.mean_loss(outputs, encoded) == pytest.approx(outputs[:, 0].sum() / outputs[:, 1].sum())


# masks in training


def test_a_step_draws_its_own_masks_and_draws_them_again(tiny_bases: TinyBases) -> None:
    made, encoded = case(tiny_bases["bert language"], whole_words=True)
    before = [row.tolist() for row in encoded.ids]
    first, again, other = (faced(made, encoded, [1, 5], seed) for seed in (11, 11, 12))
    assert [row.tolist() for row in encoded.ids] == before, "the rows themselves stay as they are"
    for row in (1, 5):
        assert np.array_equal(first.ids[row], again.ids[row]) and np.array_equal(first.labels[row], again.labels[row])
        whole = np.where(first.labels[row] == UNREAD, first.ids[row], first.labels[row])
        stored = np.where(encoded.labels[row] == UNREAD, encoded.ids[row], encoded.labels[row])
        assert np.array_equal(whole, stored), "whatever is hidden, the row beneath is the same"
        assert len(first.reads[row]) == len(encoded.reads[row])
        assert np.array_equal(np.flatnonzero(first.labels[row] != UNREAD), first.reads[row])
    assert any(not np.array_equal(first.reads[r], other.reads[r]) for r in (1, 5))
    assert made.plan.task.weigh(encoded, [1, 5]) == len(first.reads[1]) + len(first.reads[5])


def test_a_held_out_row_hides_the_same_words_wherever_it_stands(tiny_bases: TinyBases) -> None:
    made, encoded = case(tiny_bases["bert language"])
    turned = small.encoded(made, small.records()[::-1])
    for row in range(len(encoded)):
        assert np.array_equal(encoded.ids[row], turned.ids[len(encoded) - 1 - row])
    hidden_there = encoded.labels[0][encoded.reads[0]].tolist()
    assert encoded.references[0][0] == " ".join(made.tokenizer.convert_ids_to_tokens(hidden_there))


def test_words_that_nobody_knows_are_never_hidden_and_empty_rows_are_told(tiny_bases: TinyBases) -> None:
    made, _ = case(tiny_bases["bert language"])
    rows = small.records(["§ ¶ pump §", "", "¶"], ["a"] * 3)
    encoded = small.encoded(made, rows)
    assert encoded.reads.lengths.tolist() == [1, 0, 0]
    assert encoded.notes == ("2 rows hold no word that could be hidden: nothing is learnt of them",)
    outputs = made.outputs(encoded)
    assert outputs[1:].tolist() == [[0, 0, 0]] * 2
    _, scores = made.plan.task.answer(outputs, made.facts)
    assert made.plan.task.columns([], scores, made.facts)["prediction"][1:] == [None, None]


def test_training_learns_and_what_rests_is_not_kept(tiny_bases: TinyBases) -> None:
    plan = {"name": "layers", "top": 2}
    made, encoded = case(tiny_bases["bert language"], plan)
    made.plan.train.__dict__.update(epochs=30, lr=5e-3)
    loop = small.loop(made, encoded)
    before = made.plan.task.mean_loss(made.outputs(encoded), encoded)
    loop.run()
    assert made.plan.task.mean_loss(made.outputs(encoded), encoded) < before - 0.5
    assert "trunk cache: task masked shows rows otherwise in every step" in made.shortcuts.refused


# heads


def test_a_base_without_a_head_is_refused_or_gets_one_that_learns(tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=r"has no language head .*task\.head=new"):
        case(tiny_bases["bert"])
    made, encoded = case(tiny_bases["bert"], {"name": "layers", "top": 1}, head="new")
    net: Any = made.net.auto
    assert net.get_output_embeddings().weight is net.get_input_embeddings().weight, "tied to the word table"
    moving = {n for n, p in made.net.named_parameters() if p.requires_grad}
    assert "auto.cls.predictions.transform.dense.weight" in moving and "auto.cls.predictions.bias" in moving
    assert not any("embeddings" in name for name in moving)
    again, _ = case(tiny_bases["bert"], {"name": "layers", "top": 1}, head="new")
    weight, same = (each.cls.predictions.transform.dense.weight for each in (net, again.net.auto))
    assert torch.equal(weight, same), "drawn by the seed"
    before = weight.clone()
    small.loop(made, encoded).run()
    assert not torch.equal(before, weight)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "lora", "task": {**ASKED, "head": "new"}}, r"head: new is part of a whole model, and lora"),
        ({"task": {**ASKED, "lexicon": "words.txt"}}, r"lexicon has no effect without whole_words"),
        ({"evaluate": {"metrics": ["bits_per_byte"]}}, r"bits_per_byte reads more than the words that are hidden"),
        ({"task": {**ASKED, "pool": "mean"}}, r"pool: mean is for a head"),
        ({"task": {**ASKED, "head": "new"}, "evaluate": {"baselines": ["untuned"]}}, r"untuned does not fit this task"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TunesmithError, match=words):
        make_plan({"task": ASKED, "base": "minilm", "data": "unused.csv", "method": "full", **changes})


def test_decoders_fill_no_gaps(tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match="writes text and fills no gaps"):
        case(tiny_bases["qwen2 language"])


# long texts


def test_long_texts_become_rows_that_fit_and_nothing_is_lost(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from tunesmith.prepare import prepare

    text = ". ".join(small.TEXTS[i % 10] for i in range(24))
    (tmp_path / "t.jsonl").write_text("".join(f'{{"text": "{text} {i}"}}\n' for i in range(6)), encoding="utf-8")
    plan = make_plan({"task": ASKED | {"max_tokens": 24}, "base": str(tiny_bases["bert language"]),
                      "data": str(tmp_path / "t.jsonl"), "method": "full"})  # fmt: skip
    prepared = prepare(plan)
    made = small.model(prepared.plan, prepared.splits["train"])
    for rows in prepared.splits.values():
        encoded = made.encode(rows, prepared.roles)
        assert len(rows) > 6 and not encoded.lost.any() and encoded.lengths.max() <= 24
    whole = "".join(str(r.cells["text"]) for r in prepared.splits["train"])
    assert sum(f"{text} {i}" in whole for i in range(6)) == 4, "joined, the rows are the texts"
