"""Files of retrieval: which columns hold what, and the BEIR layout, where texts lie in files of their own.

corpus.jsonl    {"_id": "d1", "title": "…", "text": "…"}        (title may be missing)
queries.jsonl   {"_id": "q1", "text": "…"}
qrels/train.tsv query-id, corpus-id, score                      (what `data.train` names; TREC's four columns, too)
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tunesmith.data import Record
from tunesmith.data.format import find_column
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError

Layout = Literal["pairs", "triplets", "scored", "qrels"]
_NAMES: dict[str, tuple[str, ...]] = {
    "anchor": ("anchor", "query", "question", "sentence1", "sentence_1", "text1", "text_1", "text_a", "premise"),
    "positive": (
        "positive", "pos", "passage", "document", "answer", "response", "context", "sentence2", "sentence_2", "text2",
        "text_2", "text_b", "hypothesis",
    ),
    "score": ("score", "similarity", "relevance", "grade", "rel", "label"),
    "query_id": ("query_id", "qid", "query"),
    "passage_id": ("corpus_id", "doc_id", "docid", "passage_id", "pid", "docno", "document_id"),
}  # fmt: skip
"""Usual names of columns, the usual ones first; case does not count, and - is _."""
NEGATIVE = ("negative", "neg", "hard_negative")


def usual(role: str, columns: Sequence[str]) -> str | None:
    """The column that usually means that; None where none does."""
    by_name = {_plain(c): c for c in reversed(columns)}
    return next((by_name[name] for name in _NAMES[role] if name in by_name), None)


def negatives(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of wrong answers: negative, negatives, negative_1 …"""
    return tuple(c for c in columns if _plain(c).rstrip("0123456789").rstrip("_").removesuffix("s") in NEGATIVE)


def _plain(column: str) -> str:
    return column.strip().lower().replace("-", "_").replace(" ", "_")


def wanted(role: str, given: str | None, table: Table) -> str:
    """The column that was named, or that usually means that. Raises TunesmithError for none."""
    if given:
        return find_column(given, table.columns, table.source)
    if (found := usual(role, table.columns)) is None:
        raise TunesmithError(
            f"{table.source}: cannot tell which column is the {role.replace('_', ' ')}. Name it: task.{role}=COLUMN. "
            f"Columns: {', '.join(table.columns)}"
        )
    return found


def beside(given: str | None, name: str, source: str) -> str:
    """The file of texts: as named, or of that name beside the relevance file or above its folder."""
    if given:
        return given
    places = [folder / f"{name}.jsonl" for folder in (Path(source).parent, Path(source).parent.parent)]
    for place in places:
        if place.is_file():
            return str(place)
    raise TunesmithError(f"{source}: names texts by number, and no {name}.jsonl lies in {places[0].parent} or "
                         f"{places[1].parent}. Name it: task.{name}=FILE")  # fmt: skip


def shelf(path: str) -> dict[str, tuple[int, str]]:
    """Id -> (place in the file from 0, text with its title before it). Raises TunesmithError for an id given twice."""
    return _read(path, stamp(path))


def stamp(path: str) -> int:
    """What changes when a file does."""
    return Path(path).stat().st_mtime_ns


@lru_cache(maxsize=4)
def _read(path: str, _: int) -> dict[str, tuple[int, str]]:
    table = read(path)
    key = next((c for c in table.columns if _plain(c) in ("_id", "id", "docid", "doc_id", "qid")), None)
    text = next((c for c in table.columns if _plain(c) in ("text", "contents", "body", "query")), None)
    if key is None or text is None:
        raise TunesmithError(f"{path}: needs columns _id and text, and has {', '.join(table.columns)}")
    title = next((c for c in table.columns if _plain(c) == "title"), None)
    found: dict[str, tuple[int, str]] = {}
    for line, cells in table.rows:
        name = str(cells[key])
        if name in found:
            raise TunesmithError(f"{path}:{line}: the id '{name}' stands there twice. Take one of the two out")
        parts = (cells.get(title) if title else None, cells.get(text))
        found[name] = (len(found), " ".join(str(part).strip() for part in parts if part))
    return found


def text_in(shelf_of: dict[str, tuple[int, str]], path: str, record: Record, column: str) -> tuple[int, str]:
    """(place, text) of what a row names. Raises TunesmithError where the file has no such text."""
    name = str(record.cells.get(column))
    if name not in shelf_of:
        raise TunesmithError(f"{record.source}:{record.line}: {column} '{name}' does not stand in {path}")
    return shelf_of[name]
