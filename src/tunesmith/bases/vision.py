"""Networks that see: transformers and convolutional networks for images, a row each.

    pixels -> embeddings (patches or stem) -> blocks 0 .. D-1 -> norm, pooling -> head -> logits

A block is what the library runs one after the other: a layer of a ViT, a stage of Swin, ConvNeXt and ResNet, an
inverted residual of MobileNetV2 and EfficientNet, a convolution of MobileNetV1. Layers may lie any number of modules
below their block (`layers.2.pwconv1`), and are found by the end of their path.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunesmith.bases.architecture import Family, Purpose, Sense, State


@dataclass(frozen=True)
class VisionFamily(Family):
    """A family of `AutoModelForImageClassification`. Paths of layers are ends of paths below a block."""

    purpose: Purpose = "image"
    state: State = "pooled"
    mixing: tuple[str, ...] = ()
    """Where there is no attention: convolutions (or linear layers) that mix channels, for low-rank updates. A depthwise
    convolution has no rank to lower."""
    branch: str = ""
    """Where there is no attention: the end of a block's branch before the residual sum, for bottleneck adapters."""
    every: int = 1
    """Of how many blocks in a row only the last has these layers (MobileNetV1: depthwise, then pointwise)."""
    asks_strides: bool = False
    """Whether its code asks each convolution for its stride (to pad as TensorFlow does), which PEFT's layers lack."""
    sized: bool = True
    """Whether other resolutions than the pretrained one can be read."""

    @property
    def sense(self) -> Sense:
        return "images"

    @property
    def attends(self) -> bool:
        """Whether its blocks have attention."""
        return bool(self.query)

    @property
    def linears(self) -> tuple[str, ...]:
        return self.mixing or super().linears

    def pattern(self, layers: Sequence[str], blocks: Iterable[int]) -> str:
        having = "|".join(str(b) for b in blocks if (b + 1) % self.every == 0)
        ends = "|".join(re.escape(name) for name in layers)
        return rf"(.*\.)?{re.escape(self.blocks)}\.({having})\.(.*\.)?({ends})"

    def in_block(self, path: str) -> str:
        """The end of the path that names a layer, where it names one."""
        inside = super().in_block(path)
        known = (*self.linears, self.attention_norm, self.feed_forward_norm)
        return next((end for end in known if end and f".{inside}".endswith(f".{end}")), inside)


def _transformer(name: str, blocks: str, state: State) -> VisionFamily:
    attention = {x: f"attention.{x}_proj" for x in "qkvo"}
    return VisionFamily(
        name=name, trunk=name, blocks=blocks, embeddings=(f"{name}.embeddings",), head=("classifier",), reads="first",
        query=attention["q"], key=attention["k"], value=attention["v"], attention_out=attention["o"],
        feed_forward_in=("mlp.fc1",), feed_forward_out="mlp.fc2", attention_norm="layernorm_before",
        feed_forward="mlp", feed_forward_norm="layernorm_after", post_norm=False, prefix=False, state=state,
        sized=False,
    )  # fmt: skip


def _convolutional(
    name: str, blocks: str, embeddings: str, mixing: tuple[str, ...], branch: str, every: int = 1
) -> VisionFamily:
    return VisionFamily(
        name=name, trunk=name, blocks=f"{name}.{blocks}", embeddings=(f"{name}.{embeddings}",), head=("classifier",),
        reads="first", query="", key="", value="", attention_out="", feed_forward_in=(), feed_forward_out="",
        attention_norm="", feed_forward="", feed_forward_norm="", post_norm=False, prefix=False, mixing=mixing,
        branch=branch, every=every, asks_strides=name.startswith("mobilenet"),
    )  # fmt: skip


VISION = (
    _transformer("vit", "vit.layers", "first"),
    _transformer("swin", "swin.encoder.layers", "pooled"),
    _convolutional("convnext", "encoder.stages", "embeddings", ("pwconv1", "pwconv2"), "pwconv2"),
    _convolutional("resnet", "encoder.stages", "embedder", ("convolution",), "layer"),
    _convolutional("mobilenet_v1", "layer", "conv_stem", ("convolution",), "normalization", 2),
    _convolutional(
        "mobilenet_v2", "layer", "conv_stem", ("expand_1x1.convolution", "reduce_1x1.convolution"), "reduce_1x1"
    ),
    _convolutional(
        "efficientnet", "encoder.blocks", "embeddings", ("expansion.expand_conv", "projection.project_conv"),
        "projection.project_bn",
    ),
)  # fmt: skip
