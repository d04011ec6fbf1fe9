"""Arms of a race: methods, and settings of each, as plans that differ in nothing else.

The plan's own method runs as the plan has it, every other one with its defaults; beside each stand the changes that its
file names as decisive (`Method.grid`). A factor of the learning rate is of the rate that was fitted to the base, which
is known once the method has run with it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS, Method
from tunesmith.plan import Plan
from tunesmith.plan_rules import objections

Fit = Callable[[Plan], Plan]
"""The plan fitted to its base. Raises TunesmithError where the two cannot work together."""


@dataclass(frozen=True)
class Arm:
    """What runs."""

    name: str
    """Such as "lora", "lora r=32 alpha=64", "lora rate x3"."""
    family: str
    """What its settings compete for: the name of its first arm."""
    plan: Plan
    """With the first seed; without the factor."""
    changed: Mapping[str, Any]
    """Settings that differ from those of the first arm of its family."""
    factor: float = 1.0
    """Of the learning rate of the first arm of its family."""

    @property
    def folder(self) -> str:
        """What its folder is called."""
        return re.sub(r"[^A-Za-z0-9.+=-]+", "-", self.name)

    @property
    def settings(self) -> dict[str, Any]:
        """What its method is set to, where that differs from the defaults."""
        return settings_of(self.plan.method)

    def with_seed(self, seed: int, rate: float | None) -> Plan:
        """Its plan with that seed; `rate` is that of its family."""
        changed: dict[str, Any] = {"seed": seed}
        if self.factor != 1.0:
            assert rate is not None, "the first arm of a family runs before the others"
            changed["lr"] = float(f"{rate * self.factor:.3g}")
        return self.plan.model_copy(update={"train": self.plan.train.model_copy(update=changed)})


@dataclass(frozen=True)
class Field:
    """All that could run."""

    arms: tuple[Arm, ...]
    """The first arms of all families, then the others."""
    refused: dict[str, str]
    """By name, why it does not."""


def settings_of(method: Method) -> dict[str, Any]:
    """Settings that differ from their defaults, as a plan writes them."""
    tree = method.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in tree.items() if name != "name"}


def field_of(plan: Plan, methods: Sequence[Any] | None, fit: Fit, *, grid: bool) -> Field:
    """The arms; with `grid` also the settings that methods name. Unless named, all methods that need nothing beyond
    the plan run, the plan's own first. Raises TunesmithError for a named one that cannot."""
    firsts, refused = list[Arm](), dict[str, str]()
    asked = _usual(plan) if methods is None else [_read(word) for word in methods]
    for method in asked:
        arm = _first(plan, method)
        if any(arm.name == other.name for other in firsts):
            raise TunesmithError(f"--methods: {arm.name} stands there twice")
        try:
            firsts.append(replace(arm, plan=_fitting(arm.plan, fit)))
        except TunesmithError as error:
            if methods is not None:
                raise TunesmithError(f"--methods: {arm.name} cannot run here: {error}") from None
            refused[arm.name] = str(error)
    if not firsts:
        raise TunesmithError(f"race: no method can run here: {'; '.join(refused.values())}")
    more = list[Arm]()
    for first in firsts if grid else ():
        for arm in _variants(first):
            try:
                more.append(replace(arm, plan=_fitting(arm.plan, fit)))
            except TunesmithError as error:
                refused[arm.name] = str(error)
    return Field((*firsts, *more), refused)


def _usual(plan: Plan) -> Iterator[Any]:
    yield plan.method.name
    for name in METHODS.names():
        asks = any(field.is_required() for field in METHODS.find(name).model_fields.values())
        if name != plan.method.name and not asks:
            yield name


def _read(word: Any) -> Any:
    """A method as a plan writes it: a word, a mapping, or parts joined by + (lora+bitfit)."""
    if isinstance(word, str) and "+" in word:
        return {"name": "mixed", "parts": word.split("+")}
    return {"name": "mixed", "parts": list(word)} if isinstance(word, list | tuple) else word


def _first(plan: Plan, asked: Any) -> Arm:
    """A method as it was asked for; a bare word that is the plan's own method means that with its settings."""
    train, method = plan.train, plan.method
    if asked != plan.method.name:
        tree = {"name": asked} if isinstance(asked, str) else dict(asked)
        try:
            method = METHODS.make(str(tree.pop("name", "")), tree)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise TunesmithError(f"--methods: {asked}: {where}: {error.errors()[0]['msg']}") from None
        train = train.model_copy(update={"lr": "auto"})  # a rate that was asked for is the plan's method's
    name = "+".join(method.components()) or method.name
    if not isinstance(asked, str) and (own := settings_of(method)) and not method.components():
        name = f"{name} {_spelt(own)}"
    judged = plan.evaluate.model_copy(update={"baselines": ()})
    made = plan.model_copy(update={"method": method, "train": train, "evaluate": judged, "run": None})
    return Arm(name, name, made, {})


def _variants(first: Arm) -> Iterator[Arm]:
    """What its method names as decisive, but what it has already."""
    method = first.plan.method
    for change in type(method).grid:
        settings = {name: value for name, value in change.items() if name != "rate"}
        if settings and all(getattr(method, name) == value for name, value in settings.items()):
            continue
        factor = float(change.get("rate", 1.0))
        told = " ".join([_spelt(settings)] * bool(settings) + [f"rate x{factor:.2g}"] * (factor != 1.0))
        made = METHODS.make(method.name, method.model_dump(exclude={"name"}) | settings)
        yield Arm(f"{first.name} {told}", first.name, first.plan.model_copy(update={"method": made}), change, factor)


def _spelt(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _fitting(plan: Plan, fit: Fit) -> Plan:
    if found := objections(plan):
        raise TunesmithError("; ".join(found))
    return fit(plan)
