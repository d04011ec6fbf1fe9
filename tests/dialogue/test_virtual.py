"""Virtual tokens as tokens of a row: where they stand, that serving and training agree, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

import tiny
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.laying import IGNORED, Laid, ask, lay, question
from tunesmith.dialogue.templates import Template, find_template
from tunesmith.dialogue.virtual import Place, Virtual
from tunesmith.errors import TunesmithError

ENDLESS, COUNT = 10**6, 3
PLACES: tuple[Place, ...] = ("after_bos", "after_system", "before_last_user", "before_answer")
TALK = Dialogue((
    Message("system", "Be brief"), Message("user", "the pump"), Message("assistant", "leaks oil"),
    Message("user", "水泵漏油"), Message("assistant", "压力下降 12.5 %"),
))  # fmt: skip
ONE = Dialogue((Message("user", "the pump leaks"), Message("assistant", "oil, and 水")))
PLAIN = Dialogue((Message("assistant", "the pump leaks oil"),), plain=True)


def template(name: str, tokenizer: Any, place: Place) -> Template:
    return replace(find_template(name, tokenizer), virtual=Virtual(place, COUNT, tiny.VOCABULARY))


def before(laid: Laid, tokenizer: Any) -> str:
    """The text in front of the virtual tokens, which stand together and are not learnt."""
    at = laid.ids.index(tiny.VOCABULARY)
    assert laid.ids[at : at + COUNT] == list(range(tiny.VOCABULARY, tiny.VOCABULARY + COUNT))
    assert laid.labels[at : at + COUNT] == [IGNORED] * COUNT and laid.weights[at : at + COUNT] == [0.0] * COUNT
    assert max(laid.ids[:at] + laid.ids[at + COUNT :]) < tiny.VOCABULARY
    return str(tokenizer.decode(laid.ids[:at]))


@pytest.mark.parametrize(
    ("name", "place", "end"),
    [
        ("llama3", "after_bos", "<|begin_of_text|>"),
        ("llama3", "after_system", "Be brief<|eot_id|>"),
        ("llama3", "before_last_user", "leaks oil<|eot_id|>"),
        ("llama3", "before_answer", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("chatml", "after_system", "Be brief<|im_end|>\n"),
        ("chatml", "before_last_user", "leaks oil<|im_end|>\n"),
        ("chatml", "before_answer", "水泵漏油<|im_end|>\n<|im_start|>assistant\n"),
        ("llama2", "before_last_user", "leaks oil <|end_of_text|>"),
    ],
)
def test_they_stand_where_the_place_says(name: str, place: Place, end: str) -> None:
    tokenizer = tiny.make_tokenizer("llama")
    made = lay(TALK, template(name, tokenizer, place), tokenizer, learn="last", limit=ENDLESS)
    found = before(made, tokenizer)
    assert found.endswith(end) and found.count(end) == (2 if name == "llama3" and place == "before_answer" else 1)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["chatml", "llama3", "alpaca", "plain"])
@pytest.mark.parametrize("dialogue", [TALK, ONE, PLAIN], ids=["talk", "one", "plain"])
def test_training_sees_what_serving_starts_from(family: str, place: Place, name: str, dialogue: Dialogue) -> None:
    if name == "plain" and dialogue is TALK:
        return  # one question is all that it can write
    if family == "qwen2" and place == "after_bos":
        return  # refused, see below
    tokenizer = tiny.make_tokenizer(family)
    chosen = template(name, tokenizer, place)
    made, bare = (
        lay(dialogue, t, tokenizer, learn="last", limit=ENDLESS) for t in (chosen, replace(chosen, virtual=None))
    )
    asked = question(dialogue, chosen, tokenizer, ENDLESS)
    assert made.ids[: len(asked)] == asked
    words = [i for i, token in enumerate(made.ids) if token < tiny.VOCABULARY]
    assert [made.ids[i] for i in words] == bare.ids and [made.weights[i] for i in words] == bare.weights
    assert [made.labels[i] for i in words][1:] == bare.labels[1:], "nothing else changes"
    assert made.supervised == bare.supervised, "nor what is counted"
    before(made, tokenizer)


def test_a_row_without_what_should_stand_before_them_has_them_behind_its_beginning() -> None:
    tokenizer = tiny.make_tokenizer("llama")
    for place in ("after_system", "before_last_user"):
        for dialogue in (ONE, PLAIN):
            made = lay(dialogue, template("chatml", tokenizer, place), tokenizer, learn="last", limit=ENDLESS)
            assert before(made, tokenizer) == "<|begin_of_text|>"


@pytest.mark.parametrize("place", PLACES)
def test_cutting_leaves_them_whole_and_counts_words_alone(place: Place) -> None:
    tokenizer = tiny.make_tokenizer("llama")
    long = replace(TALK, messages=(*TALK.messages[:3], Message("user", "the pump " * 80), TALK.messages[-1]))
    chosen = template("llama3", tokenizer, place)
    bare = lay(long, replace(chosen, virtual=None), tokenizer, learn="last", limit=200)
    made = lay(long, chosen, tokenizer, learn="last", limit=200 + COUNT)
    before(made, tokenizer)
    assert [i for i in made.ids if i < tiny.VOCABULARY] == bare.ids and made.lost == bare.lost > 0
    asked = ask(long, chosen, tokenizer, 160 + COUNT)
    before(asked, tokenizer)
    assert asked.lost and len(asked.ids) <= 160 + COUNT


def test_places_that_a_template_or_a_base_does_not_have_are_refused() -> None:
    tokenizer, other = tiny.make_tokenizer("llama"), tiny.make_tokenizer("qwen2")
    with pytest.raises(TunesmithError, match="'llama2' writes what stands before into the next message"):
        lay(TALK, template("llama2", tokenizer, "after_system"), tokenizer, learn="last", limit=ENDLESS)
    with pytest.raises(TunesmithError, match="begin with no such token.*Set method.place: start"):
        question(ONE, template("chatml", other, "after_bos"), other, ENDLESS)


@pytest.mark.parametrize(("place", "learn"), [("before_answer", "answers"), ("after_system", "all")])
def test_what_they_cannot_change_is_not_learnt_in_silence(place: Place, learn: Any) -> None:
    tokenizer = tiny.make_tokenizer("llama")
    with pytest.raises(TunesmithError, match=rf"place: {place}: \d+ tokens to be learnt stand before .*learn: last"):
        lay(TALK, template("chatml", tokenizer, place), tokenizer, learn=learn, limit=ENDLESS)


def test_a_template_with_them_has_a_digest_of_its_own() -> None:
    tokenizer = tiny.make_tokenizer("llama")
    digests = {template("chatml", tokenizer, place).digest for place in PLACES}
    assert len(digests | {find_template("chatml", tokenizer).digest}) == 5
