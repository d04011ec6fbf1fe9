"""Arms from what runs wrote down: predictions.parquet, joined by the file and row that each answer belongs to.

No model is opened, so that it takes a second, and works where the base is gone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tunesmith.comparing.arms import other_recipes
from tunesmith.comparing.met import Met, meet
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.report_read import Part, Results, read
from tunesmith.plan_text import read_plan
from tunesmith.tasks import Facts

NAME = "predictions.parquet"
Key = tuple[str, int]
"""File and line of a row, and how often it came before (a step may make several of one)."""


def stored(arms: Mapping[str, Sequence[Path]]) -> Met:
    """The stored answers of all arms to the rows that they held out; validation rows where one has no test rows.

    Raises TunesmithError where nothing is stored, or where the arms held out other rows.
    """
    folders = {name: [_run_of(run) for run in runs] for name, runs in arms.items()}
    found = {name: [_read(name, folder) for folder in own] for name, own in folders.items()}
    plans = {name: [read_plan(folder / "plan.yaml") for folder in own] for name, own in folders.items()}
    every = [each for side in found.values() for each in side]
    _refuse(found)
    split = "test" if all("test" in each.parts for each in every) else "validation"
    warnings = other_recipes(plans)
    if split == "validation":
        warnings.append("compared on validation rows, which picked the checkpoints: both sides look too good on them")
    parts = {name: [each.parts[split] for each in side] for name, side in found.items()}
    first = next(iter(parts.values()))[0]
    keys = _keys(first)
    sides = {name: [_in_order(name, part, keys).answers for part in side] for name, side in parts.items()}
    if first.answers.kind == "text":  # of likelihoods only two of four numbers are stored
        sides = {name: [replace(each, scores=None) for each in side] for name, side in sides.items()}
    plan = next(iter(plans.values()))[0]
    return meet(plan, Facts.model_validate(every[0].facts), sides, list(first.texts), list(first.places), warnings)


def _run_of(path: Path) -> Path:
    """The run folder of a run, of its model/ or of its stored predictions."""
    return path.parent if path.name in (NAME, "model") else path


def _read(name: str, folder: Path) -> Results:
    if not (folder / NAME).is_file():
        raise TunesmithError(
            f"compare: {name} has no stored predictions ({folder / NAME}): a version, a merged model, or a run that is "
            "not done. Let all arms answer a labelled file: --data FILE"
        )
    found = read(folder)
    if found.kind in ("tags", "several"):
        raise TunesmithError(
            f"compare: {name} answers with {found.kind}, and its stored predictions do not hold all that metrics of "
            "these are made of. Let all arms answer a labelled file: --data FILE"
        )
    return found


def _refuse(found: Mapping[str, Sequence[Results]]) -> None:
    first = next(iter(found.values()))[0]
    for name, side in found.items():
        for each in side:
            if each.kind != first.kind:
                raise TunesmithError(f"compare: the answers of {name} are {each.kind}, those of the first arm "
                                     f"{first.kind}. Compare models that answer alike")  # fmt: skip


def _keys(part: Part) -> list[Key]:
    seen: Counter[str] = Counter()
    keys = []
    for place in part.places:
        keys.append((place, seen[place]))
        seen[place] += 1
    return keys


def _in_order(name: str, part: Part, keys: Sequence[Key]) -> Part:
    """The same rows in the order of `keys`."""
    own = {key: row for row, key in enumerate(_keys(part))}
    if set(own) != set(keys):
        common = len(set(own) & set(keys))
        raise TunesmithError(
            f"compare: {name} held out other rows than the first arm ({len(own)} and {len(keys)}, {common} of them the "
            "same): a row that one of them learnt from says nothing. Let all arms answer a file that none has seen: "
            "--data FILE"
        )
    order = np.array([own[key] for key in keys], dtype=np.int64)
    return replace(part, answers=part.answers.take(order), texts=[part.texts[i] for i in order.tolist()])
