"""The audit of a division: whether held-out rows are like the training rows, and what stands on both sides of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tunesmith.data.column_leaks import ColumnLeak, column_leaks
from tunesmith.data.drift import ALPHA, Drift, States, alarms, compared
from tunesmith.data.record import Record, Roles


@dataclass(frozen=True)
class Audit:
    """What was compared, and what was found."""

    comparisons: tuple[Drift, ...]
    columns: tuple[ColumnLeak, ...]
    unread: str = ""
    """Why wording and lengths were not compared; empty where they were."""

    @property
    def alarms(self) -> list[Drift]:
        """Comparisons that differ beyond chance."""
        return alarms(self.comparisons)

    def corrected(self, drift: Drift) -> float:
        """Its p, corrected for the number of comparisons (Bonferroni)."""
        return min(1.0, drift.p * len(self.comparisons))

    def about(self) -> dict[str, Any]:
        """For data.json."""
        rings = self.alarms
        told = [asdict(d) | {"p_corrected": self.corrected(d), "differs": d in rings} for d in self.comparisons]
        return {"level": ALPHA, "comparisons": told, "columns": [asdict(leak) for leak in self.columns],
                "unread": self.unread}  # fmt: skip

    def named(self, task: str) -> "Audit":
        """With the name of a task before each split, for audits that are joined."""
        return replace(
            self, comparisons=tuple(replace(d, split=f"{task}.{d.split}") for d in self.comparisons),
            columns=tuple(replace(leak, split=f"{task}.{leak.split}") for leak in self.columns),
        )  # fmt: skip


def audit(
    train: Sequence[Record], held: Mapping[str, Sequence[Record]], roles: Roles, seed: int = 0,
    states: States | None = None,
) -> Audit:  # fmt: skip
    """Compare each held-out split with the training rows. Changes no row and no random state but its own."""
    unread = "these inputs are no texts" if roles.wordless or not roles.texts else ""
    return Audit(
        tuple(compared(train, held, roles, seed, None if unread else states)),
        tuple(column_leaks(train, held, roles)), unread,
    )  # fmt: skip


def joined(audits: Iterable[Audit]) -> Audit:
    """Audits of several tasks as one, corrected together."""
    every = list(audits)
    return Audit(
        tuple(d for each in every for d in each.comparisons), tuple(leak for each in every for leak in each.columns),
        next((each.unread for each in every if each.unread), ""),
    )  # fmt: skip
