"""Answers with a shape: how many conform to the plan's schema, with and without the constraint, and each field's F1.

The model without the constraint writes some rows once more: what the constraint saves is the difference. Fields are
leaves of the JSON with the way to them, as in the metric json_field_f1; places in lists are compared, and told together
as []. Of several references a row is compared with the one it fits best.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.engine.constrained import Account
from tunesmith.evaluation.intervals import intervals
from tunesmith.metrics import METRICS, Answers
from tunesmith.metrics._json import Field, fields, parsed
from tunesmith.metrics._texts import pairs
from tunesmith.model import Model
from tunesmith.progress import Progress

FREE_ROWS = 50
"""Most rows that are written once more without the constraint."""
SHOWN = 100
"""Most fields in the table."""


def structure(
    model: Model, records: Sequence[Record], answers: Answers, account: Account, progress: Progress
) -> dict[str, Any]:
    """For metrics.json: {rows, constrained, free, fields, account}; empty where the plan has no schema."""
    decode = getattr(model.plan.task, "decode", None)
    if decode is None or decode.schema is None:
        return {}
    some = records[:FREE_ROWS]
    with progress.bar("writing without the schema", len(some), "rows") as bar:
        texts = model.write(some, bar.advance, decode=decode.model_copy(update={"schema": None}))
    free = replace(answers.take(np.arange(len(some))), predicted=texts)
    return {
        "rows": len(answers.truth), "account": asdict(account),
        "constrained": _valid(model, answers), "free_rows": len(some), "free": _valid(model, free),
        "fields": field_table(answers),
    }  # fmt: skip


def _valid(model: Model, answers: Answers) -> dict[str, Any]:
    evaluate = model.plan.evaluate
    metrics = [METRICS.make("valid_json"), METRICS.make("schema_valid")]
    found = intervals(metrics, answers, resamples=evaluate.resamples, seed=model.plan.train.seed, level=evaluate.level)
    return {name: {"value": each.value, "low": each.low, "high": each.high} for name, each in found.items()}


def field_table(answers: Answers) -> list[dict[str, Any]]:
    """Each field with precision, recall and F1, the most frequent first; empty where a reference is no JSON."""
    wanted, said, both = Counter[str](), Counter[str](), Counter[str]()
    for references, text in pairs(answers):
        sides = [parsed(each) for each in references]
        if any(side is None for side in sides):
            return []
        answered = _fields(text)
        best = max((fields(side[0]) for side in sides if side), key=lambda f: _share(answered, f))
        for counts, found in ((wanted, best), (said, answered), (both, best & answered)):
            for leaf, number in found.items():
                counts[_way(leaf)] += number
    names = sorted({*wanted, *said}, key=lambda n: (-wanted[n], -said[n], n))[:SHOWN]
    return [_line(name, wanted[name], said[name], both[name]) for name in names]


def _fields(text: str) -> Counter[Field]:
    value = parsed(text)
    return fields(value[0]) if value else Counter()


def _share(answered: Counter[Field], wanted: Counter[Field]) -> float:
    return 2 * (answered & wanted).total() / (answered.total() + wanted.total())


def _way(leaf: Field) -> str:
    return "/".join("[]" if isinstance(step, int) else step for step in leaf[0]) or "(the whole)"


def _line(name: str, wanted: int, said: int, both: int) -> dict[str, Any]:
    return {
        "field": name, "wanted": wanted, "answered": said, "right": both,
        "precision": both / said if said else None, "recall": both / wanted if wanted else None,
        "f1": 2 * both / (said + wanted),
    }  # fmt: skip
