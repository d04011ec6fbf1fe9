"""Prefix tuning: learn keys and values that every block attends to in front of the row's own.

    attention(q, [K_P; K], [V_P; V])        K_P, V_P: P learnt rows a block; no virtual token is ever computed

Positions of the row are shifted by P, so P comes off the longest input. Keys start small: at the start attention is
only thinned out by P near-zero entries.

Li & Liang 2021, https://arxiv.org/abs/2101.00190; one for each block as in P-tuning v2, https://arxiv.org/abs/2110.07602.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from tunesmith.bases.family import FAMILIES
from tunesmith.errors import TunesmithError
from tunesmith.methods import Learnt, Method, _peft, _prompt, _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Prefix(Method):
    """Learnt keys and values in every block."""

    name: Literal["prefix"] = "prefix"
    tokens: PositiveInt = 20
    """How many key-value pairs a block; they count towards the base's longest input."""
    projection: bool = False
    """Make them by a small network while training (it is dropped afterwards): steadier, and slower to train."""
    hidden: PositiveInt | None = None
    """Width of that network; null: the width of the base."""

    rate: ClassVar[float] = 3e-2
    packs: ClassVar[bool] = False
    space: ClassVar[Mapping[str, Any]] = {"tokens": {"log_integer": [5, 50]}}
    """Li and Liang 2021 found the best length to differ by task (their figure 4)."""
    stays: ClassVar[str] = "its keys and values stand before every row and are no weights of the base"
    prefer: ClassVar[str] = "the base must stay untouched in memory and rows of many tasks share it"
    source: ClassVar[str] = "Li & Liang 2021, https://arxiv.org/abs/2101.00190"

    def objection(self, plan: Any) -> str | None:
        if self.hidden is not None and not self.projection:
            return "prefix: hidden is the width of the projection, which is off; set projection: true or remove hidden"
        return None

    def base_objection(self, family: "Family") -> str | None:
        if family.prefix:
            return None
        if fault := _prompt.unseen("prefix", family):
            return fault
        if family.purpose == "seq2seq":
            return (
                f"prefix: PEFT 0.21 gives block i of the decoder of an encoder-decoder ({family.name}) the keys and "
                "values of block 2i, so that half of them are never read. Use prompt, which stands before the source, "
                "or lora"
            )
        able = ", ".join(name for name, f in FAMILIES.items() if f.prefix)
        return f"prefix needs past keys and values, which {family.name} does not take (only {able}). Use prompt or lora"

    def keeps_base(self) -> bool:
        return True

    def auto_rate(self) -> float:
        return 1e-3 if self.projection else self.rate

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        import torch

        if fault := self.objection(None):
            raise TunesmithError(f"method: {fault}")
        if fault := self.base_objection(family):
            raise TunesmithError(f"method: {fault}")
        config: Any = net.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        made = {"num_attention_heads": heads, "token_dim": heads * _head_width(config)}
        settings = _prompt.sizes(net, self.tokens) | made
        hidden = {"encoder_hidden_size": self.hidden or config.hidden_size} if self.projection else {}
        wrapped = _peft.wrap(net, family, "PrefixTuningConfig", prefix_projection=self.projection, **hidden, **settings)
        if not self.projection:
            torch.nn.init.normal_(_prompt.encoder(wrapped).embedding.weight, std=0.02)
        return wrapped

    def extra_tokens(self) -> int:
        return self.tokens

    def rate_scale(self, net: "nn.Module") -> float:
        """Decoders whose heads are narrower than 64 want longer steps: fewer places of a key add up to a score."""
        if self.projection or not _weights.family_in(net).decoder:
            return 1.0
        return min(10.0, max(1.0, 64 / _head_width(_weights.config(net))))

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        return _peft.head_factor(net, self.auto_rate() * self.rate_scale(net))

    def save(self, net: "nn.Module", folder: Path) -> None:
        _peft.save(net, folder)

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        return _peft.load(net, folder, "PREFIX_TUNING")

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        config = _peft.settings_of(net)
        shape = (config.num_virtual_tokens, config.num_layers, 2, config.token_dim)
        norms = _prompt.virtual(net).float().view(shape).norm(dim=-1).mean(dim=0).tolist()
        rows = tuple((block, keys, values) for block, (keys, values) in enumerate(norms))
        return [Learnt("Mean length of the learnt keys and values by block", ("block", "keys", "values"), rows)]


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
