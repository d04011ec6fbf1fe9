"""Train, validation and test: stratified by label, whole groups, the same for the same seed and rows.

Rule for rare classes: a class of one row is trained on; of a class of two, one row is held out (for the test, else for
the validation); from three rows on, every set gets one before any class gets its second, as far as the shares reach.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from tunesmith import scratch
from tunesmith.data.coded import Coded, coded
from tunesmith.data.format import excerpt, find_column
from tunesmith.data.ledger import Split
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of, number_of
from tunesmith.data.rows import chosen
from tunesmith.errors import TunesmithError

Sets = NDArray[np.int8]
"""(N,): 0 for a row of train, then 1, 2 … in the order of the held-out sets."""
_BINS = 10
_SHOWN = 8


def split(
    records: Sequence[Record], roles: Roles, validation: float | None, test: float | None, seed: int
) -> dict[Split, Sequence[Record]]:
    """Rows for "train", "validation" and "test", each in input order; a set whose share is None is left out.

    Without `roles.label` (generation, pairs) rows are drawn plainly; a label is a class, or a number with
    `roles.numeric_label`. Tasks with label sets call `divided` with the strata of `rarest`.
    """
    return divided(records, strata_of(records, roles), roles, {"test": test, "validation": validation}, seed)


def divided(
    records: Sequence[Record], strata: Coded, roles: Roles, asked: dict[Split, float | None], seed: int,
    groups: Coded | None = None,
) -> dict[Split, Sequence[Record]]:  # fmt: skip
    """Rows by set, given the stratum of each; `groups` stay together where the roles name no column that says so."""
    groups = groups if roles.group is None else coded(_group(r, roles.group) for r in records)
    shares = {name: share for name, share in asked.items() if share is not None}
    sets = partition(strata, groups, shares, seed)
    return {name: chosen(records, scratch.where(sets == i)) for i, name in enumerate(("train", *shares))}


def partition(strata: Coded, groups: Coded | None, shares: dict[Split, float], seed: int) -> Sets:
    """(N,): the set of each row, 0 for train, then in the order of `shares`, in which held-out sets are drawn."""
    _check_shares(shares)
    order = np.random.default_rng(seed)
    sizes = {name: round(len(strata) * share) for name, share in shares.items()}
    too_few = [name for name, size in sizes.items() if not size]
    if too_few or sum(sizes.values()) >= len(strata):
        raise TunesmithError(
            f"data.{(too_few or list(shares))[0]}: {len(strata)} rows are too few for the shares {_told(shares)}: "
            f"{sizes}. Give more rows, larger shares or a file"
        )
    if groups is not None:
        return _by_group(strata, groups, sizes, order)
    return _by_stratum(strata, sizes, order)


def rarest(label_sets: Iterable[Sequence[str]]) -> list[str]:
    """Strata for label sets, which are walked over twice: the rarest label of each row; the empty set is a stratum of
    its own."""
    return list(rarest_of(label_sets, often(label_sets)))


def often(label_sets: Iterable[Sequence[str]]) -> Counter[str]:
    """Rows of each label."""
    return Counter(label for labels in label_sets for label in labels)


def rarest_of(label_sets: Iterable[Sequence[str]], counts: Counter[str]) -> Iterator[str]:
    """The rarest label of each row."""
    return (min(labels, key=lambda label: (counts[label], label), default="") for labels in label_sets)


def require_classes(counts: Counter[str], where: str) -> None:
    """Refuse labels that nothing can be learnt from: one class, or no class with a second row."""
    shown = ", ".join(f"'{excerpt(label)}' ({count})" for label, count in counts.most_common(_SHOWN))
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    if len(counts) < 2:
        raise TunesmithError(f"{where}: only one class: {shown or 'no rows'}. Give rows of at least two classes")
    if max(counts.values()) < 2:
        raise TunesmithError(
            f"{where}: {len(counts)} classes with one row each: {shown}{more}. "
            "Give more rows a class, or name another label column"
        )


def _check_shares(shares: dict[Split, float]) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise TunesmithError(f"data.{name}: a share is between 0 and 1, got {share}. Write for example 0.1")
    if sum(shares.values()) >= 1:
        raise TunesmithError(f"data: the shares {_told(shares)} leave no rows to train on. Make them smaller")


def _told(shares: dict[Split, float]) -> str:
    return ", ".join(f"{name} {share}" for name, share in shares.items())


def strata_of(records: Sequence[Record], roles: Roles) -> Coded:
    """What every set shall have its share of: classes, or up to ten bins of numbers."""
    if roles.label is None:
        return Coded(("",), scratch.room(len(records), np.int32))
    if roles.numeric_label:
        label = roles.label
        return _bins(scratch.filled((number_of(record, label) for record in records), len(records), np.float64))
    labels = coded(label_of(record, roles.label) for record in records)
    require_classes(labels.counts, f"{records[0].source if records else 'data'}: column '{roles.label}'")
    return labels


def _bins(numbers: NDArray[np.float64]) -> Coded:
    """Up to ten bins of about equal numbers of rows; equal values share a bin."""
    count = max(1, min(_BINS, len(numbers) // 5))
    sorting = scratch.copied(numbers) if len(numbers) else np.zeros(1)
    edges = np.quantile(sorting, np.linspace(0, 1, count + 1)[1:-1], overwrite_input=True)
    found = (np.searchsorted(edges, numbers[part], side="right") for part in scratch.blocks(len(numbers)))
    return coded(str(bin) for bins in found for bin in bins.tolist())


def _group(record: Record, column: str) -> str:
    value = record.cells.get(find_column(column, tuple(record.cells), f"data.group: {record.source}"))
    if value is None or value == "":
        raise TunesmithError(
            f"{record.source}:{record.line}: column '{excerpt(column)}': the group is missing. "
            "Name the group of every row, or split without groups"
        )
    return repr(value)


def _by_stratum(strata: Coded, sizes: dict[Split, int], order: np.random.Generator) -> Sets:
    rows = dict(zip(strata.names, strata.rows(), strict=True))
    names = sorted(rows)
    left = [len(rows[name]) for name in names]
    taken: list[list[int]] = []
    for size in sizes.values():
        ideal = [len(rows[name]) * size / len(strata) for name in names]
        taken.append(_allocate(size, ideal, [max(0, n - 1) for n in left]))
        left = [n - gone for n, gone in zip(left, taken[-1], strict=True)]
    sets = scratch.room(len(strata), np.int8)
    for name, counts in zip(names, zip(*taken, strict=True), strict=False):
        order.shuffle(rows[name])
        ends = np.cumsum(counts).tolist()
        for which, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
            sets[rows[name][start:end]] = which
    return sets


def _allocate(size: int, ideal: list[float], room: list[int]) -> list[int]:
    """Whole numbers near `ideal`, at most `room`, that add up to `size` if they can: first one for every class
    (the largest first), then one by one to the class that is owed most."""
    taken = [0] * len(ideal)
    for i in sorted(range(len(ideal)), key=lambda i: -ideal[i])[:size]:
        taken[i] = min(1, room[i])
    owed = [(taken[i] - ideal[i], i) for i in range(len(ideal)) if taken[i] < room[i]]
    heapify(owed)
    for _ in range(size - sum(taken)):
        if not owed:
            break
        debt, i = heappop(owed)
        taken[i] += 1
        if taken[i] < room[i]:
            heappush(owed, (debt + 1, i))
    return taken


def _by_group(strata: Coded, groups: Coded, sizes: dict[Split, int], order: np.random.Generator) -> Sets:
    """Whole groups, the largest first, each to the set that lacks its strata most."""
    members = groups.rows()
    if len(members) <= len(sizes):
        raise TunesmithError(
            f"data: {len(members)} groups cannot fill {len(sizes) + 1} sets. Give more groups or fewer sets"
        )
    held_by = Counter(stratum for rows in members for stratum in np.unique(strata.numbers[rows]).tolist())
    shuffled = order.permutation(len(members))
    queue = shuffled[np.argsort(-groups.sizes[shuffled], kind="stable")].tolist()
    lacks = _Lacks(strata, sizes)
    sets, numbers = scratch.room(len(strata), np.int8), {name: i for i, name in enumerate(("train", *sizes))}
    filled = set[Split]()
    for group in queue:
        content = Counter(strata.numbers[members[group]].tolist())
        only_here = any(held_by[stratum] == 1 for stratum in content) and len(content) < len(held_by)
        which: Split = "train" if only_here else lacks.most(content)
        lacks.take(which, content)
        filled.add(which)
        sets[members[group]] = numbers[which]
    if missing := {*sizes, "train"} - filled:
        raise TunesmithError(
            f"data: groups are too large for the shares: nothing is left for {', '.join(sorted(missing))}. "
            f"The largest of {len(members)} groups has {len(members[queue[0]])} of {len(strata)} rows"
        )
    return sets


class _Lacks:
    """How many rows of each stratum (by its number) each set still wants."""

    def __init__(self, strata: Coded, sizes: dict[Split, int]) -> None:
        totals: dict[int, int] = dict(enumerate(strata.sizes.tolist()))
        parts: dict[Split, int] = {"train": len(strata) - sum(sizes.values()), **sizes}
        self._size = {name: max(1, size) for name, size in parts.items()}
        self._left = {name: {s: n * size / len(strata) for s, n in totals.items()} for name, size in parts.items()}
        self._total: dict[Split, float] = {name: float(size) for name, size in parts.items()}

    def most(self, content: Counter[int]) -> Split:
        """The set whose squared error falls most, relative to its size, when it takes these rows."""
        return max(self._size, key=lambda name: self._gain(name, content))

    def _gain(self, name: Split, content: Counter[int]) -> float:
        rows, left = content.total(), self._left[name]
        gain = sum(count * (2 * left[stratum] - count) for stratum, count in content.items())
        return (gain + rows * (2 * self._total[name] - rows)) / self._size[name]

    def take(self, name: Split, content: Counter[int]) -> None:
        self._total[name] -= content.total()
        for stratum, count in content.items():
            self._left[name][stratum] -= count
