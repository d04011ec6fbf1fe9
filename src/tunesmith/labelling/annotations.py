"""What several annotators said of the same items, from a column for each of them or from a table of single labels.

Shape letters: K single labels, N items, A annotators, C classes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.format import Table, excerpt, find_column, listed
from tunesmith.data.record import Cell
from tunesmith.errors import TunesmithError

Scale = Literal["nominal", "ordinal", "interval"]
SCALES: tuple[Scale, ...] = get_args(Scale)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Said = tuple[str, str, str, int]
"""Item, annotator, label, line."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Annotations:
    """K labels that A annotators gave to N items; none of them gave an item two."""

    items: tuple[str, ...]
    annotators: tuple[str, ...]
    labels: tuple[str, ...]
    """Classes, from low to high where they have an order."""
    values: Floats | None
    """(C,): what classes are worth, where they are numbers."""
    item_K: Ints
    who_K: Ints
    label_K: Ints

    @cached_property
    def counts(self) -> Floats:
        """(N, C): how often each item was given each label."""
        shape = len(self.items), len(self.labels)
        flat = np.bincount(self.item_K * shape[1] + self.label_K, minlength=shape[0] * shape[1])
        return flat.reshape(shape).astype(np.float64)

    def of(self, annotator: int) -> Ints:
        """(N,): the label that an annotator gave each item; -1 where there is none."""
        given = np.full(len(self.items), -1, dtype=np.int64)
        own = self.who_K == annotator
        given[self.item_K[own]] = self.label_K[own]
        return given


def from_columns(
    table: Table, columns: Sequence[str], scale: Scale = "nominal", order: Sequence[str] = ()
) -> Annotations:
    """A row an item, a column an annotator; an empty cell is an item that they did not label. Raises TunesmithError
    for an unknown column, fewer than two of them, or labels that do not fit the scale."""
    for column in columns:
        find_column(column, table.columns, table.source)
    if len(set(columns)) < 2:
        raise TunesmithError(f"annotators: agreement is between two or more. Columns: {listed(table.columns)}")

    def said() -> Iterator[Said]:
        for row, (line, cells) in enumerate(table.rows, 1):
            for column in columns:
                if (label := _label(cells.get(column))) is not None:
                    yield str(row), column, label, line

    rows = tuple(str(row) for row in range(1, len(table.rows) + 1))
    return _gathered(said(), table.source, scale, order, rows, tuple(columns))


def from_long(
    table: Table, item: str, annotator: str, label: str, scale: Scale = "nominal", order: Sequence[str] = ()
) -> Annotations:
    """A row a single label. Raises TunesmithError as `from_columns` does, and where one annotator labelled one item
    twice."""
    for column in (item, annotator, label):
        find_column(column, table.columns, table.source)

    def said() -> Iterator[Said]:
        for line, cells in table.rows:
            found = _label(cells.get(label))
            names = [_label(cells.get(column)) for column in (item, annotator)]
            if None in names:
                missing = item if names[0] is None else annotator
                raise TunesmithError(
                    f"{table.source}:{line}: column '{excerpt(missing)}' is empty: whose label is it, and of what? "
                    "Fill it in, or leave the row out"
                )
            if found is not None:
                yield str(names[0]), str(names[1]), found, line

    return _gathered(said(), table.source, scale, order)


def _label(cell: Cell) -> str | None:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)) or not str(cell).strip():
        return None
    return ("true" if cell else "false") if isinstance(cell, bool) else str(cell).strip()


def _gathered(
    said: Iterator[Said], source: str, scale: Scale, order: Sequence[str], items: Sequence[str] = (),
    annotators: Sequence[str] = (),
) -> Annotations:  # fmt: skip
    item_of = {name: i for i, name in enumerate(items)}
    who_of = {name: i for i, name in enumerate(annotators)}
    label_of: dict[str, int] = {}
    known: set[tuple[int, int]] = set()
    rows = []
    for item, who, label, line in said:
        pair = item_of.setdefault(item, len(item_of)), who_of.setdefault(who, len(who_of))
        if pair in known:
            raise TunesmithError(
                f"{source}:{line}: '{excerpt(who)}' labels item '{excerpt(item)}' a second time. Keep one of the two"
            )
        known.add(pair)
        rows.append((*pair, label_of.setdefault(label, len(label_of))))
    if len(who_of) < 2 or not rows:
        raise TunesmithError(f"{source}: labels of {len(who_of)} annotators; agreement is between two or more")
    labels, values = _ordered(label_of, source, scale, order)
    place = np.empty(len(labels), dtype=np.int64)
    for new, name in enumerate(labels):
        place[label_of[name]] = new
    item_K, who_K, label_K = np.array(rows, dtype=np.int64).T
    return Annotations(tuple(item_of), tuple(who_of), labels, values, item_K, who_K, place[label_K])


def _ordered(
    found: dict[str, int], source: str, scale: Scale, order: Sequence[str]
) -> tuple[tuple[str, ...], Floats | None]:
    """(classes, what they are worth): in the order given, else by number, else by name where none is needed."""
    if strangers := [name for name in found if order and name not in order]:
        raise TunesmithError(f"order: {listed(strangers)} stand in {source} and not in the order. Name every label")
    numbers = all(_NUMBER.fullmatch(name) for name in found)
    if scale == "interval" and not numbers:
        odd = [name for name in found if not _NUMBER.fullmatch(name)]
        raise TunesmithError(f"scale: interval needs numbers, and {source} has the labels {listed(odd)}. Take ordinal")
    if order:
        names = tuple(name for name in order if name in found)
    elif numbers:
        names = tuple(sorted(found, key=float))
    elif scale == "ordinal":
        raise TunesmithError(
            f"scale: ordinal labels that are no numbers need their order, from low to high, of {listed(sorted(found))}:"
            " pass --order low,middle,high"
        )
    else:
        names = tuple(sorted(found))
    return names, np.array([float(name) for name in names]) if scale == "interval" else None
