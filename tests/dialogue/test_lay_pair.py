"""Two answers to one question: the question is the same in both, however long the answers are."""

from typing import Any

import pytest

import tiny
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.laying import Laid, lay
from tunesmith.dialogue.pairs import lay_pair, shared
from tunesmith.dialogue.templates import find_template


def both(question: str, good: str, bad: str, *before: Message) -> tuple[Dialogue, Dialogue]:
    asked = (*before, Message("user", question))
    return Dialogue((*asked, Message("assistant", good))), Dialogue((*asked, Message("assistant", bad)))


def laid(pair: tuple[Dialogue, Dialogue], limit: int) -> tuple[Laid, Laid]:
    tokenizer: Any = tiny.tokenizer("qwen2")
    return lay_pair(*pair, find_template("chatml", tokenizer), tokenizer, limit)


def question_of(made: Laid) -> list[int]:
    first = next(i for i, label in enumerate(made.labels) if label != -100)
    return made.ids[:first]


def test_short_pairs_are_laid_out_as_each_alone() -> None:
    pair = both("the pump leaks", "check the valve", "goal")
    tokenizer: Any = tiny.tokenizer("qwen2")
    template = find_template("chatml", tokenizer)
    alone = tuple(lay(each, template, tokenizer, learn="last", limit=200) for each in pair)
    assert laid(pair, 200) == alone


@pytest.mark.parametrize("limit", (60, 90, 120))
def test_a_long_answer_cuts_the_question_of_both(limit: int) -> None:
    pair = both("the pump leaks oil " * 12, "check the valve and the belt " * 3, "goal")
    made = laid(pair, limit)
    assert question_of(made[0]) == question_of(made[1])
    assert all(len(each.ids) <= limit and each.supervised for each in made)
    whole = laid(pair, 10**6)
    for part, full in zip(made, whole, strict=True):
        assert part.lost == len(full.ids) - len(part.ids) > 0
        assert part.lost_labels == full.supervised - part.supervised


def test_alone_the_question_of_the_shorter_answer_would_be_longer() -> None:
    """What the module is for."""
    pair = both("the pump leaks oil " * 12, "check the valve and the belt " * 3, "goal")
    tokenizer: Any = tiny.tokenizer("qwen2")
    template = find_template("chatml", tokenizer)
    long, short = (lay(each, template, tokenizer, learn="last", limit=90) for each in pair)
    assert question_of(long) != question_of(short)


def test_earlier_answers_are_read_and_not_judged() -> None:
    pair = both("and now", "check the valve", "goal", Message("user", "the pump leaks"), Message("assistant", "oil"))
    assert shared(*pair) == 3
    once = both("and now", "check the valve", "goal")
    for with_it, without in zip(laid(pair, 200), laid(once, 200), strict=True):
        assert [t for t in with_it.labels if t != -100] == [t for t in without.labels if t != -100]


def test_an_answer_of_several_messages_is_judged_whole() -> None:
    asked = Message("user", "the pump leaks")
    good = Dialogue((asked, Message("assistant", "check"), Message("user", "what"), Message("assistant", "the valve")))
    bad = Dialogue((asked, Message("assistant", "goal")))
    made, single = laid((good, bad), 200), laid(both("the pump leaks", "check", "goal"), 200)
    assert made[0].supervised > single[0].supervised
    assert question_of(made[0]) == question_of(made[1])


def test_equal_answers_still_have_an_answer_each() -> None:
    made = laid(both("the pump leaks", "goal", "goal"), 200)
    assert made[0] == made[1] and made[0].supervised > 0
