"""`data labels`: the rows of a file whose label is probably wrong, as a list to decide about (`steps: relabel`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.alike import first_alike
from tunesmith.data.ledger import Ledger
from tunesmith.data.overlap import inputs
from tunesmith.data.table import read
from tunesmith.data.writing import require_writable, write
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import baselines
from tunesmith.evaluation.compared import frozen_states, texts_of
from tunesmith.labelling.suspects import FOLDS, Floats, Ints, Predict, Suspects, find_suspects
from tunesmith.model import bare
from tunesmith.plan import Plan
from tunesmith.prepare import run_steps
from tunesmith.progress import Progress
from tunesmith.steps._fixes import COLUMNS, digest_of, shown_text
from tunesmith.tasks import Facts
from tunesmith.tasks._classes import class_numbers

SHOWN = 10


def doubts_in(path: Path, plan: Plan, found: Found | None, out: Path, progress: Progress) -> dict[str, Any]:
    """The reply of `data labels`; `out` gets every suspect. Judged by vectors of a frozen base where one is `found`,
    else by counts of words and characters; a logistic regression on either."""
    require_writable(out, path)
    plan, records, roles = rows_of(path, plan)
    facts = plan.task.study(records, roles)
    assert roles.label is not None, "the task has a label"
    truth_N = class_numbers(records, roles.label, facts)
    predict = by_words(records, roles, truth_N, facts) if found is None else \
        by_states(states_of(plan, found, records, facts, progress), truth_N, facts)  # fmt: skip
    progress.say(f"judging {len(records)} labels, each by a model of the other {FOLDS - 1} fifths of the rows")
    texts_N = first_alike(inputs(records, roles))
    suspects = find_suspects(truth_N, texts_N, predict, plan.train.seed)
    rows = _rows(suspects, records, roles, facts, truth_N)
    write(out, list(COLUMNS), rows)
    alone = sorted({facts.labels[int(c)] for c in truth_N[~suspects.judged]})
    return {
        "file": str(path), "rows": len(records), "judged": int(suspects.judged.sum()), "unjudged_labels": alone,
        "by": "tfidf" if found is None else found.name, "agreed": suspects.agreed, "suspects": len(rows),
        "counted_wrong": int(suspects.counted.sum()), "out": str(out), "first": rows[:SHOWN],
    }  # fmt: skip


def rows_of(path: Path, plan: Plan) -> tuple[Plan, Sequence[Record], Roles]:
    """Rows as they come to `relabel` in that plan: after the steps of every row."""
    table, ledger = read(path, plan.data.format), Ledger()
    plan = plan.model_copy(update={"task": plan.task.resolved(table)})
    if plan.task.kind != "classes":
        raise TunesmithError(f"data labels: judges labels of one class a row, and task {plan.task.name} has others")
    roles = plan.task.roles()
    records = run_steps(plan, "every_row", plan.task.taken_in(ledger.add(table), ledger), roles, ledger)
    return plan, records, roles


def by_words(records: Sequence[Record], roles: Roles, truth_N: Ints, facts: Facts) -> Predict:
    """A logistic regression on counts of words and characters."""
    if roles.wordless:
        raise TunesmithError("data labels: these rows have no words to go by. Pass --base NAME, a base that reads them")
    texts = texts_of(records, roles)

    def predict(known: Ints, asked: Ints) -> Floats:
        learn, new = [texts[i] for i in known], [texts[i] for i in asked]
        return _scores(baselines.tfidf(learn, truth_N[known], new, "classes", len(facts.labels)))

    return predict


def states_of(plan: Plan, found: Found, records: Sequence[Record], facts: Facts, progress: Progress) -> Floats:
    """(N, H): what the frozen base knows of each row."""
    model = bare(plan, found, plan.task.processor(found), facts)
    progress.say(f"reading {len(records)} rows with {found.name}, frozen")
    encoded = model.encode(records, plan.task.roles(labelled=False))
    return np.asarray(frozen_states(model, {"rows": encoded})["rows"], dtype=np.float64)


def by_states(states_NH: Floats, truth_N: Ints, facts: Facts) -> Predict:
    """A logistic regression on vectors of the rows."""

    def predict(known: Ints, asked: Ints) -> Floats:
        return _scores(
            baselines.probe(states_NH[known], truth_N[known], states_NH[asked], "classes", len(facts.labels))
        )

    return predict


def _scores(made: baselines.Guesses) -> Floats:
    assert made.scores is not None, "classes have scores"
    return made.scores


def _rows(
    suspects: Suspects, records: Sequence[Record], roles: Roles, facts: Facts, truth_N: Ints
) -> list[dict[str, Any]]:
    rows = []
    for place, number in enumerate(suspects.rows.tolist()):
        record, own = records[number], suspects.given[place]
        given, better = facts.labels[int(truth_N[number])], facts.labels[int(suspects.suggested[place])]
        reason = f"the model of the other rows gives '{given}' {own:.1%} and '{better}' {suspects.best[place]:.1%}"
        reason += "; confident learning counts it as wrong" * bool(suspects.counted[place])
        values = (record.source, record.row, digest_of(record, roles), shown_text(record, roles), given, better,
                  round(float(own), 6), reason, "")  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows
