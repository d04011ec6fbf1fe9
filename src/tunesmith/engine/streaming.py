"""Text while it is written: tokens in, pieces of text out that add up to exactly the finished answer.

A piece is told once nothing that follows can change it: no half of a character, no blank that may be the last one, and
nothing that may be the beginning of what stands before an answer, or of the mark that ends it.
"""

from collections.abc import Callable
from typing import Any

from tunesmith.tasks import End

HALF = "\ufffd"
"""What a tokenizer writes for a character of which some bytes are still to come."""


class Stream:
    """What transformers' `generate` calls a streamer, for one row: `put` with the prompt first, then token by token."""

    def __init__(self, finished: Callable[[list[int]], str], end: End, say: Callable[[str], object]) -> None:
        """`finished`: the answer that some new tokens are; `say` is told each piece."""
        self.finished, self.mark, self.lead = finished, end.text, end.lead
        self.stops, self.say = set(end.tokens), say
        self.ids = list[int]()
        self.told, self.begun = "", False

    def put(self, value: Any) -> None:
        """The prompt at the first call, new tokens after it."""
        if not self.begun:
            self.begun = True
            return
        for token in value.reshape(-1).tolist():
            if token not in self.stops:
                self.ids.append(token)
        self._tell(settled(self.finished(self.ids), self.mark, self.lead))

    def end(self) -> None:
        """Nothing more comes."""
        self._tell(self.finished(self.ids))

    def _tell(self, text: str) -> None:
        if len(text) > len(self.told) and text.startswith(self.told):
            self.say(text[len(self.told) :])
            self.told = text


def settled(text: str, mark: str, lead: str = "") -> str:
    """The beginning of an answer that cannot change any more, whatever follows."""
    text = text.rstrip(HALF)
    if lead.startswith(text):
        return ""
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:size]):
            text = text[:-size]
            break
    return text.rstrip()
