"""Rows that are the same but for how they are written: across splits, with other labels, and labels themselves."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import label_of, number_of, text_of

_SPACE = re.compile(r"\s+")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")


def normal(text: str) -> str:
    """A text as it is compared: NFKC, case folded, runs of whitespace one space, invisible marks gone.

    Digits and punctuation stay: "pressure < 0.3" and "pressure > 0.3" are two texts. Chinese stays as it is,
    but for full-width letters and signs, which become the usual ones.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold())
    return _SPACE.sub(" ", folded).strip()


def key(record: Record, roles: Roles, *, exact: bool = False) -> tuple[str, ...]:
    """What makes an input: its texts (normalised unless exact) and its side columns as they are."""
    texts = (text_of(record, column) for column in roles.texts)
    return (*(text if exact else normal(text) for text in texts), *(repr(record.cells.get(c)) for c in roles.side))


def answer(record: Record, roles: Roles) -> str | float | None:
    """The label of a row in a form that can be compared; None where there is none. A label set is compared as text."""
    if roles.label is None:
        return None
    if roles.numeric_label:
        return number_of(record, roles.label)
    value = record.cells.get(roles.label)
    return repr(value) if isinstance(value, list | dict) else label_of(record, roles.label)


def overlap(train: Iterable[Record], held_out: Iterable[Record], roles: Roles) -> list[tuple[Record, Record]]:
    """Pairs (first training row, held-out row) that are one input but for case, spaces and Unicode forms."""
    first: dict[tuple[str, ...], Record] = {}
    for record in train if roles.texts or roles.side else ():
        first.setdefault(key(record, roles), record)
    return [(first[k], record) for record in held_out if (k := key(record, roles)) in first]


def groups(records: Iterable[Record], roles: Roles, *, exact: bool = False) -> list[list[Record]]:
    """Rows that share one input, two or more each, in order of their first row."""
    found: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records if roles.texts or roles.side else ():
        found[key(record, roles, exact=exact)].append(record)
    return [same for same in found.values() if len(same) > 1]


def conflicts(records: Iterable[Record], roles: Roles) -> list[list[Record]]:
    """Groups of rows that share one input and disagree on the label."""
    return [same for same in groups(records, roles) if len({answer(r, roles) for r in same}) > 1]


def label_twins(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Spellings that are probably one label ("Leak", "leak "; 1, 01, 1.0). They are told, never merged."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        found[_spelling(label)].add(label)
    return sorted(tuple(sorted(same)) for same in found.values() if len(same) > 1)


def _spelling(label: str) -> str:
    text = normal(label)
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", text, re.ASCII):
        whole, _, part = text.lstrip("+-").partition(".")
        return f"{'-' * text.startswith('-')}{whole.lstrip('0') or '0'}.{part.rstrip('0')}"
    return re.sub(r"[\s_\-]+", " ", text).strip() or text


def rows_shown(records: Sequence[Record], most: int = 5) -> str:
    """Places of rows for a message: file:line, at most five."""
    places = [f"{r.source}:{r.line}" if r.line else f"{r.source} row {r.row}" for r in records[:most]]
    return ", ".join(places) + (f" and {len(records) - most} more" if len(records) > most else "")
