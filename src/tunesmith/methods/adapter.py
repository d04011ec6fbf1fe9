"""Bottleneck adapters: small two-layer networks inside the blocks.

    A(u) = W_up act(W_down u + b) + b        h: what the sublayer computed, x: what came in, LN: the norm

    place      BERT (norm after the sum)                       Llama (norm before)
    houlsby    LN(h + A(h) + x), attention and feed-forward     x + h + A(h), both
    pfeiffer   LN(A(LN(h + x)) + h + x), feed-forward only      x + h + A(h), feed-forward only
    parallel   LN(h + s A(x) + x), feed-forward only            x + h + s A(LN(x)), feed-forward only

Houlsby et al. 2019, https://arxiv.org/abs/1902.00751; Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247; He et al.
2022, https://arxiv.org/abs/2110.04366. The layer itself is in `tunesmith/peft.py`.

In convolutional networks h + A(h) stands at the end of each branch, before the residual sum, and A is two convolutions
of 1 x 1: the same bottleneck at every pixel (Rebuffi et al. 2018, https://arxiv.org/abs/1803.10082).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from tunesmith.bases.family import TwoTowers, VisionFamily, plain
from tunesmith.errors import TunesmithError
from tunesmith.methods import Ecosystem, Grid, Learnt, Method, _peft, _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Adapter(Method):
    """A bottleneck after (or beside) sublayers; identity at the start."""

    name: Literal["adapter"] = "adapter"
    place: Literal["houlsby", "pfeiffer", "parallel"] = "pfeiffer"
    """Where adapters stand; see the top of this page. houlsby has two a block and twice the parameters."""
    reduction_factor: PositiveInt = 16
    """Width of the base divided by this is the width of the bottleneck: larger means fewer parameters."""
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    """Between the two projections, and nowhere else."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Factor s of the adapter's output; null: 4 for parallel, 1 for the others, as in the papers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    top: PositiveInt | None = None
    """Only in the top k blocks; the blocks below never move and cost no gradients."""

    rate: ClassVar[float] = 1e-3
    width_power: ClassVar[int] = 1
    grid: ClassVar[Grid] = (*Method.grid, {"reduction_factor": 4})
    """The width of the bottleneck is what its quality is bought with (Houlsby et al. 2019, figure 4)."""
    ecosystem: ClassVar[Ecosystem] = "tunesmith"
    averages: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Any]] = {"reduction_factor": {"choice": [2, 8, 16, 64]}}
    """Houlsby et al. chose the size of the bottleneck by validation for each task (their section 3.2)."""
    stays: ClassVar[str] = "its bottlenecks have a bend in the middle, and no matrix of a layer equals them"
    prefer: ClassVar[str] = "many tasks share one base and the update must not be linear; it stays in the network"
    source: ClassVar[str] = "Houlsby et al. 2019, https://arxiv.org/abs/1902.00751"

    def keeps_base(self) -> bool:
        return True

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        if isinstance(family, (VisionFamily, TwoTowers)):
            return self._apply_to_seen(net, family)
        config = _weights.config(net)
        width = int(getattr(config, "hidden_size", None) or config.get_text_config().hidden_size)
        if self.reduction_factor > width:
            raise TunesmithError(
                f"method.reduction_factor: {self.reduction_factor} leaves no bottleneck in a base of width {width}; "
                f"the bottleneck is width / reduction_factor. Use at most {width}"
            )
        layers, mode = self._place(family)
        return _peft.wrap(
            net,
            family,
            "BottleneckConfig",
            target_modules=family.pattern(layers, _peft.top_blocks(net, family, self.top)),
            bottleneck_size=width // self.reduction_factor,
            activation=self.activation,
            scale=(4.0 if self.place == "parallel" else 1.0) if self.scale is None else self.scale,
            dropout=self.dropout,
            mode=mode,
        )

    def base_objection(self, family: "Family") -> str | None:
        if isinstance(family, VisionFamily) and not family.attends and self.place != "pfeiffer":
            return (
                f"adapter: place {self.place} is in a block of a transformer, and {family.name} has convolutions, with "
                "one place for an adapter: the end of a block's branch. Use pfeiffer"
            )
        return None

    def _apply_to_seen(self, net: "nn.Module", family: VisionFamily | TwoTowers) -> "nn.Module":
        """Widths differ from stage to stage and from tower to tower; each bottleneck is a share of its own."""
        branched = isinstance(family, VisionFamily) and not family.attends
        layers, mode = ((family.branch,), "output") if branched else self._place(family)  # type: ignore[union-attr]
        return _peft.wrap(
            net,
            family,
            "BottleneckConfig",
            target_modules=family.pattern(layers, _peft.top_blocks(net, family, self.top)),
            reduction=self.reduction_factor,
            activation=self.activation,
            scale=(4.0 if self.place == "parallel" else 1.0) if self.scale is None else self.scale,
            dropout=self.dropout,
            mode=mode,
        )

    def _place(self, family: "Family") -> tuple[tuple[str, ...], str]:
        if self.place == "houlsby":
            return (family.attention_out, family.feed_forward_out), "output"
        if self.place == "pfeiffer":
            return ((family.feed_forward_norm,), "norm") if family.post_norm else ((family.feed_forward_out,), "output")
        if not family.feed_forward:
            raise TunesmithError(
                f"method.place: parallel stands around the module of the feed-forward sublayer, and a {family.name} "
                "block has none, only its two layers. Use pfeiffer or houlsby"
            )
        inside_out = family.feed_forward == "output"  # BERT's module takes (intermediate, input) and adds the input
        return (family.feed_forward,), "residual" if inside_out else "beside"

    def save(self, net: "nn.Module", folder: Path) -> None:
        _peft.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        import tunesmith.peft

        return _peft.load(net, folder, tunesmith.peft.NAME)

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        rows = []
        for path, layer in plain(net).named_modules():
            if hasattr(layer, "bottleneck_up"):
                name = next(n for n in layer.active_adapters if n in layer.bottleneck_up)
                norms = [
                    float(part[name].weight.detach().norm()) for part in (layer.bottleneck_down, layer.bottleneck_up)
                ]
                rows.append((path.removeprefix(f"{family.blocks}."), *norms))
        return [Learnt("How much each adapter does (0 = nothing yet)", ("place", "|down|", "|up|"), tuple(rows))]
