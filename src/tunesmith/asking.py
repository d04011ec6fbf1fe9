"""Ask a model: answers for rows, file to file with resuming, and metrics on a labelled file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.data import Record
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table, read
from tunesmith.data.writing import require_writable, write
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import robustness
from tunesmith.evaluation.judge import Judge, answers_of, with_questions
from tunesmith.files import append_line, digest_json, write_bytes
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model
from tunesmith.plan_text import make_plan
from tunesmith.prepare import run_steps
from tunesmith.progress import Progress, Stop
from tunesmith.reference import refer

CHUNK = 512
"""Rows between two points at which an interrupted prediction can go on."""


def cleaned(model: Model, table: Table, *, labelled: bool) -> Sequence[Record]:
    """A file's rows after the steps that every row goes through, as in training."""
    ledger = Ledger()
    roles = model.plan.task.roles(labelled=labelled)
    records = model.plan.task.taken_in(ledger.add(table), ledger, labelled=labelled)
    made = run_steps(model.plan, "every_row", records, roles, ledger)
    if len(made) < len(records):  # an answer is owed to every row, and a number to all of them
        why = ", ".join(f"{reason} ({count})" for reason, count in ledger.summary()["reasons"].items())
        raise TunesmithError(f"{table.source}: {len(records) - len(made)} rows cannot be read: {why}")
    made = run_steps(model.plan, "learnt", made, roles, ledger, model.facts.steps)
    return run_steps(model.plan, "split", made, roles, ledger) if labelled else made


def answers_for(model: Model, table: Table) -> dict[str, list[Any]]:
    """The columns that prediction adds, for all rows of a table."""
    return _answered(model, cleaned(model, table, labelled=False))


def _answered(model: Model, records: Sequence[Record]) -> dict[str, list[Any]]:
    task = model.plan.task
    if task.writes:
        return task.columns(model.write(records), None, model.facts)
    encoded = model.encode(records, task.roles(labelled=False))
    refer(model, {"rows": encoded})
    predicted, scores = task.answer(model.outputs(encoded), model.facts)
    return task.columns(predicted, scores, model.facts, encoded.words)


def evaluate_file(model: Model, path: Path, progress: Progress, asked: Any = False) -> dict[str, Any]:
    """Metrics with intervals on a labelled file; rows whose label the model does not know are counted. `asked`: what
    `evaluate.robustness` may be."""
    model = _perturbing(model, asked)
    table = read(path, model.plan.data.format)
    records = cleaned(model, table, labelled=True)
    answers, warnings = answers_to(model, records, progress)
    metrics = Judge(model.plan, model.facts).full(answers, taught=False)
    reply = {"metrics": metrics, "rows": answers.rows, "warnings": warnings}
    if asked:
        reply["robustness"] = robustness.measured(model, records, answers, table.source, progress)
    return reply


def _perturbing(model: Model, asked: Any) -> Model:
    """The model with a plan that asks for these perturbations. Raises TunesmithError where its task has none such."""
    if not asked:
        return model
    tree = model.plan.model_dump(mode="json")
    tree["evaluate"]["robustness"] = asked
    return replace(model, plan=make_plan(tree))


def answers_on(model: Model, table: Table, progress: Progress) -> tuple[Answers, list[str]]:
    """(answers of a labelled file beside the truth, warnings)."""
    return answers_to(model, cleaned(model, table, labelled=True), progress)


def answers_to(model: Model, records: Sequence[Record], progress: Progress) -> tuple[Answers, list[str]]:
    """(answers of labelled rows beside the truth, warnings)."""
    encoded = model.encode(records, model.plan.task.roles())
    refer(model, {"rows": encoded}, progress)
    with progress.bar("answering", len(records), "rows") as bar:
        logits = model.outputs(encoded, tick=bar.advance)
    answers = answers_of(model.plan.task, logits, encoded, model.facts)
    if model.plan.task.writes:
        with progress.bar("writing", len(records), "rows") as bar:
            answers = replace(answers, predicted=model.write(records, tick=bar.advance))
        answers = with_questions(answers, model.plan, records)
    unknown = int((answers.truth == -1).sum()) if model.plan.task.kind == "classes" else 0
    warnings = [f"{unknown} rows have a label that training never saw; they count as wrong"] if unknown else []
    left = [name for name in model.plan.metric_names if METRICS.find(name).reads_training]
    warnings += [f"{name} is left out: it learns from the training rows, which the model lacks" for name in left]
    return answers, warnings


def predict_file(  # noqa: PLR0913 - what addresses the job
    model: Model, digest: str, path: Path, out: Path, prefix: str, progress: Progress, stop: Stop
) -> dict[str, Any]:
    """Answer a file chunk by chunk; each is durable before the next, and a second call goes on after the last one.

    `digest` identifies the model, so that a journal of another one is not gone on with."""
    table = read(path, model.plan.data.format)
    require_writable(out, path)
    records = cleaned(model, table, labelled=False)
    _refuse_taken(("prediction", "confidence", *(f"p:{label}" for label in model.facts.labels)), table, prefix)
    key = digest_json([table.sha256, digest, prefix])
    journal = out.with_name(f".{out.name}.partial")
    done = _begun(journal, key)
    with progress.bar("answering", len(records), "rows", done) as bar:
        for start in range(done, len(records), CHUNK):
            stop.check(f"after {start} of {len(records)} rows")
            part = _answered(model, records[start : start + CHUNK])
            _refuse_taken(part, table, prefix)
            append_line(journal, {prefix + k: v for k, v in part.items()})
            bar.advance(len(records[start : start + CHUNK]))
    _assemble(table, journal, out)
    journal.unlink()
    return {"out": str(out), "rows": len(records), "resumed_at": done}


def _refuse_taken(names: Iterable[str], table: Table, prefix: str) -> None:
    if taken := sorted({prefix + name for name in names} & set(table.columns)):
        raise TunesmithError(
            f"{table.source}: the input has a column '{taken[0]}' of its own. Pass --prefix NAME_ to name ours apart"
        )


def _begun(journal: Path, key: str) -> int:
    """Rows that are already answered in a journal of the same job; a journal of another job is started anew."""
    if journal.is_file():
        lines = journal.read_text(encoding="utf-8").split("\n")
        if lines and lines[0] and json.loads(lines[0]).get("key") == key:
            whole = lines[1:-1]  # what follows the last newline was cut off by a kill
            write_bytes(journal, "".join(line + "\n" for line in [lines[0], *whole]).encode())
            return sum(len(next(iter(json.loads(line).values()))) for line in whole)
    write_bytes(journal, (json.dumps({"key": key}) + "\n").encode())
    return 0


def _assemble(table: Table, journal: Path, out: Path) -> None:
    added: dict[str, list[Any]] = {}
    for line in journal.read_text(encoding="utf-8").splitlines()[1:]:
        for name, values in json.loads(line).items():
            added.setdefault(name, []).extend(values)
    rows = [cells | {n: v[i] for n, v in added.items()} for i, (_, cells) in enumerate(table.rows)]
    write(out, [*table.columns, *added], rows)
