"""Steps: rows -> rows, one a file. Each says when it runs, and every row it takes away is told to the ledger."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.catalog import Catalog, Part
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger

Scope = Literal["every_row", "pool", "split", "train"]


class Step(Part):
    """A piece of data preparation. Steps of one scope run in the order of the plan; scopes run in this order:

    - `every_row`: a pure function of one row; applied to all rows, held-out ones too, and again at prediction time.
    - `pool`: looks at all rows of the training file before it is split; never sees given validation or test files.
    - `split`: each split, after splitting, and labelled files that are judged; a row may become several. Its `run` is
      given the plan as well (`plan=`).
    - `train`: the training split alone, after splitting.
    """

    scope: ClassVar[Scope]

    def files(self) -> tuple[str, ...]:
        """Files that it reads; what they hold is a part of what a run is."""
        return tuple(getattr(self, name) for name in self.file_settings)

    @abstractmethod
    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        """The rows that go on. A row that does not is marked in the ledger with its fate and reason.

        `records` may lie in a file: walk over them, and make what is returned with `tunesmith.data.rows.chosen`
        (some of them) or `tunesmith.data.stored.records` (new ones), so that it may lie in a file, too. A list is
        right where the rows fit into memory.
        """


STEPS: Catalog[Step] = Catalog("tunesmith.steps", "step")
