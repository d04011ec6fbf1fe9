"""SMOTE on states: rare classes get further rows between their own, where the trunk never moves.

    s = s_i + u (s_j - s_i),   u ~ U(0, 1)        s: what the head reads; j: one of the k nearest rows of i's class

As many as its class has fewer rows than the most common one, times `strength`, shared out evenly over the rows of the
class; a new row comes in every step in which its row i comes, so that an epoch sees each once:

    loss of a step  =  N / (N + M) * (rows + new rows) / (weight of the rows)        N: rows, M: new rows, by weight

They are made of training rows alone, before the first step, from the plan's seed, and are the same in every epoch and
after a resume. Side columns go along, between those of i and j. Nothing is written: what is kept is who stands between
whom (12 bytes a new row).

Chawla et al. 2002, https://arxiv.org/abs/1106.1813.

Shape letters: N training rows, M new ones, B rows of a step, H width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from tunesmith.penalties import Penalty, Rested, Said, Start, Term

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

LOOKED_AT = 10_000
"""Rows of a class that neighbours are looked for among; of larger ones so many are drawn."""
_BLOCK = 512


class Smote(Penalty):
    """Rare classes get further rows between their own, in front of the head. For the method head."""

    name: Literal["smote"] = "smote"
    neighbours: PositiveInt = 5
    """k: of so many nearest rows of its class one is drawn for each new row."""
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    """1: every class counts as many rows as the most common one; 0.5: half of what lacks is made."""

    reads_outputs: ClassVar[bool] = True
    reads_rested: ClassVar[bool] = True
    prefer: ClassVar[str] = "classes are rare and only the head learns; try balance beside it, which makes nothing up"
    source: ClassVar[str] = "Chawla et al. 2002, https://arxiv.org/abs/1106.1813"

    def objection(self, plan: Any) -> str | None:
        if plan.task.kind != "classes" or plan.task.two_domains:
            return f"smote evens out classes, and rows of task {plan.task.name} have no one class each. Remove it"
        if not plan.method.head_alone:
            return (
                f"smote makes states of rows that nobody wrote, and {plan.method.name} moves what states are made by, "
                "so that they would soon stand where no row does. Use method head, or the step balance"
            )
        if plan.engine.cache == "off":
            return "smote stands between states that the trunk cache keeps, and engine.cache is off. Switch it on"
        if any(step.name == "balance" for step in plan.steps):
            return "smote and the step balance both even out classes. Keep one of them"
        beside = (p.name for p in plan.penalties if p.name != self.name and (p.reads_outputs or p.reads_step))
        if other := next(beside, None):
            return f"smote and {other} both stand in the place of the loss of a row. Keep one of the two"
        return super().objection(plan)

    def begin(self, at: Start) -> Term:
        return _Smote(self)


class _Smote(Term):
    def __init__(self, asked: Smote) -> None:
        self.asked = asked
        self.at: Rested
        self.rows_M = self.others_M = np.empty(0, np.int64)
        self.gaps_M = np.empty(0, np.float32)
        self.starts_N = np.zeros(1, np.int64)
        self.ratio = 1.0

    def rest(self, at: Rested) -> Sequence[str]:
        self.at, told = at, list[str]()
        generator = np.random.default_rng([at.seed, 6])
        counts = np.bincount(at.targets[at.targets >= 0], minlength=len(at.labels))
        found = []
        for label, count in enumerate(counts.tolist()):
            new = round(self.asked.strength * (int(counts.max()) - count)) if count > 1 else 0
            if new:
                found.append(between(at, np.flatnonzero(at.targets == label), new, self.asked.neighbours, generator))
                told.append(f"{at.labels[label]} {count} + {new}")
            elif count == 1 < counts.max():
                told.append(f"{at.labels[label]} 1 + 0, as one row has no neighbour")
        if found:
            rows, others, gaps = (np.concatenate(each) for each in zip(*found, strict=True))
            order = np.argsort(rows, kind="stable")
            self.rows_M, self.others_M, self.gaps_M = rows[order], others[order], gaps[order]
        self.starts_N = np.searchsorted(self.rows_M, np.arange(len(at.targets) + 1))
        whole, more = float(at.weights.sum(dtype=np.float64)), float(at.weights[self.rows_M].sum(dtype=np.float64))
        self.ratio = whole / (whole + more)
        shown = ", ".join(told[:8]) + f" and {len(told) - 8} more" * (len(told) > 8)
        return (
            f"smote: {len(self.rows_M)} new rows between training rows of one class ({shown or 'classes are even'})",
        )

    def of_outputs(self, said: Said) -> "Tensor | None":
        import torch

        new = np.concatenate([np.arange(self.starts_N[r], self.starts_N[r + 1]) for r in said.rows])
        own = said.loss(said.logits_BC)
        if not len(new):
            return (self.ratio - 1) * own  # the task has counted it whole
        rows, others = self.rows_M[new], self.others_M[new]
        gaps = torch.from_numpy(self.gaps_M[new])[:, None]
        states = _mixed(self.at.states(rows.tolist()), self.at.states(others.tolist()), gaps)
        side, beside = self.at.side(rows.tolist()), self.at.side(others.tolist())
        logits = self.at.head(states, None if side is None or beside is None else _mixed(side, beside, gaps))
        targets = torch.from_numpy(self.at.targets[rows]).to(logits.device)
        weights = torch.from_numpy(self.at.weights[rows]).to(logits.device)
        return self.ratio * (said.toward(logits, targets) * weights).sum() + (self.ratio - 1) * own

    def told(self) -> dict[str, float]:
        return {"smote_rows": float(len(self.rows_M))}


def _mixed(one: "Tensor", other: "Tensor", gaps: "Tensor") -> "Tensor":
    return one + gaps.to(one) * (other - one)


def between(
    at: Rested, rows: "NDArray[np.int64]", new: int, neighbours: int, generator: np.random.Generator
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]":
    """(row, neighbour, share of the way) of so many new rows of a class that has these."""
    whole, rest = divmod(new, len(rows))
    origins = np.sort(np.concatenate([np.repeat(rows, whole), generator.permutation(rows)[:rest]]))
    among = rows if len(rows) <= LOOKED_AT else np.sort(generator.permutation(rows)[:LOOKED_AT])
    count = min(neighbours, len(among) - 1)
    taken = generator.integers(count, size=new)
    each, place = np.unique(origins, return_inverse=True)
    others = np.empty(new, np.int64)
    states_AH = at.states(among.tolist())
    for start in range(0, len(each), _BLOCK):
        near = among[nearest(at.states(each[start : start + _BLOCK].tolist()), states_AH, count + 1)]
        own = (place >= start) & (place < start + _BLOCK)
        some = near[place[own] - start]
        # the row itself stands among them, first as a rule; of equal ones it may stand elsewhere, or not at all
        self_at = np.where((some == origins[own, None]).any(1), (some == origins[own, None]).argmax(1), count)
        pick = taken[own]
        others[own] = some[np.arange(len(some)), pick + (pick >= self_at)]
    return origins, others, generator.random(new, dtype=np.float32)


def nearest(states_BH: "Tensor", among_AH: "Tensor", count: int) -> "NDArray[np.int64]":
    """(B, count): places of the nearest states by Euclidean distance, the nearest first, of equal ones the first."""
    import torch

    distance_BA = torch.cdist(states_BH.double(), among_AH.double(), compute_mode="donot_use_mm_for_euclid_dist")
    order = torch.sort(distance_BA, dim=1, stable=True).indices[:, :count]
    found: NDArray[np.int64] = order.cpu().numpy()
    return found
