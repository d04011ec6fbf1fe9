"""Penalties: terms that join the loss of a step, or disturb the step itself, so that training stays on its way.

    within      disturbs the weights while a step computes its gradients, and puts them back     (mixout)
      loss of the rows + of_outputs      a term of what the network said of them                 (rdrop)
      + of_weights                       a term of the weights alone                             (l2sp)
      among                              of several tasks: the gradients of each, to be balanced (pcgrad, gradnorm)
      + of_states                        a term of what the output layer is given of all rows    (dann, coral, mmd)
      + of_step                          a term of what the network said of all of them          (mixup)
      + after                            gradients taken anew where the first ones point         (adversarial)

One a file. A penalty is part of a plan and holds settings; what it remembers of a run is a `Term`, made before the
first step from the weights that training starts with, so that a resumed run makes the same one again. No term is part
of a reported loss. Randomness is drawn from the seed of the step. What a term learns while training goes on
(`parameters`, `state`) stands in checkpoints.

Shape letters: B rows, C outputs, H width.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tunesmith.catalog import Catalog, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True)
class Start:
    """What a term is made from: the network before the first step."""

    moving: "Mapping[str, nn.Parameter]"
    """Everything that training may move, by name."""
    is_head: Callable[[str], bool]
    """Whether a name belongs to the head, or to side features: what has no pretrained value to go back to."""
    is_words: Callable[[str], bool]
    """Whether a name belongs to the embeddings of words."""
    kind: str
    """Kind of the task's answers (`Task.kind`)."""
    old_losses: "Callable[[int], Iterable[Tensor]]"
    """Losses, with a graph, of at most so many old rows, one after the other, in evaluation mode. Raises TunesmithError
    where there are no old rows."""
    taught: "Callable[[str | None], tuple[Any, Sequence[int]]]"
    """(what a teacher says of each training row, (N, T) float32; which of our outputs its T are)."""
    beside: "Mapping[str, nn.Module]" = field(default_factory=dict)
    """What penalties train that is no part of the model (`Penalty.learns`), by name of the penalty."""
    tasks: "Mapping[str, str]" = field(default_factory=dict)
    """Of several tasks: their names, each with the kind of its answers."""
    task_of: "Callable[[Sequence[int]], NDArray[np.int16]]" = lambda rows: np.zeros(len(rows), np.int16)
    """Of several tasks: whose each training row is."""
    shaded: "Callable[[Shade], AbstractContextManager[None]]" = lambda shade: nullcontext()
    """Within the block, embeddings of words are multiplied by what it says of each row; for a penalty that
    `disturbs_words`."""
    special: frozenset[int] = frozenset()
    """Tokens that are no words of the text: [CLS], [SEP]."""
    is_shared: Callable[[str], bool] = lambda name: True
    """Whether a name belongs to what several tasks share: everything but the output layer."""


Shade = Callable[[int, int, Any, int], "Tensor"]
"""(seed of the step, number of a row, its tokens (T,), H) -> what embeddings are multiplied by, as it spreads over
(T, H)."""
Gradients = dict[str, "Tensor"]


@dataclass
class Share:
    """What one of several tasks asks for in a step."""

    task: int
    """Its number."""
    part: float
    """Its part of the step's weight, 0 to 1."""
    loss: float
    """Mean loss of its rows."""
    gradients: Gradients
    """Of `part` times that loss, by name; the step's gradient is their sum over tasks."""


@dataclass(frozen=True)
class Said:
    """What the network said of some rows, and how to ask it again."""

    rows: Sequence[int]
    """Which of the training rows."""
    logits_BC: "Tensor"
    """With a graph."""
    again: "Callable[[], Tensor]"
    """The same rows once more, under other dropout."""
    loss: "Callable[[Tensor], Tensor]"
    """Logits (B, C) -> weighted sum of the task's losses of these rows."""
    weights_B: "Tensor"
    """Weight of each row in the loss."""
    losses: "Callable[[Tensor], Tensor]"
    """Logits (B, C) -> the task's loss of each row, (B,), unweighted."""
    targets: "Tensor"
    """What the task's loss aims at in each row: (B,) classes or numbers, or (B, C)."""
    toward: "Callable[[Tensor, Tensor], Tensor]"
    """Logits (B, C) and such targets -> the task's loss of each row, (B,), unweighted."""


@dataclass(frozen=True)
class Rested:
    """Training rows above a trunk that never moves."""

    targets: "NDArray[Any]"
    """(N,): what the loss aims at; of labels that are distributions the likeliest."""
    weights: "NDArray[np.float32]"
    """(N,): of each row in the loss."""
    states: "Callable[[Sequence[int]], Tensor]"
    """What the head reads of some rows, (B, H)."""
    side: "Callable[[Sequence[int]], Tensor | None]"
    """Side features of some rows, (B, S)."""
    head: "Callable[[Tensor, Tensor | None], Tensor]"
    """Such states and features -> logits (B, C), with a graph."""
    labels: tuple[str, ...]
    """Names of the classes."""
    seed: int
    """The plan's."""


class Term:
    """A penalty at work in one run. Each part is optional."""

    own: "tuple[nn.Parameter, ...]" = ()
    """What `of_states` has a gradient for beside the states: parameters of `Start.beside`."""

    def rest(self, at: Rested) -> Sequence[str]:
        """Before the first step, of a penalty that `reads_rested`; returns what to tell the user."""
        return ()

    def within(self, seed: int) -> AbstractContextManager[None]:
        """Around everything that computes gradients in a step."""
        return nullcontext()

    def of_outputs(self, said: Said) -> "Tensor | None":
        """Added to the summed loss of these rows."""
        return None

    def of_weights(self) -> "Tensor | None":
        """Added to the mean loss of a step."""
        return None

    def of_states(self, states_BH: "Tensor", target_B: "Tensor", share: float) -> "Tensor | None":
        """Added to the mean loss of a step, from what the output layer is given of all its rows, however many forward
        passes they take. `target_B`: which rows are of the target domain; `share`: how much of training is done, 0 to
        1."""
        return None

    def of_step(self, said: Said, seed: int) -> "Tensor | None":
        """Added to the summed loss of a step, from the logits of all its rows, however many forward passes they take;
        their order follows the passes."""
        return None

    def among(self, shares: Sequence[Share], seed: int) -> None:
        """The gradients of a step, task by task, to be changed in place before they are added up."""

    def parameters(self) -> "Mapping[str, tuple[nn.Parameter, float]]":
        """What is learnt beside the network, by name, each with its peak learning rate."""
        return {}

    def state(self) -> "dict[str, Tensor]":
        """What a resumed run cannot make again, the parameters included."""
        return {}

    def restore(self, state: "Mapping[str, Tensor]") -> None:
        """Put back what `state` returned."""

    def told(self) -> dict[str, float]:
        """What it has come to, for the journal."""
        return {}

    def after(self, again: Callable[[], object]) -> None:
        """The step's gradients are there; `again` adds those of its rows at the weights as they are then."""


class Penalty(Part):
    """A term of the training loss, or a disturbance of its steps."""

    reads_outputs: ClassVar[bool] = False
    """Whether it needs the logits of rows, which tasks with a head have."""
    reads_step: ClassVar[bool] = False
    """Whether it needs those of all rows of a step at once (`Term.of_step`)."""
    reads_rested: ClassVar[bool] = False
    """Whether it looks at what the head reads above a trunk that never moves (`Term.rest`)."""
    of_several: ClassVar[bool] = False
    """Whether it stands between several tasks."""
    by_task: ClassVar[bool] = False
    """Whether it sees the gradients of a step task by task (`Term.among`)."""
    reads_states: ClassVar[bool] = False
    """Whether it looks at what the output layer is given."""
    disturbs_words: ClassVar[bool] = False
    """Whether it changes embeddings of words in some passes, so that nothing above them can be kept."""
    reads_old: ClassVar[bool] = False
    """Whether it looks at rows of earlier instalments."""
    remembers: ClassVar[bool] = False
    """Whether it holds on to what the base knew; plain sequential tuning goes without it."""
    moves: ClassVar[str] = ""
    """For a penalty on the base's own weights: what it does with them, to tell why a method that moves none leaves it
    without effect."""

    def objection(self, plan: Any) -> str | None:
        reads = self.reads_outputs or self.reads_step
        if self.of_several != (plan.task.kind == "several") and (self.of_several or reads):
            if self.of_several:
                return f"{self.name} stands between several tasks, and {plan.task.name} is one. Remove it, or use multi"
            return f"{self.name} compares answers of one kind, and {plan.task.name} has several. Remove it"
        if self.by_task and any(each.name == "adversarial" for each in plan.penalties):
            return (
                f"{self.name} changes gradients task by task, and adversarial adds others to them. Keep one of the two"
            )
        if reads and not self.of_several and plan.task.kind not in ("classes", "multilabel", "numbers"):
            return f"{self.name} compares what a head says of a row, and task {plan.task.name} has none. Remove it"
        if self.moves and not plan.method.moves_base():
            return (
                f"{self.name} {self.moves}, and {plan.method.name} leaves the base's own weights alone: it would have "
                "no effect. Remove it, or take a method that moves them (full, layers, gradual)"
            )
        if self.reads_old and plan.task.kind not in ("classes", "multilabel", "numbers"):
            return f"{self.name} looks at old rows with a label, and task {plan.task.name} keeps none. Remove it"
        if sum(each.name == self.name for each in plan.penalties) > 1:
            return f"{self.name} stands twice. Keep one of them"
        return None

    def learns(self, width: int) -> "nn.Module | None":
        """A module of its own to be trained, where states have that width; most penalties have none."""
        return None

    @abstractmethod
    def begin(self, at: Start) -> Term:
        """This penalty at work, from these weights on."""


PENALTIES: Catalog[Penalty] = Catalog("tunesmith.penalties", "penalty")
