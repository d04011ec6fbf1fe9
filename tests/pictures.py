"""Pictures and tiny networks that see, made offline.

`make("vit", folder)` writes config.json, model.safetensors and preprocessor_config.json of a base pretrained on 7
classes. Weights are drawn wide and biases, norms and running statistics are moved off their neutral values, so that a
wrong formula shows. `shapes(folder)` writes pictures of squares, discs and crosses of any colour in class folders.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageClassification

FAMILIES = ("vit", "swin", "convnext", "resnet", "mobilenet_v1", "mobilenet_v2", "efficientnet")
CLASSES = ("cross", "disc", "square")
SIDE = 32
_SHAPES: dict[str, dict[str, Any]] = {
    "vit": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
            "image_size": SIDE, "patch_size": 8, "hidden_dropout_prob": 0.1},
    "swin": {"image_size": SIDE, "patch_size": 4, "embed_dim": 8, "depths": [1, 2], "num_heads": [2, 2],
             "window_size": 4},
    "convnext": {"hidden_sizes": [8, 12], "depths": [1, 2], "num_stages": 2},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 2], "layer_type": "basic"},
    "mobilenet_v1": {"depth_multiplier": 0.05, "min_depth": 4},
    "mobilenet_v2": {"depth_multiplier": 0.1, "depth_divisible_by": 4, "min_depth": 4},
    "efficientnet": {"width_coefficient": 0.1, "depth_coefficient": 0.2, "image_size": SIDE, "hidden_dim": 128,
                     "depth_divisor": 4},
}  # fmt: skip
_PROCESSORS = {
    "vit": "ViTImageProcessor", "swin": "ViTImageProcessor", "convnext": "ConvNextImageProcessor",
    "resnet": "ConvNextImageProcessor", "mobilenet_v1": "MobileNetV1ImageProcessor",
    "mobilenet_v2": "MobileNetV2ImageProcessor", "efficientnet": "EfficientNetImageProcessor",
}  # fmt: skip


def make(family: str, folder: Path, seed: int = 0) -> Path:
    """A complete base folder; same seed, same bytes."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModelForImageClassification.from_config(AutoConfig.for_model(family, num_labels=7, **_SHAPES[family]))
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if tensor.dim() == 1 and tensor.is_floating_point():
                noise = torch.randn_like(tensor) * 0.1
                tensor.data.add_(noise.abs() if name.endswith("running_var") else noise)
        net.eval()
    net.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_processor(family)))
    return folder


def _processor(family: str) -> dict[str, Any]:
    common = {
        "image_processor_type": _PROCESSORS[family], "do_resize": True, "do_rescale": True, "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3],
    }  # fmt: skip
    if family in ("convnext", "resnet"):
        return common | {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875}
    if family.startswith("mobilenet"):
        crop = {"height": SIDE, "width": SIDE}
        return common | {"size": {"shortest_edge": SIDE + 4}, "do_center_crop": True, "crop_size": crop}
    return common | {"size": {"height": SIDE, "width": SIDE}}


def shape(kind: str, rng: np.random.Generator, side: int = 40) -> Image.Image:
    """A square, a disc or a cross of a colour, somewhere on a dark ground."""
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.integers(side // 3, 2 * side // 3, 2)
    size = int(rng.integers(side // 6, side // 4))
    across, down = abs(x - cx), abs(y - cy)
    inside = {
        "square": (across <= size) & (down <= size),
        "disc": across**2 + down**2 <= size**2,
        "cross": (across <= size) & (down <= size) & ((across <= size // 3) | (down <= size // 3)),
    }[kind]
    made = rng.integers(0, 60, (side, side, 3)).astype(np.uint8)
    made[inside] = rng.integers(120, 256, 3)
    return Image.fromarray(made)


def shapes(folder: Path, each: int = 8, seed: int = 0) -> Path:
    """`each` pictures of every class in a folder of its own."""
    rng = np.random.default_rng(seed)
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            shape(kind, rng).save(folder / kind / f"{number:03}.png")
    return folder
