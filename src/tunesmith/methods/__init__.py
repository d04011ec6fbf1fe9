"""Methods: how the backbone learns. One a file: what is frozen, what is added, what can be folded back.

A method gets a transformers model (the library's own Auto class) and its family, and returns the network that is
trained: the same object with some weights frozen, or the same object wrapped by PEFT. The head (pooler included) is
the task's and is trainable under every method, unless the method says otherwise on its own page.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.bases.family import Family
from tunesmith.catalog import Catalog, Part
from tunesmith.dialogue.virtual import Place
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from torch import Tensor, nn

Ecosystem = Literal["plain", "tunesmith"]
Grid = tuple[Mapping[str, Any], ...]
"""Changes of settings, one after another."""


@dataclass(frozen=True)
class Learnt:
    """What a method learnt, for the report: a table with a caption."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


class Method(Part):
    """How the backbone learns."""

    start: str | None = None
    """Run folder whose learnt weights of the same method and shape this one starts from."""

    rate: ClassVar[float]
    """Default learning rate (`train.lr: auto`) for AdamW."""
    width_power: ClassVar[int] = 0
    """`rate` is meant for a base 768 wide and is multiplied by (768 / width) ** width_power, at most 4. What moves a
    base's own weights wants 2e-4 on MiniLM (384), 5e-5 on BERT-base, about 1e-5 on a model 2,048 wide."""
    mergeable: ClassVar[bool] = False
    """Whether `fold` can turn the result into the base's own architecture with equal outputs."""
    averages: ClassVar[bool] = False
    """Of a method that is not mergeable: whether the mean of the weights of several runs that began alike is a model of
    its kind (`tunesmith merge --how average`)."""
    stays: ClassVar[str] = ""
    """Of a method that is not mergeable: why."""
    ecosystem: ClassVar[Ecosystem] = "plain"
    """plain: transformers or PEFT alone open the saved model; tunesmith: needs `import tunesmith.peft`."""

    grid: ClassVar[Grid] = ({"rate": 3.0}, {"rate": 1 / 3})
    """What a race tries beside the settings given, each a change of some of them; `rate` is a factor of the learning
    rate, which decides more than any other setting (Bengio 2012, arXiv 1206.5533)."""
    space: ClassVar[Mapping[str, Any]] = {}
    """{setting: range} of what `tune` searches beside the learning rate where a plan has no range of its own."""
    head_alone: ClassVar[bool] = False
    """Whether nothing below the head ever moves."""
    whole: ClassVar[bool] = False
    """Whether the whole model is what is saved, with everything in it that moved."""
    packs: ClassVar[bool] = True
    """Whether rows can run end to end: all it adds is inside the modules it found, or `virtual` tokens. Otherwise
    its rows run padded, those of similar length together."""

    def base_objection(self, family: Family) -> str | None:
        """Why this method cannot work with that family, known before anything loads; None when it can."""
        return None

    def moves_base(self) -> bool:
        """Whether weights of the base's own change, or the whole model is what is saved: then a base cannot be kept in
        fewer bits."""
        return False

    @abstractmethod
    def apply(self, net: "nn.Module", family: Family) -> "nn.Module":
        """Freeze and add: the network to train. At the start it must answer as `net` does, where the method can."""

    def auto_rate(self) -> float:
        """What `train.lr: auto` means with these settings."""
        return self.rate

    def searched(self) -> Mapping[str, Any]:
        """`space`, as far as it goes with these settings."""
        return self.space

    def rate_scale(self, net: "nn.Module") -> float:
        """What that is multiplied by for this network."""
        return 1.0

    def can_fold(self) -> bool:
        """Whether `fold` works with these settings."""
        return self.mergeable

    def keeps_base(self) -> bool:
        """Whether the base's own weights stay as they are inside, so that with everything added switched off the
        network is the base."""
        return False

    def fold_objection(self) -> str | None:
        """Why `fold` does not work with these settings; None where it does."""
        if self.can_fold():
            return None
        why = f": {self.stays}" if self.stays else ""
        return f"method '{getattr(self, 'name', '?')}' cannot be merged into its base{why}"

    def sources(self) -> tuple[str, ...]:
        """Folders of finished runs on the same base whose weights it takes in; what they hold is part of what a run
        is."""
        return ()

    def components(self) -> "Mapping[str, Method]":
        """Of several methods at once each by its name: a run compares the whole with every one of them alone."""
        return {}

    def needs_equal_lengths(self, family: Family) -> bool:
        """Whether a batch must hold rows of one length, because padding would change the answer."""
        return False

    def opens_in(self) -> Ecosystem:
        """What opens the saved model, with these settings."""
        return type(self).ecosystem

    def extra_tokens(self) -> int:
        """How many positions virtual tokens take from the base's limit."""
        return 0

    def placement(self) -> Place:
        """Where virtual tokens stand."""
        return "start"

    def num_front(self) -> int:
        """How many virtual tokens are put before each row while it runs; those of other places are tokens of it."""
        return self.extra_tokens() if self.placement() == "start" else 0

    def virtual(self, net: "nn.Module") -> "Tensor":
        """The `num_front` embeddings (P, E) that stand before each row, with gradients. Only asked where there are
        any."""
        raise AssertionError("a method with extra tokens says what they are")

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        """Learning-rate factor by parameter name, for those that differ from 1 (LoRA+, layer-wise decay)."""
        return {}

    def thaw(self, net: "nn.Module", family: Family, epoch: int) -> None:
        """Called at the start of each epoch (from 0), also on resume: change what is frozen."""

    def thaws(self) -> bool:
        """Whether `thaw` ever changes anything, so that the optimizer must know all weights that may move."""
        return False

    def still(self, net: "nn.Module", family: Family) -> int:
        """How many bottom blocks never move in this run: they run in evaluation mode, and may be cached."""
        moving = [
            family.block_of(n) for n, p in net.named_parameters() if p.requires_grad and not family.above_blocks(n)
        ]
        blocks = [b for b in moving if b is not None]
        if len(blocks) < len(moving):  # something outside the blocks moves: embeddings, prompts
            return 0
        return min(blocks, default=len(family.block_list(net)))

    def extra_loss(self, net: "nn.Module") -> "Tensor | None":
        """A term for the training loss alone (never part of a reported loss), e.g. AdaLoRA's orthogonality."""
        return None

    def before_step(self, net: "nn.Module", step: int, total: int) -> None:
        """Called in update `step` (1 to `total`): gradients are ready, the optimizer moves next (masks act here)."""

    def after_step(self, net: "nn.Module", step: int, total: int) -> None:
        """Called in update `step` (1 to `total`): the optimizer moved, gradients are there (AdaLoRA's budget)."""

    def state(self, net: "nn.Module") -> "dict[str, Tensor]":
        """Tensors beside the trainable weights that a bit-exact resume needs (masks, AdaLoRA's averages)."""
        return {}

    def restore(self, net: "nn.Module", state: "Mapping[str, Tensor]") -> None:
        """Put back what `state` returned."""

    def needs_rows(self) -> int:
        """How many training rows `prepare` wants to see before step 1 (Fisher scores); 0 = none."""
        return 0

    def prepare(self, net: "nn.Module", family: Family, losses: "Iterable[Tensor]") -> None:
        """Look at row losses (each a scalar with a graph) before the first step, to choose what moves."""

    @abstractmethod
    def save(self, net: "nn.Module", folder: Path) -> None:
        """Write what changed in the ecosystem's format (safetensors only)."""

    @abstractmethod
    def load(self, net: "nn.Module", family: Family, folder: Path) -> "nn.Module":
        """The trained network, for answering, from a fresh base `net` and what `save` wrote. Strict: all keys match."""

    def fold(self, net: "nn.Module") -> "nn.Module":
        """The plain transformers model that answers the same. Raises TunesmithError where not `mergeable`."""
        raise TunesmithError(self.fold_objection() or "this method folds in its own way")

    def shares(self) -> bool:
        """Whether several trained runs can lie on one base in memory; one of them answers at a time (`join`, `use`)."""
        return False

    def join(self, net: "nn.Module", folder: Path, name: str) -> None:
        """Put another trained run of such a method beside the first one, which is called `default`; inactive."""
        raise AssertionError("only methods that share join")

    def use(self, net: "nn.Module", name: str) -> None:
        """Let that run answer."""
        raise AssertionError("only methods that share are told which one to use")

    def learnt(self, net: "nn.Module", family: Family, tokenizer: Any) -> list[Learnt]:
        """What to show of the result: nearest tokens of virtual tokens, norms and ranks by layer."""
        return []


METHODS: Catalog[Method] = Catalog("tunesmith.methods", "method")
