"""The table of rules, `rules.yaml`: read, checked, and asked which rules apply to a case."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from tunesmith.advising.case import Case
from tunesmith.advising.conditions import Condition, check, holds
from tunesmith.described import Described
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS

FILE = Path(__file__).with_name("rules.yaml")
_FACTS = "{}"


class Rule(Described):
    """A row of the table. Exactly one of `points`, `refuse`, `set`, `add` and `say` is what follows."""

    rule: str
    """Its name."""
    when: dict[str, Condition] = {}
    """What must hold of the case; nothing: always."""
    points: dict[str, float] = {}
    """Methods, and how many points of quality the rule is for or against them. Measured points are ours; those of a
    paper are how much we let it count."""
    refuse: tuple[str, ...] = ()
    """Methods that are out."""
    set: dict[str, Any] = {}
    """Plan path -> value; `{fact}` stands for a fact of the case."""
    add: dict[str, Any] = {}
    """Plan path of a list -> what is added at its end."""
    say: str = ""
    """What to do beside training, in a sentence."""
    because: Annotated[str, Field(min_length=10)]
    """The reason, in a sentence."""
    source: Annotated[str, Field(min_length=4)]
    """Paper, or where our own measurement stands."""
    basis: Literal["paper", "measured", "logic"] = "paper"
    """Where it comes from; logic: it follows from what the words mean."""

    def filled(self, value: Any, case: Case) -> Any:
        """A value with the facts that it names."""
        if not (isinstance(value, str) and value[:1] + value[-1:] == _FACTS):
            return value
        return getattr(case, value[1:-1])


@cache
def rules() -> tuple[Rule, ...]:
    """All rules in the order of the file. Raises TunesmithError, with the rule, for one that cannot be read."""
    return read(FILE)


def loaded(file: Path) -> Any:
    """A table of ours, by the C reader where it is there: it is twenty times as fast."""
    reader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=reader)  # noqa: S506 - both are safe loaders


def read(file: Path) -> tuple[Rule, ...]:
    """The rules of a file."""
    found = []
    for number, each in enumerate(loaded(file), start=1):
        where = f"{file.name}: rule {each.get('rule', number) if isinstance(each, dict) else number}"
        try:
            rule = Rule.model_validate(each)
        except ValidationError as error:
            first = error.errors()[0]
            raise TunesmithError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        check(rule.when, where)
        if sum(map(bool, (rule.points, rule.refuse, rule.set, rule.add, rule.say))) != 1:
            raise TunesmithError(f"{where}: write exactly one of points, refuse, set, add and say")
        for method in (*rule.points, *rule.refuse):
            METHODS.find(method)
        found.append(rule)
    return tuple(found)


def that_apply(case: Case, what: Literal["points", "refuse", "set", "add", "say"]) -> Iterator[Rule]:
    """Rules of one sort whose conditions hold, in the order of the file."""
    return (rule for rule in rules() if getattr(rule, what) and holds(rule.when, case))
