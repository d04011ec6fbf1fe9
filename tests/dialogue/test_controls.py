"""No text of a row becomes a control token: in questions, answers and plain texts, for every kind of tokenizer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from kit import TinyBases
from tunesmith.data import Record, Roles
from tunesmith.dialogue import Call, Dialogue, Message
from tunesmith.dialogue.controls import GUARD, count_in, guarded, marks
from tunesmith.dialogue.laying import IGNORED, ask, lay
from tunesmith.dialogue.pairing import pair
from tunesmith.dialogue.templates import Template, find_template
from tunesmith.errors import TunesmithError
from tunesmith.flows import check
from tunesmith.plan_text import make_plan

ENDLESS = 10**6
DECODERS = ("llama", "qwen2", "gpt2", "gemma")


def talk(question: str, answer: str) -> Dialogue:
    return Dialogue((Message("user", question), Message("assistant", answer)))


def specials(ids: list[int], tokenizer: Any) -> list[str]:
    return [t for t in tokenizer.convert_ids_to_tokens(ids) if marks(tokenizer).fullmatch(t)]


def chatml(tokenizer: Any, *, control: bool = False) -> Template:
    return find_template("chatml", tokenizer, control=control)


@pytest.mark.parametrize("family", DECODERS)
def test_special_tokens_in_texts_are_text(family: str) -> None:
    """The control tokens of a row are those of the same row without them, and no letter is lost."""
    tok = tiny.make_tokenizer(family)
    odd = f"what is {tok.eos_token} and{tok.eos_token}{tok.bos_token or ''}? "
    said = f"it {tok.eos_token} ends"
    bare = lay(talk("what is and? ", "it ends"), chatml(tok), tok, learn="answers", limit=ENDLESS)
    laid = lay(talk(odd, said), chatml(tok), tok, learn="answers", limit=ENDLESS)
    assert specials(laid.ids, tok) == specials(bare.ids, tok)
    text = tok.decode(laid.ids)
    assert odd.strip() in text and said in text and GUARD not in text
    learnt = tok.decode([i for i in laid.labels if i != IGNORED])
    assert learnt.startswith(said), "the answer is learnt whole, up to its end"
    asked = ask(talk(odd, said), chatml(tok), tok, ENDLESS).ids
    assert laid.ids[: len(asked)] == asked, "serving starts from what training saw"


@pytest.mark.parametrize("family", DECODERS)
def test_they_act_where_the_plan_says_so(family: str) -> None:
    tok = tiny.make_tokenizer(family)
    row = talk(f"a {tok.eos_token} b", "c")
    usual, control = (lay(row, chatml(tok, control=c), tok, learn="last", limit=ENDLESS).ids for c in (False, True))
    assert len(specials(control, tok)) == len(specials(usual, tok)) + 1


def test_rows_without_them_are_laid_as_ever() -> None:
    tok = tiny.make_tokenizer("qwen2")
    row = talk("a < b |> 1", "<|im|end|>")
    assert guarded(row, chatml(tok), tok) is row
    text = f"<|im_start|>user\n{row.messages[0].content}<|im_end|>\n<|im_start|>assistant\n<|im|end|><|im_end|>\n"
    assert lay(row, chatml(tok), tok, learn="last", limit=ENDLESS).ids == tok(text)["input_ids"]


def test_a_plain_text_ends_once() -> None:
    tok = tiny.make_tokenizer("qwen2")
    text = Dialogue((Message("assistant", f"one{tok.eos_token}two"),), plain=True)
    ids = lay(text, chatml(tok), tok, learn="all", limit=ENDLESS).ids
    assert ids.count(tok.eos_token_id) == 1 and ids[-1] == tok.eos_token_id
    ids = lay(text, chatml(tok, control=True), tok, learn="all", limit=ENDLESS).ids
    assert ids.count(tok.eos_token_id) == 2


@pytest.mark.parametrize("family", ("t5", "bart", "mbart"))
def test_sources_and_targets_end_once(family: str) -> None:
    tok = tiny.make_tokenizer(family)
    odd = pair(talk("stop </s> here", "go </s> on"), find_template("auto", tok), tok, learn="last", limit=99)
    bare = pair(talk("stop here", "go on"), find_template("auto", tok), tok, learn="last", limit=99)
    for mine, theirs in ((odd.ids, bare.ids), (odd.labels, bare.labels)):
        assert [t for t in specials(mine, tok) if t != tok.unk_token] == specials(theirs, tok)
        assert mine[-1] == theirs[-1] and len(mine) > len(theirs)


def test_what_templates_write_in_their_own_ways_is_refused() -> None:
    tok = tiny.make_tokenizer("qwen2")
    call = Message("assistant", "", (Call("look", {"at": "<|im_end|>"}),))
    with pytest.raises(TunesmithError, match=r"special token <\|im_end\|> stands in a tool or in a call"):
        guarded(Dialogue((Message("user", "a"), call)), chatml(tok), tok)
    tool = {"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}
    with pytest.raises(TunesmithError, match="stands in a tool"):
        guarded(replace(talk("a", "b"), tools=(tool,)), chatml(tok), tok)
    with pytest.raises(TunesmithError, match=r"U\+FFFFD"):
        guarded(talk(GUARD, "b"), chatml(tok), tok)


def test_a_long_question_with_marks_is_cut_and_still_has_none() -> None:
    tok = tiny.make_tokenizer("qwen2")
    row = talk("stop <|im_end|> now " * 40, "yes")
    laid = lay(row, chatml(tok), tok, learn="last", limit=100)
    assert len(laid.ids) <= 100 and laid.lost > 0
    assert specials(laid.ids, tok) == specials(lay(talk("a", "yes"), chatml(tok), tok, learn="last", limit=99).ids, tok)


def test_counting() -> None:
    tok = tiny.make_tokenizer("qwen2")
    assert count_in([["<|im_end|> <|im_end|>"], ["a", None], ["b", "<|im_start|><|im_end|>"]], tok) == (
        2, {"<|im_end|>": 2, "<|im_start|>": 1},
    )  # fmt: skip


@pytest.mark.parametrize("meant", ("text", "control"))
def test_data_check_tells_of_them_and_reads_conversations(meant: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    base, file = str(tiny_bases["qwen2 language"]), tmp_path / "rows.json"
    rows = [{"instruction": f"what is <|im_end|> {i}" if i < 3 else f"ask {i}", "output": "b"} for i in range(9)]
    file.write_text(json.dumps(rows), encoding="utf-8")
    task = {"name": "generate", "special_tokens": meant}
    found = check(file, plan=make_plan({"task": task, "base": base, "data": str(file)}), base=base)["findings"]
    assert not [f for f in found if f["kind"] in ("missing_value", "duplicates")], "answers are no classes"
    (special,) = (f for f in found if f["kind"] == "special_tokens")
    assert special["rows"] == 3 and "<|im_end|> (3)" in special["remedy"]
    assert {"text": "read as text", "control": "act as control tokens"}[meant] in special["remedy"]


def test_texts_to_classify_are_told_of_too(tiny_bases: TinyBases, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "".join(f"pump {i} [SEP] leaks,{i % 2}\n" for i in range(6)), encoding="utf-8")
    found = check(file, base=str(tiny_bases["bert"]))["findings"]
    assert next(f for f in found if f["kind"] == "special_tokens")["rows"] == 6
    from tunesmith.checking import special_tokens

    assert special_tokens([Record(0, "t", 1, 1, {"text": "a"})], Roles(("text",), None), tiny.make_tokenizer("bert"),
                          None) is None  # fmt: skip
