"""What is asked of a search: the section `search` of a plan that is tuned."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from tunesmith.errors import TunesmithError
from tunesmith.settings import Section

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Search(Section):
    """How settings are searched. `tunesmith train` has no use for it."""

    engine: Literal["optuna", "ray"] = "optuna"
    """optuna: on this machine, kept in one SQLite file. ray: on a Ray cluster, which may be this machine. Both need an
    extra: [tune], [ray]."""
    address: str | None = None
    """Of the Ray cluster; auto: the one this machine belongs to. null: one is started here. Data, base and the folder
    of the search (`run`) must lie where all its machines see them."""
    trials: PositiveInt = 20
    """How many settings are tried."""
    budget: str | None = None
    """Wall time of all calls together, such as 90s, 20m or 2h: then trials are left where they are."""
    sampler: Literal["tpe", "random", "pbt"] = "tpe"
    """tpe: where good trials were (tree of Parzen estimators), after ten random ones. pbt: a population whose worse
    members go on from better ones with changed settings, while they train."""
    pruner: Literal["asha", "hyperband", "none"] = "asha"
    """Which trials are left early, at a ninth and a third of their steps. asha: all but the best third. hyperband: asha
    that begins later for some trials. none: all are trained to the end."""
    workers: PositiveInt | Literal["auto"] = "auto"
    """Trials at a time, each in a process with its share of the cores; auto: a core each, as far as memory goes."""
    gpus: NonNegativeFloat = 0.0
    """Of Ray: GPUs a trial."""
    population: Annotated[int, Field(ge=4)] = 8
    """Of pbt: how many train side by side; this is the number of trials."""
    generations: Annotated[int, Field(ge=2)] = 5
    """Of pbt: into how many parts training is cut; between two of them members are compared."""
    untuned: bool = True
    """Train the plan with its defaults, too, to say what tuning gained."""
    space: dict[str, Any] = {}
    """Ranges by plan path, instead of where the values stand: {train.lr: {log: [1e-5, 1e-3]}}."""

    @property
    def seconds(self) -> float | None:
        """The budget."""
        return None if self.budget is None else seconds_of(self.budget)

    def objections(self) -> Iterator[str]:
        """What does not go together."""
        idle = [("address", "engine", "ray"), ("gpus", "engine", "ray"),
                ("population", "sampler", "pbt"), ("generations", "sampler", "pbt")]  # fmt: skip
        for field, owner, value in idle:
            if self._set(field) and getattr(self, owner) != value:
                yield f"search.{field} has no effect without search.{owner}: {value}. Remove it"
        if self.sampler == "pbt":
            if self._set("pruner"):
                yield "search.pruner has no effect with search.sampler: pbt, which replaces members. Remove it"
            if self._set("trials"):
                yield "search.trials has no effect with search.sampler: pbt: search.population says how many"
            if self.engine == "ray":
                yield "search.engine: pbt goes on from each other's checkpoints on one machine. Use engine: optuna"
        if self.engine == "ray" and self.pruner == "hyperband":
            yield "search.pruner: on Ray it is asha or none"

    def _set(self, field: str) -> bool:
        return bool(getattr(self, field) != type(self).model_fields[field].default)


def seconds_of(text: str) -> float:
    """'90s', '20m', '2h' in seconds. Raises TunesmithError for other texts."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if not found:
        raise TunesmithError(f"search.budget: '{text}' is no time. Write seconds, minutes or hours: 90s, 20m, 2h")
    return float(found.group(1)) * _UNITS[found.group(2)]
