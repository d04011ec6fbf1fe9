"""What steps share that make further training rows of rows: how many, of which, by which draws, and who is told.

Draws of a new row come from (train.seed, step, the row's place and texts, what is drawn), so that a row gets the same
copies whatever stands beside it. Rows that were made are not made more of.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import MADE
from tunesmith.steps import Scope, Step

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Made:
    """A row that was made, and the one it was made of; None where it came out as it was, or empty."""

    origin: Record
    row: Record | None
    why: str = ""


class Making(Step):
    """Makes further training rows. Abstract."""

    copies: PositiveInt = 1
    """New rows for each row that is taken."""
    share: Share = 1.0
    """Share of the rows that are taken, each by a draw of its own."""

    scope: ClassVar[Scope] = "train"

    def objection(self, plan: Any) -> str | None:
        names = [step.name for step in plan.steps]
        at = next(i for i, step in enumerate(plan.steps) if step is self or step == self)
        if names.count(self.name) > 1:
            return f"{self.name} stands twice in steps. Set its copies higher, or take one of them out"
        if any(step.name == "balance" and step.how == "over" for step in plan.steps[:at]):
            return (
                f"balance repeats rows before {self.name}, and each repeat would get the same new texts. Write "
                f"balance behind {self.name}, or give rare classes more rows with below and copies"
            )
        return None

    @abstractmethod
    def pairs(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any, counts: Counter[str]
    ) -> Iterator[tuple[Record, int | None, Made | None]]:
        """Every row in order: (row, None, None) where nothing was asked of it, else (row, number of the copy, what was
        made) for each copy. `counts`: as of all rows."""

    def counts(self, records: Sequence[Record], roles: Roles) -> Counter[str]:
        """Rows by class, where that matters."""
        return Counter()

    def fits(self, record: Record, roles: Roles, counts: Counter[str]) -> bool:
        """Whether a row may be taken."""
        return True

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any = None
    ) -> Sequence[Record]:
        counts = self.counts(records, roles)

        def all_rows() -> Iterator[Record]:
            for record, number, made in self.pairs(records, roles, ledger, seed, plan, counts):
                if not number:
                    yield record
                if made is None:
                    continue
                if made.row is None:
                    ledger.changed(self.name, made.why)
                else:
                    ledger.made(record.id, self.name)
                    yield made.row

        return stored.records(all_rows())

    def wanted(self, record: Record, roles: Roles, seed: int, counts: Counter[str]) -> Iterator[int | None]:
        """Numbers of the copies; None alone where the row is not taken."""
        taken = MADE not in record.cells and self.fits(record, roles, counts)
        if not taken or (self.share < 1 and self.draw(seed, record, roles, "taken").random() >= self.share):
            yield None
        else:
            yield from range(self.copies)

    def draw(self, seed: int, record: Record, roles: Roles, what: str) -> Random:
        """A generator for one draw about a row."""
        return drawn(self.name, seed, record, roles, what)


def drawn(name: str, seed: int, record: Record, roles: Roles, what: str) -> Random:
    """What is drawn for a row: the same whatever stands beside it."""
    told = (str(seed), name, record.source, str(record.row), what, *(str(record.cells[c]) for c in roles.texts))
    return Random(blake2b("\0".join(told).encode("utf-8", "surrogatepass"), digest_size=8).digest())
