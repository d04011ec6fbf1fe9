"""What each shortcut saves, from shapes alone: multiplications of an epoch, counted with and without it.

    a weight that multiplies a state         2 operations forward, 2 where gradients pass through, 2 where it learns
    a pair of positions, key seen by query   4 operations a state of the query forward, twice that backward

The way that all is set against computes every batch padded to its longest row, every block in every epoch, and a
language model's head at every place. Shortcuts are put on top of each other in one order, and each counts with what it
takes away from what the ones before it left: the shares add up. Additions, norms and activations are not counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunesmith.bases.family import Family, plain
from tunesmith.bases.quant import numel
from tunesmith.engine.forecast import size

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.engine.batches import Batches, Ints

STEPS = 200
"""Steps of the first epoch that are looked at."""
TOLD = 10**6
"""Bytes from which on a saving of memory is told."""


class Block(NamedTuple):
    """Weights of a block that multiply states: all, those that learn, and those of keys and values."""

    whole: int
    learning: int
    keys: int
    keys_learning: int


@dataclass(frozen=True)
class Sizes:
    """What a network multiplies with."""

    blocks: tuple[Block, ...]
    still: int
    """Lowest blocks that no gradient reaches."""
    pair: int
    """Operations for a query that sees a key, forward, in a block."""
    head: int
    head_learning: int


@dataclass(frozen=True)
class Work:
    """What a way computes in an epoch, or in some steps of it."""

    tokens: float
    pairs: float
    """Keys that are seen, summed over queries."""
    heads: float
    """Positions at which the head runs."""
    last: tuple[float, float] | None = None
    """(positions, pairs) where the last block runs, but for keys and values; None: everywhere."""
    still: float = 1.0
    """How often the lowest blocks run in an epoch: 1, or less where they are kept."""
    slabs: bool = False
    """Whether the head's logits are computed again for its own gradient."""


Taken = tuple[str, Work, int]
"""A shortcut in words, what is computed with it and those before it, and bytes that it saves."""


class Saving(NamedTuple):
    """A shortcut in words, the share of the plain way's operations that it leaves out, and bytes at a step's peak."""

    words: str
    share: float
    num_bytes: int = 0

    def told(self) -> str:
        """A line for the user."""
        found = [f"{self.share:.0%} of the operations"] if round(self.share, 2) else []
        found += [f"{size(self.num_bytes)} of memory"] if self.num_bytes >= TOLD else []
        return f"{self.words}; saves {' and '.join(found) or 'next to nothing here'}"


def sizes_of(net: "nn.Module", family: Family, still: int) -> Sizes:
    """The weights of a network, methods' own ones included."""
    config: Any = plain(net).config
    blocks = tuple(_block(block, family) for block in family.block_list(net))
    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    head: dict[int, Any] = {}
    if any(family.word_heads):
        head = {id(p): p for p in plain(net).get_output_embeddings().parameters() if p.ndim == 2}  # type: ignore[operator]
    else:
        head = {id(p): p for n, p in net.named_parameters() if family.is_head(n) and p.ndim == 2 and p.requires_grad}
    learning = sum(numel(p) for p in head.values() if p.requires_grad)
    return Sizes(blocks, still, 4 * heads * width, sum(map(numel, head.values())), learning)


def _block(block: "nn.Module", family: Family) -> Block:
    found = [0, 0, 0, 0]
    sought = (f"{family.key}.", f"{family.value}.")
    for name, parameter in block.named_parameters():
        if parameter.ndim != 2:
            continue
        for place, counts in enumerate((True, parameter.requires_grad)):
            found[place] += counts * numel(parameter)
            found[place + 2] += counts * name.startswith(sought) * numel(parameter)
    return Block(*found)


def operations(sizes: Sizes, work: Work) -> float:
    """Multiplications and additions of matrix products, forward and backward."""
    total = 0.0
    for number, block in enumerate(sizes.blocks):
        moves = number >= sizes.still
        tokens, pairs = work.tokens, work.pairs
        spared = 0.0
        if work.last is not None and number == len(sizes.blocks) - 1:
            places, pairs = work.last
            spared = tokens - places
        forward = 2 * (block.whole * tokens - (block.whole - block.keys) * spared)
        learning = 2 * (block.learning * tokens - (block.learning - block.keys_learning) * spared)
        cost = forward * (1 + moves) + moves * learning + sizes.pair * pairs * (1 + 2 * moves)
        total += cost if moves else cost * work.still
    passes = 1 + (sizes.still < len(sizes.blocks))
    again = 4 if work.slabs else 2
    return total + work.heads * (2 * sizes.head * passes + again * sizes.head_learning)


def savings(sizes: Sizes, ways: Sequence[Taken], plain_work: Work) -> list[Saving]:
    """Each shortcut of a list that is taken from the first to the last, with the bytes that it saves."""
    whole = operations(sizes, plain_work)
    found, before = [], whole
    for words, work, num_bytes in ways:
        after = operations(sizes, work)
        found.append(Saving(words, (before - after) / max(whole, 1.0), num_bytes))
        before = after
    return found


def summed(found: Iterable[Saving]) -> str:
    """What all save together."""
    left = 1 - sum(each.share for each in found)
    return f"forecast: {1 / max(left, 1e-4):.1f} times less to compute than padded"


def lengths_of_steps(batches: "Batches", virtual: int = 0) -> list["Ints"]:
    """Tokens of the rows of the first steps of an epoch, with `virtual` more in front of each."""
    steps = range(min(STEPS, batches.per_epoch))
    return [np.asarray(batches.ids.lengths_of(batches.rows(step)) + virtual, dtype=np.int64) for step in steps]


def padded_work(lengths: Sequence["Ints"], reads: int | None = None) -> Work:
    """Batches padded to their longest row, with `reads` positions a row for the head, or all."""
    tokens = float(sum(int(each.max()) * len(each) for each in lengths))
    pairs = float(sum(int(each.max()) ** 2 * len(each) for each in lengths))
    return Work(tokens, pairs, tokens if reads is None else float(reads * sum(map(len, lengths))))


def packed_work(lengths: Sequence["Ints"], padded: Work) -> Work:
    """The same rows without padding; a head that ran at every place of the padded ones runs at every token."""
    tokens = float(sum(int(each.sum()) for each in lengths))
    pairs = float(sum(int((each**2).sum()) for each in lengths))
    return replace(padded, tokens=tokens, pairs=pairs, heads=min(padded.heads, tokens))


def packed_words(lengths: Sequence["Ints"], plain: Work, work: Work) -> str:
    """What packing does to batches of these rows."""
    rows = sum(map(len, lengths)) / max(1, len(lengths))
    padding = plain.tokens / max(1.0, work.tokens)
    return f"packed rows: padding would make batches of {rows:.0f} {padding:.2f} times as long"
