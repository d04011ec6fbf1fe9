"""Learn from several files in a fixed proportion, such as 7 : 3, whatever their sizes are.

    share of file i  ~  w_i ** (1 / t)       w: shares asked for, or without them the rows there are; t: temperature
    rows drawn of it =  share * rows         each row once before any stands twice, by chance

Without `rows`: as many as are there when the last file is used up, or before that one would need more than `repeats`.
Temperature as in multilingual BERT: https://github.com/google-research/bert/blob/master/multilingual.md
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from tunesmith import scratch
from tunesmith.data.drawing import apportioned, drawn, tempered
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.rows import Index, chosen, ids
from tunesmith.errors import TunesmithError
from tunesmith.steps import Scope, Step


class Mix(Step):
    """After the split, so that held-out rows are never drawn. Rows of other files than those of data.train stay."""

    name: Literal["mix"] = "mix"
    shares: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    """How much of the rows is of each file of data.train, in its order and in any unit: [7, 3]. []: the rows there
    are."""
    temperature: Annotated[float, Field(ge=1, le=100)] = 1.0
    """1: the shares as they are; the larger, the more alike they become."""
    rows: PositiveInt | None = None
    """Rows to draw of all files together; null: as many as the files have."""
    repeats: PositiveInt = 1
    """How often a row may stand at most: 1 repeats none."""

    scope: ClassVar[Scope] = "train"
    asks_plan: ClassVar[bool] = True
    source: ClassVar[str] = "https://github.com/google-research/bert/blob/master/multilingual.md"
    prefer: ClassVar[str] = "Files of several domains, languages or times, of which the largest would drown the others."

    def objection(self, plan: Any) -> str | None:
        files, behind = [s.file for s in plan.data.train], plan.steps[plan.steps.index(self) + 1 :]
        if plan.task.kind == "several":
            return "mix draws rows by file, and several tasks share an epoch by task.sampling. Take mix out of steps"
        if len(set(files)) < max(2, len(files)):
            return f"mix needs two files or more in data.train, each once, and there is {', '.join(files)}. Name them"
        if self.shares and len(self.shares) != len(files):
            return f"shares has {len(self.shares)} numbers for {len(files)} files of data.train. Write one for each"
        if not self.shares and self.temperature == 1 and self.rows is None:
            return "mix changes nothing without shares, a temperature above 1 or rows. Set one, or take it out of steps"
        if sum(step.name == self.name for step in plan.steps) > 1:
            return "mix stands twice in steps. Keep one of them"
        late = [s.name for s in behind if s.scope == "train" and getattr(s, "how", "under") == "under"]
        if self.repeats > 1 and late:
            return f"mix repeats rows before {late[0]}, which would meet each as a row of its own. Write mix behind it"
        return None

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any = None
    ) -> Sequence[Record]:
        files = [source.file for source in plan.data.train]
        number = {file: place for place, file in enumerate(files)}
        of_N = scratch.filled((number.get(r.source, -1) for r in records), len(records), np.int64)
        there = [scratch.where(of_N, partial(np.equal, place)) for place in range(len(files))]
        if empty := next((f for f, rows in zip(files, there, strict=True) if not len(rows)), None):
            raise TunesmithError(f"steps.mix: no row of {empty} is left to learn from. Take the file out of data.train")
        shares = tempered(self.shares or [len(rows) for rows in there], self.temperature)
        counts = self._counts(files, [len(rows) for rows in there], [share / sum(shares) for share in shares])
        times = scratch.room(len(records), np.int32)
        for part in scratch.blocks(len(records)):
            times[part] = of_N[part] < 0
        for place, (rows, count) in enumerate(zip(there, counts, strict=True)):
            for piece in drawn(rows, count, np.random.default_rng([seed, 9, place])):
                times[piece] += 1
        ledger.told[self.name] = [
            _told(file, len(rows), share / sum(shares), count, scratch.taken(times, rows))
            for file, rows, share, count in zip(files, there, shares, counts, strict=True)
        ]
        return _taken(records, times, ledger)

    def _counts(self, files: list[str], sizes: list[int], shares: list[float]) -> list[int]:
        """Rows to draw of each file. Raises TunesmithError where one has too few."""
        whole = [size / share for size, share in zip(sizes, shares, strict=True)]
        most = min(max(whole), min(whole) * self.repeats)
        counts = apportioned(self.rows or max(1, int(most + 1e-9)), shares)
        for file, size, count in zip(files, sizes, counts, strict=True):
            if count > size * self.repeats:
                raise TunesmithError(
                    f"steps.mix: {self.rows} rows ask for {count} of {file}, and {size} are left to learn from. Allow "
                    f"repeats: {-(-count // size)}, or ask for at most rows: {max(1, int(most + 1e-9))}"
                )
            if not count:
                raise TunesmithError(f"steps.mix: its share gives {file} no row. Set rows, repeats or its share higher")
        return list(counts)


def _told(file: str, rows: int, share: float, count: int, times: Any) -> dict[str, Any]:
    """What was drawn of a file, for data.json and the report."""
    left_out = rows - sum(np.count_nonzero(times[part]) for part in scratch.blocks(rows))
    return {"file": file, "rows": rows, "share": round(share, 6), "drawn": count, "left out": left_out,
            "most times a row": int(times.max())}  # fmt: skip


def _taken(records: Sequence[Record], times: Any, ledger: Ledger) -> Sequence[Record]:
    """Each row as often as it was drawn, in order; the ledger is told of those that are not, and of those that are
    more than once."""
    index, again, known = scratch.Column(np.int64), scratch.Column(np.int64), ids(records)
    goes = scratch.room(len(ledger), np.bool_)
    for part in scratch.blocks(len(records)):
        index.extend(np.repeat(np.arange(part.start, part.stop), times[part]))
        again.extend(np.repeat(known[part], np.maximum(times[part], 1) - 1))
        goes[known[part]] = True
    found: Index = index.array()
    for part in scratch.blocks(len(found)):  # of a row that was cut some pieces may go and others stay
        goes[known[found[part]]] = False
    for row in scratch.each(scratch.where(goes)):
        ledger.mark(row, "dropped", "mix: not drawn")
    ledger.repeated(again.array())
    return chosen(records, found)
