"""Tasks: what rows mean. Columns, labels, head size, loss, answers, metrics; one a file.

A task never touches the backbone (that is the method's) and knows nothing of files (that is the data's).
Shape letters: N rows, B rows of a batch, C outputs, S side features.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tunesmith.bases.family import Family, Purpose
from tunesmith.bases.find import Found
from tunesmith.catalog import Catalog, Part
from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.pixels import Pixels
from tunesmith.data.ragged import Ragged
from tunesmith.data.table import Table
from tunesmith.data.words import Words, ranges
from tunesmith.dialogue.templates import Template
from tunesmith.tasks._wording import Wording

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunesmith.tasks._relations import Pull, Relations

Kind = Literal["classes", "multilabel", "numbers", "text", "pairs", "vectors", "tags"]
Array = NDArray[Any]
Rows = Sequence[int] | NDArray[np.int64]
"""Numbers of rows."""
Tick = Callable[[int], object]
"""Is told how many more rows are done."""


def no_tick(rows: int) -> None:
    """Tells nobody."""


class SideFacts(BaseModel):
    """How side columns become numbers: standardised numbers, one place for each known category."""

    model_config = ConfigDict(frozen=True)

    numbers: dict[str, tuple[float, float]] = {}
    """Column -> (mean, standard deviation) over the training rows."""
    categories: dict[str, tuple[str, ...]] = {}
    """Column -> categories seen in training; a new one becomes all zeros."""

    @property
    def width(self) -> int:
        """Length S of the side vector."""
        return len(self.numbers) + sum(len(c) for c in self.categories.values())


class End(BaseModel):
    """How an answer ends."""

    model_config = ConfigDict(frozen=True)

    tokens: tuple[int, ...] = ()
    """Any of these."""
    text: str = ""
    """What the template writes behind an answer, where that is no token of its own."""


class Facts(BaseModel):
    """What was learnt from the data, not asked; stored as facts.json and inside the model."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...] = ()
    """Class names in the order of the outputs."""
    counts: dict[str, int] = {}
    """Training rows by class."""
    center: float = 0.0
    scale: float = 1.0
    """Regression: the network's output is (value - center) / scale."""
    side: SideFacts | None = None
    template: Template | None = None
    """Language tasks: how a conversation is written, in training and ever after."""
    encoder_decoder: bool = False
    """Language tasks: whether the base reads a source and writes a target of its own."""
    end: End = End()
    """Language tasks: what writing stops at."""
    wording: Wording | None = None
    """Classification by label words: the question as this base reads it."""
    augment: tuple[Any, ...] = ()
    """Images: how those to learn from are changed each time they are shown."""
    thresholds: tuple[float, ...] = ()
    """Decision thresholds chosen on the validation rows: one for the positive class, or one for each label."""
    notes: dict[str, str] = {}


@dataclass
class Slots:
    """Where a language model is read to classify: `count` places in a row each, from `first` on."""

    first: NDArray[np.int32]
    """(N,)."""
    count: int

    def places(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """(B, count): the places of some rows."""
        return self.first[np.asarray(rows, dtype=np.int64), None].astype(np.int64) + np.arange(self.count)


@dataclass
class Windows:
    """Texts whose answers belong to words, cut into windows, which are the rows that the network reads. Each word is
    answered in one of them. Shape letters: W windows, M words."""

    texts: NDArray[np.int64]
    """(N + 1,): where the windows of each text begin."""
    parts: NDArray[np.int64]
    """(W + 1,): where the words that each window answers begin."""
    places: NDArray[np.int64]
    """(M,): which of the places that its window reads is a word's."""
    follows: NDArray[np.bool_]
    """(M,): whether the tokenizer put it into one piece with the word before it, which it can only continue."""

    def pick(self, texts: NDArray[np.int64]) -> "tuple[Windows, NDArray[np.int64]]":
        """The windows of some texts, and their numbers."""
        own = ranges(self.texts, texts)
        words = ranges(self.parts, own)
        counts = (np.diff(self.texts)[texts], np.diff(self.parts)[own])
        texts, parts = (np.concatenate([[0], np.cumsum(count)]) for count in counts)
        return Windows(texts, parts, self.places[words], self.follows[words]), own


@dataclass
class Encoded:
    """N rows as the network reads them, unpadded."""

    ids: Ragged
    types: Ragged | None
    """Token type ids where the tokenizer makes them (pairs of BERT-type bases)."""
    lost: NDArray[np.int32]
    """(N,): tokens cut off by `max_tokens`."""
    targets: Array | None
    """(N,) int64 classes, (N, C) float32 of 0/1, or (N,) float32; None for rows to predict."""
    side: Array | None
    """(N, S) float32."""
    weights: Array
    """(N,) float32: weight of each row in the loss."""
    labels: Ragged | None = None
    """For language models: beside each token the token to be predicted in its place, as a rule itself, or -100 where
    nothing is learnt. Predicted from the tokens before it: nothing is shifted here, and place 0 has no prediction."""
    apart: bool = False
    """For encoder-decoders: `ids` are sources, and `labels` targets of their own lengths, predicted from place 0 on."""
    token_weights: NDArray[np.float32] | None = None
    """(M,) beside `labels.flat`: weight of each label in the loss, on top of its row's. None: 1."""
    references: Sequence[tuple[str, ...]] | None = None
    """Texts that are right answers for each row, for tasks that write."""
    lost_labels: NDArray[np.int32] | None = None
    """(N,): how many of the lost tokens were to be learnt."""
    sizes: NDArray[np.int64] | None = None
    """(N,): UTF-8 bytes of what is learnt."""
    slots: Slots | None = None
    """Where label words are read; None for networks with a head, which know where they read."""
    others: "tuple[Encoded, ...]" = ()
    """The same rows in the other forms of their wording, where label words have several tokens."""
    inner: "Encoded | None" = None
    """Where a row is several sequences: these, 2 N of them unless `bounds` says otherwise, row r being 2 r and 2 r + 1.
    `ids` are the same flat numbers with fewer offsets, so that batches and budgets count rows; networks read these."""
    bounds: NDArray[np.int64] | None = None
    """(N + 1,): row r is the inner sequences bounds[r] to bounds[r + 1]."""
    relations: "Relations | None" = None
    """How the sequences of rows belong together, for tasks that compare vectors."""
    pull: "Pull | None" = None
    """What the loss of a whole step wants of each vector, where the step is run in several pieces (`Task.faced`)."""
    reference: NDArray[np.float64] | None = None
    """(N, 2): log-probability of both sequences under the model as it was before training (`reference.refer`)."""
    mix: Any = None
    """What the images of a step were mixed with (`_augment.Mix`)."""
    pixels: Pixels | None = None
    """Images in place of tokens. `ids` then say nothing but how much each counts: a token for 16 x 16 pixels."""
    reads: Ragged | None = None
    """Where a head reads any number of places of a row: these, ascending. Targets then are theirs, end to end."""
    windows: Windows | None = None
    """Where answers belong to words: how texts became rows."""
    words: Words | None = None
    """The words of these texts; outputs are one each."""
    notes: tuple[str, ...] = ()
    """What a user should know of these rows."""
    drift: float | None = None
    """How far the model has moved from the reference, for losses that ask (`Task.faced`)."""

    def __len__(self) -> int:
        return len(self.ids)

    def worded(self, vocabulary: int) -> "Encoded":
        """Without virtual tokens, which have numbers from `vocabulary` on: as a network reads them that has none."""
        if self.inner is not None:
            inner = self.inner.worded(vocabulary)
            return self if inner is self.inner else replace(self, ids=inner.ids.by_twos(), inner=inner)
        if self.apart or not self.ids.size or int(self.ids.flat.max()) < vocabulary:
            return self
        words_T = self.ids.flat < vocabulary
        return replace(
            self, ids=self.ids.only(words_T), labels=None if self.labels is None else self.labels.only(words_T),
            token_weights=None if self.token_weights is None else self.token_weights[words_T],
        )  # fmt: skip

    @property
    def forms(self) -> "tuple[Encoded, ...]":
        """These rows in every form that the network reads; most tasks have one."""
        return (self, *self.others)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): tokens of each row, those of a target of its own included."""
        return self.extents.lengths

    @property
    def extents(self) -> Ragged:
        """Where rows would lie end to end, those of a target of its own included: to be asked for lengths alone."""
        if self.apart and self.labels is not None:
            return Ragged(self.ids.flat, self.ids.offsets + self.labels.offsets)
        return self.ids

    @property
    def learnable(self) -> int:
        """First place of a row whose label can be predicted: something must stand before it."""
        return 0 if self.apart else 1

    def sequences(self, rows: "Rows") -> list[int]:
        """Numbers of the inner sequences of some rows, row by row."""
        bounds = np.arange(len(self) + 1) * 2 if self.bounds is None else self.bounds
        return [s for r in rows for s in range(int(bounds[r]), int(bounds[r + 1]))]

    def aims(self, rows: Sequence[int], device: "torch.device") -> "tuple[Tensor, Tensor]":
        """(targets, weights) of some rows, or of the places that are read in them."""
        import torch

        assert self.targets is not None, "rows to learn from have targets"
        index = np.asarray(rows, dtype=np.int64)
        weights = self.weights[index]
        if self.reads is not None:
            weights = np.repeat(weights, self.reads.lengths_of(index))
            index = ranges(self.reads.offsets, index)
        return torch.from_numpy(self.targets[index]).to(device), torch.from_numpy(weights).to(device)

    @property
    def num_outputs(self) -> int:
        """How many outputs these rows have."""
        return len(self) if self.words is None else len(self.words)

    def outputs_of(self, rows: Rows) -> Rows:
        """Which outputs are those of some rows."""
        return rows if self.windows is None else ranges(self.windows.parts, np.asarray(rows, dtype=np.int64))

    def side_of(self, rows: Sequence[int]) -> "Tensor | None":
        """Side features (B, S) of some rows."""
        import torch

        return None if self.side is None else torch.from_numpy(self.side[list(rows)])


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
    usual_steps: ClassVar[tuple[str, ...]] = ("clean", "dedup")
    """Data preparation where the plan names none."""

    def files(self) -> tuple[str, ...]:
        """Further files that the (resolved) task reads rows from."""
        return ()

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        """What stands beside the result where the plan names nothing."""
        return ("majority", "tfidf", "probe")

    @property
    def untrained(self) -> bool:
        """Whether a base answers this task before any training; a new head does not."""
        return False

    def purpose(self, model_type: str) -> Purpose:
        """Which Auto class the network is, for a base of that `config.model_type`."""
        return "classify"

    def processor(self, base: Found) -> Any:
        """What makes of a row what the base reads: its tokenizer; of images, its image processor."""
        from tunesmith.bases.load import load_tokenizer

        return load_tokenizer(base)

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

    def settled(self, outputs_NC: Array, encoded: Encoded, read: "Callable[[Encoded], Array]") -> Array:
        """Outputs of rows of which each depends on all (a place in a ranking), from what was read of each; `read` says
        the same of further rows. Most rows stand for themselves."""
        return outputs_NC

    def lay_beside(self, net: Any, folder: "Path") -> None:
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
        with torch.inference_mode():
            losses = self.losses(torch.from_numpy(outputs_NC), targets)[known]
        return float(losses.double().mean()) if len(losses) else float("nan")


TASKS: Catalog[Task] = Catalog("tunesmith.tasks", "task")
