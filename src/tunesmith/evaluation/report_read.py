"""What a report is made from: the files of a run folder, read once; what is missing is empty."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tunesmith.errors import TunesmithError
from tunesmith.files import read_json
from tunesmith.metrics import Answers, Kind
from tunesmith.tasks import TASKS


def innermost(plan: dict[str, Any]) -> Any:
    """The task of a plan that says what rows mean; one that is around another names that as its `task`."""
    task = plan.get("task")
    while isinstance(task, dict) and task.get("task"):
        task = task["task"]
    return task


def kind_of(plan: dict[str, Any]) -> Kind:
    """Kind of answers of the task of a plan; a task that is not here any more answered classes."""
    name = named(innermost(plan))
    return TASKS.find(name).kind if name in TASKS.names() else "classes"


def pipeline_of(plan: dict[str, Any]) -> str:
    """What model hubs call the task of a plan, or the one inside it; empty where they have no word for it."""
    name = named(innermost(plan))
    return TASKS.find(name).pipeline if name in TASKS.names() else ""


def aim_of(plan: dict[str, Any]) -> str:
    """What the task of a plan says of itself; empty where its kind of answers says it."""
    name = named(plan.get("task"))
    return TASKS.find(name).aim if name in TASKS.names() else ""


@dataclass(frozen=True)
class Part:
    """The answers for one split, and where each row came from."""

    answers: Answers
    texts: list[str]
    places: list[str]
    """File and line (or row) of each row."""
    compared: list[tuple[str, str]]
    """Of pairs: both answers of each row; empty for others."""
    marked: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = field(default_factory=list)
    """Of tags: true and answered spans of each row; empty for others."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Results:
    """All that a run folder says."""

    name: str
    plan_text: str
    plan: dict[str, Any]
    facts: dict[str, Any]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    measured: dict[str, Any]
    """metrics.json."""
    learnt: list[dict[str, Any]]
    warnings: list[str]
    provenance: dict[str, Any]
    parts: dict[str, Part]
    """By split."""
    pictures: dict[str, Any] = field(default_factory=dict)
    """pictures.json, of runs on images."""
    tasks: dict[str, "Results"] = field(default_factory=dict)
    """Of several tasks: what is said of each alone."""

    @property
    def kind(self) -> Kind:
        """Kind of answers."""
        return kind_of(self.plan)

    @property
    def split(self) -> str:
        """The split that the report shows: test, and validation where there is no test."""
        known = [*self.measured.get("metrics", {}), *self.parts]
        return "test" if "test" in known else "validation"

    @property
    def part(self) -> Part | None:
        """Answers of that split."""
        return self.parts.get(self.split)

    @property
    def main(self) -> str | None:
        """The metric that picked the checkpoint."""
        names = list(self.measured.get("metrics", {}).get(self.split, {}))
        found = self.measured.get("main")
        return str(found) if found in names else names[0] if names else None

    @property
    def percent(self) -> str:
        """Confidence level of the intervals, in words."""
        return f"{self.measured.get('level', 0.95):.4%}".replace(".0000", "").replace("%", "\u00a0%")

    def of(self, metric: str | None, baseline: str | None = None) -> dict[str, Any]:
        """{value, low, high} on the shown split; empty where it was not measured."""
        table = self.measured.get("metrics", {}) if baseline is None else self.measured["baselines"][baseline]
        found = table.get(self.split, {}).get(metric)
        return found if found and found.get("value") is not None else {}


def named(part: Any) -> str:
    """The name of a part of a plan, written as a word or with settings; of a mixture, the names in it."""
    if isinstance(part, list):
        return " + ".join(named(p) for p in part)
    if isinstance(part, dict):
        return named(part["parts"]) if part.get("parts") else str(part.get("name", "?"))
    return str(part) if part is not None else "?"


def read(run: Path) -> Results:
    """A run folder. Raises TunesmithError where it is none, or a file of it is broken."""
    if not (run / "plan.yaml").is_file():
        raise TunesmithError(f"{run}: not a run folder (plan.yaml is missing). Give the folder that `train` printed")
    text = (run / "plan.yaml").read_text(encoding="utf-8")
    plan, facts = yaml.safe_load(text), _json(run / "facts.json", {})
    kind = kind_of(plan)
    whole = Results(
        run.resolve().name, text, plan, facts, _json(run / "data.json", {}), _history(run / "history.jsonl"),
        _json(run / "metrics.json", {}), _json(run / "learnt.json", []), _json(run / "warnings.json", []),
        _json(run / "provenance.json", {}), _predictions(run / "predictions.parquet", kind, plan, facts),
        _json(run / "pictures.json", {}),
    )  # fmt: skip
    return replace(whole, tasks=_each_task(whole, run / "predictions.parquet"))


def _each_task(whole: Results, path: Path) -> dict[str, Results]:
    """Of several tasks the results of each, as if it were alone."""
    if whole.kind != "several" or not path.is_file():
        return {}
    import pyarrow.parquet as pq

    columns, found = pq.read_table(path).to_pydict(), {}
    for name, one in whole.plan["task"]["tasks"].items():
        plan = {**whole.plan, "task": one["task"]}
        facts, measured = whole.facts["parts"][name], dict(whole.measured)
        rows = [i for i, task in enumerate(columns["task"]) if task == name]
        strange = [c for c in columns if "." in c and not c.startswith(f"{name}.")]
        own = {c.removeprefix(f"{name}."): [v[i] for i in rows] for c, v in columns.items() if c not in strange}
        for what in ("metrics", "baselines"):
            measured[what] = _own(measured.get(what) or {}, f"{name}.")
        parts = _parts_of(own, kind_of(plan), plan, facts)
        found[name] = replace(whole, plan=plan, facts=facts, measured=measured | {"main": None}, parts=parts)
    return found


def _own(tables: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Tables of metrics with those of one task alone, by their plain names."""
    if any(key.startswith(prefix) for key in tables):
        return {key.removeprefix(prefix): value for key, value in tables.items() if key.startswith(prefix)}
    return {key: _own(value, prefix) for key, value in tables.items() if isinstance(value, dict) and "low" not in value}


def _json(path: Path, empty: Any) -> Any:
    return read_json(path) if path.is_file() else empty


def _history(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = []
    for place, line in enumerate(lines):
        try:
            found.append(json.loads(line))
        except ValueError:
            # A journal may lose its tail when the process is killed; a broken line elsewhere is not expected.
            if place < len(lines) - 1:
                raise TunesmithError(f"{path}:{place + 1}: not JSON; the file was changed after the run") from None
    return found


def _predictions(path: Path, kind: Kind, plan: dict[str, Any], facts: dict[str, Any]) -> dict[str, Part]:
    if not path.is_file():
        return {}
    import pyarrow.parquet as pq

    return _parts_of(pq.read_table(path).to_pydict(), kind, plan, facts)


def _parts_of(
    columns: dict[str, list[Any]], kind: Kind, plan: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Part]:
    splits = np.array([str(s) for s in columns["split"]])
    answers = _answers(columns, kind, plan, facts)
    texts = ["" if t is None else str(t) for t in columns.get("text", [""] * len(splits))]
    places = _places(columns, len(splits))
    both = list(zip(columns.get("answer_first", []), columns.get("answer_second", []), strict=True))
    marked = [(json.loads(a), json.loads(b)) for a, b in zip(columns["truth"], columns["prediction"], strict=True)
              if kind == "tags"]  # fmt: skip
    found = {}
    for name in dict.fromkeys(splits.tolist()):
        rows = np.flatnonzero(splits == name)
        found[name] = Part(
            answers.take(rows),
            [texts[i] for i in rows],
            [places[i] for i in rows],
            [both[i] for i in rows if both],
            [marked[i] for i in rows if marked],
        )
    return found


def _places(columns: dict[str, list[Any]], num: int) -> list[str]:
    none: list[Any] = [None] * num
    source, line, row = (columns.get(name, none) for name in ("source", "line", "row"))
    place = [f"line {b}" if b else f"row {c}" if c else "" for b, c in zip(line, row, strict=True)]
    return [", ".join(filter(None, (base_name(a or ""), b))) for a, b in zip(source, place, strict=True)]


def base_name(path: object) -> str:
    """The last part of a path, whichever system wrote it."""
    return str(path).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _answers(columns: dict[str, list[Any]], kind: Kind, plan: dict[str, Any], facts: dict[str, Any]) -> Answers:
    truth, predicted = columns["truth"], columns["prediction"]
    if kind == "text":
        predicted = [p if isinstance(p, str) else "" for p in predicted]  # a number, where nothing is written
        known = {"nll", "tokens"} <= set(columns)
        read = np.array([columns["nll"], columns["tokens"]], dtype=np.float64).T if known else None
        return Answers.of_texts(columns.get("references") or [(text,) for text in truth], predicted, read)
    if kind == "pairs":
        return _pairs(columns)
    if kind in ("tags", "several"):  # what is shown of these is their spans, `Part.marked`, or each task
        return Answers(kind, np.zeros(len(truth)), np.zeros(len(truth)))
    if kind == "numbers":
        return Answers(kind, np.array(truth, dtype=np.float64), np.array(predicted, dtype=np.float64))
    if kind == "vectors":
        found = np.array([truth, columns["query"]], dtype=np.float64).T
        scores_N1 = np.array(columns["similarity"], dtype=np.float64)[:, None]
        return Answers(kind, found, np.array(predicted, dtype=np.float64), scores_N1)
    sets = [[_names(cell, kind) for cell in side] for side in (truth, predicted)]
    labels = tuple(facts.get("labels") or sorted({name for side in sets for cell in side for name in cell}))
    number = {name: i for i, name in enumerate(labels)}
    scores = [columns.get(f"p:{name}") for name in labels]
    score_NC = None if any(s is None for s in scores) else np.array(scores, dtype=np.float64).T.reshape(-1, len(labels))
    if kind == "multilabel":
        return Answers(kind, _ones(sets[0], number), _ones(sets[1], number), score_NC, labels)
    # -1 is a label that training never saw.
    first = [np.array([number.get(cell[0], -1) for cell in side], dtype=np.int64) for side in sets]
    return Answers(kind, first[0], first[1], score_NC, labels, _positive(plan, labels))


def _pairs(columns: dict[str, list[Any]]) -> Answers:
    from tunesmith.evaluation.predictions import SCORES

    scores = np.array([columns[name] for name in SCORES], dtype=np.float64).T
    truth = np.array([side == "first" for side in columns["truth"]], dtype=np.int64)
    return Answers("pairs", truth, (np.sign(scores[:, 6] - scores[:, 7]) + 1) / 2, scores)


def _names(cell: Any, kind: Kind) -> list[str]:
    if kind == "classes":
        return [str(cell)]
    return [str(name) for name in (json.loads(cell or "[]") if isinstance(cell, str | None) else cell)]


def _ones(sets: Sequence[Sequence[str]], number: dict[str, int]) -> Any:
    ones = np.zeros((len(sets), len(number)), dtype=np.int64)
    for row, names in enumerate(sets):
        ones[row, [number[name] for name in names if name in number]] = 1
    return ones


def _positive(plan: dict[str, Any], labels: Sequence[str]) -> int | None:
    task = innermost(plan)
    name = task.get("positive") if isinstance(task, dict) else None
    return labels.index(name) if len(labels) == 2 and name in labels else None
