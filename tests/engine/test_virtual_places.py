"""Virtual tokens at each place: losses, gradients and writing are those of a plain computation on embeddings."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tongues import _norm, gradients
from torch import Tensor
from torch.nn import functional

import preferring
import talkers
from tunesmith import reference
from tunesmith.bases.family import family_of, plain
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.data.ragged import Ragged
from tunesmith.dialogue.virtual import Place
from tunesmith.engine.generation import Repetition, write
from tunesmith.engine.language import PackedLanguage, PlainLanguage
from tunesmith.engine.network import Network
from tunesmith.engine.noise import Noise
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS, _peft, _placed, _prompt
from tunesmith.model import Model, build, ecosystem, facts_for, load, save, untuned
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Encoded
from tunesmith.tasks._language import Decoding

PLACES: tuple[Place, ...] = ("start", "after_bos", "after_system", "before_last_user", "before_answer")
WITHIN = PLACES[1:]
COUNT = 5
TALKS = [
    [
        ("system", "be brief"), ("user", "the pump leaks"), ("assistant", "oil"), ("user", "and now"),
        ("assistant", "it is hot"),
    ],
    [("user", "what leaks, tell me at once"), ("assistant", "the pump")],
    [("system", "be brief"), ("user", "who"), ("assistant", "the team wins the match")],
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preferring.write_base("llama", tmp_path_factory.mktemp("places") / "llama", 512)


def spec(name: str, place: Place) -> dict[str, Any]:
    return {"name": name, "tokens": COUNT, "place": place} | ({"hidden": 8} if name == "ptuning" else {})


def model_of(base: Path, method: Any) -> Model:
    """A fresh model for conversations, in fp64 where it counts: see `doubled`."""
    task = {"name": "generate", "template": "chatml", "learn": "last",
            "mapping": {"kind": "sharegpt", "messages": "messages"}}  # fmt: skip
    plan = make_plan({"task": task, "base": str(base), "data": "unused.jsonl", "method": method})
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    return build(plan, facts_for(plan, [], plan.task.roles(), found, tokenizer), found, tokenizer)


def records(model: Model, *, labelled: bool = True) -> list[Record]:
    said = {"system": "system", "user": "human", "assistant": "gpt"}
    rows = [{"messages": [{"from": said[r], "value": c} for r, c in talk]} for talk in TALKS]
    made = [Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)]
    return list(model.plan.task.taken_in(made, labelled=labelled))


def doubled(model: Model) -> Network:
    for module in model.net.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm, module)  # type: ignore[method-assign]
    return model.net.double().eval()


def embedded(net: Network, ids: list[int], table: Tensor) -> Tensor:
    """What the network reads, (T, E), put together by hand: virtual tokens in front where `ids` name none."""
    words: Any = plain(net.auto).get_input_embeddings().weight
    named = any(i >= len(words) for i in ids)
    rows = [table[i - len(words)] if i >= len(words) else words[i] for i in ids]
    return torch.stack(rows if named else [*table, *rows])


def by_hand(net: Network, encoded: Encoded) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses row by row from embeddings, nothing packed or padded; and gradients of their sum."""
    net.zero_grad(set_to_none=True)
    found = []
    for ids, labels in zip(encoded.ids, encoded.labels or (), strict=True):
        states = embedded(net, ids.tolist(), _prompt.made(net.auto))
        logits = plain(net.auto)(inputs_embeds=states[None]).logits[0]
        aims = torch.full((len(states),), -100)
        aims[len(states) - len(labels) :] = torch.from_numpy(labels.astype(np.int64))
        losses = functional.cross_entropy(logits[:-1], aims[1:], reduction="none")
        found.append(losses[aims[1:] >= 0])
    torch.cat(found).sum().backward()
    return torch.cat(found).detach(), gradients(net)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["prompt", "ptuning"])
def test_losses_and_gradients_are_those_of_embeddings_put_together_by_hand(name: str, place: Place, base: Path) -> None:
    model = model_of(base, spec(name, place))
    encoded = model.encode(records(model), model.plan.task.roles())
    net = doubled(model)
    wanted, slopes = by_hand(net, encoded)
    assert len(wanted) > 20 and any(float(g.abs().max()) > 1e-4 for g in slopes.values())
    model.shortcuts.prove(encoded, learning=True)
    packed = model.shortcuts.way
    assert isinstance(packed, PackedLanguage) and not model.shortcuts.refused
    ways = {"packed": packed, "library": PlainLanguage(net, 0, equal=place == "start")}
    net.eval()
    for what, way in ways.items():
        net.zero_grad(set_to_none=True)
        pieces = [[0], [1], [2]] if what == "library" and place == "start" else [[0, 1, 2]]
        losses = torch.cat([way.losses(encoded, rows).losses_S for rows in pieces])
        losses.sum().backward()
        assert (losses.detach() - wanted).abs().max() < 1e-10, what
        for key, slope in gradients(net).items():
            assert (slope - slopes[key]).abs().max() < 1e-10, (what, key)


@pytest.mark.parametrize("place", PLACES)
def test_writing_padded_and_with_keys_kept_is_writing_alone_without(place: Place, base: Path) -> None:
    model = model_of(base, spec("prompt", place))
    net = doubled(model)
    asked = model.plan.task.encode(records(model, labelled=False), model.plan.task.roles(labelled=False),
                                   model.tokenizer, model.facts).ids  # fmt: skip
    assert len(set(asked.lengths.tolist())) == 3, "rows of one length need no padding"
    decode = Decoding(max_new_tokens=8)
    together = write(net, _Numbers(), asked, decode, model.facts.end, 0, together=place != "start")
    alone = [write(net, _Numbers(), Ragged.of([ids.tolist()]), decode, model.facts.end, 0)[0] for ids in asked]
    assert together.tolist() == alone == [continued(net, ids.tolist(), model.facts.end.tokens) for ids in asked]


class _Numbers:
    """A tokenizer that shows which tokens were written."""

    eos_token_id = 1

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join(map(str, ids))


def continued(net: Network, ids: list[int], stops: tuple[int, ...]) -> str:
    """Greedy writing by hand: the whole row from its embeddings for each new token."""
    states, new = embedded(net, ids, _prompt.virtual(net.auto)), list[int]()
    words: Any = plain(net.auto).get_input_embeddings().weight
    with torch.no_grad():
        for _ in range(8):
            token = int(plain(net.auto)(inputs_embeds=states[None], use_cache=False).logits[0, -1].argmax())
            if token in stops:
                break
            new.append(token)
            states = torch.cat([states, words[token][None]])
    return " ".join(map(str, new))


@pytest.mark.parametrize("name", ["prompt", "ptuning"])
def test_what_is_saved_opens_again_and_not_in_peft(name: str, base: Path, tmp_path: Path) -> None:
    model = model_of(base, spec(name, "after_system"))
    encoded = model.encode(records(model), model.plan.task.roles())
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.facts.template == model.facts.template, "the place is stored with the template"
    assert np.array_equal(again.outputs(again.encode(records(again), again.plan.task.roles())), model.outputs(encoded))
    assert ecosystem(model.plan) == "tunesmith" and ecosystem(model_of(base, spec(name, "start")).plan) == "plain"
    assert not (tmp_path / "adapter_config.json").exists(), "PEFT would put the tokens in front of everything"
    (tmp_path / _placed.FILE).unlink()
    with pytest.raises(TunesmithError, match=r"holds no saved virtual tokens: virtual.safetensors is missing"):
        load(tmp_path)


def test_only_the_virtual_tokens_learn_and_the_base_is_itself_without_them(base: Path) -> None:
    model, other = (model_of(base, spec("prompt", place)) for place in ("before_answer", "start"))
    moving = [n for n, p in model.net.named_parameters() if p.requires_grad]
    assert moving == ["auto.model.embed_tokens.virtual.embedding.weight"]
    assert model.plan.method.still(model.net.auto, model.family) == 0
    assert plain(model.net.auto) is model.net.auto and not hasattr(model.net.auto, "peft_config")
    encoded = model.encode(records(model), model.plan.task.roles())
    bare = untuned(model)
    assert np.array_equal(bare.outputs(encoded), bare.outputs(bare.encode(records(model), model.plan.task.roles())))
    assert np.array_equal(bare.outputs(encoded), untuned(other).outputs(encoded.worded(300)))


def test_rows_without_virtual_tokens_are_the_rows_without(base: Path) -> None:
    model, bare = model_of(base, spec("prompt", "before_answer")), model_of(base, "lora")
    made, wanted = (each.encode(records(each), each.plan.task.roles()) for each in (model, bare))
    found = made.worded(300)
    assert [r.tolist() for r in found.ids] == [r.tolist() for r in wanted.ids]
    assert [r.tolist() for r in found.labels or ()] == [r.tolist() for r in wanted.labels or ()]
    assert found.token_weights is not None and wanted.token_weights is not None
    assert np.array_equal(found.token_weights, wanted.token_weights)
    assert wanted.worded(300) is wanted


def test_a_mix_with_lora_trains_both_and_opens_again(base: Path, tmp_path: Path) -> None:
    model = model_of(base, {"name": "mixed", "parts": [spec("prompt", "after_bos"), {"name": "lora", "r": 2}]})
    moving = [n for n, p in model.net.named_parameters() if p.requires_grad]
    assert any("virtual" in n for n in moving) and any("lora_A" in n for n in moving)
    assert model.plan.method.num_front() == 0 and model.plan.method.extra_tokens() == COUNT
    with torch.no_grad():
        for _, parameter in model.net.named_parameters():
            parameter.add_(0.01 * parameter.requires_grad)
    encoded = model.encode(records(model), model.plan.task.roles())
    before = model.outputs(encoded)
    save(model, tmp_path)
    assert np.abs(load(tmp_path).outputs(encoded) - before).max() <= 1e-5 * np.abs(before).max()
    assert np.abs(untuned(model).outputs(encoded) - before).max() > 1e-3


def test_noise_is_that_of_the_words_alone(base: Path) -> None:
    model, bare = model_of(base, spec("prompt", "after_system")), model_of(base, "lora")
    made, without = (each.encode(records(each), each.plan.task.roles()) for each in (model, bare))
    for encoded, auto in ((made, model.net.auto), (without, bare.net.auto)):
        noise = Noise(auto, 5.0)
        noise.seed = 3
        with noise.over(encoded, [1], np.arange(len(encoded.ids[1]))):
            _, drawn = noise._now
            assert drawn is not None
            found = drawn[torch.from_numpy(encoded.ids[1] < 300)]
            assert float(drawn.abs().sum()) == pytest.approx(float(found.abs().sum()))
        noise.remove()
        wanted = found if encoded is made else wanted  # noqa: F821 - set in the first round
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("method", "task", "words"),
    [
        (spec("prompt", "after_bos"), "classify", "after_bos is a place in a conversation, and the rows of classify"),
        (spec("ptuning", "before_answer"), "classify", "Remove place: virtual tokens then stand in front"),
    ],
)  # fmt: skip
def test_places_are_for_conversations(method: dict[str, Any], task: str, words: str, base: Path) -> None:
    with pytest.raises(TunesmithError, match=words):
        make_plan({"task": task, "base": str(base), "data": "unused.csv", "method": method})


@pytest.mark.parametrize("name", ["prompt", "ptuning"])
def test_an_encoder_decoder_has_one_place(name: str) -> None:
    made = METHODS.find(name).model_validate(spec(name, "after_bos"))
    assert "stand before that" in str(made.base_objection(family_of("t5", "seq2seq")))
    assert METHODS.make(name).base_objection(family_of("t5", "seq2seq")) is None


def test_an_embedding_that_is_more_than_a_table_is_refused(tmp_path: Path) -> None:
    gemma = preferring.write_base("gemma", tmp_path, 512)
    with pytest.raises(TunesmithError, match="base are GemmaTextScaledWordEmbedding and no plain table.*place: start"):
        model_of(gemma, spec("prompt", "after_bos"))


@pytest.mark.parametrize("family", ["qwen3", "mistral", "phi", "gpt2", "gpt_neox"])
def test_every_family_finds_them_within_its_rows(family: str, tmp_path: Path) -> None:
    model = model_of(preferring.write_base(family, tmp_path, 512), spec("prompt", "before_answer"))
    net = model.net.eval()
    ids = model.encode(records(model), model.plan.task.roles()).ids[1].tolist()
    with torch.no_grad():
        found = net.auto(input_ids=torch.tensor([ids])).logits
        wanted = net.auto(inputs_embeds=embedded(net, ids, _prompt.made(net.auto))[None]).logits
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_repetition_is_transformers_own_and_neither_padding_nor_virtual_tokens_stand_there(penalty: float) -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    ids, scores = torch.tensor([[7, 3, 3, 9], [4, 4, 5, 0]]), torch.randn(2, 10)
    wanted = RepetitionPenaltyLogitsProcessor(penalty)(ids, scores.clone())
    assert torch.equal(Repetition(penalty, torch.ones(2, 2))(ids, scores), wanted)
    longer = torch.tensor([[1, 12, 7, 3, 3, 9], [1, 4, 12, 4, 5, 0]])
    read = torch.tensor([[0, 1, 1], [0, 1, 1]])
    assert torch.equal(Repetition(penalty, read)(longer, scores), wanted)


def test_a_padded_row_is_written_as_alone_also_with_a_penalty(base: Path) -> None:
    model = model_of(base, spec("prompt", "before_answer"))
    asked = records(model, labelled=False)
    decode = Decoding(max_new_tokens=12, repetition_penalty=1.5)
    together = model.write(asked, decode=decode).tolist()
    assert together == [model.write([row], decode=decode)[0] for row in asked]


@pytest.mark.parametrize(
    ("method", "forgetting"), [(spec("prompt", "before_answer"), True), (spec("ptuning", "after_system"), False)]
)
def test_a_whole_job_learns_writes_and_is_proven(
    method: dict[str, Any], forgetting: bool, base: Path, tmp_path: Path
) -> None:
    data = talkers.rows(tmp_path / "rows.jsonl", talkers.PAIRS[:2])
    general = tmp_path / "general.txt"
    general.write_text("\n".join(f"the pump of line {i} leaks oil" for i in range(12)), encoding="utf-8")
    evaluate = {"baselines": ["untuned"], "forgetting": str(general) if forgetting else False}
    train = {"lr": 0.1, "epochs": 6, "neftune": 1.0}
    reply = talkers.run(base, data, tmp_path / "run", method, evaluate=evaluate, train=train)
    tuned, before = (each["test"]["perplexity"]["value"] for each in (reply["metrics"], reply["baselines"]["untuned"]))
    assert tuned < 0.8 * before
    assert reply["proof"]["plain"] is False and reply["proof"]["max_error"] <= 1e-5


def test_preferences_refer_to_the_base_without_them(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    found = []
    for method in (spec("prompt", "before_answer"), {"name": "lora"}):
        tree = preferring.tree(base, Path("unused.jsonl"), Path("unused"), method=method, template="chatml")
        tree["task"] |= {"mapping": {"kind": "pairs", "prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}
        plan = make_plan({k: v for k, v in tree.items() if k != "run"})
        base_found = find(plan.base.name)
        tokenizer = load_tokenizer(base_found)
        rows = [Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(preferring.pairs(4))]
        taken = list(plan.task.taken_in(rows))
        model = build(plan, facts_for(plan, taken, plan.task.roles(), base_found, tokenizer), base_found, tokenizer)
        encoded = model.encode(taken, plan.task.roles())
        reference.refer(model, {"train": encoded})
        found.append(encoded.reference)
        outputs = model.outputs(encoded)
        moved = np.abs(outputs[:, :2] - outputs[:, 4:]).max()
        assert moved > 1e-3 if method["name"] == "prompt" else moved < 1e-3
    assert np.array_equal(found[0], found[1]), "one reference for both: the base on the same words"


def test_start_is_peft_s_own_format_still(base: Path, tmp_path: Path) -> None:
    model = model_of(base, spec("prompt", "start"))
    save(model, tmp_path)
    assert (tmp_path / "adapter_config.json").exists() and (tmp_path / _peft.WEIGHTS).exists()
