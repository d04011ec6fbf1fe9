"""Metrics: pure functions of answers and truth, one a file, each computed for many resamples at once.

Shape letters: R resamples, N rows, C classes. A metric takes a weight matrix (R, N) in which row r says how often
each data row counts in resample r, and returns (R,) values. The plain value is the one with all weights 1; a
bootstrap interval is the spread over multinomial weights; a paired test uses the same weights for both models.
This makes intervals a thousand times cheaper than calling a metric on a thousand copies, and exactly as right:
integer weights give what scikit-learn or scipy give for rows repeated that often, weight 0 drops a row, and where
those libraries give a number for the plain value, ours is the same number.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.catalog import Catalog, Part
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["classes", "multilabel", "numbers", "text", "pairs", "vectors", "tags", "several"]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Beside:
    """What some metrics of text read beside the answers of some rows; the same for all of these rows."""

    schema: Mapping[str, Any] | None = None
    """JSON schema that answers are to conform to."""
    taught: Pairs | None = None
    """(question, answer) of rows that the model learnt from."""
    prepared: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What metrics made of it (a fitted judge), by name; slices and models share it."""


@dataclass(frozen=True)
class Answers:
    """What a model answered and what is true, for N rows of one kind.

    classes: `truth`, `predicted` (N,) class numbers (-1 in truth = a label the model does not know),
    `scores` (N, C) probabilities. multilabel: `truth`, `predicted` (N, C) of 0/1, `scores` (N, C).
    numbers: `truth`, `predicted` (N,) floats, no scores.
    text: `truth` (N,) objects, each a tuple of one or more reference strings; `predicted` (N,) objects, the strings
    generated (all empty where nothing was generated); `scores` (N, 4) of [sum of the negative log-likelihoods of the
    reference's tokens in nats, number of these tokens, how many of them were the most likely one, UTF-8 bytes of the
    reference], or None. `Answers.of_texts` builds the arrays.
    pairs: a row compares two things, answers to one question as a rule; `truth` (N,) says which should win (1 the
    first, 0 the second), `predicted` (N,) which has the higher reward (0.5 both alike), `scores` (N, 8) of
    [log-probability in nats of the first and of the second answer, their tokens, their log-probabilities before
    training, their rewards]. Where there is one answer (`loss: kto`), the second has no tokens, and its reward is the
    point of reference. A reward model knows no log-probabilities: NaN in all rows.
    vectors: a row is two texts that were compared; `truth` (N, 2) is [how alike or how relevant they are, number of the
    query], `predicted` (N,) their similarity, or the place of the second among all answers to the first, from 1;
    `scores` (N, 1) the similarity. Rows of a query depend on each other and are drawn together (`groups`).
    several: a row is one of several tasks'; `parts` has the answers of each, `truth` (N, K) says whose a row is,
    `predicted` (N, C) what the network said. Rows of one text (`texts`) depend on each other.
    tags: a row is a text whose `words` (M of all texts, end to end) have a tag each; `truth`, `predicted` (M,) tag
    numbers, `scores` (M, C); `labels` are O, then B- and I- of each type, those that training never saw at the end.

    Rows with truth -1 count as one further class that is never answered and has probability 0: wrong in accuracy,
    a class with recall 0 in macro averages, "not positive" in two-class metrics. This is what scikit-learn says of
    the same labels. `answers.take(answers.truth >= 0)` gives the answers on known labels alone.
    """

    kind: Kind
    truth: NDArray[np.generic]
    predicted: NDArray[np.generic]
    scores: Floats | None = None
    labels: tuple[str, ...] = field(default=())
    positive: int | None = None
    """Class number that counts as positive in two-class metrics; None = the last of two classes."""
    asked: NDArray[np.generic] | None = None
    """Kind text: (N,) objects, what each row asked, as a string; None where nobody knows."""
    queries: Ints | None = field(default=None, repr=False)
    """Kinds classes and numbers: (N,), which rows are candidates for one question, to be ranked; None where each row
    stands for itself."""
    words: Words | None = field(default=None, repr=False)
    """Kind tags: the words that answers belong to, and the rows that these belong to."""
    beside: Beside = field(default_factory=Beside, repr=False, compare=False)
    parts: "Mapping[str, Own]" = field(default_factory=dict, repr=False)
    """Kind several: the answers of each task, by its name."""
    texts: Ints | None = None
    """Kind several: (N,) number of each row's text."""
    prepared: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What metrics worked out for these rows (tokens, match counts), by name: an interval measures many times."""

    @classmethod
    def of_texts(
        cls, references: Sequence[Sequence[str]], predicted: Sequence[str], scores: Floats | None = None
    ) -> "Answers":
        """Answers of kind text for N rows, from the references of each row and the string generated for it.

        Raises TunesmithError for a row whose references are one bare string: its letters would be taken for them.
        """
        for row, given in enumerate(references, start=1):
            if isinstance(given, str):
                raise TunesmithError(f"row {row}: the references are the single string {given!r:.80}; give a tuple")
        # np.array would make a matrix of tuples of one length.
        truth = np.fromiter((tuple(row) for row in references), dtype=object, count=len(references))
        return cls("text", truth, np.fromiter(predicted, dtype=object, count=len(predicted)), scores)

    @property
    def groups(self) -> NDArray[np.generic] | None:
        """What the rows that are drawn together share; None where each stands for itself."""
        if self.kind == "vectors":
            return self.truth[:, 1]
        return self.texts if self.queries is None else self.queries

    @property
    def rows(self) -> int:
        """Number N of rows: what is drawn and weighed."""
        return len(self.truth) if self.words is None else len(self.words.texts)

    def take(self, rows: NDArray[np.bool_] | Ints) -> "Answers":
        """The answers of some rows, by mask or by number: a slice, or the rows whose label is known.

        Nothing prepared is carried over: texts are a corpus of their own, tokenised by their own language.
        """
        words = self.words
        if words is not None:
            words, rows = words.take(rows)
        scores = None if self.scores is None else self.scores[rows]
        asked = None if self.asked is None else self.asked[rows]
        queries = None if self.queries is None else self.queries[rows]
        truth, predicted = self.truth[rows], self.predicted[rows]
        made = replace(self, truth=truth, predicted=predicted, scores=scores, asked=asked, queries=queries, words=words)
        if not self.parts:
            return made
        index = np.arange(self.rows)[rows]
        parts = {name: own.within(index, self.rows) for name, own in self.parts.items()}
        return replace(made, parts=parts, texts=None if self.texts is None else self.texts[rows])


@dataclass(frozen=True)
class Own:
    """The answers of one of several tasks."""

    rows: Ints
    """Which of all rows are its own, ascending or as they were drawn."""
    answers: Answers
    main: str
    """The metric that it is judged by."""

    def within(self, index: Ints, total: int) -> "Own":
        """Those among the rows `index` of `total`."""
        place = np.full(total, -1, dtype=np.int64)
        place[self.rows] = np.arange(len(self.rows))
        kept = np.flatnonzero(place[index] >= 0)
        return replace(self, rows=kept, answers=self.answers.take(place[index][kept]))


class Metric(Part):
    """A number for how good answers are."""

    kinds: ClassVar[tuple[Kind, ...]]
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    points: ClassVar[float] = 100
    """Points in a difference of 1: 100 for shares, 1 where the scale is 0 to 100; 0 for a unit of its own."""
    two_classes_only: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False
    """Whether it needs the generated strings; those that do not work while nothing has been generated."""
    reads_training: ClassVar[bool] = False
    """Whether it needs the training rows (`Answers.beside.taught`), which a saved model does not bring along."""
    picks: ClassVar[bool] = True
    """Whether a better value is a better model. Those where it is not are read beside others, and pick no weights."""

    @abstractmethod
    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; NaN where a resample leaves the metric undefined."""

    def right(self, answers: Answers) -> NDArray[np.bool_] | None:
        """(N,) which rows are right, of a metric that is their share; None for any other."""
        return None

    def signature(self, answers: Answers) -> str:
        """What a reader must know to compare the value with one measured elsewhere; empty where the name says it."""
        return ""


class _Metrics(Catalog[Metric]):
    """Also those of one of several tasks, as TASK.METRIC."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).rpartition(".")[2])

    def find(self, name: str) -> type[Metric]:
        part, dot, metric = name.rpartition(".")
        if not dot:
            return super().find(name)
        from tunesmith.metrics._of import of

        return of(part, metric)


METRICS: Catalog[Metric] = _Metrics("tunesmith.metrics", "metric")
