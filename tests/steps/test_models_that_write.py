"""Steps with models: real classes of transformers on tiny networks made here, their draws, and what is refused."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import augmenting
import tiny
from kit import TinyBases
from tunesmith.data.record import MADE
from tunesmith.errors import TunesmithError
from tunesmith.steps import _models
from tunesmith.steps._passage import anew, lost, passage
from tunesmith.steps.backtranslate import Backtranslate, language_token
from tunesmith.steps.contextual import Contextual, whole_words
from tunesmith.steps.paraphrase import Paraphrase

GUARDS = ("numbers", "codes", "negations")


def translator(folder: Path, kind: str) -> Path:
    """A tiny translation model with transformers' own classes: Marian, M2M100 (NLLB's class, too)."""
    import transformers

    tokenizer = tiny.make_tokenizer("bart")
    sizes: dict[str, Any] = {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 128,
        "init_std": 0.5, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id, "decoder_start_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }  # fmt: skip
    config = {"marian": transformers.MarianConfig, "m2m": transformers.M2M100Config}[kind](**sizes)
    net = {"marian": transformers.MarianMTModel, "m2m": transformers.M2M100ForConditionalGeneration}[kind](config)
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ("marian", "m2m"))
def test_two_translation_models(kind: str, tmp_path: Path) -> None:
    there, back = (str(translator(tmp_path / name, kind)) for name in ("there", "back"))
    step = Backtranslate(there=there, back=back, guard=(), copies=2, max_tokens=20)
    ledger, out = augmenting.made(step)
    left = sum(n for what, n in ledger.changes["backtranslate"].items() if what.startswith("copies left out"))
    assert sum(MADE in r.cells for r in out) + left == 2 * len(augmenting.TEXTS)
    assert len(step.files()) >= 8 and {f.parent.name for f in step.files()} == {"there", "back"}
    assert step.objection(augmenting.plan(step)) is None
    alone = Backtranslate(there=there)
    assert "must be told which way" in str(alone.objection(augmenting.plan(alone)))


def test_one_multilingual_model_is_told_its_languages(tiny_bases: TinyBases, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = _models.written

    def spy(net: Any, batch: Any, draws: Any, **how: Any) -> Any:
        out = real(net, batch, draws, **how)
        asked.append((batch["input_ids"][0].tolist(), how["first"], out[0].tolist()))
        return out

    monkeypatch.setattr("tunesmith.steps.backtranslate.written", spy)
    base = str(tiny_bases["mbart language"])
    step = Backtranslate(there=base, languages=("en_XX", "zh_CN"), guard=(), max_tokens=40)
    augmenting.made(step, given=augmenting.rows(("the pump leaks",), ("leak",)))
    tokenizer = _models.opened("x", base, "AutoModelForSeq2SeqLM")[1]
    english, chinese = tokenizer.convert_tokens_to_ids(["en_XX", "zh_CN"])
    (there, first, out), *_ = asked
    assert english in there and first == chinese and out[1] == chinese
    if len(asked) > 1:
        assert chinese in asked[1][0] and asked[1][1] == english
    with pytest.raises(TunesmithError, match="knows no language 'xx_YY'"):
        language_token(tokenizer, "en_XX", "xx_YY")
    with pytest.raises(TunesmithError, match="this tokenizer has none"):
        language_token(tiny.make_tokenizer("t5"), "en", "zh")


def test_prefixes_stand_before_a_text_and_long_texts_are_left_out(tiny_bases: TinyBases, monkeypatch: Any) -> None:
    seen: list[list[str]] = []

    def echo(net: Any, batch: Any, draws: Any, **how: Any) -> Any:
        seen.append(tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True))
        return batch["input_ids"]

    base = str(tiny_bases["t5 language"])
    tokenizer = _models.opened("x", base, "AutoModelForSeq2SeqLM")[1]
    monkeypatch.setattr("tunesmith.steps.backtranslate.written", echo)
    step = Backtranslate(there=base, prefixes=("over: ", "back: "), guard=(), max_tokens=60)
    ledger, out = augmenting.made(step, given=augmenting.rows(("the pump leaks", "the pump leaks " * 40), ("a", "b")))
    assert seen == [["over: the pump leaks"], ["back: over: the pump leaks"]]
    assert [r.cells["text"] for r in out if r.id == 0][1] == "back: over: the pump leaks"
    assert ledger.changes["backtranslate"] == {"rows added": 1, "copies left out: nothing came out": 1}


def test_draws_are_from_the_models_distribution_and_a_rows_own() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, -9.0]])
    counts = torch.zeros(4)
    for seed in range(3000):
        made = _models._Drawn([Random(seed)], 1.0, 3)(torch.zeros(1, 1), scores)
        counts[made.argmax()] += 1
    expected = torch.softmax(scores[0, :3], -1) * 3000
    assert counts[3] == 0
    assert ((counts[:3] - expected) ** 2 / expected).sum() < 13.8  # chi-squared with 2 degrees of freedom at 0.999
    cold = _models._Drawn([Random(0)], 0.01, 3)(torch.zeros(1, 1), scores)
    assert cold.argmax() == 2
    alone = _models._Drawn([Random(5)], 1.0, 3)(torch.zeros(1, 1), scores)
    beside = _models._Drawn([Random(4), Random(5)], 1.0, 3)(torch.zeros(2, 1), scores.expand(2, 4))
    assert torch.equal(alone[0], beside[1])


def test_what_a_text_that_was_written_anew_may_not_lose() -> None:
    before = passage("pump A-12 at 0.5 MPa is not hot", GUARDS)
    assert lost(before, "not hot: A-12, pump, 0.5 MPa") is None
    assert lost(before, "pump A-12 at 0.5 MPa is cold") == "a guarded stretch was lost"
    assert lost(before, "pump A-12 at 0.5 MPa is not hot, 0.5 MPa") is None
    for other in ("A-123", "AA-12", "A-12.5"):
        assert lost(before, f"pump {other} at 0.5 MPa is not hot") == "a guarded stretch was lost"
    assert lost(before, "泵 A-12 at 0.5 MPa is not hot") == "it came out in another script"
    assert anew("x y").text == "x y"


def test_the_prompt_of_a_paraphrase(tiny_bases: TinyBases) -> None:
    base = str(tiny_bases["llama language"])
    step = Paraphrase(base=base, prompt="In other words: {text}\n", guard=(), max_tokens=8)
    _, tokenizer = _models.opened("x", base, "AutoModelForCausalLM")
    assert step._asked("the pump", tokenizer) == "In other words: the pump\n"
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    assert step._asked("the pump", tokenizer) == "<user>In other words: the pump<assistant>"
    blind = Paraphrase(base=base, prompt="Say it otherwise")
    assert "the prompt has no {text}" in str(blind.objection(augmenting.plan(blind)))
    _, out = augmenting.made(step, given=augmenting.rows(("the pump " * 60, "the pump"), ("a", "b")))
    assert not any(MADE in r.cells for r in out if r.id == 0), "what does not fit is not asked"


def test_contextual_words_are_whole_words_of_the_base(tiny_bases: TinyBases) -> None:
    base = tiny_bases["bert language"]
    step = Contextual(base=str(base), rate=0.5, copies=5)
    _, tokenizer = _models.opened("x", str(base), "AutoModelForMaskedLM")
    words = {w for w in whole_words(tokenizer, 300) if w}
    assert "bank" in words and "泵" in words and not any(w.startswith("##") or not w.isalpha() for w in words)
    text = "the pump leaks oil and the pressure drops"
    for row in augmenting.made(step, given=augmenting.rows((text, "水泵漏油"), ("a", "b")))[1]:
        if MADE in row.cells and row.id == 0:
            pairs = [(a, b) for a, b in zip(text.split(), str(row.cells["text"]).split(), strict=True) if a != b]
            assert 1 <= len(pairs) <= 4 and all(b in words for _, b in pairs)
        if MADE in row.cells and row.id == 1:
            assert len(str(row.cells["text"])) == 4 and set(str(row.cells["text"])) <= words | set("水泵漏油")
    bytewise = tiny.make_tokenizer("qwen2")
    pieces = {bytewise.convert_ids_to_tokens(i): w for i, w in enumerate(whole_words(bytewise, len(bytewise)))}
    assert pieces["Ġthe"] == "the" and pieces["<|im_end|>"] is None
    assert all(word is None for piece, word in pieces.items() if piece.isascii() and piece.isalpha())


def test_words_behind_the_longest_input_stay(tiny_bases: TinyBases) -> None:
    step = Contextual(base=str(tiny_bases["bert language"]), rate=1.0)
    text = "the pump leaks oil " * 60
    made = augmenting.made(step, given=augmenting.rows((text,), ("a",)))[1][1]
    new = str(made.cells["text"]).split()
    assert len(new) == 240 and new[-40:] == text.split()[-40:] and new[:20] != text.split()[:20]


def test_bases_of_another_kind_are_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    headless, causal = str(tiny_bases["bert"]), str(tiny_bases["llama language"])
    with pytest.raises(TunesmithError, match="is no AutoModelForMaskedLM: it lacks"):
        augmenting.made(Contextual(base=headless))
    with pytest.raises(TunesmithError, match="does not load as AutoModelForMaskedLM"):
        augmenting.made(Contextual(base=causal))
    with pytest.raises(TunesmithError, match="does not load as AutoModelForSeq2SeqLM"):
        augmenting.made(Backtranslate(there=causal, back=causal))
    with pytest.raises(TunesmithError, match="no folder"):
        Contextual(base=str(tmp_path / "nothing")).files()


def test_the_content_of_a_base_is_part_of_the_run(tiny_bases: TinyBases) -> None:
    names = {f.name for f in Contextual(base=str(tiny_bases["bert language"])).files()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert json.loads(json.dumps(sorted(names)))
