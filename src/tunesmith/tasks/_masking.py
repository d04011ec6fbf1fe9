"""Which tokens of a row are hidden, and what stands in their places.

    the pump leaks oil at night     share 0.15 of the words; of those places 80 % show the mask, 10 % another token of
    the [MASK] leaks oil at fox     the vocabulary, 10 % what was there

A row's masks are a function of a seed and its number, so that a step that is computed again has them again. How many
places a row has is no draw: round(share x tokens), at least one. Devlin et al. 2019, https://arxiv.org/abs/1810.04805.

Shape letters: T tokens of a row, n hidden places, U words.
"""

import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.ragged import Growing, Ints, Ragged
from tunesmith.data.segment import words_in
from tunesmith.tasks import Array, Encoded
from tunesmith.tasks._language import UNREAD

SHOWN_AS_MASK, SHOWN_AS_OTHER = 0.8, 0.1
NEVER = -1
"""Unit of a token that is never hidden: special tokens, and those that the tokenizer does not know."""


@dataclass(frozen=True)
class Masking:
    """How rows are masked. Equal units are hidden together: the pieces of a word, or each token by itself."""

    units: Ragged
    """Beside each token, the number of its unit in the row, ascending, or NEVER."""
    share: float
    mask: int
    vocabulary: int
    special: tuple[int, ...]

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """Tokens that may stand in place of another."""
        return np.setdiff1d(np.arange(self.vocabulary), np.array(self.special, dtype=np.int64))

    def drawn(self, row: int, tokens_T: Ints, seed: Sequence[int]) -> "tuple[Ints, Ints]":
        """(T tokens as they are shown, n places that are hidden, ascending) of a row, drawn from the seed."""
        generator = np.random.default_rng(list(seed))
        places = hidden(self.units[row], self.share, generator)
        shown, rule = tokens_T.copy(), generator.random(len(places))
        other = generator.choice(self.ordinary, len(places))
        shown[places[rule < SHOWN_AS_MASK]] = self.mask
        changed = (rule >= SHOWN_AS_MASK) & (rule < SHOWN_AS_MASK + SHOWN_AS_OTHER)
        shown[places[changed]] = other[changed]
        return shown, places


def hidden(units_T: Ints, share: float, generator: np.random.Generator) -> Ints:
    """The places of a row to hide, (n,) ascending, n = round(share x tokens that may be), at least 1 if one may be.

    Words in an order that is drawn are hidden whole as long as they fit; where none is left that fits, the pieces that
    are still owed are the first ones of the next word in that order: one word a row at most is hidden in part.
    """
    able = np.flatnonzero(units_T != NEVER)
    owed = min(len(able), max(1, round(share * len(able))))
    _, first, sizes = np.unique(units_T[able], return_index=True, return_counts=True)
    taken, left = [], list[int]()
    for unit in generator.permutation(len(sizes)).tolist():
        if sizes[unit] <= owed:
            taken.append(able[first[unit] : first[unit] + sizes[unit]])
            owed -= int(sizes[unit])
        else:
            left.append(unit)
        if not owed:
            break
    if owed:
        taken.append(able[first[left[0]] : first[left[0]] + owed])
    return np.sort(np.concatenate(taken)).astype(np.int32) if taken else np.zeros(0, np.int32)


def units_of(text: str, offsets: Sequence[tuple[int, int]], words: "Lexicon | None") -> list[int]:
    """The word that each token of a text is a piece of: runs of letters, runs of digits, single signs and characters of
    Chinese, Japanese and Korean; of these, what the lexicon has stands together."""
    spans = words_in(text) if words is None else list(words.joined(text, words_in(text)))
    starts = [start for start, _ in spans]
    return [max(0, bisect_left(starts, end) - 1) for _, end in offsets]


class Lexicon:
    """Words of a language that is written without spaces."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = frozenset(words)
        self.longest = max(map(len, self.words), default=1)

    def joined(self, text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The spans, neighbours put together from left to right to the longest word that is known."""
        at = 0
        while at < len(spans):
            last = at
            for end in range(at + 1, len(spans)):
                if spans[end][0] != spans[end - 1][1] or spans[end][1] - spans[at][0] > self.longest:
                    break
                if text[spans[at][0] : spans[end][1]] in self.words:
                    last = end
            yield spans[at][0], spans[last][1]
            at = last + 1


def labels_of(tokens_T: Ints, places_n: Ints) -> Ints:
    """Beside each token what is hidden there, or UNREAD."""
    out = np.full(len(tokens_T), UNREAD, dtype=np.int32)
    out[places_n] = tokens_T[places_n]
    return out


def asked(ids: Ragged, masking: Masking, lost: Array, weights: Array, tokenizer: Any) -> Encoded:
    """Rows with the masks that they are judged with: drawn from their tokens, so that they depend on nothing else."""
    shown, reads, labels, references = Growing(), Growing(), Growing(), list[tuple[str, ...]]()
    for row, tokens in enumerate(ids):
        seen, places = masking.drawn(row, tokens, (zlib.crc32(tokens.tobytes()),))
        shown.extend([seen.tolist()])
        reads.extend([places.tolist()])
        labels.extend([labels_of(tokens, places).tolist()])
        references.append((" ".join(tokenizer.convert_ids_to_tokens(tokens[places].tolist())),))
    beside, places_read = labels.done(), reads.done()
    empty = int((places_read.lengths == 0).sum())
    return Encoded(
        shown.done(), None, lost, np.asarray(beside.flat[beside.flat != UNREAD], dtype=np.int64), None, weights,
        labels=beside, reads=places_read, references=references, masking=masking,
        notes=(f"{empty} rows hold no word that could be hidden: nothing is learnt of them",) if empty else (),
    )  # fmt: skip
