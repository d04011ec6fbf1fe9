"""Steps: rows -> rows, one a file. Each says when it runs, and every row it takes away is told to the ledger."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from tunesmith.catalog import Catalog, Part
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger

Scope = Literal["every_row", "pool", "learnt", "split", "train"]
Memory = Literal["flat", "grows"]


class Step(Part):
    """A piece of data preparation. Steps of one scope run in the order of the plan; scopes run in this order:

    - `every_row`: a pure function of one row; applied to all rows, held-out ones too, and again at prediction time.
    - `pool`: looks at all rows of the training file before it is split; never sees given validation or test files.
    - `learnt`: each split, after splitting, and rows to answer, by what it learnt (`learn`) from the training split.
    - `split`: each split, after splitting, and labelled files that are judged; a row may become several.
    - `train`: the training split alone, after splitting.
    """

    scope: ClassVar[Scope]
    rewrites: ClassVar[bool] = False
    """Whether it changes the text columns of all rows, held-out ones too."""
    asks_plan: ClassVar[bool] = False
    """Whether `run` is given the plan as well (`plan=`)."""
    asks_task: ClassVar[bool] = False
    """Whether `run` is given the task as well (`task=`)."""
    base_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that name a base: its folder, or where there is none of that name, an alias or a hub id."""

    memory: ClassVar[Memory] = "flat"
    """flat: whatever there is of each row passes through memory in pieces or lies in files (`tunesmith.scratch`).
    grows: what `holds` says is held in memory as a whole."""
    holds: ClassVar[str] = ""
    """Of a step whose memory grows: what it holds, how much of it, and why."""

    def held(self, rows: int) -> int:
        """Of a step whose memory grows: about how many bytes it will hold where that many rows were read; said to the
        user before it runs where that is much. Those of `holds` count, not what is flat."""
        return 0

    def files(self) -> tuple[Path, ...]:
        """What it reads beside the rows; the content is part of what makes two runs the same."""
        return tuple(Path(file).expanduser() for name in self.file_settings if (file := getattr(self, name)))

    @classmethod
    def anchor_files(cls, written: dict[str, Any], fixed: Callable[[Any], Any]) -> None:
        """Have the files that settings name, as they are written in a plan, as `fixed` spells them; in place."""
        for name in (*cls.file_settings, *cls.base_settings):
            if isinstance(written.get(name), str):
                there = fixed(written[name])
                written[name] = there if name in cls.file_settings or Path(there).is_dir() else written[name]

    def anchored(self, fixed: Callable[[Any], Any]) -> Self:
        """With the files that settings name as `fixed` spells them."""
        written = {name: getattr(self, name) for name in (*self.file_settings, *self.base_settings)}
        self.anchor_files(written, fixed)
        return self.model_copy(update=written)

    def learn(self, records: Sequence[Record], roles: Roles, ledger: Ledger) -> tuple[Sequence[Record], dict[str, Any]]:
        """Of the scope `learnt`: the training rows that go on, and what they teach, in words of JSON. It is stored with
        the facts, and given to `run` (`learnt=`)."""
        return records, {}

    def spoils(self) -> str | None:
        """Of a step that rewrites: why it is none for conversations, whose every message it would have to change."""
        return "it changes text columns alone"

    @abstractmethod
    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        """The rows that go on. A row that does not is marked in the ledger with its fate and reason.

        `records` may lie in a file: walk over them, and make what is returned with `tunesmith.data.rows.chosen`
        (some of them) or `tunesmith.data.stored.records` (new ones), so that it may lie in a file, too. A list is
        right where the rows fit into memory.
        """


STEPS: Catalog[Step] = Catalog("tunesmith.steps", "step")
