"""Rows ready to be encoded, and how they are kept for a later run: exactly, beside the trunk caches."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record, Roles, kept, stored
from tunesmith.data.leaks import Leaked, Leaks
from tunesmith.data.ledger import Ledger
from tunesmith.data.rows import Index, chosen, ids, joined
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file, digest_json, read_json, write_json
from tunesmith.plan import Plan

SPLITS = ("train", "validation", "test")
BARE = "the rows without a label"
"""Rows that are learnt from though nobody labelled them (`Reading.split` joining)."""
LEARNT = ("train", BARE)
Learnt = dict[str, dict[str, Any]]
"""{place in the plan: what the step learnt}."""
_ROWS, _DRAWN = "prepared.json", "drawn"


@dataclass
class Prepared:
    """Rows ready to be encoded."""

    plan: Plan
    """The plan with every column named."""
    roles: Roles
    splits: dict[str, Sequence[Record]]
    ledger: Ledger
    files: list[dict[str, Any]]
    """{name, sha256, rows, notes} of each input file, in order."""
    notes: list[str]
    joined: Index
    """Ids of the training rows that come from files of the task's own (`Reading.split` joining)."""
    bare: Sequence[Record]
    """Rows of these files without a label."""
    leaks: Leaks
    """Held-out rows that have a near twin among those that are learnt from."""
    drawn: Sequence[Record]
    """The training rows as they were divided, before the steps that are meant to change them alone."""
    learnt: Learnt = field(default_factory=dict)
    """What steps learnt from the training rows, for the facts."""
    replayed: range = range(0)
    """Ids of the old rows that some of the training rows were drawn from (`replay.share`)."""

    @property
    def new(self) -> Sequence[Record]:
        """The training rows that are not replayed."""
        numbers = ids(self.splits["train"])
        stays = (numbers < self.replayed.start) | (numbers >= self.replayed.stop)
        return chosen(self.splits["train"], np.flatnonzero(stays))

    @property
    def lessons(self) -> Sequence[Record]:
        """All rows that something is learnt from."""
        return joined([self.splits["train"], self.bare]) if self.bare else self.splits["train"]

    @property
    def digest(self) -> str:
        """sha256 over the input files' digests, in order."""
        return digest_json(self.digests)

    @property
    def digests(self) -> list[str]:
        """sha256 of each input file."""
        return [file["sha256"] for file in self.files]

    def about(self) -> dict[str, Any]:
        """For data.json: files, ledger, rows by label and split."""
        return {"files": self.files, "ledger": self.ledger.summary(), "labels": self._labels(), "notes": self.notes,
                "near": self.leaks.about()}  # fmt: skip

    def _labels(self) -> dict[str, dict[str, int]]:
        if parts := self.apart():
            return {f"{name}.{k}": v for name, each in parts.items() for k, v in each._labels().items()}
        if self.roles.label is None or self.roles.numeric_label or self.plan.task.kind != "classes":
            return {}
        found = {s: Counter(str(r.cells[self.roles.label]) for r in rows) for s, rows in self.splits.items()}
        names = sorted({label for counts in found.values() for label in counts})
        return {label: {s: counts[label] for s, counts in found.items()} for label in names}

    def apart(self) -> "dict[str, Prepared]":
        """Of several tasks the rows of each, as if it were alone; nothing where there is one task."""
        found: dict[str, Prepared] = {}
        for split, rows in self.splits.items():
            for each in self.plan.task.strands(rows, self.roles):
                plan = self.plan.model_copy(update={"task": each.task})
                own = found.setdefault(each.name, replace(self, plan=plan, roles=each.roles, splits={}))
                own.splits[split] = each.records
        return found


def key_of(plan: Plan, *, learn: bool, content: Sequence[str] | None = None) -> str | None:
    """What the rows of a plan are kept under: the files, the settings that steps, task and split go by, the whole plan
    where a step asks for it. None where a file is no regular one, or holds by now another `content` than was read."""
    files = kept.digests([*(each.file for each in plan.task.readings(plan.data)), *plan.task.files()])
    if files is None or (content is not None and {digest for _, digest in files} != set(content)):
        return None
    tree, opened = plan.model_dump(mode="json"), [digest_file(file) for step in plan.steps for file in step.files()]
    tree |= {"run": None, "seed": plan.train.seed}
    if not any(step.asks_plan for step in plan.steps):
        tree = {name: tree[name] for name in ("task", "data", "steps", "seed")}
    return kept.name("prepared", plan=tree, files=files, opened=opened, learn=learn)


def write(done: Prepared, folder: Path) -> None:
    """All of it but the plan, of which only the columns that the task found are told."""
    for number, rows in enumerate([*done.splits.values(), done.bare]):
        stored.save(rows, folder, str(number))
    if changed := done.drawn is not done.splits["train"]:
        stored.save(done.drawn, folder, _DRAWN)
    done.ledger.save(folder)
    about = {"splits": list(done.splits), "task": done.plan.task.model_dump(mode="json"), "roles": asdict(done.roles),
             "files": done.files, "notes": done.notes, "joined": done.joined.tolist(),
             "drawn": changed, "learnt": done.learnt, "skipped": done.leaks.skipped,
             "leaks": {n: asdict(e) | {"held": e.held.tolist()} for n, e in done.leaks.splits.items()}}  # fmt: skip
    write_json(folder / _ROWS, about)


def read(plan: Plan, folder: Path) -> Prepared:
    """What `write` wrote, for a plan with the same key."""
    told = read_json(folder / _ROWS)
    plan = plan.model_copy(update={"task": type(plan.task).model_validate(told["task"])})
    if text := plan.task.objection(plan):  # of the rest of this plan, which may be another one
        raise TunesmithError(f"task: {text}")
    asked: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told["roles"].items()}
    roles = Roles(**asked)
    splits = {name: stored.load(folder, str(number)) for number, name in enumerate(told["splits"])}
    found = {name: Leaked(**each | {"held": np.array(each["held"], np.int64)}) for name, each in told["leaks"].items()}
    return Prepared(plan, roles, splits, Ledger.load(folder), told["files"], told["notes"],
                    np.array(told["joined"], np.int64), stored.load(folder, str(len(splits))),
                    Leaks(told["skipped"], found),
                    stored.load(folder, _DRAWN) if told["drawn"] else splits["train"], told["learnt"])  # fmt: skip
