"""What a task learns from its rows before a network can be built."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from tunesmith.dialogue.templates import Template
from tunesmith.tasks._wording import Wording


class SideFacts(BaseModel):
    """How side columns become numbers: standardised numbers, one place for each known category, marks of what is
    missing."""

    model_config = ConfigDict(frozen=True)

    numbers: dict[str, tuple[float, float]] = {}
    """Column -> (mean, standard deviation) over the training rows."""
    categories: dict[str, tuple[str, ...]] = {}
    """Column -> categories seen in training; a new one becomes all zeros."""
    fills: dict[str, float] = {}
    """Column of numbers -> what a missing one is read as; the mean unless named."""
    marks: tuple[str, ...] = ()
    """Columns of numbers of which the vector says, too, whether the number is missing."""

    @property
    def width(self) -> int:
        """Length S of the side vector."""
        return len(self.numbers) + sum(len(c) for c in self.categories.values()) + len(self.marks)


class End(BaseModel):
    """How an answer ends, and what the template puts before its words."""

    model_config = ConfigDict(frozen=True)

    tokens: tuple[int, ...] = ()
    """Any of these."""
    text: str = ""
    """What the template writes behind an answer, where that is no token of its own."""
    lead: str = ""
    """What the model is taught to write before the words of an answer (the empty <think> block of some templates):
    taken off what it writes."""


class Facts(BaseModel):
    """What was learnt from the data, not asked; stored as facts.json and inside the model."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...] = ()
    """Class names in the order of the outputs."""
    counts: dict[str, int] = {}
    """Training rows by class."""
    start: tuple[float, ...] = ()
    """What each output says before anything is learnt, (C,); none: where the new head is drawn."""
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
    steps: dict[str, dict[str, Any]] = {}
    """What steps of the plan learnt from the training rows, by their place in it."""
    parts: dict[str, "Facts"] = {}
    """Several tasks: the facts of each, in the order of the outputs."""
    notes: dict[str, str] = {}
