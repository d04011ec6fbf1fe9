"""Rows that are nearly the same: near twins among rows, and between training and held-out rows.

    rows -> normalised texts -> MinHash of character shingles -> bands -> candidates -> exact share of edits

A pair counts when `tunesmith.data._edits.share_alike` of its texts, worked out exactly, reaches the similarity asked
for and all else that makes the input (side columns, a picture) is equal: no pair is found by chance of a hash. Some may
be missed: how many was measured (bench/data/near.py), and the rows whose pairs were not all compared are counted.
Texts, signatures and flags lie in nameless files when they are large (`tunesmith.scratch`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data import alike
from tunesmith.data._bands import MANY, Candidates, Index
from tunesmith.data._edits import share_alike
from tunesmith.data._far import Sketches
from tunesmith.data._minhash import BANDS, signatures
from tunesmith.data.overlap import key
from tunesmith.data.record import Record, Roles
from tunesmith.progress import Walk, walk

SIMILARITY = 0.86
"""One edit in ten characters or words is found also where rounding makes it two in fifteen; measured on questions,
headlines and work orders."""
LEAST = 0.8
"""Below it the search would miss too much to be called one."""
LENGTHS = ((0, 24, 3), (18, None, 4))
"""(from, to, width of a shingle): short texts share fewer shingles after one edit. The ranges overlap by more than
twins differ in length, so that two twins are met in one of them."""
TRIES = 24
"""Pairs of a row that turn out to be none, after which it is given up and counted."""
_HEAD = 50_000
"""Characters of a text that make its signature: two near twins have near beginnings, and memory has an end."""
_ROWS = 1000
"""Rows normalised at once."""
_PAIRS = 1 << 11
"""Pairs compared roughly at once."""
_BATCH = 1 << 17
"""Characters of which signatures are made at once: their arrays stay in the processor's cache."""


def objection(roles: Roles) -> str | None:
    """Why near twins of such rows are not looked for; None when they are."""
    if not roles.texts or roles.wordless:
        return "near-duplicates are looked for in texts, and these inputs are none"
    return None


class Inputs:
    """The inputs of rows, ready to be compared: normalised texts, and a number for what else must be equal."""

    def __init__(self, rows: Sequence[Sequence[Record]], roles: Roles, *, within: bool = False) -> None:
        """`within`: rows of different tasks are no twins, as in `overlap.key`."""
        texts, ends, sizes = scratch.Column(np.uint8), scratch.Column(np.int64), scratch.Column(np.int64)
        whole, rest, end, sketches = alike.Growing(), scratch.Column(np.uint64), 0, Sketches()
        self._columns = len(roles.texts)
        records = chain.from_iterable(rows)
        while some := [key(record, roles, within=within) for record in islice(records, _ROWS)]:
            held = ["\n".join(parts[: self._columns]) for parts in some]  # no normalised text has a line break
            raw = [text.encode("utf-8", "surrogatepass") for text in held]
            texts.extend(np.frombuffer(b"".join(raw), np.uint8))
            ends.extend(end + np.cumsum([len(one) for one in raw]))
            end += sum(map(len, raw))
            sizes.extend([len(text) for text in held])
            sketches.add(held)
            others = (alike.digest(parts[self._columns :]) for parts in some)
            rest.extend(np.frombuffer(b"".join(others), np.uint64)[::2])
            for parts in some:
                whole.add(alike.digest(parts))
        self._sketches = sketches.done()
        self._texts, self._ends, self.sizes, self.rest = texts.array(), ends.array(), sizes.array(), rest.array()
        self.first = alike.first_alike(whole.done())
        """(N,): the first row with the very same input."""

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        """The texts of a row, a line each."""
        start = int(self._ends[row - 1]) if row else 0
        return self._texts[start : int(self._ends[row])].tobytes().decode("utf-8", "surrogatepass")

    def far(self, one: Index, other: Index, least: float) -> NDArray[np.bool_]:
        """(P,): pairs whose score is surely 0, a part of those for which it is."""
        if self._columns > 1:
            return np.zeros(len(one), np.bool_)
        return self._sketches.far(one, other, least)

    def score(self, one: int, other: int, least: float) -> float:
        """Share that is the same of two rows' texts, of several texts the smallest; 0 where it is under `least`."""
        pairs = zip(self[one].split("\n"), self[other].split("\n"), strict=True)
        return min(share_alike(*pair, least) for pair in pairs)


class Search:
    """Pairs of different inputs that are near twins."""

    def __init__(self, inputs: Inputs, similarity: float, held: int | None = None) -> None:
        """`held`: the first held-out row, where only pairs of a training row and a held-out row are looked for."""
        self.inputs, self.similarity, self._held = inputs, similarity, held
        self.crowded = scratch.room(len(inputs), np.bool_)
        """(N,): rows that were not compared with every candidate."""
        self._misses = scratch.room(len(inputs), np.uint8)

    def pairs(self, wanted: Callable[[Any, Any], Any]) -> Iterator[tuple[int, int, float]]:
        """(earlier row, later row, similarity) of each pair found among the first rows of all inputs. `wanted`: of two
        rows, or (P,) and (P,) of them, whether the pair would tell anything new."""
        misses = self._misses
        for one, other in self._candidates(wanted):
            far = self.inputs.far(one, other, self.similarity)
            for a, b, hopeless in zip(one.tolist(), other.tolist(), far.tolist(), strict=True):
                if not wanted(a, b):
                    continue
                if misses[a] >= TRIES or misses[b] >= TRIES:
                    self.crowded[a] |= misses[a] >= TRIES
                    self.crowded[b] |= misses[b] >= TRIES
                elif not hopeless and (found := self.inputs.score(a, b, self.similarity)) >= self.similarity:
                    yield a, b, found
                else:
                    misses[a] += 1
                    misses[b] += 1

    def _open(
        self, one: Index, other: Index, *, rows: Index, wanted: Callable[[Index, Index], Any]
    ) -> NDArray[np.bool_]:  # fmt: skip
        """(P,): which pairs of places in `rows` may be twins, or tell at least that a row was given up."""
        one, other = rows[one], rows[other]
        found: NDArray[np.bool_] = self.inputs.rest[one] == self.inputs.rest[other]
        if self._held is not None:
            found &= (one < self._held) != (other < self._held)
        given_up = [self._misses[each] >= TRIES for each in (one, other)]
        told = [~up | self.crowded[each] for up, each in zip(given_up, (one, other), strict=True)]
        found &= ~((given_up[0] | given_up[1]) & told[0] & told[1])
        left = np.flatnonzero(found)
        found[left] = wanted(one[left], other[left])
        return found

    def _candidates(self, wanted: Callable[[Index, Index], Any]) -> Iterator[tuple[Index, Index]]:
        inputs = self.inputs
        for least, most, width in LENGTHS:
            flags = scratch.room(len(inputs), np.bool_)
            for part in scratch.blocks(len(inputs)):
                flags[part] = (inputs.sizes[part] >= least) & (inputs.first[part] == np.arange(part.start, part.stop))
                flags[part] &= inputs.sizes[part] <= (most or np.inf)
            rows = scratch.where(flags)
            what = f"near-duplicates of {least} to {most} characters" if most else "near-duplicates of longer texts"
            with walk(2 * BANDS, "rounds", what) as bar:
                open_ = partial(self._open, rows=rows, wanted=wanted)
                candidates = Candidates(self._signatures(rows, width, bar), open_, bar.advance)
                for one, other in candidates:
                    for start in range(0, len(one), _PAIRS):
                        some = one[start : start + _PAIRS], other[start : start + _PAIRS]
                        left = self._open(*some, rows=rows, wanted=wanted)  # much may have been found since
                        yield rows[some[0][left]], rows[some[1][left]]
            for part in scratch.blocks(len(rows)):
                self.crowded[rows[part]] |= candidates.crowds[part] > MANY

    def _signatures(self, rows: Index, width: int, bar: Walk) -> NDArray[np.uint64]:
        """(N, BANDS): of some rows; it takes about as long as comparing them."""
        told = max(1, len(rows) // BANDS)
        out, batch, size = scratch.room(len(rows) * BANDS, np.uint64).reshape(-1, BANDS), list[str](), 0
        for i, row in enumerate(rows):
            if i % told == told - 1:
                bar.advance()
            batch.append(self.inputs[row][:_HEAD])
            size += len(batch[-1])
            if size > _BATCH or i == len(rows) - 1:
                out[i + 1 - len(batch) : i + 1] = signatures(batch, width)
                batch, size = [], 0
        return out


@dataclass(frozen=True)
class Groups:
    """Rows that near twins link."""

    first: Index
    """(N,): the first row of each row's group; its own place where it has no twin before it."""
    inputs: Inputs
    similarity: float
    crowded: int
    """Rows that were not compared with every candidate: a twin of theirs may be missing."""

    def members(self) -> Iterator[Index]:
        """The rows of each group of several, in order; the groups by their first row."""
        flags = scratch.room(len(self.first), np.bool_)
        for part in scratch.blocks(len(flags)):
            linked = self.first[part] != np.arange(part.start, part.stop)
            flags[part] |= linked
            flags[self.first[part][linked]] = True
        linked_rows = scratch.where(flags)
        rows = scratch.taken(linked_rows, scratch.order(scratch.taken(self.first, linked_rows)))
        start = 0
        for part in scratch.blocks(len(rows)):
            first = self.first[rows[part.start : part.stop + 1]]
            for end in (np.flatnonzero(first[1:] != first[:-1]) + part.start + 1).tolist():
                yield rows[start:end]
                start = end
        if start < len(rows):
            yield rows[start:]


def groups(records: Sequence[Record], roles: Roles, similarity: float = SIMILARITY) -> Groups:
    """Which rows are linked by near twins, of one task. Time and room grow linearly with the rows."""
    inputs = Inputs([records], roles, within=True)
    parent = scratch.copied(inputs.first)

    def root(rows: Any) -> Any:
        """Of a row, or of rows; from then on they know it themselves."""
        if isinstance(rows, int):
            while (above := int(parent[rows])) != rows:
                parent[rows] = parent[above]
                rows = above
            return rows
        found = parent[rows]
        while ((above := parent[found]) != found).any():
            found = above
        parent[rows] = found
        return found

    search = Search(inputs, similarity)
    for one, other, _ in search.pairs(lambda a, b: root(a) != root(b)):
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    for part in scratch.blocks(len(parent)):
        root(np.arange(part.start, part.stop))
    return Groups(parent, inputs, similarity, int(np.count_nonzero(search.crowded)))


@dataclass(frozen=True)
class Leaks:
    """Held-out rows that stand among the training rows too, the same or nearly."""

    rows: Index
    """(L,): their places among the held-out rows, in order."""
    twins: Index
    """(L,): the place of a training row that each is a twin of."""
    scores: NDArray[np.float64]
    """(L,): the similarity to it; 1 for the same text."""
    crowded: int
    """Held-out rows that were not compared with every candidate."""


def leaks(train: Sequence[Record], held: Sequence[Record], roles: Roles, similarity: float = SIMILARITY) -> Leaks:
    """Near twins between two splits, whatever is asked of a text there. Time and room grow linearly with the rows."""
    inputs, size = Inputs([train, held], roles), len(train)
    twins, scores = scratch.room(len(inputs), np.int64, -1), scratch.room(len(inputs), np.float64)
    search = Search(inputs, similarity, held=size)
    for one, other, score in search.pairs(lambda a, b: twins[b] < 0):
        twins[other], scores[other] = one, score
    crowded = 0
    for part in scratch.blocks(len(held)):
        first = inputs.first[size + part.start : size + part.stop]
        own = slice(size + part.start, size + part.stop)
        exact = first < size
        twins[own], scores[own] = np.where(exact, first, twins[first]), np.where(exact, 1.0, scores[first])
        crowded += int(np.count_nonzero(search.crowded[first] & (twins[own] < 0)))
    found = scratch.where(twins[size:] >= 0)
    return Leaks(found, scratch.taken(twins[size:], found), scratch.taken(scores[size:], found), crowded)
