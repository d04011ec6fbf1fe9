"""Tasks: what rows mean. Columns, labels, head size, loss, answers, metrics; one a file.

A task never touches the backbone (that is the method's) and knows nothing of files (that is the data's).
Shape letters: N rows, B rows of a batch, C outputs, S side features.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tunesmith.bases.family import Family, Purpose
from tunesmith.bases.find import Found
from tunesmith.catalog import Catalog, Part
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell
from tunesmith.data.roles import in_columns
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks._encoded import Array, Encoded, Rows, Slots, Windows
from tunesmith.tasks._facts import End, Facts, SideFacts
from tunesmith.tasks._parts import Reading, Share, Strand

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tunesmith.tasks._zero_shot import Classified

__all__ = [
    "AROUND", "TASKS", "Array", "Encoded", "End", "Facts", "Kind", "LogitsTask", "Reading", "Rows", "Share",
    "SideFacts", "Slots", "Strand", "Task", "Tick", "Windows", "no_tick",
]  # fmt: skip

Kind = Literal["classes", "multilabel", "numbers", "text", "pairs", "vectors", "tags", "several"]
Tick = Callable[[int], object]
"""Is told how many more rows are done."""


def no_tick(rows: int) -> None:
    """Tells nobody."""


class Task(Part):
    """What rows mean."""

    metrics: tuple[str, ...]
    """Metrics to report; the first picks the best checkpoint."""

    pool: Literal["base", "mean"] = "base"
    """What the head reads of a row. base: the position that the architecture reads ([CLS], or the last token); opens
    in plain transformers. mean: the mean over its tokens, which sentence encoders (minilm) were made for; needs
    tunesmith to open."""

    kind: ClassVar[Kind]
    problem_type: ClassVar[str | None]
    """transformers' name for the kind of answer, written into config.json."""
    talks: ClassVar[bool] = False
    """Whether rows are conversations, of which a language model says how likely they are."""
    writes: ClassVar[bool] = False
    """Whether answers are texts that the model writes, token by token."""
    sees: ClassVar[bool] = False
    """Whether rows are images."""
    hears: ClassVar[bool] = False
    """Whether rows are sounds."""
    best: ClassVar[str | None] = None
    """What picks the checkpoint where the plan says nothing, if not the first metric."""
    aim: ClassVar[str] = ""
    """What it does, for the report: to …; its kind of answers says it for most."""
    pipeline: ClassVar[str] = ""
    """What model hubs call it (`pipeline_tag`); empty where they have no word for it."""
    two_domains: ClassVar[bool] = False
    """Whether rows to learn from come from a source and from a target."""
    rewords: ClassVar[bool] = False
    """Whether rows ask something in words that a step may put otherwise (`reworded`)."""
    usual_steps: ClassVar[tuple[str, ...]] = ("clean", "dedup")
    """Data preparation where the plan names none."""

    @property
    def opens_images(self) -> bool:
        """Whether rows bring images, alone or beside a text."""
        return self.sees

    @property
    def weighs_images(self) -> bool:
        """Whether a second tower reads the images that rows bring."""
        return self.opens_images and not self.sees

    def wanted_steps(self) -> tuple[str, ...]:
        """Data preparation where the plan names none, with these settings."""
        return type(self).usual_steps

    def files(self) -> tuple[str, ...]:
        """Further files that the (resolved) task reads rows from."""
        return ()

    def own_files(self) -> tuple[str, ...]:
        """Files to learn from where the task names them itself, and a plan needs no `data.train`."""
        return ()

    def has_label(self, record: Record, roles: Roles) -> bool:
        """Whether a row that joins (`Reading.split`) can be learnt from as a training row is."""
        return True

    def lessons(
        self, train: Encoded, joined_N: "NDArray[np.bool_]", bare: Encoded | None, *, looked_at: bool
    ) -> Encoded:  # fmt: skip
        """What the network learns from: training rows, of which some joined from files of the task's own, and rows of
        these that are `bare` of a label (`looked_at`: whether a penalty sees states of rows)."""
        return train

    def within(self, room: int, base: str, path: str = "task") -> "Task":
        """With the longest input, where it was not asked for, no longer than the `room` that a base has. Raises
        TunesmithError where more was asked for."""
        limit = getattr(self, "max_tokens", 0)
        if limit <= room:
            return self
        if self.differs("max_tokens"):
            raise TunesmithError(
                f"{path}.max_tokens: {limit} is more than the {room} places that {base} has "
                f"(virtual tokens of the method taken off). Set {path}.max_tokens={room}"
            )
        return self.model_copy(update={"max_tokens": room})

    @staticmethod
    def rewriting(plan: Any) -> str | None:
        """The first step of a plan that changes the text columns of all rows, for tasks that must refuse it."""
        return next((step.name for step in plan.steps if step.rewrites), None)

    # tasks that are made of several; most are one

    def readings(self, data: Any) -> list[Reading]:
        """Which files rows are read from, in the order of the ledger; `data` is that section of the plan."""
        held = [(name, getattr(data, name)) for name in ("validation", "test")]
        found = [Reading("train", source.file, source.weight) for source in data.train]
        return found + [Reading(name, file) for name, file in held if isinstance(file, str)]  # type: ignore[arg-type]

    def shares_held(self, data: Any) -> dict[str, dict[str, float | None]]:
        """{task: {test, validation}}: which share of its training rows is held out; None where a file is, or none."""
        return {"": {n: v if isinstance(v := getattr(data, n), float) else None for n in ("test", "validation")}}

    def resolved_by(self, tables: "Mapping[str, Table]") -> "Task":
        """`resolved`, given the first training file of each task."""
        return self.resolved(next(iter(tables.values())))

    def taken_in_for(self, part: str, records: Sequence[Record], ledger: Ledger) -> Sequence[Record]:
        """`taken_in`, for one of several tasks."""
        return self.taken_in(records, ledger)

    def strands(self, records: Sequence[Record], roles: Roles) -> list[Strand]:
        """Rows task by task; nothing where there is one task."""
        return []

    def parts(self, facts: Facts) -> list[Share]:
        """Outputs task by task; nothing where there is one task."""
        return []

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Metrics to report where the plan names none."""
        return self.metrics

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        """What stands beside the result where the plan names nothing."""
        return ("majority", "tfidf", "probe")

    @property
    def untrained(self) -> bool:
        """Whether a base answers this task before any training; a new head does not."""
        return False

    def answers_before(self, facts: Facts) -> bool:
        """Whether this base does, of a task with the baseline `untuned`; for tasks that have to meet it to know."""
        return True

    def purpose(self, model_type: str) -> Purpose:
        """Which Auto class the network is, for a base of that `config.model_type`."""
        return "classify"

    def configured(self) -> dict[str, Any]:
        """Fields of our own in the configuration of its network, which no library knows (`config` has those that one
        does) and no row has to be seen for: methods read there which towers learn."""
        return {}

    def processor(self, base: Found, saved: Path | None = None) -> Any:
        """What makes of a row what the base reads: its tokenizer; of images, its image processor. It is taken from the
        folder where it was `saved` with a model, if it was."""
        from tunesmith.bases.load import load_tokenizer

        return load_tokenizer(base.at(saved))

    def base_objection(self, family: Family) -> str | None:
        """Why this task cannot be asked of that family, known before anything loads; None when it can."""
        return None

    @abstractmethod
    def resolved(self, table: Table) -> "Task":
        """This task with every column named, given a training file. Raises TunesmithError where a column is missing
        or several could be meant."""

    @abstractmethod
    def roles(self, *, labelled: bool = True) -> Roles:
        """Which columns the (resolved) task reads."""

    @abstractmethod
    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        """What must be known from the training rows before a network can be built."""

    def grown(self, facts: Facts, earlier: Facts) -> Facts:
        """Facts of an instalment: what the model that training goes on from knows stays where it was, and what is new
        is added behind. Raises TunesmithError where the two cannot be one."""
        return facts

    def drawn(self, facts: Facts, records: Sequence[Record], roles: Roles, seed: int) -> Facts:
        """Facts with training rows that are drawn to stand in every question; most tasks draw none."""
        return facts

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """Facts with what only the base and its tokenizer can tell."""
        return facts

    def blanks(self, tokenizer: Any) -> Sequence[Record]:
        """Rows without content that the untouched base is asked about before training; most tasks ask nothing."""
        return ()

    def calibrated(self, outputs_NC: Array, facts: Facts) -> Facts:
        """Facts with what the untouched base answered to the `blanks`."""
        return facts

    @abstractmethod
    def outputs(self, facts: Facts) -> int:
        """Number C of outputs of the network; for label words and for what language models say, of a row."""

    @abstractmethod
    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        """Rows -> tokens and targets (targets only where roles.label is set). `tick` is told how many rows are done."""

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows of a file as the roles name their columns; most tasks read the columns as they are. What is altered on
        the way goes into the ledger."""
        return records

    def reworded(self, record: Record, put: Callable[[str], str]) -> Record | None:
        """A row that was taken in, with what it asks last as `put` says it, and the same answers; None where it asks
        nothing."""
        raise AssertionError(f"rows of {type(self).__name__} ask nothing")

    def rewritten(self, record: Record, roles: Roles, put: Callable[[str], str]) -> dict[str, Cell]:
        """The cells of a row that come out other when every text that is read or learnt from is `put` otherwise."""
        return in_columns(record, roles, put)

    def reread(self, records: Sequence[Record], roles: Roles) -> Sequence[Record]:
        """Rows that were taken in and then rewritten, with what was made of their cells made anew."""
        return records

    # what a network is asked, in terms of a way to run it (engine.ways, engine.language)

    @abstractmethod
    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """What the summed loss of a step's rows is divided by."""

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """The rows with what a step must know of all of them before it is cut into forward passes of `max_tokens`;
        most losses are sums over rows and want nothing."""
        return encoded

    @abstractmethod
    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Weighted sum of the losses of some rows, with a graph."""

    @abstractmethod
    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """What the network says of some rows, (B, C) float32: its outputs."""

    def bound(self, net: Any) -> None:
        """Put parameters back that an update took out of their range; most have none."""

    def settled(self, outputs_NC: Array, encoded: Encoded, read: "Callable[[Encoded], Array]") -> Array:
        """Outputs of rows of which each depends on all (a place in a ranking), from what was read of each; `read` says
        the same of further rows. Most rows stand for themselves."""
        return outputs_NC

    def config(self, facts: Facts) -> dict[str, Any]:
        """Further fields of the network's configuration."""
        return {}

    def plainly(self, logits: "Sequence[Tensor]", tensors: dict[str, Any]) -> Array:
        """Outputs of golden clips, from the logits that other tools give for one after the other."""
        return np.concatenate([each.numpy() for each in logits])

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]] | None:
        """(name of the input, what the saved processor, opened without Tunesmith, makes of the file of each row), for
        the proof; None for tasks whose rows are no files."""
        return None

    def classified(self, records: Sequence[Record], processor: Any) -> "Classified | None":
        """What the model can be asked that it was not taught, where the plan wants it before and after (zero-shot
        classes); `records` are those that it is judged on."""
        return None

    def lay_beside(self, net: Any, folder: Path, facts: Facts) -> None:
        """Write beside a saved model what other tools want to know of this task; most tasks are in config.json."""

    @abstractmethod
    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Mean loss over the rows whose label is known; NaN without any."""

    @abstractmethod
    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """(predicted, scores): what is answered, and the probabilities behind it (None for numbers)."""

    @abstractmethod
    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        """Targets in the units of `answer`."""

    def before(self, encoded: Encoded) -> Array | None:
        """Outputs (N, C) of the model as it was before training, where they are known without running it."""
        return None

    def as_plain(self, readings_SK: Array, golden_NC: Array) -> Array:
        """Outputs of golden rows from what other tools read of each sequence: logits, or of a language model (nll,
        tokens, hits). What no network says is taken from the stored outputs."""
        return readings_SK

    def tuned(self, scores_NC: Array, truth: Array, facts: Facts, choose: Any) -> Facts:
        """Facts with the decision thresholds that validation rows suggest; unchanged where none are wanted.

        `choose` offers `threshold(scores, is_positive, metric)` and `label_thresholds(scores, truth, each=…)`.
        """
        return facts

    @abstractmethod
    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        """The columns that `predict` adds, by name; `words` where answers belong to words of rows."""


class LogitsTask(Task):
    """A task whose network gives logits (B, C) for each row. Abstract."""

    @abstractmethod
    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        """Loss of each row, (B,)."""

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Sum of the rows' weights."""
        return float(encoded.weights[rows].sum())

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Each row's loss by its weight."""
        logits_BC = way.logits(encoded, rows)
        targets, weights_B = encoded.aims(rows, logits_BC.device)
        return (self.losses(logits_BC, targets) * weights_B).sum()

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """The logits."""
        logits_BC: Tensor = way.logits(encoded, rows)
        return logits_BC

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Unweighted, over the rows with a known label."""
        import torch

        assert encoded.targets is not None
        targets = torch.from_numpy(encoded.targets)
        known = targets >= 0 if targets.dtype == torch.int64 else torch.ones(len(targets), dtype=torch.bool)
        aims = targets if encoded.soft is None else torch.from_numpy(encoded.soft)
        with torch.inference_mode():
            losses = self.losses(torch.from_numpy(outputs_NC), aims)[known]
        return float(losses.double().mean()) if len(losses) else float("nan")


TASKS: Catalog[Task] = Catalog("tunesmith.tasks", "task")
AROUND = ("domain", "multi")
"""Tasks around others: none of them stands inside another, and neither module needs the other."""
