"""Every shortcut of language models is exact: losses, logits and gradients equal the plain fp64 computation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import tongues
import torch
from torch import Tensor

from tunesmith.bases.load import quiet
from tunesmith.engine import chunked_loss, language_proof, layouts, packing, trunk_cache
from tunesmith.engine.language import PackedLanguage, PlainLanguage, drops
from tunesmith.engine.language_proof import Front
from tunesmith.engine.lessons import Levers, asked, lay

FAMILIES = ("llama", "qwen2", "qwen3", "mistral")
OTHERS = ("gemma", "phi", "gpt2", "gpt_neox")
"""Decoders with other blocks than Llama's, or other embeddings and norms."""
ALL = list(range(8))
EXACT = 1e-10
ALONE = {
    "packed": Levers(reads=False, head=False, budget=0, prefix=False),
    "head": Levers(reads=False, budget=0, prefix=False),
    "slabs": Levers(reads=False, head=False, budget=4096, prefix=False),
    "reads": Levers(head=False, budget=0, prefix=False),
    "prefix": Levers(reads=False, head=False, budget=0),
    "all": Levers(),
}


def agree(a: tuple[Tensor, Mapping[str, Tensor]], b: tuple[Tensor, Mapping[str, Tensor]]) -> None:
    assert a[0].shape == b[0].shape
    assert (a[0] - b[0]).abs().max() <= EXACT * b[0].abs().max()
    assert set(a[1]) == set(b[1])
    for name, gradient in a[1].items():
        assert (gradient - b[1][name]).abs().max() <= EXACT * max(1.0, float(b[1][name].abs().max())), name


@pytest.mark.parametrize("smoothing", (0.0, 0.1))
@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("method", ("full", "lora", "top"))
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_the_librarys(family: str, method: str, shared: bool, smoothing: float) -> None:
    net = tongues.network(family, method, tied=shared)
    encoded = tongues.mixed(shared)
    wanted = tongues.step(net, tongues.plain(net), encoded, ALL, smoothing, each=True)
    assert len(wanted[0]) > 30
    agree(tongues.step(net, tongues.packed(net), encoded, ALL, smoothing), wanted)
    agree(tongues.step(net, tongues.plain(net), encoded, ALL, smoothing), wanted)


@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("lever", ALONE)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_lever_alone_is_exact(family: str, lever: str, shared: bool) -> None:
    net = tongues.network(family, "lora")
    encoded = tongues.mixed(shared)
    wanted = tongues.step(net, tongues.plain(net), encoded, ALL, each=True)
    agree(tongues.step(net, tongues.packed(net, ALONE[lever]), encoded, ALL), wanted)


@pytest.mark.parametrize(("method", "lever"), (("full", "all"), ("lora", "reads"), ("lora", "prefix"), ("top", "all")))
@pytest.mark.parametrize("family", OTHERS)
def test_decoders_with_other_blocks_are_exact(family: str, method: str, lever: str) -> None:
    net = tongues.network(family, method)
    encoded = tongues.mixed(shared=True)
    wanted = tongues.step(net, tongues.plain(net), encoded, ALL, 0.1, each=True)
    agree(tongues.step(net, tongues.packed(net, ALONE[lever]), encoded, ALL, 0.1), wanted)


@pytest.mark.parametrize("lever", ALONE)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_librarys(family: str, lever: str) -> None:
    net = tongues.network(family, "lora")
    encoded = tongues.mixed(shared=True)
    way = tongues.packed(net, ALONE[lever])
    with torch.no_grad():
        lesson, states = way._read(encoded, ALL, asked(encoded, ALL))
        ours = way._head()(states)[lesson.back_S]
        wanted = torch.cat([tongues.plain(net)._read(encoded, [r])[1] for r in ALL])
    assert (ours - wanted).abs().max() <= EXACT * wanted.abs().max()


@pytest.mark.parametrize("shared", (False, True))
@pytest.mark.parametrize("budget", (0, 1 << 12, 64 << 20))
def test_scores_tell_probabilities_and_hits(budget: int, shared: bool) -> None:
    net = tongues.network("qwen2", "lora")
    encoded = tongues.mixed(shared)
    ours, plain = (way.scores(encoded, ALL) for way in (tongues.packed(net, Levers(budget=budget)), tongues.plain(net)))
    assert (ours.losses_S - plain.losses_S).abs().max() <= EXACT * 10
    assert ours.hits_S is not None
    assert plain.hits_S is not None
    assert torch.equal(ours.hits_S, plain.hits_S)
    assert not ours.losses_S.requires_grad


def test_hits_are_found() -> None:
    net = tongues.network("llama")
    tokens = list(range(30, 50))
    with torch.no_grad():
        likely = net.auto(input_ids=torch.tensor([tokens])).logits.argmax(-1)[0].tolist()  # type: ignore[operator]
    encoded = tongues.lesson([(tokens, range(1, 20))])
    assert encoded.labels is not None
    encoded.labels.flat[5:10] = likely[4:9]  # a label need not be the token that stands there
    hits = tongues.packed(net).scores(encoded, [0]).hits_S
    assert hits is not None
    assert hits[4:9].all()


def test_some_rows_in_any_order() -> None:
    net = tongues.network("qwen2", "lora")
    encoded = tongues.mixed(shared=True)
    rows = [5, 0, 7, 1]
    outcome = tongues.packed(net).losses(encoded, rows)
    wanted = tongues.step(net, tongues.plain(net), encoded, rows, each=True)
    agree(tongues.step(net, tongues.packed(net), encoded, rows), wanted)
    assert encoded.labels is not None
    for index, place, label in zip(*outcome.asked[:3], strict=True):
        assert encoded.labels[rows[index]][place] == label


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_learn_the_whole_shared_prompt(family: str) -> None:
    net = tongues.network(family, "lora")
    start = list(tongues.PREFIX)
    rows = [(start + [50 + i] * (i + 1), range(23 + i + 1)) for i in range(4)]
    rows += [(start, range(23)), (start[:18], range(18)), (start, range(23))]  # the prompt alone, twice, and half of it
    encoded = tongues.lesson(rows)
    every = list(range(7))
    wanted = tongues.step(net, tongues.plain(net), encoded, every, each=True)
    agree(tongues.step(net, tongues.packed(net), encoded, every), wanted)
    what = asked(encoded, every)
    assert lay(encoded, every, what, Levers()).saved > lay(encoded, every, what, Levers(prefix=False)).saved + 60


def test_labels_that_differ_within_the_shared_prompt() -> None:
    net = tongues.network("qwen2", "lora")
    encoded = tongues.lesson([([*tongues.PREFIX, 50 + i, 51], range(5, 25)) for i in range(3)])
    assert encoded.labels is not None
    encoded.labels.flat[25 + 7 : 25 + 12] = [99, -100, 98, -100, 97]
    wanted = tongues.step(net, tongues.plain(net), encoded, [0, 1, 2], each=True)
    agree(tongues.step(net, tongues.packed(net), encoded, [0, 1, 2]), wanted)


def test_nothing_to_learn_is_no_mistake() -> None:
    net = tongues.network("llama")
    encoded = tongues.lesson([([1, 2, 3], ()), ([4], (0,)), ([5, 6], (0,))])  # place 0 has nothing before it
    for way in (tongues.packed(net), tongues.plain(net)):
        outcome = way.losses(encoded, [0, 1, 2])
        assert outcome.losses_S.shape == (0,)
        (outcome.losses_S * outcome.weights()).sum().backward()
        assert way.scores(encoded, [0, 1, 2]).losses_S.shape == (0,)


@pytest.mark.parametrize(
    "settings",
    ({"target_modules": [*tongues.LINEARS, "lm_head"]}, {"modules_to_save": ["lm_head"]}, {"use_dora": True},
     {"use_rslora": True, "target_modules": ["q_proj", "down_proj"]}, {"trainable_token_indices": [21, 50]}),
    ids=str,
)  # fmt: skip
def test_what_peft_does_to_head_and_layers_is_in_effect(settings: dict[str, Any]) -> None:
    net = tongues.network("qwen2", "lora", **settings)
    encoded = tongues.mixed(shared=True)
    wanted = tongues.step(net, tongues.plain(net), encoded, ALL, 0.1, each=True)
    agree(tongues.step(net, tongues.packed(net, Levers(budget=1 << 14)), encoded, ALL, 0.1), wanted)


@pytest.mark.parametrize("count", (3, 20))
def test_virtual_tokens_stand_before_what_is_shared(count: int) -> None:
    from peft import PromptTuningConfig, get_peft_model

    net = tongues.network("llama", "none").float()
    with quiet():
        net.auto = get_peft_model(net.auto, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=count))
    net.double().eval()
    virtual = lambda auto: auto.get_prompt(batch_size=1)[0]  # noqa: E731
    for shared in (True, False):
        encoded = tongues.mixed(shared)
        wanted = tongues.step(net, tongues.plain(net), encoded, ALL, each=True)
        agree(tongues.step(net, tongues.packed(net, virtual=virtual, count=count), encoded, ALL), wanted)


@pytest.mark.parametrize("shared", (False, True))
def test_the_trunk_cache_below_a_cut(shared: bool) -> None:
    net = tongues.network("qwen2", "top")
    encoded = tongues.mixed(shared)
    way = tongues.packed(net)
    wanted = tongues.step(net, tongues.plain(net), encoded, ALL, each=True)
    cache = trunk_cache.build(way.fast, encoded, 3, "fp32", folder=None, tick=lambda rows: None)
    way.caches[id(encoded)] = cache
    losses, gradients = tongues.step(net, way, encoded, ALL)
    assert (losses - wanted[0]).abs().max() <= 1e-5, "kept in float32"
    for name, gradient in gradients.items():
        assert (gradient - wanted[1][name]).norm() <= 1e-5 * (1 + wanted[1][name].norm()), name


def test_nothing_is_shared_while_dropout_is_drawn() -> None:
    net = tongues.network("qwen2", "lora", lora_dropout=0.5)
    encoded = tongues.lesson([([*tongues.PREFIX, 60, 61], (24,))] * 2, weighted=False)
    assert not drops(net)
    net.train()
    assert drops(net)
    losses = tongues.packed(net).losses(encoded, [0, 1]).losses_S
    assert losses[0] != losses[1], "equal rows drop different units"


def test_only_what_is_read_is_laid_out() -> None:
    encoded = tongues.lesson([(range(100, 110), (2, 3)), (range(200, 220), ()), (range(50, 55), (4,))])
    lesson = lay(encoded, [0, 1, 2], asked(encoded, [0, 1, 2]), Levers())
    assert lesson.pack.ids_T.tolist() == [100, 101, 102, 50, 51, 52, 53]
    assert lesson.pack.reads_Q.tolist() == [1, 2, 6]
    assert lesson.labels_Q.tolist() == [102, 103, 54]
    assert lesson.takes_T.tolist() == [0, 1, 2, 30, 31, 32, 33]
    assert lesson.saved == 28


def test_groups_of_shared_beginnings() -> None:
    rng = np.random.default_rng(0)
    long, short = rng.integers(0, 250, 60).tolist(), rng.integers(0, 250, 30).tolist()
    rows = [[*long, 1, 2], [*short, 3, 4], [*long, 5], [7] * 40, [*short, 6], [*long[:20], 9], [*long, 8, 8]]
    encoded = tongues.lesson([(r, range(len(r))) for r in rows])
    every = list(range(7))
    lesson = lay(encoded, every, asked(encoded, every), Levers())
    assert sum(run.before[1] > 0 for run in lesson.pack.runs) >= 2
    assert lesson.saved == 7 + 2 * 59 + 29, "last tokens, and the longest beginnings rather than the one of most rows"
    assert [r.start for r in lesson.pack.runs[1:]] == [r.end for r in lesson.pack.runs[:-1]]
    assert lesson.pack.runs[-1].end == len(lesson.pack.ids_T)


def test_shortcuts_are_proven_and_wrong_ones_found(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tongues.network("qwen2", "lora").float()
    plain, family, rows = tongues.plain(net), tongues.family_of(net), tongues.mixed()
    before = torch.get_rng_state()
    chosen = language_proof.choose(plain, family, Levers(), rows)
    assert isinstance(chosen.way, PackedLanguage)
    assert chosen.way.levers == Levers()
    assert not chosen.refused
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is None for p in net.parameters())

    sees = packing._sees
    monkeypatch.setattr(packing, "_sees", lambda places, key: sees(places - 1, key) | (places == 0)[:, None])
    chosen = language_proof.choose(plain, family, Levers(), rows)
    assert [r.split(":")[0] for r in chosen.refused] == ["shared beginnings", "last block only where it is read"]
    assert isinstance(chosen.way, PackedLanguage)
    assert chosen.way.levers == Levers(prefix=False, reads=False)

    monkeypatch.setattr(layouts.Llama, "finish", lambda self, trunk, states: states)
    chosen = language_proof.choose(plain, family, Levers(), rows)
    assert chosen.way is plain
    assert len(chosen.refused) == 4
    monkeypatch.undo()

    losses = chunked_loss.losses
    monkeypatch.setattr(chunked_loss, "losses", lambda *given: losses(*given) * 1.0001)
    chosen = language_proof.choose(plain, family, Levers(), rows)
    assert chosen.refused[-1].startswith("loss and language head at learnt positions: on 3 rows it differed")
    assert isinstance(chosen.way, PackedLanguage)
    assert chosen.way.levers == Levers(prefix=False, reads=False, head=False, budget=0)


def test_the_probe_is_short_shares_and_learns() -> None:
    rows = tongues.lesson([([7] * 900, range(880, 900)), ([5, 6], (1,)), ([9] * 300, (299,)), ([1] * 50, ())])
    few = language_proof.probe(rows)
    assert len(few) == 3
    assert few.lengths.sum() <= 512
    what = asked(few, [0, 1, 2])
    assert set(what.index_S) == {0, 1, 2}
    assert any(run.before[1] for run in lay(few, [0, 1, 2], what, Levers()).pack.runs)


def most_kept(step: Callable[[], Any]) -> int:
    """The most bytes that autograd keeps at a time while a step runs, forward and backward."""
    alive: dict[int, int] = {}
    peak = 0

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal peak
            self.tensor = tensor
            alive[id(self)] = tensor.nbytes
            peak = max(peak, sum(alive.values()))

        def __del__(self) -> None:
            alive.pop(id(self))

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        step()
    assert not alive, "all is given back"
    return peak


def test_the_check_holds_one_row_of_the_librarys_way_at_a_time() -> None:
    net = tongues.network("llama", "lora")
    rows = tongues.lesson([(list(range(20 + i, 90 + i)), range(30, 70)) for i in range(3)])
    few = language_proof.probe(rows)
    assert len(set(few.lengths.tolist())) == 1
    check, whole = partial(language_proof.differentiated, tongues.plain(net), few), list(range(len(few)))
    every = most_kept(lambda: tongues.plain(net).losses(few, whole).losses_S.sum().backward())
    assert most_kept(partial(check, each=True)) < 0.4 * every
    at_once, one_by_one = check(each=False), check(each=True)
    agree(one_by_one, at_once)


@pytest.mark.parametrize(
    ("levers", "front", "word"),
    ((Levers(pack=False), Front(), "engine.pack"), (Levers(), Front(keys=True), "keys")),
)
def test_what_cannot_be_packed_says_why(levers: Levers, front: Front, word: str) -> None:
    net = tongues.network("llama")
    chosen = language_proof.choose(tongues.plain(net), tongues.family_of(net), levers, tongues.mixed(), front)
    assert isinstance(chosen.way, PlainLanguage)
    assert word in chosen.refused[0]


def test_pieces_hold_every_row_once() -> None:
    net = tongues.network("llama")
    for way in (tongues.packed(net), tongues.plain(net)):
        pieces = list(way.pieces(tongues.mixed(), ALL, 40))
        assert sorted(r for piece in pieces for r in piece) == ALL
        assert len(pieces) > 1
