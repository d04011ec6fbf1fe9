"""Encoder-decoders: losses and gradients are those of the library's own labelled forward pass; an encoder that rests
may be kept; blocks and layers are found in both stacks."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

import tiny
from kit import TinyBases
from tunesmith.bases.family import EncoderDecoder, family_of
from tunesmith.bases.load import quiet
from tunesmith.data.ragged import Ragged
from tunesmith.engine import chunked_loss
from tunesmith.engine.batches import collate
from tunesmith.engine.lessons import asked
from tunesmith.engine.network import Network, training_mode
from tunesmith.engine.seq2seq import Seq2SeqWay, first_tokens, read_sources, shifted, targets
from tunesmith.engine.seq2seq_shortcuts import Seq2SeqShortcuts, probe
from tunesmith.methods import METHODS
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded

EXACT = 1e-10
FAMILIES = tiny.ENCODER_DECODERS
ROWS = list(range(5))

HOW = partial(Seq2SeqWay, pad_id=1)


def network(name: str, bases: TinyBases, method: str = "full", **settings: Any) -> tuple[Network, EncoderDecoder]:
    with quiet():
        auto: Any = AutoModelForSeq2SeqLM.from_pretrained(bases[f"{name} language"])
    family = family_of(name, "language", auto.config.to_dict())
    assert isinstance(family, EncoderDecoder)
    net = METHODS.find(method)(**settings).apply(auto, family)
    for parameter_name, parameter in net.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.1)
    for module in net.modules():
        if type(module).__name__.endswith("T5LayerNorm"):
            module.forward = _norm.__get__(module)
    return Network(net, 0, 0).double().eval(), family


def _norm(self: Any, states: torch.Tensor) -> torch.Tensor:
    """The library's norm rounds to float32, also in a network in fp64."""
    return self.weight * states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def pairs(name: str, seed: int = 0, *, weighted: bool = False) -> Encoded:
    """Sources and targets of unlike lengths; those of mBART end with the mark of a language."""
    draw = np.random.default_rng(seed)
    code = tiny.tokenizer(name).convert_tokens_to_ids("zh_CN") if name == "mbart" else 2
    word = lambda n: draw.integers(10, 250, n).tolist()  # noqa: E731
    rows = [(word(n), [*word(m), code]) for n, m in ((7, 4), (3, 9), (12, 1), (7, 6), (5, 3))]
    ids, labels = Ragged.of([s for s, _ in rows]), Ragged.of([t for _, t in rows])
    return Encoded(
        ids=ids, types=None, lost=np.zeros(5, np.int32), targets=None, side=None,
        weights=draw.uniform(0.5, 2, 5).astype(np.float32) if weighted else np.ones(5, np.float32), labels=labels,
        apart=True, token_weights=draw.uniform(0.5, 2, labels.size).astype(np.float32) if weighted else None,
    )  # fmt: skip


def gradients(net: Network) -> dict[str, torch.Tensor]:
    return {n: p.grad.detach().clone() for n, p in net.named_parameters() if p.grad is not None}


def librarys(net: Network, encoded: Encoded, smoothing: float = 0.0) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Row by row, as anybody would: the mean loss of each row times its length."""
    net.zero_grad(set_to_none=True)
    losses = []
    for row in ROWS:
        inputs = collate(encoded, [row], 1).inputs
        found = net.auto(**inputs, labels=targets(encoded, [row]))
        labels = targets(encoded, [row])[0]
        losses.append(found.loss * len(labels))
        if smoothing:
            losses[-1] = torch.nn.functional.cross_entropy(
                found.logits[0], labels, reduction="sum", label_smoothing=smoothing
            )
    total = torch.stack(losses)
    total.sum().backward()  # type: ignore[no-untyped-call]
    return total.detach(), gradients(net)


def ours(way: Seq2SeqWay, encoded: Encoded, smoothing: float = 0.0) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    way.net.zero_grad(set_to_none=True)
    outcome = way.losses(encoded, ROWS, smoothing)
    outcome.losses_S.sum().backward()  # type: ignore[no-untyped-call]
    index = torch.from_numpy(outcome.asked.index_S)
    rows = torch.zeros(len(ROWS), dtype=torch.float64).index_add_(0, index, outcome.losses_S.detach())
    return rows, gradients(way.net)


def agree(a: tuple[torch.Tensor, dict[str, torch.Tensor]], b: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> None:
    assert (a[0] - b[0]).abs().max() <= EXACT * b[0].abs().max()
    assert set(a[1]) == set(b[1])
    for name, gradient in a[1].items():
        assert (gradient - b[1][name]).abs().max() <= EXACT * max(1.0, float(b[1][name].abs().max())), name


@pytest.mark.parametrize("smoothing", (0.0, 0.1))
@pytest.mark.parametrize("method", ("full", "lora", "prompt"))
@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_gradients_are_the_librarys(name: str, method: str, smoothing: float, tiny_bases: TinyBases) -> None:
    net, family = network(name, tiny_bases, method)
    encoded = pairs(name)
    wanted = librarys(net, encoded, smoothing)
    assert len(wanted[1])
    for head in (True, False):
        agree(ours(Seq2SeqWay(net, family, 1, head=head), encoded, smoothing), wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_tell_probabilities_and_hits(name: str, tiny_bases: TinyBases) -> None:
    net, family = network(name, tiny_bases)
    encoded = pairs(name)
    assert encoded.labels is not None
    whole = Seq2SeqWay(net, family, 1, head=False)
    with torch.no_grad():
        likely = whole._read(encoded, ROWS)[1].argmax(1)
    encoded.labels.flat[0] = int(likely[0])  # a label that is hit: the first, so nothing after it is read otherwise
    a, b = Seq2SeqWay(net, family, 1).scores(encoded, ROWS), whole.scores(encoded, ROWS)
    assert (a.losses_S - b.losses_S).abs().max() <= EXACT * 10
    assert a.hits_S is not None
    assert b.hits_S is not None
    assert torch.equal(a.hits_S, b.hits_S)
    assert a.hits_S[0]


def test_the_probe_is_short_and_every_pair_of_it_learns() -> None:
    rows = [([7] * n, [9] * m) for n, m in ((900, 700), (5, 1), (300, 2), (40, 600))]
    encoded = Encoded(
        ids=Ragged.of([s for s, _ in rows]), types=None, lost=np.zeros(4, np.int32), targets=None, side=None,
        weights=np.ones(4, np.float32), labels=Ragged.of([t for _, t in rows]), apart=True,
    )  # fmt: skip
    few = probe(encoded)
    assert few.labels is not None
    assert len(few) == 3
    assert few.ids.size + few.labels.size <= 512
    assert (few.labels.lengths > 0).all()
    assert (few.ids.lengths > 0).all()


def test_a_head_that_answers_otherwise_is_found_and_not_taken(
    tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, family = network("bart", tiny_bases, "lora")
    encoded, told = pairs("bart"), {}
    for engine in ({}, {"head": False}):
        plan = make_plan({"task": "generate", "base": "x", "data": "x.csv", "method": "lora", "engine": engine})
        shortcuts = Seq2SeqShortcuts(net, family, plan, HOW)
        shortcuts.prove(encoded, learning=True)
        told[len(engine)] = (shortcuts.way is shortcuts.plain, shortcuts.refused)
    assert told == {0: (False, []), 1: (True, ["head only at labels: switched off (engine.head)"])}

    losses = chunked_loss.losses
    monkeypatch.setattr(chunked_loss, "losses", lambda *given: losses(*given) * 1.0001)
    shortcuts = Seq2SeqShortcuts(net, family, make_plan({"task": "generate", "base": "x", "data": "x.csv"}), HOW)
    shortcuts.prove(encoded, learning=True)
    assert shortcuts.way is shortcuts.plain
    assert shortcuts.refused[0].startswith("head only at labels: on 3 rows it differed from the library's own")


def test_every_token_of_a_target_is_asked_for_with_its_weight() -> None:
    encoded = pairs("t5", weighted=True)
    assert encoded.labels is not None
    assert encoded.token_weights is not None
    what = asked(encoded, [2, 0])
    assert what.labels_S.tolist() == [*encoded.labels[2].tolist(), *encoded.labels[0].tolist()]
    assert what.places_S.tolist() == [0, 1, 0, 1, 2, 3, 4]
    own = encoded.token_weights[encoded.labels.offsets[2] : encoded.labels.offsets[3]]
    assert np.allclose(what.weights_S[:2], own * encoded.weights[2])


@pytest.mark.parametrize("name", FAMILIES)
def test_writing_starts_from_what_training_saw_before_the_first_word(name: str, tiny_bases: TinyBases) -> None:
    net, _ = network(name, tiny_bases)
    tokenizer = tiny.tokenizer(name)
    words = tokenizer("pump leaks", add_special_tokens=False)["input_ids"]
    labels = tokenizer(text_target="pump leaks")["input_ids"]
    front = first_tokens(net.auto, tokenizer)
    read = shifted(net.auto, torch.tensor([labels]))[0].tolist()
    assert read[: len(front)] == front
    assert read[len(front) : len(front) + 2] == words[:2]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_encoder_that_rests_may_be_kept(name: str, tiny_bases: TinyBases) -> None:
    net, family = network(name, tiny_bases, "lora", top=1)
    method = METHODS.find("lora")(top=1)
    assert method.still(net.auto, family) == family.lower + 1
    encoded = pairs(name)
    way = Seq2SeqWay(net, family, 1)
    wanted = ours(way, encoded)
    way.caches[id(encoded)] = kept = read_sources(way, encoded, lambda _: None)
    assert kept.states_MH.shape == (encoded.ids.size, 32)
    found = ours(_Double(way), encoded)
    assert (found[0] - wanted[0]).abs().max() <= 1e-5 * wanted[0].abs().max()  # it is kept in float32
    assert set(found[1]) == set(wanted[1])


class _Double(Seq2SeqWay):
    """States that were kept in float32, for a network in fp64."""

    def __init__(self, way: Seq2SeqWay) -> None:
        self.__dict__.update(way.__dict__)

    def _inputs(self, encoded: Encoded, rows: Any) -> dict[str, Any]:
        given = super()._inputs(encoded, rows)
        given["encoder_outputs"]["last_hidden_state"] = given["encoder_outputs"].last_hidden_state.double()
        return given


@pytest.mark.parametrize("name", FAMILIES)
def test_a_resting_encoder_draws_no_dropout(name: str, tiny_bases: TinyBases) -> None:
    net, family = network(name, tiny_bases, "layers", top=1)
    encoded = pairs(name)
    encoder = net.auto.get_submodule(family.encoder)
    training_mode(net, METHODS.find("layers")(top=1), family)
    inputs = collate(encoded, ROWS, 1).inputs
    states = [encoder(**inputs).last_hidden_state for _ in range(2)]
    assert torch.equal(*states)
    assert not torch.equal(*(net.auto(**inputs, labels=targets(encoded, ROWS)).logits for _ in range(2)))


def test_blocks_of_the_decoder_stand_above_those_of_the_encoder(tiny_bases: TinyBases) -> None:
    for name in FAMILIES:
        net, family = network(name, tiny_bases)
        blocks = family.block_list(net.auto)
        assert [len(blocks), family.lower] == [5, 3]
        for number, block in enumerate(blocks):
            assert net.auto.get_submodule(family.block_path(number)) is block
            own = [n for n, p in net.auto.named_parameters() if family.block_of(n) == number]
            assert len(own) == len(list(block.parameters()))


def test_query_means_self_and_cross_attention(tiny_bases: TinyBases) -> None:
    for name, self_attention, cross in (
        ("t5", "SelfAttention", "EncDecAttention"),
        ("bart", "self_attn", "encoder_attn"),
    ):
        net, _ = network(name, tiny_bases, "lora", targets="qv")
        wrapped = [n.split(".lora_A")[0] for n, _ in net.named_parameters() if ".lora_A" in n]
        assert len(wrapped) == 2 * (3 + 2 + 2)  # encoder, decoder, and its cross-attention
        assert sum(self_attention in n for n in wrapped) == 10
        assert sum(cross in n for n in wrapped) == 4


def test_every_linear_layer_of_a_block_is_named(tiny_bases: TinyBases) -> None:
    for name in FAMILIES:
        net, family = network(name, tiny_bases, "lora")
        plain = net.auto.get_base_model()
        missed = [
            n for n, m in plain.named_modules()
            if type(m) is torch.nn.Linear and family.block_of(n + ".") is not None and ".lora_" not in n
            and not n.endswith("base_layer")
        ]  # fmt: skip
        assert not missed


def test_peft_still_lays_prefixes_of_decoders_wrongly(tiny_bases: TinyBases) -> None:
    """When this fails, PEFT was repaired: lift the refusal of prefix."""
    from peft import PeftModelForSeq2SeqLM, PrefixTuningConfig

    auto: Any = AutoModelForSeq2SeqLM.from_pretrained(tiny_bases["bart language"])
    config = PrefixTuningConfig(
        task_type="SEQ_2_SEQ_LM", num_virtual_tokens=2, num_layers=2, token_dim=32, num_attention_heads=4
    )
    with quiet():
        net = PeftModelForSeq2SeqLM(auto, config)
    torch.nn.init.normal_(net.prompt_encoder["default"].embedding.weight)
    net(input_ids=torch.tensor([[0, 20, 21, 2]]), labels=torch.tensor([[0, 30, 2]])).loss.backward()
    gradient = net.prompt_encoder["default"].embedding.weight.grad
    blocks = gradient.view(2, 2, 2, 32).abs().sum((0, 2, 3))  # of the keys and values of each block
    assert blocks[0] > 0
    assert blocks[1] == 0
