"""Virtual tokens: where they start, what they may not do, and that a checkpoint of raw tensors resumes them."""

import copy
from pathlib import Path

import journey
import pytest
import torch
from journey import answers, gap
from torch import nn
from transformers import AutoModelForSequenceClassification

import tiny
from tunesmith.bases.family import family_of, plain
from tunesmith.errors import TunesmithError
from tunesmith.methods import _peft, _prompt
from tunesmith.methods.mixed import Mixed
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt
from tunesmith.methods.ptuning import PTuning

ENCODERS = [f for f in tiny.FAMILIES if f not in tiny.DECODERS]


def tokens(made: Prompt | PTuning, family: str) -> tuple[torch.Tensor, torch.Tensor, nn.Module]:
    """Virtual tokens and words of a fresh network."""
    torch.manual_seed(0)
    net = made.apply(tiny.fresh(family), family_of(family))
    return _prompt.virtual(net), _prompt.vocabulary(net), net


def first(family: str) -> int:
    tokenizer = tiny.tokenizer(family)
    return int(tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id)


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize("init", ["vocab", "random", "text"])
def test_virtual_token_0_is_what_the_head_reads_so_it_starts_as_the_first_special_token(family: str, init: str) -> None:
    made = Prompt.model_validate({"tokens": 4, "init": init, "text": "good or bad" if init == "text" else None})
    virtual, words, _ = tokens(made, family)
    assert torch.equal(virtual[0], words[first(family)])
    others = (virtual[1:, None] == words[None]).all(dim=2).any(dim=1)
    assert bool(others.all()) is (init != "random")


def test_text_starts_as_the_words_of_the_text_repeated() -> None:
    virtual, words, _ = tokens(Prompt(tokens=5, init="text", text="goal team"), "llama")
    ids = tiny.tokenizer("llama")("goal team", add_special_tokens=False)["input_ids"]
    assert torch.equal(virtual, words[[ids[i % len(ids)] for i in range(5)]])


def test_random_tokens_look_like_words_on_average() -> None:
    virtual, words, _ = tokens(Prompt(tokens=400 - 290, init="random"), "bert")
    assert float(virtual[1:].std() / words.std()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("family", ["bert", "electra", "llama"])
@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_p_tuning_starts_near_the_first_special_token(family: str, encoder: str) -> None:
    virtual, words, _ = tokens(PTuning.model_validate({"tokens": 6, "hidden": 8, "encoder": encoder}), family)
    spread = float(words.std(dim=0).mean())
    away = (virtual - words[first(family)]).std(dim=0).mean()
    assert 0.02 * spread < float(away) < 0.2 * spread
    assert float((virtual.mean(dim=0) - words[first(family)]).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"init": "text"}, "init text needs a text to start from"),
        ({"init": "text", "text": "  "}, "init text needs a text to start from"),
        ({"text": "good or bad"}, "init vocab makes no use of text"),
        ({"tokens": 125}, "125 virtual tokens leave no room for text in 128 positions"),
    ],
)
def test_prompt_settings_that_cannot_work_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(TunesmithError, match=words):
        Prompt.model_validate(settings).apply(tiny.fresh("bert"), family_of("bert"))


def test_a_base_without_tokenizer_is_refused(tmp_path: Path) -> None:
    tiny.fresh("bert").save_pretrained(tmp_path)
    bare = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(TunesmithError, match=r"no tokenizer beside .*Save the tokenizer into the base's folder"):
        Prompt().apply(bare, family_of("bert"))


@pytest.mark.parametrize("family", ["distilbert", "deberta-v2"])
def test_prefix_is_refused_where_the_family_takes_no_past_keys(family: str) -> None:
    with pytest.raises(TunesmithError, match=rf"which {family} does not take \(only bert, .*Use prompt or lora"):
        Prefix().apply(tiny.fresh(family), family_of(family))


def test_prefix_settings_without_effect_are_refused() -> None:
    assert "hidden is the width of the projection, which is off" in str(Prefix(hidden=8).objection(None))
    with pytest.raises(TunesmithError, match="hidden is the width"):
        Prefix(hidden=8).apply(tiny.fresh("bert"), family_of("bert"))


def test_only_prompts_on_decoders_need_rows_of_one_length() -> None:
    for made in (Prompt(), PTuning()):
        assert [f for f in tiny.FAMILIES if made.needs_equal_lengths(family_of(f))] == list(tiny.DECODERS)
    assert not Prefix().needs_equal_lengths(family_of("llama"))
    assert [made.extra_tokens() for made in (Prompt(tokens=7), PTuning(tokens=8), Prefix(tokens=9))] == [7, 8, 9]


@pytest.mark.parametrize("spec", ["prompt", "ptuning", "ptuning-lstm", "prefix", "prefix-projection"])
def test_a_checkpoint_of_raw_tensors_resumes_exactly(spec: str) -> None:
    """PEFT's own files cannot: they hold the tokens after the encoder (FINDINGS B, A2.2)."""
    made, batch = journey.method(spec), tiny.encode("bert")
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    journey.train(made, net, batch, range(1, 4))
    weights = {n: p.detach().clone() for n, p in net.named_parameters() if p.requires_grad}
    torch.manual_seed(5)
    again = made.apply(tiny.fresh("bert", seed=3), family_of("bert"))
    assert {n for n, p in again.named_parameters() if p.requires_grad} == weights.keys()
    for name, tensor in weights.items():
        again.get_parameter(name).data.copy_(tensor)
    assert torch.equal(answers(again, batch), answers(net, batch))


@pytest.mark.parametrize("spec", ["ptuning", "ptuning-lstm", "prefix-projection"])
def test_the_encoder_is_dropped_from_the_file(spec: str, tmp_path: Path) -> None:
    trip = journey.travel(spec, "bert")
    back = trip.reload(tmp_path)
    assert [n.split(".", 3)[-1] for n, _ in back.prompt_encoder.named_parameters()] == ["weight"]
    assert gap(answers(back, trip.batch), trip.end) <= 1e-6


def test_learnt_names_the_words_nearest_to_each_token() -> None:
    _, _, net = tokens(Prompt(tokens=4), "bert")
    (table,) = Prompt(tokens=4).learnt(net, family_of("bert"), tiny.tokenizer("bert"))
    assert str(table.rows[0][1]).startswith("[CLS] ")
    assert [row[2] for row in table.rows] == pytest.approx([1.0] * 4, abs=1e-5)
    trip = journey.travel("prefix", "llama")
    (table,) = trip.made.learnt(trip.net, family_of("llama"), None)
    assert [row[0] for row in table.rows] == [0, 1, 2, 3]


def test_the_head_keeps_a_bearable_rate() -> None:
    made, facts = Prompt(tokens=4), family_of("bert")
    net = made.apply(tiny.fresh("bert"), facts)
    groups = made.groups(net)
    assert set(groups) == {n for n, p in net.named_parameters() if p.requires_grad and facts.is_head(n)}
    rate = made.auto_rate() * made.rate_scale(net)
    assert all(f * rate == pytest.approx(_peft.HEAD_RATE) for f in groups.values())


def test_the_rate_follows_the_words_of_the_base() -> None:
    """Words twice as large in a decoder that says the same are learnt in steps twice as long; encoders keep theirs."""
    assert Prompt().rate_scale(tiny.fresh("bert")) == 1.0
    net, made = tiny.fresh("llama"), Prompt()
    words = _prompt.vocabulary(net)
    words.mul_(0.2)
    scale = made.rate_scale(net)
    assert scale == pytest.approx(float(words.std(dim=0).mean()) / 0.023, rel=1e-5)
    words.mul_(2)
    assert made.rate_scale(net) == pytest.approx(2 * scale, rel=1e-5)
    words.mul_(100)
    assert made.rate_scale(net) == 10.0, "0.3 is the most"
    assert PTuning().rate_scale(net) == 4.0 and PTuning().rate_scale(tiny.fresh("bert")) == 1.0
    assert Prefix().rate_scale(net) == 64 / net.config.head_dim and Prefix().rate_scale(tiny.fresh("bert")) == 1.0
    net.config.head_dim = 128
    assert Prefix().rate_scale(net) == 1.0, "real heads keep the rate"
    parts = Mixed.model_validate({"parts": ["prompt", "lora"]})
    mixed = parts.apply(tiny.fresh("llama"), family_of("llama"))
    factor = {n: f for n, f in parts.groups(mixed).items() if "prompt_encoder" in n}
    assert list(factor.values()) == pytest.approx([made.rate * made.rate_scale(mixed) / parts.auto_rate()], rel=1e-5)


def test_the_base_itself_is_untouched() -> None:
    trip, reference = journey.travel("prompt", "qwen2"), tiny.fresh("qwen2").state_dict()
    base = copy.copy(plain(trip.net).state_dict())
    same = [n for n in reference if n in base and n != "score.weight"]
    assert len(same) == len(reference) - 1
    assert all(torch.equal(base[n], reference[n]) for n in same)
