"""Rows of retrieval and similarity as texts, tokens and relations (`tunesmith.tasks.embed`).

Shape letters: N rows, S sequences (texts), Q queries, D passages.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.ragged import Growing
from tunesmith.data.roles import number_of, text_of
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Encoded, Facts, Tick, _relations, _shelves, _text, no_tick
from tunesmith.tasks._relations import Relations

if TYPE_CHECKING:
    from tunesmith.tasks.embed import Embed

TEXT, PASSAGE, WRONG, GRADE, PLACE = (f"tunesmith:{name}" for name in ("text", "passage", "wrong", "grade", "place"))
"""Columns that are added: the text asked for, its positive, its negatives, its score, its place in the corpus."""


def single(task: "Embed", record: Record) -> dict[str, Any]:
    """Cells of a row to predict, which needs one text: the anchor, or else a passage."""
    first, second = (task.anchor, task.positive) if task.layout != "qrels" else ("query", "passage")
    for column in (first, "text", second):
        if column in record.cells:
            return {TEXT: marked(task, text_of(record, column), passage=column == second)}
    raise TunesmithError(f"{record.source}:{record.line}: no column '{first}', 'text' or '{second}' to make a vector "
                         f"of. Columns: {', '.join(record.cells)}")  # fmt: skip


def marked(task: "Embed", text: str, *, passage: bool) -> str:
    """The text with what the base wants before it."""
    return (task.passage_prefix if passage else task.query_prefix) + text


def pair(task: "Embed", record: Record) -> dict[str, Any]:
    """Cells of a row to learn from: both texts, wrong ones, the score."""
    if task.layout == "qrels":
        assert task.queries and task.corpus and task.query_id and task.passage_id, "the task is not resolved"
        query = _shelves.text_in(_shelves.shelf(task.queries), task.queries, record, task.query_id)[1]
        place, passage = _shelves.text_in(_shelves.shelf(task.corpus), task.corpus, record, task.passage_id)
        wrong: list[str] = []
    else:
        assert task.anchor and task.positive, "the task is not resolved"
        place, query, passage = -1, text_of(record, task.anchor), text_of(record, task.positive)
        wrong = [text for column in task.negatives for text in texts_in(record, column)]
    grade = number_of(record, task.score) if task.score else 1.0
    return {
        TEXT: marked(task, query, passage=False), PASSAGE: marked(task, passage, passage=True), GRADE: grade,
        WRONG: [marked(task, text, passage=True) for text in wrong], PLACE: place,
    }  # fmt: skip


def laid_out(task: "Embed", records: Sequence[Record], tokenizer: Any, facts: Facts, tick: Tick) -> Encoded:
    """Rows of several texts, with how they belong together."""
    rows = [[str(r.cells[TEXT]), str(r.cells[PASSAGE]), *map(str, _list(r.cells[WRONG]))] for r in records]
    inner = read_texts(task, [text for row in rows for text in row], tokenizer, no_tick)
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    tick(len(records))
    grades = np.array([r.cells[GRADE] for r in records], dtype=np.float32)
    shift = facts.center if task.layout == "scored" else 0.0
    weights = np.array([r.weight for r in records], dtype=np.float32)
    return Encoded(
        ids=inner.ids.grouped(bounds), types=None, targets=(grades - np.float32(shift)) / np.float32(facts.scale),
        lost=np.add.reduceat(inner.lost, bounds[:-1]).astype(np.int32) if rows else inner.lost,
        # a line that says "not relevant" is no row to learn from, and its passage is a wrong one for the others
        side=None, weights=weights * (grades > 0) if task.layout == "qrels" else weights, inner=inner,
        bounds=bounds, relations=relate(task, records, rows, tokenizer),
    )  # fmt: skip


def read_texts(task: "Embed", texts: list[str], tokenizer: Any, tick: Tick) -> Encoded:
    """Single texts, each a row."""
    growing, lost = Growing(), []
    for part in _text.pieces(len(texts)):
        ids, _, gone = _text.tokens(texts[part], None, tokenizer, task.max_tokens)
        growing.extend(ids)
        lost += gone
        tick(len(ids))
    size = len(texts)
    return Encoded(growing.done(), None, np.array(lost, dtype=np.int32), np.zeros(size, dtype=np.float32), None,
                   np.ones(size, dtype=np.float32))  # fmt: skip


def relate(
    task: "Embed", records: Sequence[Record], rows: list[list[str]], tokenizer: Any
) -> Relations:  # fmt: skip
    """Which passages answer which queries."""
    query_N = _relations.number([row[0] for row in rows])
    passages = [text for row in rows for text in row[1:]]
    corpus = None
    if task.layout == "qrels":
        assert task.corpus is not None
        corpus = _all_passages(task, tokenizer, _shelves.stamp(task.corpus))
        number_P = np.array([r.cells[PLACE] for r in records], dtype=np.int64)
    else:
        number_P = _relations.number(passages)
    passage_S = np.full(len(rows) + len(passages), -1, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)[:-1]
    passage_S[np.setdiff1d(np.arange(len(passage_S)), starts)] = number_P
    total = len(corpus) if corpus is not None else int(number_P.max(initial=-1)) + 1
    right = np.array([float(str(r.cells[GRADE])) > 0 for r in records], dtype=bool)
    known = np.unique((query_N * total + passage_S[starts + 1])[right])
    return Relations(query_N, passage_S, total, known, corpus)


def texts_in(record: Record, column: str) -> list[str]:
    """Texts of a cell: one, a list of them, or none."""
    cell = record.cells.get(column)
    if isinstance(cell, list):
        return [str(text) for text in cell]
    return [] if cell in (None, "") else [text_of(record, column)]


def _list(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else []


@lru_cache(maxsize=2)
def _all_passages(task: "Embed", tokenizer: Any, _: int) -> Encoded:
    """All passages, tokenised once for all splits."""
    assert task.corpus is not None
    texts = [marked(task, text, passage=True) for _, text in _shelves.shelf(task.corpus).values()]
    return read_texts(task, texts, tokenizer, no_tick)


def search_texts(task: "Embed", encoded: Encoded, records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """Texts of all queries (Q) and of all passages (D), by their numbers."""
    related = encoded.relations
    assert related is not None and encoded.bounds is not None
    asked = [str(records[row].cells[TEXT]) for row in related.first_asked]
    if related.corpus is not None and task.corpus is not None:
        found = [text for _, text in _shelves.shelf(task.corpus).values()]
    else:
        row_S = np.repeat(np.arange(len(encoded)), np.diff(encoded.bounds))
        texts = [[records[r].cells[PASSAGE], *_list(records[r].cells[WRONG])] for r in range(len(encoded))]
        found = [str(texts[row_S[s]][s - encoded.bounds[row_S[s]] - 1]) for s in related.first_seen]
    return asked, found
