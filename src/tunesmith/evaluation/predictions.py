"""predictions.parquet: what the model answered on every held-out row, so that any later test can be made from it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.roles import text_of
from tunesmith.files import replacing
from tunesmith.metrics import Answers
from tunesmith.model import Model
from tunesmith.prepared import Prepared
from tunesmith.tasks._pairs import answers_in
from tunesmith.tasks._tagging import told


def write_predictions(path: Path, model: Model, prepared: Prepared, answers: dict[str, Answers]) -> None:
    """One line for each validation and test row: split, source, row, line, text, truth, prediction, probabilities."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {k: [] for k in ("split", "source", "row", "line", "text", "truth")}
    for split, each in answers.items():
        records = prepared.splits[split]
        columns["split"] += [split] * len(records)
        columns["source"] += [r.source for r in records]
        columns["row"] += [r.row for r in records]
        columns["line"] += [r.line for r in records]
        texts = ([text_of(r, c) for c in prepared.roles.shown] for r in records)
        columns["text"] += [" ‖ ".join(filter(None, own) if each.parts else own) for own in texts]
        columns["truth"] += _truth(each, [r.cells.get(prepared.roles.label or "") for r in records])
        added = _of_several(model, each) if each.parts else model.plan.task.columns(
            each.predicted, each.scores, model.facts, each.words
        )  # fmt: skip
        if each.kind == "text" and each.scores is not None:
            added |= {"nll": each.scores[:, 0].tolist(), "tokens": each.scores[:, 1].astype(int).tolist()}
        if each.kind == "pairs":
            added |= _pairs(each, records)
        if any(e.kind == "text" and any(len(t) > 1 for t in e.truth) for e in answers.values()):
            added["references"] = [list(t) for t in each.truth]
        if each.kind == "vectors":
            added["query"] = each.truth[:, 1].astype(int).tolist()
        for name, values in added.items():
            columns.setdefault(name, []).extend(values)
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _of_several(model: Model, answers: Answers) -> dict[str, list[Any]]:
    """What each task says of its own rows, as text where tasks answer in different forms; whose each row is."""
    out: dict[str, list[Any]] = {"task": [""] * answers.rows, "prediction": [""] * answers.rows}
    for part in model.plan.task.parts(model.facts):
        own = answers.parts[part.name]
        added = part.task.columns(own.answers.predicted, own.answers.scores, part.facts)
        names = {name: name if name == "prediction" else f"{part.name}.{name}" for name in added}
        for name in names.values():
            out.setdefault(name, [None] * answers.rows)
        for place, row in enumerate(own.rows.tolist()):
            out["task"][row] = part.name
            for name, values in added.items():
                out[names[name]][row] = str(values[place]) if name == "prediction" else values[place]
    return out


SCORES = ("logp_first", "logp_second", "tokens_first", "tokens_second", "reference_first", "reference_second",
          "reward_first", "reward_second")  # fmt: skip
"""Columns for the scores of pairs, in their order."""


def _pairs(answers: Answers, records: Sequence[Record]) -> dict[str, list[Any]]:
    """Both answers as text, and all numbers that metrics are made of."""
    assert answers.scores is not None
    both = [answers_in(record) for record in records]
    texts: dict[str, list[Any]] = {"answer_first": [a for a, _ in both], "answer_second": [b for _, b in both]}
    return texts | {name: answers.scores[:, place].tolist() for place, name in enumerate(SCORES)}


def _truth(answers: Answers, cells: list[Any]) -> list[Any]:
    if answers.parts:
        out = [""] * answers.rows
        for own in answers.parts.values():
            rows = own.rows.tolist()
            for row, said in zip(rows, _truth(own.answers, [cells[row] for row in rows]), strict=True):
                out[row] = str(said)
        return out
    if answers.kind == "text":
        return [str(references[0]) for references in answers.truth]
    if answers.kind == "pairs":
        return ["first" if wins else "second" for wins in answers.truth == 1]
    if answers.words is not None:
        spans = told(answers.words, np.asarray(answers.truth), answers.labels)
        return [json.dumps(each, ensure_ascii=False) for each in spans]
    if answers.kind in ("numbers", "vectors"):
        return [float(v) for v in answers.truth.reshape(len(answers.truth), -1)[:, 0]]
    if answers.kind == "multilabel":
        return [
            json.dumps([answers.labels[c] for c in np.flatnonzero(row)], ensure_ascii=False) for row in answers.truth
        ]
    # a label that training never saw keeps its own name
    return [answers.labels[int(i)] if i >= 0 else str(cell) for i, cell in zip(answers.truth, cells, strict=True)]
