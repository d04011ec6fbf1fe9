"""The account of an import: every key of the file ends as carried, not carried or without effect, exactly once."""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.importers._read import Tree, Unread, leaves

OFF: tuple[Any, ...] = (False, 0, "", "none", "no", "None", "false", [], {})
_SECRET = re.compile(r"(api_key|secret|password|hub_token|hf_token|webhook_url)$|(^|\.)token$")
_SECTIONS = ("task", "base", "data", "method", "steps", "train", "engine", "evaluate")


class Unfit(Exception):
    """A value that a plan cannot say; the text says why."""


@dataclass(frozen=True)
class Near:
    """A value for the plan that is not quite what the file means, and the difference in words."""

    value: Any
    remark: str


@dataclass(frozen=True)
class To:
    """A key that becomes a setting of the plan."""

    path: str
    convert: Callable[[Any], Any] = lambda value: value
    when: str | None = None
    """Task, method or loss that must be asked for, where the key means nothing without it."""


@dataclass(frozen=True)
class Idle:
    """A key that changes no result here."""

    why: str


@dataclass(frozen=True)
class Lost:
    """A key that a plan has no place for. Where it is off in the file nothing is lost."""

    why: str


Rule = To | Idle | Lost


def each(rule: Rule, keys: str) -> dict[str, Rule]:
    """One rule for several keys, for tables."""
    return dict.fromkeys(keys.split(), rule)


Rules = Mapping[str, Rule]
"""Key or pattern (`wandb_*`, `datasets.*.path`) -> rule. A full name wins, then the first pattern that fits."""


class Account:
    """The settings of one file, and what became of them."""

    def __init__(self, tree: Tree, title: str, path: Path, home: Path) -> None:
        self.title, self.path, self.home = title, path, home
        self.values = leaves(tree.values) | dict(tree.unread.items())
        self.used = tree.used
        self.plan: dict[str, Any] = {}
        self.carried: list[dict[str, Any]] = []
        self.not_carried: list[dict[str, Any]] = []
        self.without_effect: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.left = dict.fromkeys(self.values)
        self._assumed: list[str] = []
        for key, value in self.values.items():
            if isinstance(value, Unread):
                self.lose(key, "Python that would have to be run; configurations are only read")
            elif value is None:
                self.idle(key, "left empty")

    # one key

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key that is still open; what is empty or accounted for counts as not given."""
        return self.values[key] if key in self.left else default

    def word(self, key: str, default: str = "") -> str:
        """The value of an open key as text."""
        return str(self.get(key, default))

    def carry(self, key: str, path: str, value: Any) -> None:
        """This key stands in the plan at this path, with this value. A key that the file lacks: the tool's default."""
        if isinstance(value, Near):
            self.notes.append(f"{key}: {value.remark}")
            value = value.value
        self.put(path, value)
        if key in self.left:
            self._end(self.carried, key, to=path)
        elif self.values.get(key) is None:
            self._assumed.append(f"{key} -> {path}: {value}")

    def lose(self, key: str, why: str) -> None:
        """This key is not in the plan."""
        self._end(self.not_carried, key, why=why)

    def idle(self, key: str, why: str) -> None:
        """This key changes nothing here."""
        self._end(self.without_effect, key, why=why)

    def put(self, path: str, value: Any) -> None:
        """Write a setting of the plan."""
        *folders, last = path.split(".")
        spot = self.plan
        for name in folders:
            spot = spot.setdefault(name, {})
        spot[last] = value

    def at(self, path: str, default: Any = None) -> Any:
        """A setting of the plan so far."""
        spot: Any = self.plan
        for name in path.split("."):
            spot = spot.get(name, default) if isinstance(spot, dict) else default
        return spot

    def refuse(self, key: str, why: str) -> TunesmithError:
        """The error for a file that no plan can stand for."""
        return TunesmithError(f"{self.path}: {key}: {plain(self.values.get(key))}: {why}")

    def _end(self, pile: list[dict[str, Any]], key: str, **more: str) -> None:
        if key not in self.left:
            return
        del self.left[key]
        hidden = _SECRET.search(key.lower()) and self.values[key]
        pile.append({"key": key, "value": "(hidden)" if hidden else plain(self.values[key]), **more})

    # all keys

    def apply(self, rules: Rules, defaults: Mapping[str, Any] = {}) -> None:
        """Account for what is left by a table, and write out the tool's defaults for keys that the file lacks."""
        for key in list(self.left):
            rule = _rule_of(key, rules)
            value = self.values[key]
            if rule is None:
                self.lose(key, f"not among the settings of {self.title} that this importer knows")
            elif isinstance(rule, To):
                self._follow(key, rule, value)
            elif isinstance(rule, Lost) and value not in OFF:
                self.lose(key, rule.why)
            else:
                self.idle(key, rule.why if isinstance(rule, Idle) else f"off there, absent here: {rule.why}")
        for key, value in defaults.items():
            rule = _rule_of(key, rules)
            if self.values.get(key) is None and isinstance(rule, To) and self.at(rule.path) is None:
                self._follow(key, rule, value)

    def _follow(self, key: str, rule: To, value: Any) -> None:
        if rule.when not in (None, self.at("task.name"), self.at("method.name"), self.at("task.loss")):
            self.idle(key, f"belongs to {rule.when}, which this file does not ask for")
            return
        try:
            self.carry(key, rule.path, rule.convert(value))
        except Unfit as error:
            self.lose(key, str(error))

    def finished(self) -> dict[str, Any]:
        """The plan, its sections in order."""
        assert not self.left, self.left
        if self._assumed:
            self.notes.append(f"not set in the file, so {self.title}'s own defaults: {'; '.join(self._assumed)}")
        return {name: self.plan[name] for name in _SECTIONS if name in self.plan}

    # files

    def found(self, name: str, *folders: Path) -> Path | None:
        """A file or folder of that name: from the folders given, the configuration's, or the current one."""
        for folder in (*folders, self.path.parent, Path()):
            place = folder / Path(name).expanduser()
            if name and place.exists():
                return place.absolute()
        return None

    def file(self, key: str, name: str, *folders: Path) -> str:
        """A data file as the plan names it. One that does not exist is kept as it is written, with a note."""
        place = self.found(name, *folders)
        if place is None:
            self.notes.append(f"{key}: '{name}' is not on this machine; it is kept as written. A data set of a hub "
                              f"must be fetched first, and data.train set to its file")  # fmt: skip
            return name
        if place.is_dir():
            self.notes.append(f"{key}: '{name}' is a folder; data.train wants its files by name")
        try:
            return str(place) if Path(name).is_absolute() else os.path.relpath(place, self.home)
        except ValueError:  # another drive
            return str(place)


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Unread):
        return value.what
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _rule_of(key: str, rules: Rules) -> Rule | None:
    if key in rules:
        return rules[key]
    return next((rule for pattern, rule in rules.items() if fnmatchcase(key, pattern)), None)
