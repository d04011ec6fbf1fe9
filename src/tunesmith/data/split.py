"""Train, validation and test: stratified by label, whole groups, the same for the same seed and rows.

Rule for rare classes: a class of one row is trained on; of a class of two, one row is held out (for the test, else for
the validation); from three rows on, every set gets one before any class gets its second, as far as the shares reach.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import numpy as np

from tunesmith.data.format import excerpt
from tunesmith.data.ledger import Split
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of, number_of
from tunesmith.errors import TunesmithError

_BINS = 10
_SHOWN = 8


def split(
    records: Sequence[Record], roles: Roles, validation: float | None, test: float | None, seed: int
) -> dict[Split, list[Record]]:
    """Rows for "train", "validation" and "test", each in input order; a set whose share is None is left out.

    Without `roles.label` (generation, pairs) rows are drawn plainly; a label is a class, or a number with
    `roles.numeric_label`. Tasks with label sets call `partition` with the strata of `rarest`.
    """
    strata = _strata(records, roles)
    groups = None if roles.group is None else [_group(r, roles.group) for r in records]
    shares = {name: share for name, share in _names(validation, test) if share is not None}
    chosen = partition(strata, groups, shares, seed)
    parts: dict[Split, list[Record]] = {"train": [], **{name: [] for name in shares}}
    for record, name in zip(records, chosen, strict=True):
        parts[name].append(record)
    return parts


def partition(
    strata: Sequence[str], groups: Sequence[str] | None, shares: dict[Split, float], seed: int
) -> list[Split]:
    """The set of each row, given its stratum and its group. Held-out sets are drawn in the order of `shares`."""
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


def rarest(label_sets: Sequence[Sequence[str]]) -> list[str]:
    """Strata for label sets: the rarest label of each row; the empty set is a stratum of its own."""
    often = Counter(label for labels in label_sets for label in labels)
    return [min(labels, key=lambda label: (often[label], label), default="") for labels in label_sets]


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


def _names(validation: float | None, test: float | None) -> tuple[tuple[Split, float | None], ...]:
    return ("test", test), ("validation", validation)


def _check_shares(shares: dict[Split, float]) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise TunesmithError(f"data.{name}: a share is between 0 and 1, got {share}. Write for example 0.1")
    if sum(shares.values()) >= 1:
        raise TunesmithError(f"data: the shares {_told(shares)} leave no rows to train on. Make them smaller")


def _told(shares: dict[Split, float]) -> str:
    return ", ".join(f"{name} {share}" for name, share in shares.items())


def _strata(records: Sequence[Record], roles: Roles) -> list[str]:
    if roles.label is None:
        return [""] * len(records)
    if roles.numeric_label:
        return _bins([number_of(record, roles.label) for record in records])
    labels = [label_of(record, roles.label) for record in records]
    require_classes(Counter(labels), f"{records[0].source if records else 'data'}: column '{roles.label}'")
    return labels


def _bins(numbers: list[float]) -> list[str]:
    """Up to ten bins of about equal numbers of rows; equal values share a bin."""
    count = max(1, min(_BINS, len(numbers) // 5))
    edges = np.quantile(numbers or [0.0], np.linspace(0, 1, count + 1)[1:-1])
    return [str(b) for b in np.searchsorted(edges, numbers, side="right")]


def _group(record: Record, column: str) -> str:
    value = record.cells.get(column)
    if value is None or value == "":
        raise TunesmithError(
            f"{record.source}:{record.line}: column '{excerpt(column)}': the group is missing. "
            "Name the group of every row, or split without groups"
        )
    return repr(value)


def _by_stratum(strata: Sequence[str], sizes: dict[Split, int], order: np.random.Generator) -> list[Split]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for number, stratum in enumerate(strata):
        rows[stratum].append(number)
    names = sorted(rows)
    shuffled = {name: order.permutation(rows[name]).tolist() for name in names}
    chosen: list[Split] = ["train"] * len(strata)
    for which, size in sizes.items():
        ideal = [len(rows[name]) * size / len(strata) for name in names]
        room = [max(0, len(shuffled[name]) - 1) for name in names]
        for name, taken in zip(names, _allocate(size, ideal, room), strict=True):
            for number in shuffled[name][:taken]:
                chosen[number] = which
            del shuffled[name][:taken]
    return chosen


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


def _by_group(
    strata: Sequence[str], groups: Sequence[str], sizes: dict[Split, int], order: np.random.Generator
) -> list[Split]:
    """Whole groups, the largest first, each to the set that lacks its strata most."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        members[group].append(number)
    if len(members) <= len(sizes):
        raise TunesmithError(
            f"data: {len(members)} groups cannot fill {len(sizes) + 1} sets. Give more groups or fewer sets"
        )
    held_by = Counter(stratum for rows in members.values() for stratum in {strata[i] for i in rows})
    names = list(members)
    queue = sorted((names[i] for i in order.permutation(len(names))), key=lambda g: -len(members[g]))
    lacks = _Lacks(strata, sizes)
    chosen: list[Split] = ["train"] * len(strata)
    for group in queue:
        content = Counter(strata[i] for i in members[group])
        only_here = any(held_by[stratum] == 1 for stratum in content) and len(content) < len(held_by)
        which: Split = "train" if only_here else lacks.most(content)
        lacks.take(which, content)
        for i in members[group]:
            chosen[i] = which
    if missing := {*sizes, "train"} - set(chosen):
        raise TunesmithError(
            f"data: groups are too large for the shares: nothing is left for {', '.join(sorted(missing))}. "
            f"The largest of {len(members)} groups has {len(members[queue[0]])} of {len(strata)} rows"
        )
    return chosen


class _Lacks:
    """How many rows of each stratum each set still wants."""

    def __init__(self, strata: Sequence[str], sizes: dict[Split, int]) -> None:
        totals = Counter(strata)
        parts: dict[Split, int] = {"train": len(strata) - sum(sizes.values()), **sizes}
        self._size = {name: max(1, size) for name, size in parts.items()}
        self._left = {name: {s: n * size / len(strata) for s, n in totals.items()} for name, size in parts.items()}
        self._total: dict[Split, float] = {name: float(size) for name, size in parts.items()}

    def most(self, content: Counter[str]) -> Split:
        """The set whose squared error falls most, relative to its size, when it takes these rows."""
        return max(self._size, key=lambda name: self._gain(name, content))

    def _gain(self, name: Split, content: Counter[str]) -> float:
        rows, left = content.total(), self._left[name]
        gain = sum(count * (2 * left[stratum] - count) for stratum, count in content.items())
        return (gain + rows * (2 * self._total[name] - rows)) / self._size[name]

    def take(self, name: Split, content: Counter[str]) -> None:
        self._total[name] -= content.total()
        for stratum, count in content.items():
            self._left[name][stratum] -= count
