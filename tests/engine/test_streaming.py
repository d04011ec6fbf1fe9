"""Pieces of an answer while it is written: they add up to the answer, and none has to be taken back."""

import pytest
import torch

from tunesmith.engine.streaming import Stream, settled
from tunesmith.tasks import End

WORDS = {1: " so ", 2: "a</", 3: "s>", 4: "b", 5: "\ufffd", 6: "泵", 7: "  \n"}


def heard(ids: list[int], end: End) -> tuple[list[str], str]:
    """(pieces, the finished text) of a decoder that glues words and turns 5, 6 into one character."""

    def finished(tokens: list[int]) -> str:
        text = "".join(WORDS[t] for t in tokens).replace("\ufffd泵", "泵").strip().removeprefix(end.lead)
        return (text.split(end.text, maxsplit=1)[0] if end.text else text).strip()

    pieces: list[str] = []
    stream = Stream(finished, end, pieces.append)
    stream.put(torch.tensor([[9, 9, 9]]))  # the prompt
    for token in ids:
        stream.put(torch.tensor([token]))
    stream.end()
    stops = set(end.tokens)
    return pieces, finished([t for t in ids if t not in stops])


@pytest.mark.parametrize(
    ("ids", "end", "pieces"),
    [
        ([1, 4, 1, 4], End(), ["so", " b", " so", " b"]),
        ([4, 5, 6, 4], End(), ["b", "泵", "b"]),  # never half of a character
        ([4, 2, 3, 4], End(text="</s>"), ["b", "a"]),  # nor the beginning of the mark that ends it
        ([4, 2, 4], End(text="</s>"), ["b", "a", "</b"]),
        ([4, 7], End(), ["b"]),
        ([2, 3, 4], End(lead="a</s>"), ["b"]),  # what stands before an answer is no part of it
        ([2, 4, 4], End(lead="a</s>"), ["a</b", "b"]),
        ([2], End(lead="a</s>"), ["a</"]),
        ([4, 8], End(tokens=(8,)), ["b"]),
        ([4, 5], End(), ["b", "\ufffd"]),  # what stays half at the end is told at the end
        ([], End(), []),
    ],
)
def test_pieces_add_up_to_the_answer(ids: list[int], end: End, pieces: list[str]) -> None:
    found, text = heard(ids, end)
    assert "".join(found) == text
    assert found == pieces


def test_what_may_still_change_is_held_back() -> None:
    assert settled("the end ###", "### User") == "the end"
    assert settled("the end # x", "### User") == "the end # x"
    assert settled("a \ufffd\ufffd", "") == "a"
