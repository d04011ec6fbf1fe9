"""Layers: some weights of the base move and the rest is fixed: top blocks, kinds, names, single heads, single weights.

    head                          moves
    block N .. N-top+1            move
    block N-top .. 1, embeddings  fixed

Top blocks: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146. Sparse by Fisher score: Sung et al. 2021,
https://arxiv.org/abs/2111.09839; by size: Bhardwaj et al. 2024, https://arxiv.org/abs/2406.13175.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from tunesmith.bases.family import plain
from tunesmith.described import Described
from tunesmith.errors import TunesmithError
from tunesmith.methods import Grid, Learnt, _masks, _peft, _weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from tunesmith.bases.family import Family

Kind = Literal["attention", "feed_forward", "norms"]


class Sparse(Described):
    """Which single weights move."""

    by: Literal["fisher", "magnitude"] = "fisher"
    """fisher: largest mean squared gradient over training rows; magnitude: largest |weight| of each tensor."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of the weights that move."""
    rows: PositiveInt = 256
    """Training rows that Fisher scores are measured on."""


class Layers(_weights.OwnWeights):
    """Chosen weights of the base move, the others are fixed; without a choice the top 2 blocks."""

    name: Literal["layers"] = "layers"
    top: NonNegativeInt | None = None
    """Train the top k blocks."""
    freeze: NonNegativeInt | None = None
    """Train all but the lowest k blocks."""
    pattern: str | None = None
    """Train parameters in whose plain name this regular expression is found, e.g. `layer\\.(0|5)\\.attention`."""
    heads: dict[int, tuple[int, ...]] | None = None
    """Train single attention heads, {block: [heads]}: their query, key, value rows and output columns."""
    kinds: tuple[Kind, ...] = ()
    """Of the chosen blocks (of the whole base without `top` or `freeze`), train only these kinds of layers."""
    embeddings: bool = False
    """Train the embeddings, too."""
    sparse: Sparse | None = None
    """Of the chosen weights (of the whole base without another choice), only a share moves."""

    rate: ClassVar[float] = 1e-4
    width_power: ClassVar[int] = 2
    grid: ClassVar[Grid] = ({"rate": 3.0}, {"top": 1}, {"top": 4})
    """How many blocks learn is what the method chooses; rates of few blocks may be higher."""
    space: ClassVar[Mapping[str, Any]] = {"top": {"integer": [1, 4]}}
    """How many blocks from the top: what the method is about; bases of all sizes have four."""
    prefer: ClassVar[str] = "full tuning fits but overfits or is too slow: frozen bottom blocks cost no gradients"
    source: ClassVar[str] = "Howard & Ruder 2018, https://arxiv.org/abs/1801.06146"

    def searched(self) -> Mapping[str, Any]:
        chosen = self.freeze is not None or self.pattern is not None or self.heads is not None
        return {} if chosen else self.space

    def objection(self, plan: Any) -> str | None:
        ways = {"top": self.top, "freeze": self.freeze, "pattern": self.pattern, "heads": self.heads}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            return f"layers: {' and '.join(given)} choose blocks in two ways; keep one"
        if self.heads is not None and (self.kinds or self.sparse or self.embeddings):
            return "layers: heads stand alone; remove kinds, sparse and embeddings"
        if self.pattern is not None and self.kinds:
            return "layers: pattern and kinds both choose layers; say the kinds in the pattern"
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                return f"layers: pattern '{self.pattern}' is no regular expression: {error}"
        return None

    def base_objection(self, family: "Family") -> str | None:
        if self.heads is not None and family.purpose == "image_text":
            return (
                f"layers: heads are counted in one stack, and {family.name} has two towers. Use top, kinds or pattern"
            )
        return None

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        if fault := self.objection(None):
            raise TunesmithError(f"method: {fault}")
        if self.heads is not None:
            _masks.keep(net, _masks.heads(plain(net), family, self.heads))
            return _weights.only(net, family, lambda name, parameter: name in _masks.kept(net))
        chosen = self._chosen(net, family)
        _weights.only(net, family, lambda name, parameter: name in chosen)
        if self.sparse and self.sparse.by == "magnitude":
            tensors = {n: p for n, p in _weights.named(net, family).items() if n in chosen}
            _masks.keep(net, _masks.largest(tensors, self.sparse.share))
        return net

    def _chosen(self, net: "nn.Module", family: "Family") -> set[str]:
        names = [n for n in _weights.named(net, family) if not family.is_head(n)]
        chosen = {n for n in names if self._moves(n, net, family)}
        if not chosen and (self.pattern is not None or self.kinds):
            asked = f"pattern '{self.pattern}' is found in" if self.pattern else f"kinds {', '.join(self.kinds)} hold"
            below = sorted({n.split(".", family.blocks.count(".") + 2)[-1] for n in names if family.block_of(n) == 0})
            raise TunesmithError(
                f"method: layers: {asked} no parameter of this {family.name} base. "
                f"A block is named {family.blocks}.0 and holds {', '.join(below)}"
            )
        return chosen | {n for n in names if self.embeddings and family.is_embedding(n)}

    def _moves(self, name: str, net: "nn.Module", family: "Family") -> bool:
        if self.pattern is not None:
            return re.search(self.pattern, name) is not None
        block = family.block_of(name)
        whole = self.top is None and self.freeze is None and bool(self.kinds or self.sparse)
        if whole and not self.kinds:
            return self.embeddings or not family.is_embedding(name)
        return (whole or block in self._blocks(net, family)) and _of_kind(name, net, family, self.kinds)

    def _blocks(self, net: "nn.Module", family: "Family") -> range:
        if self.freeze is None:
            return _peft.top_blocks(net, family, 2 if self.top is None else self.top)
        kept = _peft.top_blocks(net, family, self.freeze, "method.freeze")
        return range(len(kept), kept.stop)

    def before_step(self, net: "nn.Module", step: int, total: int) -> None:
        if self.heads is not None or self.sparse:
            _masks.before_step(net, _weights.family_in(net))

    def after_step(self, net: "nn.Module", step: int, total: int) -> None:
        if self.heads is not None or self.sparse:
            _masks.after_step(net, _weights.family_in(net))

    def state(self, net: "nn.Module") -> "dict[str, Tensor]":
        return dict(_masks.kept(net))

    def restore(self, net: "nn.Module", state: "Mapping[str, Tensor]") -> None:
        _masks.keep(net, state)

    def needs_rows(self) -> int:
        return self.sparse.rows if self.sparse and self.sparse.by == "fisher" else 0

    def prepare(self, net: "nn.Module", family: "Family", losses: "Iterable[Tensor]") -> None:
        if self.sparse and self.sparse.by == "fisher":
            chosen = self._chosen(net, family)
            tensors = {n: p for n, p in _weights.named(net, family).items() if n in chosen}
            _masks.keep(net, _masks.fisher(net, tensors, losses, self.sparse.share))

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        masks = _masks.kept(net)
        if not masks:
            return []
        rows = tuple((name, int(m.sum()), float(m.float().mean())) for name, m in masks.items() if m.any())
        return [Learnt("Weights that could move", ("tensor", "weights", "share"), rows)]


def _of_kind(name: str, net: "nn.Module", family: "Family", kinds: tuple[Kind, ...]) -> bool:
    if not kinds:
        return True
    module = name.rpartition(".")[0]
    attention = family.everywhere((family.query, family.key, family.value, family.attention_out))
    feed_forward = family.everywhere((*family.feed_forward_in, family.feed_forward_out))
    in_block = family.in_block(module)
    return (
        ("attention" in kinds and in_block in attention)
        or ("feed_forward" in kinds and in_block in feed_forward)
        or (
            "norms" in kinds
            and type(plain(net).get_submodule(module)).__name__.endswith(("LayerNorm", "RMSNorm", "BatchNorm2d"))
        )
    )
