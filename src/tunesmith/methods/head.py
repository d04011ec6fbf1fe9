"""Head only: the base is a fixed reader, and only what stands on it learns."""

from typing import TYPE_CHECKING, ClassVar, Literal

from tunesmith.errors import TunesmithError
from tunesmith.methods import Grid, _weights

if TYPE_CHECKING:
    from torch import nn

    from tunesmith.bases.family import Family


class Head(_weights.OwnWeights):
    """The backbone is frozen; the head, pooler included, learns. Of a language model: its head over the vocabulary,
    without a word table that the embeddings share."""

    name: Literal["head"] = "head"
    pooler: bool = True
    """Whether dense layers before the last linear layer (BERT's pooler, RoBERTa's dense) learn, too."""

    head_alone: ClassVar[bool] = True
    rate: ClassVar[float] = 5e-3
    grid: ClassVar[Grid] = ({"rate": 1 / 3}, {"pooler": False})
    """Whether a pretrained pooler moves, too, decides between a linear probe and a small network."""
    prefer: ClassVar[str] = "there are very few rows or seconds: the frozen base costs no gradients"
    source: ClassVar[str] = "Peters et al. 2019, To Tune or Not to Tune?, https://arxiv.org/abs/1903.05987"

    def base_objection(self, family: "Family") -> str | None:
        if not self.pooler and family.purpose == "image_text":
            return f"head: pooler has no effect on {family.name}, whose towers have one head each. Remove it"
        return None

    def rate_scale(self, net: "nn.Module") -> float:
        return 0.1 if _weights.family_in(net).purpose == "image_text" else 1.0  # a pretrained head is not drawn anew

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        _weights.only(net, family, lambda name, parameter: False)
        if not family.head:
            for parameter in _word_head(net, family):
                parameter.requires_grad_(True)
        elif not self.pooler:
            last = _last_linear(net, family)
            for name, parameter in _weights.named(net, family).items():
                parameter.requires_grad_(name.startswith(f"{last}."))
        return net


def _word_head(net: "nn.Module", family: "Family") -> "list[nn.Parameter]":
    table = net.get_input_embeddings().weight  # type: ignore[operator]
    own = [p for name, p in net.named_parameters() if family.is_word_head(name) and p is not table]
    if not own:
        raise TunesmithError(
            f"method: the head of this {family.name} base is its word table, so training it would move the input of "
            "every block. Use layers with top: 1, or lora"
        )
    return own


def _last_linear(net: "nn.Module", family: "Family") -> str:
    from torch import nn

    last = net.get_submodule(family.head[-1])
    return [f"{family.head[-1]}.{path}".rstrip(".") for path, m in last.named_modules() if isinstance(m, nn.Linear)][-1]
