"""The space of a search: a plan's tree with ranges in it, filled with values to become a plan."""

import random
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.plan_rules import is_range, ranges_in
from tunesmith.search.tuning.ranges import Range, Tie, Value, misspelt, read_range

Ask = Callable[[Range], Value]
"""A range -> a value in it; of a choice, the label of an option."""
Values = dict[str, Value]
"""{name of a range: value}, in the order of the plan; of branches that were not chosen nothing."""
Tree = dict[str, Any]

CORNERS = 256
"""Most corners that are tried before the first trial; of larger spaces these are drawn, each end several times."""
COMPANY = 4
"""So often an end is then drawn at least, with others at ends of their own."""


@dataclass(frozen=True)
class Space:
    """A plan's tree with at least one range."""

    tree: Tree

    def __post_init__(self) -> None:
        if text := misspelt(self.tree):
            raise TunesmithError(text)
        if not ranges_in(self.tree):
            raise TunesmithError("tune: no setting has a range, so there is nothing to search. Write one where a value "
                                 "stands, such as train.lr='{log: [1e-5, 1e-3]}'")  # fmt: skip

    def fill(self, ask: Ask) -> tuple[Tree, Values]:
        """The tree with a value for each range that lives in it, and these values."""
        values: Values = {}

        def answer(node: Any, path: str, name: str) -> Any:
            if is_range(node):
                found = read_range(node, path, name)
                if isinstance(found, Tie):
                    return found
                label = values[found.name] = ask(found)
                if found.kind != "choice":
                    return label
                return answer(found.option(label), path, f"{name}.{label}")
            if isinstance(node, Mapping):
                return {k: answer(v, f"{path}.{k}".strip("."), f"{name}.{k}".strip(".")) for k, v in node.items()}
            if isinstance(node, list):
                return [answer(v, f"{path}.{i}", f"{name}.{i}") for i, v in enumerate(node)]
            return deepcopy(node)

        return tied(answer(self.tree, "", "")), values

    def filled(self, values: Mapping[str, Value]) -> Tree:
        """The tree with values that are known."""
        return self.fill(lambda each: values[each.name])[0]

    def ranges(self) -> dict[str, Range]:
        """All ranges of all branches by name, in the order of the plan."""
        found: dict[str, Range] = {}
        for script in self._branches():
            for each in script:
                found.setdefault(each.name, each)
        return found

    def _branches(self) -> Iterator[list[Range]]:
        """The ranges of each combination of branches; what branches hold is seen by choosing them in turn."""
        waiting: list[dict[str, Value]] = [{}]
        while waiting:
            chosen, seen = waiting.pop(0), list[Range]()

            def ask(each: Range, chosen: dict[str, Value] = chosen, seen: list[Range] = seen) -> Value:
                seen.append(each)
                if each.kind != "choice" or not any(ranges_in(option, ".") for option in each.options):
                    return each.ends[0]
                if each.name not in chosen:
                    waiting.extend(dict(chosen) | {each.name: label} for label in each.labels[1:])
                    chosen[each.name] = each.labels[0]
                return chosen[each.name]

            self.fill(ask)
            yield seen

    def plain(self) -> Tree:
        """The plan without its search: ranged settings at their defaults, and of a choice between parts the first."""

        def strip(node: Any) -> Any:
            if isinstance(node, Mapping):
                kept = {k: _first(v) for k, v in node.items()}
                return {k: strip(v) for k, v in kept.items() if not is_range(v)}
            return [strip(_first(v)) for v in node] if isinstance(node, list) else deepcopy(node)

        made: Tree = strip(self.tree)
        return made

    def corners(self) -> tuple[list[Values], bool]:
        """Values at which every range stands at an end of it, and whether these are all such combinations."""
        found: list[Values] = []
        for values in self._every():
            if len(found) == CORNERS:
                return self._drawn(), False
            found.append(values)
        return found, True

    def _every(self) -> Iterator[Values]:
        """All corners, by counting with one digit for each range that is asked for."""
        digits: list[int] = []
        while True:
            asked: list[Range] = []

            def ask(each: Range, asked: list[Range] = asked) -> Value:
                asked.append(each)
                if len(asked) > len(digits):
                    digits.append(0)
                return each.ends[digits[len(asked) - 1]]

            yield self.fill(ask)[1]
            del digits[len(asked) :]
            while digits and digits[-1] + 1 == len(asked[len(digits) - 1].ends):
                digits.pop()
            if not digits:
                return
            digits[-1] += 1

    def _drawn(self) -> list[Values]:
        draw = random.Random(0)
        found: list[Values] = []
        for each in self.ranges().values():
            for end in each.ends:
                seen = 0
                for _ in range(50 * COMPANY):
                    values = self.fill(lambda r, n=each.name, e=end: e if r.name == n else draw.choice(r.ends))[1]  # type: ignore[misc]
                    if each.name in values:
                        found.append(values)
                        seen += 1
                    if seen == COMPANY:
                        break
        return found


def _first(node: Any) -> Any:
    """Of a choice between parts, such as methods, the first one; a choice between values has a default."""
    while is_range(node) and "choice" in node and any(_is_part(option) for option in node["choice"]):
        node = node["choice"][0]
    return node


def _is_part(option: Any) -> bool:
    return isinstance(option, Mapping)


def tied(tree: Tree) -> Tree:
    """With ties replaced by what they say. Raises TunesmithError for one that follows nothing."""

    def resolve(node: Any) -> Any:
        if isinstance(node, Tie):
            value = at(tree, node.of)
            if isinstance(value, Tie):
                return node
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TunesmithError(f"{node.path}: {{times: [{node.factor:g}, {node.of}]}} follows a number, and at "
                                     f"{node.of} the plan has {value!r}. Write a value or a range there")  # fmt: skip
            exact = value * node.factor
            return int(exact) if isinstance(value, int) and float(exact).is_integer() else exact
        if isinstance(node, dict):
            return {k: resolve(v) for k, v in node.items()}
        return [resolve(v) for v in node] if isinstance(node, list) else node

    for _ in range(10):
        tree = resolve(tree)
        if not _ties(tree):
            return tree
    raise TunesmithError(f"{_ties(tree)[0].path}: it is tied to what is tied to it")


def _ties(node: Any) -> list[Tie]:
    if isinstance(node, Tie):
        return [node]
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [tie for each in below for tie in _ties(each)]


def at(tree: Any, path: str) -> Any:
    """What stands at a path; None where nothing does."""
    for key in path.split("."):
        if isinstance(tree, list) and key.isdigit() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def put(tree: Tree, path: str, value: Any) -> None:
    """Let a value stand at a path; a part that is there by its name alone becomes one with settings."""
    *folders, last = path.split(".")
    spot: Any = tree
    for key in folders:
        index: Any = int(key) if isinstance(spot, list) and key.isdigit() else key
        below = spot[index] if isinstance(spot, list) else spot.get(index)
        if isinstance(below, str):
            below = {"train": below} if key == "data" else {"name": below}
        if not isinstance(below, (dict, list)):
            below = {}
        spot[index] = below
        spot = below
    spot[int(last) if isinstance(spot, list) else last] = value
