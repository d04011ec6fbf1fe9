"""Sources and targets of encoder-decoders: the tokens that the tokenizer itself gives, what is cut, what is refused."""

from typing import Any

import pytest

import tiny
from tunesmith.dialogue import Call, Dialogue, Message
from tunesmith.dialogue.laying import IGNORED
from tunesmith.dialogue.pairing import front_of, pair, source, target_of
from tunesmith.dialogue.templates import find_template
from tunesmith.errors import TunesmithError

FAMILIES = tiny.ENCODER_DECODERS
ASKED, ANSWER = "what is wrong with the pump", "the pump leaks oil"
ONE = Dialogue((Message("user", ASKED), Message("assistant", ANSWER)))
TWO = Dialogue((Message("user", "goal"), Message("assistant", "team"), *ONE.messages))


def made(dialogue: Dialogue, family: str, template: str = "auto", **how: Any) -> Any:
    tokenizer = tiny.tokenizer(family)
    return pair(dialogue, find_template(template, tokenizer), tokenizer, **{"learn": "answers", "limit": 512, **how})


@pytest.mark.parametrize("family", FAMILIES)
def test_source_and_target_are_what_the_tokenizer_makes_of_them(family: str) -> None:
    tokenizer = tiny.tokenizer(family)
    laid = made(ONE, family)
    assert laid.ids == tokenizer(ASKED)["input_ids"]
    assert laid.labels == tokenizer(text_target=ANSWER)["input_ids"]
    assert laid.weights == [1.0] * len(laid.labels)
    assert (laid.lost, laid.lost_labels, laid.supervised) == (0, 0, len(laid.labels))
    assert tokenizer.eos_token_id in laid.labels[-2:]
    assert source(ONE, find_template("auto", tokenizer), tokenizer, 512).ids == laid.ids


def test_languages_are_marked_on_both_sides() -> None:
    tokenizer = tiny.tokenizer("mbart")
    laid = made(ONE, "mbart")
    assert [laid.ids[-1], laid.labels[-1]] == tokenizer.convert_tokens_to_ids(["en_XX", "zh_CN"])


def test_a_target_language_that_nobody_named_is_refused() -> None:
    import copy

    tokenizer = copy.deepcopy(tiny.tokenizer("mbart"))
    tokenizer.tgt_lang = None
    with pytest.raises(TunesmithError, match="tgt_lang"):
        target_of(ANSWER, tokenizer)


@pytest.mark.parametrize("template", ("chatml", "alpaca", "llama2", "mistral"))
def test_another_template_writes_no_special_token_twice(template: str) -> None:
    tokenizer = tiny.tokenizer("bart")
    ids = made(ONE, "bart", template).ids
    assert ids.count(tokenizer.bos_token_id) == ids.count(tokenizer.eos_token_id) == 1
    assert ASKED in tokenizer.decode(ids)


def test_front_is_what_stands_before_the_words_of_a_target() -> None:
    assert front_of(tiny.tokenizer("t5")) == []
    assert front_of(tiny.tokenizer("mbart")) == []
    assert front_of(tiny.tokenizer("bart")) == [tiny.tokenizer("bart").bos_token_id]


def test_a_long_source_keeps_its_beginning_and_end() -> None:
    tokenizer = tiny.tokenizer("t5")
    long = Dialogue((Message("user", f"first {'oil ' * 60}last"), Message("assistant", ANSWER)))
    whole, laid = made(long, "t5"), made(long, "t5", limit=40)
    text = tokenizer.decode(laid.ids, skip_special_tokens=True)
    assert len(laid.ids) <= 40
    assert text.startswith("first")
    assert text.endswith("last")
    assert laid.ids[-1] == tokenizer.eos_token_id
    assert laid.lost == len(whole.ids) - len(laid.ids)
    assert laid.lost_labels == 0


def test_old_turns_of_a_source_go_first() -> None:
    tokenizer = tiny.tokenizer("t5")
    whole = made(TWO, "t5", "chatml", learn="last")
    laid = made(TWO, "t5", "chatml", learn="last", limit=len(whole.ids) - 1)
    text = tokenizer.decode(laid.ids)
    assert "goal" not in text
    assert ASKED in text
    assert laid.labels == tokenizer(text_target=ANSWER)["input_ids"]


def test_a_long_target_loses_its_end_and_is_not_taught_to_stop() -> None:
    tokenizer = tiny.tokenizer("t5")
    long = Dialogue((Message("user", "goal"), Message("assistant", "oil and water " * 40)))
    whole, laid = made(long, "t5"), made(long, "t5", limit=30)
    assert laid.labels == whole.labels[:30]
    assert tokenizer.eos_token_id not in laid.labels
    assert laid.lost == laid.lost_labels == len(whole.labels) - 30


def test_a_mark_of_a_language_is_not_cut_off() -> None:
    short = Dialogue((Message("user", "goal"), Message("assistant", ANSWER)))
    with pytest.raises(TunesmithError, match=r"task\.max_tokens="):
        made(short, "mbart", limit=len(made(short, "mbart").labels) - 1)


def test_an_answer_without_weight_is_not_learnt() -> None:
    silent = Dialogue((Message("user", ASKED), Message("assistant", ANSWER, weight=0.0)))
    laid = made(silent, "t5")
    assert set(laid.labels) == {IGNORED}
    assert laid.supervised == 0
    half = made(Dialogue((Message("user", ASKED), Message("assistant", ANSWER, weight=0.5))), "t5")
    assert set(half.weights) == {0.5}


@pytest.mark.parametrize(
    ("dialogue", "template", "said"),
    (
        (TWO, "chatml", "task.learn: last"),
        (Dialogue((Message("user", ASKED),)), "auto", "without an answer"),
        (Dialogue((Message("assistant", ANSWER),), plain=True), "auto", "no question"),
        (
            Dialogue((Message("user", ASKED), Message("assistant", "", (Call("look", {}),)))),
            "auto",
            "calls a tool",
        ),
        (Dialogue((Message("system", "be brief"), *ONE.messages)), "auto", "refuses this conversation"),
    ),
)
def test_what_has_no_source_or_no_target_is_refused(dialogue: Dialogue, template: str, said: str) -> None:
    with pytest.raises(TunesmithError, match=said):
        made(dialogue, "t5", template)


def test_a_question_that_cannot_be_shortened_is_refused() -> None:
    with pytest.raises(TunesmithError, match="even without its text"):
        made(ONE, "t5", "alpaca", limit=5)
