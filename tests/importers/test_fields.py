"""Whatever an importer can write is a setting of the real plan: a renamed field fails here, not at a user's."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tunesmith import importers
from tunesmith.importers import names
from tunesmith.importers._account import To
from tunesmith.methods import METHODS
from tunesmith.plan import Plan
from tunesmith.tasks import TASKS
from tunesmith.tasks.prefer import _USED_BY, Prefer

FOLDER = Path(importers.__file__).parent
PATH = re.compile(r"(task|base|method|train|engine|evaluate|steps)(\.\w+)+")
"""Paths of a plan, wherever they stand. Those of `data` are also keys of AutoTrain: see `written`."""
WRITES = {"put": 0, "carry": 1, "at": 0, "To": 0}
"""Calls that are given a path of a plan, and where."""


def written(file: Path) -> Iterator[str]:
    """Every path of a plan that stands in a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PATH.fullmatch(node.value):
            yield node.value
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = WRITES.get(name)
            if place is not None and len(node.args) > place and isinstance(path := node.args[place], ast.Constant):
                yield str(path.value)


def parts(section: str) -> list[type[BaseModel]]:
    """The classes that a section of a plan may be."""
    catalog: Any = {"task": TASKS, "method": METHODS}.get(section)
    if catalog is not None:
        return [catalog.find(name) for name in catalog.names()]
    return [Plan.model_fields[section].annotation]  # type: ignore[list-item]


def has(path: str, classes: list[type[BaseModel]] | None = None) -> bool:
    section, _, field = path.partition(".")
    if section not in Plan.model_fields:
        return False
    return not field or any(field.split(".")[0] in each.model_fields for each in classes or parts(section))


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda f: f.stem)
def test_every_path_is_one_of_a_plan(file: Path) -> None:
    assert not [path for path in written(file) if not has(path)]


def test_the_paths_are_found_and_a_renamed_field_would_be_noticed() -> None:
    every = {path for file in FOLDER.glob("*.py") for path in written(file)}
    assert {"task.gamma", "task.centering", "method.r", "train.lr", "data.train", "task.text"} <= every
    assert not has("task.gama") and not has("train.learning_rate") and not has("model.name")


def rules() -> Iterator[tuple[str, To]]:
    for tool in names():
        table: Mapping[str, Any] = importlib.import_module(f"tunesmith.importers.{tool}").RULES
        yield from ((f"{tool}: {key}", rule) for key, rule in table.items() if isinstance(rule, To))


@pytest.mark.parametrize(("key", "rule"), [r for r in rules() if r[1].when], ids=lambda v: v if v is str else None)
def test_a_rule_for_one_part_writes_a_field_of_that_part(key: str, rule: To) -> None:
    if rule.when in METHODS.names():
        assert has(rule.path, [METHODS.find(str(rule.when))]), key
    elif rule.when in TASKS.names():
        assert has(rule.path, [TASKS.find(str(rule.when))]), key
    else:
        assert has(rule.path, [Prefer]), key
        assert rule.when in _USED_BY[rule.path.removeprefix("task.")], f"{key}: that loss would refuse the setting"


@pytest.mark.parametrize("tool", names())
def test_tasks_in_tables_are_tasks(tool: str) -> None:
    module = importlib.import_module(f"tunesmith.importers.{tool}")
    for table in vars(module).values():
        for value in table.values() if isinstance(table, Mapping) else ():
            if isinstance(value, Mapping) and value.get("name") in TASKS.names():
                TASKS.find(value["name"]).model_validate(value)
            else:
                assert not (isinstance(value, Mapping) and "name" in value), f"{tool}: {value}"
    for loss in vars(module).get("LOSSES", {}).values():
        Prefer.model_validate({"name": "prefer", "loss": loss})
