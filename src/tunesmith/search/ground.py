"""What attempts share: the base, the rows, and the rows as tokens are made once for all plans that agree on them.

The trunk cache is shared by itself: it is kept on disk by the content of frozen weights and tokens.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tunesmith.bases.find import Found
from tunesmith.earlier import earlier_in
from tunesmith.files import digest_json
from tunesmith.job import Known, study
from tunesmith.plan import Plan
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.run import Run
from tunesmith.work import Work

T = TypeVar("T")
ROOM = 4
"""Different rows, and rows as tokens, that are held at a time: seeds take turns."""


class Ground:
    """Bases and rows of a search, each made when a plan first asks for it."""

    def __init__(
        self, progress: Progress, stop: Stop, *, online: bool = False, rows_seed: int | None = None
    ) -> None:  # fmt: skip
        """`rows_seed`: rows are divided with this seed, whatever that of a plan, so that seeds of a plan learn from the
        same rows and are judged on the same."""
        self.progress, self.stop, self.online, self.rows_seed = progress, stop, online, rows_seed
        self._bases: dict[str, Found] = {}
        self._rows: dict[str, Prepared] = {}
        self._known: dict[str, Known] = {}

    def found(self, plan: Plan) -> Found:
        """The base of a plan."""
        key = plan.base.model_dump_json()
        if key not in self._bases:
            self._bases[key] = plan.base.found(online=self.online)
        return self._bases[key]

    def work(self, plan: Plan, folder: Path, began: float) -> Work:
        """A plan's rows, ready for its own network."""
        found, dividing = self.found(plan), self._dividing(plan)
        before = earlier_in(found.folder, found.name)
        made = _kept(self._rows, _rows_key(dividing), lambda: prepare(dividing, self.progress, before))
        # what the task found of its columns is the rows'; all else is this plan's
        own = plan.model_copy(update={"task": made.plan.task})
        prepared = replace(made, plan=own, notes=list(made.notes))
        return Work(Run(folder), prepared, found, self.progress, self.stop, began, list(prepared.notes), before)

    def known(self, work: Work) -> Known:
        """Its rows as tokens, and what was learnt of them."""
        return _kept(self._known, _tokens_key(self._dividing(work.plan), work.found), lambda: study(work))

    def _dividing(self, plan: Plan) -> Plan:
        """The plan with the seed that rows are divided with."""
        if self.rows_seed is None:
            return plan
        return plan.model_copy(update={"train": plan.train.model_copy(update={"seed": self.rows_seed})})


def _kept(held: dict[str, T], key: str, make: Callable[[], T]) -> T:
    if key not in held:
        while len(held) >= ROOM:
            del held[next(iter(held))]
        held[key] = make()
    return held[key]


def _rows_key(plan: Plan) -> str:
    """Digest of what rows depend on: all of the plan but how a network learns, unless a step asks for that, too."""
    tree = plan.model_dump(mode="json")
    if not any(step.asks_plan for step in plan.steps):
        tree = {name: tree[name] for name in ("task", "base", "data", "steps", "replay")}
    return digest_json(tree | {"run": None, "seed": plan.train.seed})


def _tokens_key(plan: Plan, found: Found) -> str:
    """Digest of what tokens and facts depend on, further: the base, and the places that a method puts in front."""
    tree = plan.model_dump(mode="json", include={"tower", "evaluate", "engine"})
    front = [plan.method.num_front(), plan.method.extra_tokens()]
    return digest_json(tree | {"rows": _rows_key(plan), "base": found.digest, "front": front})
