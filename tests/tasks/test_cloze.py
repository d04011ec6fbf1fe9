"""Classification by label words: against plain transformers by hand, calibrated, with examples, cut to fit, refused."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import tiny
from jobs import history, run_job
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.flows import ask
from tunesmith.golden import EXACT, error_of
from tunesmith.model import Model, build, facts_for, load, save, untuned
from tunesmith.plan_text import make_plan
from tunesmith.tasks._cloze import offsets
from tunesmith.tasks._wording import Wording
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

MASKED = ("bert", "distilbert", "roberta", "electra", "deberta-v2")
FAMILIES = (*MASKED, "llama", "qwen2")
TEXTS = [
    "this film is a warm and funny story",
    "",
    "dull and slow",
    "这部电影很好看",
    "the [MASK] pump leaks oil",
    "goal",
]
LABELS = ["pos", "neg", "neg", "pos", "neg", "pos"]
ONE = {"pos": ["the", "a"], "neg": ["is"]}
"""Words that are one token for the tiny tokenizers."""
SEVERAL = {"pos": ["great", "warm", "the"], "neg": ["poor film", "is"]}


@cache
def base(family: str, top: Path) -> Path:
    return tiny.make(family, top / family, language=True)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    top = tmp_path_factory.mktemp("words")
    return lambda family: base(family, top)


def records(texts: list[str] = TEXTS, labels: list[str] = LABELS) -> list[Record]:
    return [
        Record(i, "t", i + 1, i + 1, {"text": t, "label": y})
        for i, (t, y) in enumerate(zip(texts, labels, strict=False))
    ]


def template(family: str) -> str:
    return "{text} it was {mask}" + ("" if family in tiny.DECODERS else " .")


def made(folder: Path, family: str, method: Any = "full", *, max_tokens: int = 40, **cloze: Any) -> Model:
    plan = make_plan(
        {
            "task": {
                "name": "classify", "text": "text", "label": "label", "max_tokens": max_tokens,
                "readout": "verbalizer", "cloze": {"template": template(family), "words": ONE, **cloze},
            },
            "base": str(folder), "data": "unused.csv", "method": method,
            "train": {"epochs": 1, "batch": 8, "warmup": 0.0, "keep": "last"},
        }
    )  # fmt: skip
    found = find(str(folder))
    tokenizer = load_tokenizer(found)
    return build(plan, facts_for(plan, records(), plan.task.roles(), found, tokenizer), found, tokenizer)


def encoded(model: Model, rows: list[Record]) -> Any:
    return model.encode(rows, model.plan.task.roles())


# by hand


def masked_by_hand(folder: Path, text: str, words: dict[str, list[str]]) -> list[float]:
    """log of the mean over words of exp(mean over tokens of log p), with as many masks as the word has tokens."""
    tokenizer, net = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    found = []
    for label in sorted(words):
        each = []
        for word in words[label]:
            ids = tokenizer(word, add_special_tokens=False)["input_ids"]
            whole = f"{text} it was {tokenizer.mask_token * len(ids)} ."
            given = tokenizer(whole, return_tensors="pt")
            places = [i for i, t in enumerate(given["input_ids"][0].tolist()) if t == tokenizer.mask_token_id]
            with torch.inference_mode():
                said = net(**given).logits[0].log_softmax(-1)
            each.append(np.mean([float(said[p, t]) for p, t in zip(places[-len(ids) :], ids, strict=True)]))
        found.append(math.log(np.mean(np.exp(each))))
    return found


def causal_by_hand(folder: Path, text: str, words: dict[str, list[str]]) -> list[float]:
    """The same from the tokens of the word behind the text, each read before it stands there."""
    tokenizer, net = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    start = tokenizer(f"{text} it was")["input_ids"]
    found = []
    for label in sorted(words):
        each = []
        for word in words[label]:
            whole = tokenizer(f"{text} it was {word}")["input_ids"]
            assert whole[: len(start)] == start
            with torch.inference_mode():
                said = net(torch.tensor([whole])).logits[0].log_softmax(-1)
            each.append(np.mean([float(said[i - 1, whole[i]]) for i in range(len(start), len(whole))]))
        found.append(math.log(np.mean(np.exp(each))))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_log_probabilities_of_the_words_as_transformers_has_them(family: str, bases: Any) -> None:
    model = made(bases(family), family, words=SEVERAL)
    hand = causal_by_hand if family in tiny.DECODERS else masked_by_hand
    wanted = np.array([hand(bases(family), text, SEVERAL) for text in TEXTS])
    assert np.abs(model.outputs(encoded(model, records())) - wanted).max() <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_with_words_of_one_token_the_probabilities_of_labels_are_the_same(family: str, bases: Any) -> None:
    words = {"pos": ["a", "the"], "neg": ["."]} if family in tiny.DECODERS else ONE
    model = made(bases(family), family, words=words)
    if family not in tiny.DECODERS:
        assert not model.facts.wording.normed, "the shortcut is what is tried here"
    hand = causal_by_hand if family in tiny.DECODERS else masked_by_hand
    wanted = np.exp([hand(bases(family), text, words) for text in TEXTS])
    _, scores = model.plan.task.answer(model.outputs(encoded(model, records())), model.facts)
    assert np.abs(scores - wanted / wanted.sum(1, keepdims=True)).max() <= 1e-5


def test_the_sum_counts_every_word_and_the_mean_does_not(bases: Any) -> None:
    mean, total = (made(bases("bert"), "bert", combine=how).outputs for how in ("mean", "sum"))
    model = made(bases("bert"), "bert")
    rows = encoded(model, records())
    assert np.allclose(total(rows) - mean(rows), np.log([1, 2]), atol=1e-5), "neg has one word, pos has two"


# the engine


@pytest.mark.parametrize("words", (ONE, SEVERAL), ids=("one", "several"))
@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "electra", "llama", "qwen2"))
def test_packed_rows_read_at_the_gap_alone_change_neither_loss_nor_gradient(
    family: str, words: dict[str, list[str]], bases: Any
) -> None:
    model = made(bases(family), family, words=words)
    rows = encoded(model, records())
    model.shortcuts.prove(rows, learning=True)
    assert not model.shortcuts.whole, "the last block runs where it is read"
    assert not model.shortcuts.refused
    plain = np.concatenate([model.shortcuts.plain.logits(rows, [i]).detach().numpy() for i in range(len(rows))])
    assert np.abs(model.outputs(rows) - plain).max() <= 1e-5


def test_other_families_run_padded_and_say_why(bases: Any) -> None:
    model = made(bases("deberta-v2"), "deberta-v2", words=SEVERAL)
    model.shortcuts.prove(encoded(model, records()), learning=True)
    assert "deberta-v2 needs padded rows" in model.shortcuts.refused[0]
    rows = encoded(model, records())
    alone = np.concatenate([model.shortcuts.plain.logits(rows, [i]).detach().numpy() for i in range(len(rows))])
    assert np.abs(model.outputs(rows) - alone).max() <= 1e-5, "rows padded together answer as they do alone"


@pytest.mark.parametrize("words", (ONE, SEVERAL), ids=("one", "several"))
@pytest.mark.parametrize("family", ("bert", "llama"))
def test_the_trunk_cache_keeps_what_the_gap_reads(
    family: str, words: Any, bases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    model = made(bases(family), family, "head", words=words)
    rows = encoded(model, records())
    before = model.outputs(rows)
    model.shortcuts.cache({"train": rows}, Job(model, rows, rows, lambda _: {}, Path()).progress)
    assert len(model.shortcuts.way.caches) == len(rows.forms)
    assert np.abs(model.outputs(rows) - before).max() <= 1e-5


# every method


EVERY = ("full", "head", "layers", "gradual", "lora", "adapter", "prefix", "prompt", "ptuning", "bitfit", "ia3")
PAIRS = [
    *((m, "bert") for m in EVERY), *((m, "qwen2") for m in ("head", "gradual", "lora", "prefix", "prompt")),
    ("lora", "roberta"), ("prefix", "roberta"), ("prompt", "distilbert"), ("prompt", "electra"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "family"), PAIRS)
def test_every_method_learns_and_reloads(method: str, family: str, bases: Any, tmp_path: Path) -> None:
    from tunesmith.engine.batches import collate
    from tunesmith.model import ecosystem, weights
    from tunesmith.prove import plain_logits, plain_network

    settings = {"name": method, "tokens": 3} if method in ("prefix", "prompt", "ptuning") else method
    model = made(bases(family), family, settings, words=SEVERAL, calibrate="content_free")
    rows = encoded(model, records())
    before = {n: p.detach().clone() for n, p in weights(model).items()}
    Loop(Job(model, rows, rows, lambda _: {model.plan.best_metric: 0.0}, Path(), save=False)).run()
    assert any(not torch.equal(before[n], p) for n, p in weights(model).items()), "nothing moved"
    logits = model.outputs(rows)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records(), again.plan.task.roles())), logits) <= EXACT
    if ecosystem(model.plan) == "plain":
        tensors: dict[str, Any] = {"input_ids": rows.ids}
        for i, form in enumerate(rows.forms):
            batch = collate(form, range(len(rows)), model.tokenizer.pad_token_id)
            tensors |= {f"{n}.{i}": batch.inputs[n] for n in ("input_ids", "attention_mask")}
            tensors[f"places.{i}"] = batch.places
        with torch.inference_mode():
            assert error_of(plain_logits(plain_network(tmp_path / "model", model), model, tensors), logits) <= EXACT


# calibration, examples


def test_calibration_divides_by_what_content_free_texts_get(bases: Any) -> None:
    """Zhao et al. 2021: p_cf is the mean over "N/A", "" and a mask; q is p / p_cf, scaled to add up to 1."""
    plain = made(bases("bert"), "bert")
    blank = encoded(plain, records(["N/A", "", "[MASK]"], ["pos"] * 3))
    _, blank_N = plain.plan.task.answer(plain.outputs(blank), plain.facts)
    _, scores = plain.plan.task.answer(plain.outputs(encoded(plain, records())), plain.facts)
    wanted = scores / blank_N.mean(0)
    model = made(bases("bert"), "bert", calibrate="content_free")
    _, found = model.plan.task.answer(model.outputs(encoded(model, records())), model.facts)
    assert np.abs(found - wanted / wanted.sum(1, keepdims=True)).max() <= 1e-6
    assert np.allclose(np.exp(model.facts.wording.offsets), blank_N.mean(0), atol=1e-6), "and the facts hold it"
    assert offsets(np.log([[0.8, 0.2], [0.4, 0.6]])) == pytest.approx(np.log([0.6, 0.4]))


def test_examples_are_drawn_by_the_seed_from_each_class_in_turn(bases: Any) -> None:
    model = made(bases("llama"), "llama", shots=3, max_tokens=120, words={"pos": "great", "neg": "poor"})
    shots = model.facts.wording.shots
    assert [s.label for s in shots] == ["neg", "pos", "neg"]
    assert len({s.text for s in shots}) == 3
    whole = model.tokenizer.decode(encoded(model, records(["a new row"], ["pos"])).ids[0])
    start = "".join(f"{s.text} it was {'great' if s.label == 'pos' else 'poor'}\n\n" for s in shots)
    assert whole.startswith(f"<|begin_of_text|>{start}a new row it was")
    other = model.plan.model_copy(update={"train": model.plan.train.model_copy(update={"seed": 5})})
    drawn = [
        plan.task.drawn(model.facts, records(), plan.task.roles(), plan.train.seed).wording.shots
        for plan in (model.plan, model.plan, other)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    with pytest.raises(TunesmithError, match=r"task.cloze.shots: 9 examples are more than the 6 different rows"):
        made(bases("llama"), "llama", shots=9)


def test_a_row_never_reads_its_own_answer(bases: Any) -> None:
    model = made(bases("bert"), "bert", shots=2, max_tokens=100)
    shot = model.facts.wording.shots[0]
    own, other = encoded(model, records([shot.text, "another row"], ["pos", "neg"])).ids
    assert model.tokenizer.decode(own).count("it was") == 2, "the other example, and the row"
    assert model.tokenizer.decode(other).count("it was") == 3


def test_examples_share_half_of_the_room(bases: Any) -> None:
    long = [f"{'pump leaks oil ' * 40}{i}" for i in range(6)]
    model = made(bases("bert"), "bert")
    task = model.plan.task.model_copy(update={"cloze": model.plan.task.cloze.model_copy(update={"shots": 2})})
    facts = task.meet(task.drawn(model.facts, records(long), task.roles(), 0), model.tokenizer, model.family)
    for shot in facts.wording.shots:
        written = model.tokenizer(shot.written, add_special_tokens=False)["input_ids"]
        around = model.tokenizer(f"it was {ONE[shot.label][0]} .", add_special_tokens=False)["input_ids"]
        assert len(written) == len(around) + 40 // (2 * 2)


# rows in tokens


@pytest.mark.parametrize("family", ("bert", "llama"))
def test_the_text_is_cut_and_the_template_never(family: str, bases: Any) -> None:
    model = made(bases(family), family, words=SEVERAL, max_tokens=16)
    text = "the pump leaks oil and the pressure drops " * 3
    rows = encoded(model, records([text], ["pos"]))
    longest, tokenizer = rows.forms[0], model.tokenizer
    assert len(longest.ids[0]) == 16
    whole = tokenizer(text + template(family).replace("{text}", "").format(mask=""))["input_ids"]
    assert rows.lost[0] > 0
    for i, form in enumerate(rows.forms):
        written = model.facts.wording.forms[i]
        end = " it was" if family == "llama" else " it was " + " ".join(["[MASK]"] * len(written)) + ". [SEP]"
        own = form.ids[0].tolist()
        read = own[: len(own) - len(written)] if family == "llama" else own
        assert tokenizer.decode(read).endswith(end)
        assert len(own) == len(longest.ids[0]) - len(model.facts.wording.forms[0]) + len(written), "one text for all"
    assert len(whole) > 16
    with pytest.raises(TunesmithError, match=r"task.max_tokens: 4 is less than the \d+ tokens of the template"):
        encoded(made(bases(family), family, max_tokens=4), records([text], ["pos"]))


def test_a_mask_in_a_text_is_not_the_gap(bases: Any) -> None:
    model = made(bases("bert"), "bert")
    rows = encoded(model, records(["[MASK] and [MASK]", "a"], ["pos", "neg"]))
    masks = np.flatnonzero(rows.ids[0] == model.tokenizer.mask_token_id)
    assert len(masks) == 3
    assert rows.slots.first[0] == masks[-1]


def test_a_chinese_template_with_chinese_words(bases: Any) -> None:
    words = {"pos": "好", "neg": "差"}
    with pytest.raises(TunesmithError, match=r"does not know '差' \(it reads \[UNK\]\). Choose a word of its language"):
        made(bases("bert"), "bert", template="{text}这部电影很{mask}。", words=words)
    model = made(bases("bert"), "bert", template="{text}这部电影很{mask}。", words={"pos": "好", "neg": "慢"})
    assert model.facts.wording.spelt == ("neg: 慢", "pos: 好")
    rows = encoded(model, records(["演员很棒"], ["pos"]))
    assert rows.slots.first[0] == len(rows.ids[0]) - 3, "before the full stop and [SEP]"


def test_pairs_stand_where_the_template_puts_them(bases: Any) -> None:
    plan = make_plan(
        {
            "task": {
                "name": "classify", "text": "text", "pair": "other", "label": "label", "readout": "verbalizer",
                "max_tokens": 20,
                "cloze": {"template": "{text} and {mask} , {pair}", "words": {"neg": "is", "pos": "a"}},
            },
            "base": str(bases("bert")), "data": "x.csv",
        }
    )  # fmt: skip
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    cells = {"text": "goal " * 20, "other": "the pump", "label": "pos"}
    rows = [Record(0, "t", 1, 1, cells), Record(1, "t", 2, 2, cells | {"label": "neg"})]
    facts = facts_for(plan, rows, plan.task.roles(), found, tokenizer)
    ids = plan.task.encode(rows, plan.task.roles(), tokenizer, facts).ids[0].tolist()
    assert len(ids) == 20
    assert tokenizer.decode(ids).endswith("goal and [MASK], the pump [SEP]")


def test_words_are_read_from_as_few_forms_as_it_takes() -> None:
    masked = Wording(mask=9, words=(((1,), (2, 3)), ((4,),)))
    assert masked.forms == ((9, 9), (9,))
    assert [masked.reads(i) for i in range(2)] == [2, 1]
    causal = Wording(causal=True, words=(((1, 2, 3), (1, 4)), ((5,), (6, 7))))
    assert causal.forms == ((1, 2), (6,)), "a word is read beside any whose beginning it shares"
    assert {p.word for p in causal.picks(0)} == {0, 1, 2}
    assert [(p.place, p.token, p.share) for p in causal.picks(1)] == [(0, 6, 0.5), (1, 7, 0.5)]


# refusals

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no gap": ({"template": "{text} it was"}, r"cloze.template: \{mask\} must stand in it once, and stands there 0"),
    "no text": ({"template": "it was {mask}"}, r"\{text\} must stand in it once"),
    "unknown": ({"template": "{text} {foo} {mask}"}, r"nothing is known to put in place of \{foo\}"),
    "pair": ({"template": "{text} {pair} {mask}"}, r"Set task.pair to the second text's column"),
    "none": ({"template": ""}, r"readout: verbalizer needs a sentence such as"),
    "stranger": ({"words": {"pos": "a", "neg": "is", "odd": "the"}}, r"\['odd'\] are not among the labels"),
    "missing": ({"words": {"pos": "a"}}, r"no words for \['neg'\]"),
    "shared": ({"words": {"pos": ["a", "The"], "neg": "the"}}, r"'The' of pos is the same as 'the' of neg"),
    "empty": ({"words": {"pos": " ", "neg": "the"}}, r"an empty word fills no gap"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_asked_is_refused_with_the_remedy(case: str, bases: Any) -> None:
    cloze, words = REFUSALS[case]
    with pytest.raises(TunesmithError, match=words):
        made(bases("bert"), "bert", **cloze)


def test_settings_without_effect_are_refused(bases: Any) -> None:
    task = {"name": "classify", "text": "text", "label": "label"}
    tree = {"task": task | {"cloze": {"shots": 2}}, "base": str(bases("bert")), "data": "x.csv"}
    with pytest.raises(TunesmithError, match="cloze has no effect unless readout: verbalizer"):
        make_plan(tree)
    with pytest.raises(TunesmithError, match="0 steps leave a new head as it was drawn"):
        make_plan(tree | {"task": task, "train": {"max_steps": 0}})


def test_labels_that_are_no_words_need_words(bases: Any) -> None:
    with pytest.raises(TunesmithError, match="the label '0' is no word that a text could go on with"):
        made(bases("bert"), "bert", words={}).plan.task.cloze.named(("0", "1"))


def test_a_base_without_its_language_head_is_refused(tiny_bases: TinyBases) -> None:
    for family in MASKED:
        with pytest.raises(TunesmithError, match="has no language head .* cannot fill gaps. Use the base as it was"):
            made(tiny_bases[family], family)


def test_a_causal_base_wants_the_gap_at_the_end(bases: Any) -> None:
    from tunesmith.flows import fitted

    plan = made(bases("bert"), "bert").plan.model_copy(
        update={"base": make_plan({"task": "classify", "base": str(bases("llama")), "data": "x"}).base}
    )
    with pytest.raises(TunesmithError, match=r"llama is causal and reads nothing behind \{mask\}. End the template"):
        fitted(plan, find(plan.base.name))


# whole jobs


def job(folder: Path, data: Path, run: Path, baselines: Any = None, **train: Any) -> dict[str, Any]:
    return {
        "task": {
            "name": "classify", "text": "text", "label": "label", "max_tokens": 96, "readout": "verbalizer",
            "cloze": {
                "template": "{text} it was {mask}", "words": {"good": "great", "bad": ["poor", "dull"]},
                "calibrate": "content_free", "shots": 2,
            },
        },
        "base": str(folder), "data": str(data), "method": "full", "run": str(run),
        "train": {"batch": 16, "lr": 0.005, **train}, "evaluate": {"resamples": 100, "baselines": baselines},
    }  # fmt: skip


def write(path: Path) -> Path:
    words = {"good": ["warm", "funny", "great"], "bad": ["dull", "slow", "poor"]}
    lines = ["text,label"]
    for i in range(40):
        label = list(words)[i % 2]
        lines.append(f"a {words[label][i % 3]} film {i} and {words[label][(i + 1) % 3]} story,{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("family", ("bert", "llama"))
def test_a_whole_run_beside_its_untuned_base_and_one_without_training(family: str, bases: Any, tmp_path: Path) -> None:
    data = write(tmp_path / "films.csv")
    tuned = run_job(job(bases(family), data, tmp_path / "tuned", ["untuned"], epochs=3, log_every="1 step"))
    assert tuned["status"] == "done"
    assert tuned["proof"]["plain"], "transformers and PEFT alone give the same"
    losses = [line["loss"] for line in history(tmp_path / "tuned") if line["kind"] == "step"]
    assert losses[-1] < losses[0], "it learns"
    untrained = run_job(job(bases(family), data, tmp_path / "zero", max_steps=0))
    assert set(untrained["baselines"]) == {"majority", "tfidf", "probe"}, "the untuned base is the result itself"
    beside = tuned["baselines"]["untuned"]["test"]
    for name in ("accuracy", "log_loss"):
        assert untrained["metrics"]["test"][name]["value"] == pytest.approx(beside[name]["value"], abs=1e-6)
    kept = parquet.read_table(tmp_path / "tuned" / "predictions.parquet").to_pydict()
    assert ask(tmp_path / "tuned", [{"text": text} for text in kept["text"]]) == kept["prediction"]


def test_the_untuned_base_answers_as_the_calibrated_words_do(bases: Any) -> None:
    model = made(bases("bert"), "bert", "lora", words=SEVERAL, calibrate="content_free")
    rows = encoded(model, records())
    assert np.abs(untuned(model).outputs(rows) - model.outputs(rows)).max() <= 1e-5, "LoRA starts as its base"
