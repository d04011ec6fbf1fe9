"""Leaks between splits that are no exact copies: held-out rows with a near twin among the rows that are learnt from.

A model may know the answer to such a row by heart, so a metric on them is too good. They are counted and listed, and
metrics are measured without them, too. Where a row is a file and a text (an image and its caption), a twin is a row
with the same file, whatever its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import near
from tunesmith.data.format import counted
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import inputs, shared
from tunesmith.data.record import DIGEST, SAMPLES, Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError

_LISTED = 50


@dataclass(frozen=True)
class Leaked:
    """The held-out rows of a split that are near twins of training rows."""

    rows: int
    """Rows of the split."""
    held: Index
    """(L,): ids in the ledger of those that leak, in order."""
    listed: list[dict[str, Any]]
    """The fifty most alike: {row, twin, similarity}, with the places of both rows."""
    crowded: int
    """Rows that were not compared with every candidate."""
    files: bool = False
    """Whether what was compared is files."""

    @property
    def share(self) -> float:
        """0 to 1: of the split's rows."""
        return len(self.held) / max(1, self.rows)


@dataclass(frozen=True)
class Leaks:
    """What was found in each held-out split; or why nothing was looked for."""

    skipped: str = ""
    splits: dict[str, Leaked] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """For data.json."""
        if self.skipped:
            return {"skipped": self.skipped}
        each = {
            name: {"rows": found.rows, "leaked": len(found.held), "crowded": found.crowded, "listed": found.listed,
                   "files": found.files}
            for name, found in self.splits.items()
        }  # fmt: skip
        return {"similarity": near.SIMILARITY, "splits": each}


def find(splits: Mapping[str, Sequence[Record]], learnt: Sequence[Record], roles: Roles, notes: list[str]) -> Leaks:
    """Near twins of what is `learnt` in each held-out split, with a note on each split that has some."""
    if reason := _objection(roles):
        return Leaks(reason)
    found = {name: _leaked(rows, learnt, roles) for name, rows in splits.items()}
    for name, each in found.items():
        if len(each.held):
            first = each.listed[0]
            what = "bring a file of" if each.files else "are near-duplicates of"
            notes.append(
                f"{len(each.held)} of {each.rows} rows of {name} ({each.share:.1%}) {what} training rows, such as "
                f"{first['row']} of {first['twin']} (similarity {first['similarity']}). The metrics without them "
                "are told beside the others; data.near=remove takes such rows out of the training rows"
            )
    return Leaks("", found)


def _objection(roles: Roles) -> str | None:
    return None if roles.captioned else near.objection(roles)


def twins(learnt: Sequence[Record], held: Sequence[Record], roles: Roles) -> near.Leaks:
    """The rows that are held out and have a twin among those that are learnt from."""
    if not roles.captioned:
        return near.leaks(learnt, held, roles)
    content = replace(roles, texts=tuple(column for column in roles.texts if column in (DIGEST, SAMPLES)))
    first = shared(inputs(learnt, content), inputs(held, content))
    found = scratch.where(first >= 0)
    return near.Leaks(found, scratch.taken(first, found), np.ones(len(found)), 0)


def _leaked(held: Sequence[Record], learnt: Sequence[Record], roles: Roles) -> Leaked:
    found = twins(learnt, held, roles)
    listed = [
        {"row": held[row].place, "twin": learnt[twin].place, "similarity": round(score, 3)}
        for row, twin, score in (
            (int(found.rows[i]), int(found.twins[i]), float(found.scores[i]))
            for i in np.argsort(-found.scores, kind="stable")[:_LISTED]
        )
    ]
    return Leaked(len(held), scratch.taken(ids(held), found.rows), listed, found.crowded, roles.captioned)


def remove(
    splits: dict[str, Sequence[Record]], name: str, later: str, roles: Roles, ledger: Ledger, notes: list[str]
) -> None:
    """Rows leave the split `name` that are near twins of rows of the split `later`."""
    if reason := _objection(roles):
        raise TunesmithError(f"data.near: remove has no effect: {reason}. Take it out")
    found = twins(splits[later], splits[name], roles)
    same = "the same file" if roles.captioned else "nearly the same text"
    if not len(found.rows):
        return
    known, stays = ids(splits[name]), scratch.room(len(splits[name]), np.bool_, 1)
    for row, score in zip(found.rows.tolist(), found.scores.tolist(), strict=True):
        alike = "" if roles.captioned else f", similarity {int(score * 100) / 100:.2f}"
        reason = f"{same} stands in {later}{alike}"
        ledger.mark(int(known[row]), "dropped", reason)
        stays[row] = False
    splits[name] = chosen(splits[name], scratch.where(stays))
    told = counted(len(found.rows), "row")
    notes.append(f"{told} left {name} because {same} stands in {later} (data.near=remove)")
