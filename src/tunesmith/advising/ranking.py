"""Methods and settings, ranked: what measurements and rules say of each, and nothing that the plan would refuse.

    points = measured points against LoRA (evidence)  +  points of the rules that apply
    order  = those that fit into memory and time first; among them those within one point of the best that more than one
             data set speaks for, the least effort first; then the others by points

One point is less than our test sets could tell apart, and so the cheaper one is taken. Effort is measured CPU time
against full tuning of the same rows.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tunesmith.advising import evidence
from tunesmith.advising.case import Case
from tunesmith.advising.reading import Look
from tunesmith.advising.rules import Rule, that_apply
from tunesmith.advising.trying import NONE, Tried, tried
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan

TIE = 1.0
"""Points within which the cheaper method is taken."""
Fitted = Callable[[Plan], Plan]
"""The plan as a run would take it. Raises TunesmithError where a run would refuse it."""
Forecast = Callable[[Plan], dict[str, Any]]
"""{memory_mb, seconds, disk_mb} of a plan, null where nothing is known."""


@dataclass
class Advised:
    """One method, with its settings and reasons."""

    method: str
    plan: Plan
    settings: list[dict[str, Any]]
    points: float
    reasons: list[dict[str, Any]]
    found: Tried
    forecast: dict[str, Any]
    sets: int = 0
    """Data sets that it was measured on."""
    fits: bool = True
    trouble: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the reply."""
        told = "; ".join([*self.trouble, *(each["text"] for each in self.reasons)])
        return {
            "method": self.method, "settings": {each["path"]: each["value"] for each in self.settings},
            "reason": told, "points": round(self.points, 2), "fits": self.fits, "forecast": self.forecast,
            "trainable": self.found.trainable, "total": self.found.total, "learning_rate": self.found.rate,
            "reasons": self.reasons, "why": self.settings,
        }  # fmt: skip


@dataclass(frozen=True)
class Ranking:
    """Methods in order, and those that are out, with the reason."""

    order: list[Advised]
    refused: dict[str, str]


def rank(seen: Look, case: Case, fitted: Fitted, forecast: Forecast | None, without: Collection[str] = ()) -> Ranking:
    """All methods for a case. `without`: measured data sets that are left out of account."""
    refused = _refused(case)
    found = []
    for name in METHODS.names():
        if name not in refused:
            try:
                found.append(_advised(name, seen, case, fitted, without))
                _weighed(found[-1], case)
            except TunesmithError as error:
                refused[name] = str(error)
    if forecast is not None:
        for each in found:
            each.forecast = NONE | forecast(each.plan)
            _weighed(each, case)
    return Ranking(_ordered(found), dict(sorted(refused.items())))


def _refused(case: Case) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in that_apply(case, "refuse"):
        for name in rule.refuse:
            found.setdefault(name, f"{rule.because} [{rule.rule}; {rule.source}]")
    return found


def _advised(name: str, seen: Look, case: Case, fitted: Fitted, without: Collection[str]) -> Advised:
    start = started(seen.plan, name)
    case = case.model_copy(update={"method": name})
    plan, settings = with_settings(start, case, fitted)
    found = tried(plan, seen, case)
    points, reasons, sets = _points(name, case, without)
    return Advised(name, plan, settings, points, reasons, found, found.forecast, sets)


def _weighed(each: Advised, case: Case) -> None:
    """Say whether it fits into memory and time."""
    memory, seconds = each.forecast["memory_mb"], each.forecast["seconds"]
    each.trouble = []
    if memory is not None and memory > case.memory_mb:
        each.trouble.append(f"does not fit: {memory:.0f} MB of {case.memory_mb} MB")
    if case.budget_minutes is not None and seconds is not None and seconds / 60 > case.budget_minutes:
        each.trouble.append(f"takes {seconds / 60:.0f} of {case.budget_minutes:g} minutes")
    each.fits = not each.trouble


def started(plan: Plan, name: str) -> dict[str, Any]:
    """The plan as a tree, with that method: with its settings where the plan has it, else with the defaults. Raises
    TunesmithError for a method that has none."""
    tree = plan.model_dump(mode="json")
    if plan.method.name != name:
        missing = [n for n, each in METHODS.find(name).model_fields.items() if each.is_required()]
        if missing:
            raise TunesmithError(
                f"it is made of what nobody named (method.{missing[0]}): name it in the plan to have it ranked"
            )
        tree["method"] = {"name": name}
        tree["train"]["lr"] = "auto"
    return tree


def with_settings(tree: dict[str, Any], case: Case, fitted: Fitted) -> tuple[Plan, list[dict[str, Any]]]:
    """(the plan with every setting that a rule names and that the plan takes, the settings with reasons)."""
    plan, told, done = fitted(make_plan(tree)), [], set[str]()
    for rule in (*that_apply(case, "set"), *that_apply(case, "add")):
        for path, value in ({} if rule.set.keys() & done else rule.set or rule.add).items():
            wanted = rule.filled(value, case)
            was = None if rule.add else at(plan.model_dump(mode="json"), path)
            done.add(path)
            changed = put(plan.model_dump(mode="json"), path, wanted, adds=bool(rule.add))
            if changed is None:
                continue
            try:
                plan = fitted(make_plan(changed))
            except TunesmithError:  # a rule is general; what this plan refuses is not advised
                continue
            shown = f"{path}+" if rule.add else path
            told.append(
                {"path": shown, "value": wanted, "was": None if rule.add else was, **_reason(rule, rule.because)}
            )
    return plan, told


def at(tree: Any, path: str) -> Any:
    """What stands at a path; None where nothing does."""
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def put(tree: dict[str, Any], path: str, value: Any, *, adds: bool) -> dict[str, Any] | None:
    """The tree with a value at a path, or with it at the end of the list there; None where it has no such place, or the
    list has such a part already."""
    *folders, last = path.split(".")
    spot: Any = tree
    for key in folders:
        spot = spot.get(key) if isinstance(spot, dict) else None
    if not isinstance(spot, dict) or (last not in spot and folders != ["method"]):
        return None
    if adds:
        if any(each["name"] == value["name"] for each in spot[last]):
            return None
        spot[last] = [*spot[last], value]
    else:
        spot[last] = value
    return tree


def _points(name: str, case: Case, without: Collection[str]) -> tuple[float, list[dict[str, Any]], int]:
    """(points of a method, the reasons for them, the number of data sets that it was measured on)."""
    reasons: list[dict[str, Any]] = []
    measured = evidence.worth(name, case.kind, case.rows, without)
    points = evidence.UNMEASURED
    if measured is not None:
        points = measured.points
        reasons.append({"text": measured.told(case.kind, case.rows), "rule": "measured", "source": "docs/results.md",
                        "basis": "measured", "points": round(points, 2)})  # fmt: skip
    else:
        reasons.append({"text": "nothing was measured of it here", "rule": "unmeasured", "source": "docs/advising.md",
                        "basis": "logic", "points": points})  # fmt: skip
    for rule in that_apply(case, "points"):
        if name in rule.points:
            points += rule.points[name]
            reasons.append({"text": rule.because, **_reason(rule), "points": rule.points[name]})
    kind = METHODS.find(name)
    reasons.append({"text": f"prefer it when {kind.prefer}", "rule": "prefer", "source": kind.source, "basis": "paper",
                    "points": 0.0})  # fmt: skip
    return points, reasons, 0 if measured is None else len(measured.sets) + measured.others


def _reason(rule: Rule, reason: str | None = None) -> dict[str, Any]:
    told = {} if reason is None else {"reason": reason}
    return {**told, "rule": rule.rule, "source": rule.source, "basis": rule.basis}


def _ordered(found: list[Advised]) -> list[Advised]:
    def effort(each: Advised) -> float:
        known = evidence.effort(each.method)
        return 1.0 if known is None else known

    fitting = sorted((each for each in found if each.fits), key=lambda each: (-each.points, each.method))
    others = sorted((each for each in found if not each.fits), key=lambda each: (-each.points, each.method))
    close = [each for each in fitting if each is fitting[0] or _close(each, fitting[0])]
    close.sort(key=lambda each: (effort(each), -each.points))
    return [*close, *(each for each in fitting if each not in close), *others]


def _close(each: Advised, best: Advised) -> bool:
    """Whether it is no worse than the best as far as we can tell, and known from more than one data set."""
    return each.points >= best.points - TIE and each.sets > 1
