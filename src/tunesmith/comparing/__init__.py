"""Compare: several arms on the same rows, all of them and part by part, with a verdict on each against the first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.comparing.arms import Arm, Load, asked
from tunesmith.comparing.met import Met, measured
from tunesmith.comparing.stored import stored
from tunesmith.data.writing import require_writable, write
from tunesmith.deciding import slices
from tunesmith.deciding.comparison import Found, Question, decide, examine
from tunesmith.deciding.disagreeing import disagreeing
from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Metric

ROWS = 50
"""Rows of a disagreement in a reply; `disagreements` of a flow writes all."""
OWN = ("length", "class")
"""What rows are divided by that is no column; a column of that name is written column:length."""


@dataclass(frozen=True)
class Ways:
    """How to compare."""

    metric: str | None = None
    by: tuple[str, ...] = ()
    """Columns, `length` or `class`, by whose values rows are divided."""
    question: Question = field(default_factory=Question)


def compare(met: Met, ways: Ways) -> dict[str, Any]:
    """The reply: the verdict on the second arm against the first on top, all of them in `comparisons`.

    Raises TunesmithError for a metric that does not fit these answers.
    """
    metric, against = met.metric(ways.metric), next(iter(met.sides))
    others = [name for name in met.sides if name != against]
    found = [examine(against, name, met.pair(metric, against, name), ways.question) for name in others]
    comparisons = decide(found, ways.question)
    judge = met.judge(metric)
    reply = {
        **{k: v for k, v in comparisons[0].items() if k != "rows"},
        "data": met.source, "rows": met.rows, "by": list(ways.by), "against": against,
        "metrics": measured(met, judge), "comparisons": comparisons, "slices": _slices(met, metric, others, ways),
        "disagreements": {name: told_rows(met, metric, against, name)[:ROWS] for name in others},
        "warnings": met.warnings,
    }  # fmt: skip
    return reply | {"table": table_of(reply, metric.name)}


def _slices(met: Met, metric: Metric, others: Sequence[str], ways: Ways) -> dict[str, dict[str, Any]]:
    """{by: {value: {rows, metrics, comparisons}}}; p-values are corrected for the number of all of them."""
    against, out, found = next(iter(met.sides)), dict[str, dict[str, Any]](), list[Found]()
    place: list[dict[str, Any]] = []
    quick = replace(ways.question, permute=False)
    for by in ways.by:
        own = slices.within_a_class(metric) if by == "class" else metric
        out[by] = {}
        for value, mask_N in slices.parts_of(_values(met, by)):
            judge = met.judge(own, alone=by == "class")
            part: dict[str, Any] = {
                "rows": int(mask_N.sum()),
                "metrics": measured(met, judge, mask_N),
                "comparisons": [],
            }
            out[by][value] = part
            if part["rows"] < slices.LEAST:
                continue
            for name in others:
                found.append(examine(against, name, met.pair(own, against, name).take(mask_N), quick))
                place.append(part)
    for part, comparison in zip(place, decide(found, quick), strict=True):
        part["comparisons"].append(comparison)
    return out


def _values(met: Met, by: str) -> NDArray[np.str_]:
    """(N,) the part that each row is in."""
    first: Answers = next(iter(met.sides.values()))[0]
    if by == "class":
        if first.kind != "classes":
            raise TunesmithError(f"--by class: these answers are {first.kind}, which have no class. Name a column")
        return slices.by_class(first)
    if not met.texts:
        raise TunesmithError(f"--by {by}: steps of the plan leave rows of the file out, so that no row is known to be "
                             "in a part")  # fmt: skip
    return slices.by_length(met.texts) if by == "length" else met.column(by.removeprefix("column:"))


def told_rows(met: Met, metric: Metric, a: str, b: str) -> list[dict[str, Any]]:
    """The rows on which two arms disagree, most informative first, with what each answered."""
    found = disagreeing(met.pair(metric, a, b))
    say = [_sayer(met, met.sides[name][0]) for name in (a, b)]
    truth = _sayer(met, replace(met.sides[a][0], predicted=met.sides[a][0].truth))
    for each in found:
        row = each["row"]
        each |= {"place": met.places[row] if met.places else f"row {row + 1}",
                 "text": met.texts[row] if met.texts else "", "truth": truth(row), "a": say[0](row),
                 "b": say[1](row)}  # fmt: skip
        each["row"] = row + 1
    return found


def write_rows(met: Met, ways: Ways, out: Path) -> Path:
    """All rows on which an arm and the first disagree, as a table."""
    require_writable(out, Path(met.source))
    metric, against = met.metric(ways.metric), next(iter(met.sides))
    columns = ["b", "row", "place", "text", "truth", "answer_a", "answer_b", "influence", "gap"]
    rows = [
        {**each, "answer_a": each["a"], "answer_b": each["b"], "b": name}
        for name in met.sides if name != against for each in told_rows(met, metric, against, name)
    ]  # fmt: skip
    write(out, columns, [{c: row[c] for c in columns} for row in rows])
    return out


def _sayer(met: Met, answers: Answers) -> Callable[[int], Any]:
    """What is answered to a row, in words."""
    labels, predicted = answers.labels, answers.predicted
    if answers.kind == "classes":
        return lambda row: labels[int(predicted[row])] if predicted[row] >= 0 else None
    if answers.kind == "multilabel":
        return lambda row: [labels[i] for i in np.flatnonzero(predicted[row])]
    if answers.kind == "tags" and answers.words is not None:
        told = met.plan.task.columns(predicted, None, met.facts, answers.words)["prediction"]
        return lambda row: told[row]
    if answers.kind == "text":
        return lambda row: predicted[row] if isinstance(predicted[row], str) else list(predicted[row])
    return lambda row: np.asarray(predicted[row], dtype=np.float64).tolist()


def table_of(reply: Mapping[str, Any], metric: str) -> str:
    """The metric as a Markdown table: arms by the parts of the first `by`, and the test on all rows."""
    parts = reply["slices"][reply["by"][0]] if reply["by"] and reply["by"][0] != "class" else {}
    header = ["", f"{metric}, {reply['rows']} rows", *(f"{v or '(none)'}, {p['rows']}" for v, p in parts.items()),
              f"minus {reply['against']}", "p (Holm)"]  # fmt: skip
    tests = {each["b"]: each for each in reply["comparisons"]}
    lines = [header, ["---"] * len(header)]
    for name, found in reply["metrics"].items():
        apart = ["", ""]
        if test := tests.get(name):
            by = test["difference"]
            apart = [f"{_plain(by['value'], '+')} [{_plain(by['low'], '+')}, {_plain(by['high'], '+')}]",
                     _plain(test["p_adjusted"])]  # fmt: skip
        own = [_plain(part["metrics"][name][metric]["value"]) for part in parts.values()]
        lines.append([name, _plain(found[metric]["value"]), *own, *apart])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"


__all__ = ["Arm", "Load", "Met", "Question", "Ways", "asked", "compare", "stored", "told_rows", "write_rows"]
