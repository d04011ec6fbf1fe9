"""New training rows in which words or short spans are hidden behind the base's mask token, or cut off.

    the pump leaks oil again   ->   the [MASK] [MASK] oil again        how: mask
                               ->   the oil again                      how: cut

Cut-off of Shen et al. 2020, https://arxiv.org/abs/2009.13818, on the text instead of on embeddings; masked words as in
word dropout.
"""

from random import Random
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.steps._augmenting import Augmentation, Maker, each
from tunesmith.steps._making import Share
from tunesmith.steps._passage import Passage


class Mask(Augmentation):
    """So that the answer does not hang on one word."""

    name: Literal["mask"] = "mask"
    how: Literal["mask", "cut"] = "mask"
    """mask: the base's own mask token in the place of each word, if it has one. cut: the words leave."""
    rate: Share = 0.15
    """Share of the words that are hidden."""
    length: PositiveInt = 3
    """Longest span of words that stand behind each other; 1: single words."""

    asks_plan: ClassVar[bool] = True
    source: ClassVar[str] = "cut-off: Shen et al. 2020, https://arxiv.org/abs/2009.13818"
    prefer: ClassVar[str] = "Labels that several words of a text speak for."

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        token = _token(plan) if self.how == "mask" else ""

        def make(text: Passage, draw: Random) -> Passage:
            hidden = spans(text, self.rate, self.length, draw)
            if self.how == "cut":
                return text.without(hidden) if hidden else text
            return text.changed(dict.fromkeys(hidden, token), one=True)

        return each(make)


def _token(plan: Any) -> str:
    from tunesmith.bases.load import load_tokenizer

    if (token := load_tokenizer(plan.base.found()).mask_token) is None:
        raise TunesmithError(f"steps: mask: {plan.base.name} has no mask token. Write how: cut, which leaves words out")
    return str(token)


def spans(text: Passage, rate: float, length: int, draw: Random) -> set[int]:
    """Numbers of units in spans of up to that length, until that share of the words is reached; one word stays."""
    places = text.open()
    wanted = min(max(1, round(rate * len(places))), len(places) - 1)
    free, hidden = set(places), set[int]()
    while len(hidden) < wanted:
        start = draw.choice(sorted(free - hidden))
        for place in range(start, start + min(draw.randint(1, length), wanted - len(hidden))):
            if place not in free or place in hidden:
                break
            hidden.add(place)
    return hidden
