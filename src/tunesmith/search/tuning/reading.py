"""From what a user wrote to a space and what is asked of its search."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError, unknown
from tunesmith.plan import Plan
from tunesmith.plan_rules import is_range, ranges_in
from tunesmith.plan_text import anchor, read_tree
from tunesmith.search.tuning.asked import Search
from tunesmith.search.tuning.space import Space, Tree, at, put

TEST = 0.2
"""Share of the rows that is held out for the winner where the plan holds out none."""


def tree_of(plan: Path | str | Mapping[str, Any] | None, words: Sequence[str]) -> Tree:
    """A plan file, or a tree, and words over it, with files by their absolute paths. `trials=30` is short for
    `search.trials=30`."""
    short = [f"search.{w}" if w.partition("=")[0] in Search.model_fields and not _is_section(w) else w for w in words]
    known = plan if isinstance(plan, Mapping) else None
    tree = read_tree(None if known is not None or plan is None else Path(str(plan)), short, deepcopy(dict(known or {})))
    anchor(tree, Path.cwd())
    return tree


def _is_section(word: str) -> bool:
    """Whether a word that could be one of the search is meant for the plan's own section of that name."""
    name, _, value = word.partition("=")
    return name == "engine" and value.strip().startswith("{")


def asked_of(tree: Tree) -> Search:
    """The section `search`, taken out of the tree. Raises TunesmithError with everything that is wrong in it."""
    given = tree.pop("search", {})
    from pydantic import ValidationError

    if not isinstance(given, dict):
        raise TunesmithError(f"search: is a section, such as {{trials: 30, sampler: tpe}}; got {given!r}")
    if odd := [key for key in given if key not in Search.model_fields]:
        raise TunesmithError(f"search: {unknown('setting', odd[0], Search.model_fields)}")
    try:
        asked = Search.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where, said = ".".join(map(str, first["loc"][:1])), first["msg"]
        raise TunesmithError(f"search.{where}: {said[0].lower()}{said[1:]}, got {first['input']!r}") from None
    if found := list(asked.objections()):
        raise TunesmithError("; ".join(found))
    assert asked.seconds is None or asked.seconds > 0
    return asked


def space_of(tree: Tree, asked: Search, usual: Callable[[Plan], dict[str, Any]]) -> tuple[Space, list[str]]:
    """The space, and notes on what was added to it. Without a range anywhere, `usual(plan)` says {path: range}."""
    notes = []
    for path, given in asked.space.items():
        if not is_range(given):
            raise TunesmithError(
                f"search.space.{path}: {given!r} is no range. Write one, such as {{log: [1e-5, 1e-3]}}"
            )
        if ranges_in(at(tree, path)):
            raise TunesmithError(f"search.space.{path}: the plan has a range there, too. Keep one of the two")
        put(tree, path, given)
    if not ranges_in(tree):
        from tunesmith.plan_text import make_plan

        plan = make_plan(tree)
        added = {path: given for path, given in usual(plan).items() if at(tree, path) is None}
        for path, given in added.items():
            put(tree, path, given)
        if not added:
            raise TunesmithError(f"tune: the plan has no range, and it sets all that is usually searched of "
                                 f"{plan.method.name}. Write a range where a value stands")  # fmt: skip
        notes.append(f"no range in the plan: searched is what usually matters of {plan.method.name}: " +
                     ", ".join(f"{path} {_told(given)}" for path, given in added.items()))  # fmt: skip
    data = tree.get("data")
    if isinstance(data, dict) and "test" in data and data["test"] is None:
        data["test"] = TEST
        notes.append(f"the plan keeps no test rows: {TEST:.0%} of the rows are held out from the search, to say what "
                     "its winner is worth. Take data.test out of best.yaml to learn from them, too")  # fmt: skip
    return Space(tree), notes


def _told(given: Any) -> str:
    ((word, values),) = given.items()
    return f"{{{word}: [{', '.join(map(str, values))}]}}"
