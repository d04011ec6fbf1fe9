"""What steps that make rows would make of a plan's training rows: some pairs of before and after, side by side."""

from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import numpy as np

from tunesmith.data.roles import text_of
from tunesmith.data.rows import chosen
from tunesmith.data.segment import words_in
from tunesmith.earlier import NOTHING
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress
from tunesmith.steps._making import Making

LOOKED_AT = 40
"""Rows that are drawn for each pair that is shown: of some nothing can be made."""


def preview(plan: Plan, count: int, progress: Progress | None = None) -> dict[str, Any]:
    """About `count` pairs, shared out among the plan's augmentation steps; and what the steps told. Rows are drawn from
    the training split by the plan's seed. Raises TunesmithError where the plan has no such step."""
    steps = [step for step in plan.steps if isinstance(step, Making)]
    if not steps:
        raise TunesmithError("steps: none of them makes training rows. Name one, such as steps=[dedup,eda] or "
                             "steps=[dedup,{name: noise, rate: 0.2}]")  # fmt: skip
    prepared = prepare(plan, progress, NOTHING, learn=False)
    share, more = divmod(count, len(steps))
    pairs = [pair for i, step in enumerate(steps) for pair in _pairs(step, prepared, share + (i < more))]
    told = {step.name: dict(prepared.ledger.changes.get(step.name, {})) for step in steps}
    return {"rows": len(prepared.splits["train"]), "steps": [s.name for s in steps], "pairs": pairs, "told": told}


def _pairs(step: Making, prepared: Prepared, count: int) -> Iterator[dict[str, Any]]:
    rows, roles, seed = prepared.splits["train"], prepared.roles, prepared.plan.train.seed
    some = np.random.default_rng([seed, len(rows)]).permutation(len(rows))[: LOOKED_AT * count]
    counts, found, left_out = step.counts(rows, roles), 0, Counter[str]()
    for row, number, made in step.pairs(chosen(rows, some), roles, prepared.ledger, seed, prepared.plan, counts):
        if found == count:
            break
        if made is not None and made.row is None:
            left_out[made.why] += 1
        if made is None or made.row is None or number:
            continue
        found += 1
        for column in roles.texts:
            before, after = text_of(row, column), text_of(made.row, column)
            if before != after:
                talks = prepared.plan.task.talks  # where the answer is a text, it is no label
                label = None if roles.label is None or talks else row.cells.get(roles.label)
                yield {"step": step.name, "place": row.place, "column": column, "label": label, "before": before,
                       "after": after, "difference": difference(before, after)}  # fmt: skip
    for why, times in left_out.items():
        prepared.ledger.changed(step.name, why, times)


def difference(before: str, after: str) -> list[list[str]]:
    """[same | gone | new, text] in the order of the text: words that stayed, left and came."""
    one, other = _pieces(before), _pieces(after)
    out: list[list[str]] = []
    for _, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        gone, new = "".join(one[a:b]), "".join(other[c:d])
        parts = [("same", gone)] if gone == new else [("gone", gone), ("new", new)]
        out += [[what, text] for what, text in parts if text]
    return out


def _pieces(text: str) -> list[str]:
    """Words, and what stands between them."""
    edges = sorted({0, len(text), *(at for span in words_in(text) for at in span)})
    return [text[a:b] for a, b in pairwise(edges)]
