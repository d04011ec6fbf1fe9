"""Tiny bases of two towers and pictures with captions, made offline.

`make("clip", folder)` writes config.json, model.safetensors, a tokenizer that knows the words of the captions, and
preprocessor_config.json. `captioned(folder)` draws shapes of a colour, a size and a place, with captions in English and
some in Chinese, and writes train.csv and test.csv; combinations of shape, colour and place that stand in test stand
nowhere in train.
"""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

FAMILIES = ("clip", "siglip")
SIDE = 32
COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 80, 235), "yellow": (235, 220, 50)}
SHAPES = ("square", "ring", "cross")
PLACES = {"left": (0, -1), "right": (0, 1), "top": (-1, 0), "bottom": (1, 0)}
SIZES = {"small": 4, "large": 7}
_CHINESE = dict(zip((*COLOURS, *SHAPES, *PLACES, *SIZES), "红绿蓝黄方圆叉左右上下小大", strict=True))
END = 3
"""Number of the end token. transformers takes 2 for the mark of an old file, and reads the largest number instead."""
WORDS = ("a", "shape", "photo", "of", "at", "the", "there", "is", "one", ".", "在", "边", "色", "的", "形", "有", "个")


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, Chinese by the character, an end token behind each text."""
    words = ["<pad>", "<unk>", "<s>", "</s>", *WORDS, *COLOURS, *SHAPES, *PLACES, *SIZES, *_CHINESE.values()]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(words))}, unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", eos_token="</s>",
        model_input_names=["input_ids", "attention_mask"], padding_side="right",
    )  # fmt: skip


def make(family: str, folder: Path, *, width: int = 16, depth: int = 3, dropout: float = 0.1, seed: int = 0) -> Path:
    """A complete base folder; same seed, same bytes. The text tower is one block lower than the image tower."""
    words = tokenizer()
    words.save_pretrained(folder)
    common = {"hidden_size": width, "num_attention_heads": 2, "intermediate_size": 2 * width,
              "attention_dropout": dropout, "projection_dim": width}  # fmt: skip
    text = common | {"num_hidden_layers": depth - 1, "vocab_size": len(words), "max_position_embeddings": 16,
                     "eos_token_id": END, "pad_token_id": 0, "bos_token_id": 1, "projection_size": width}  # fmt: skip
    vision = common | {"num_hidden_layers": depth, "image_size": SIDE, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, text_config=text, vision_config=vision, projection_dim=width)
        net = AutoModel.from_config(config).eval()
        for name, parameter in net.named_parameters():
            if parameter.dim() == 1:  # biases and norms: off 0 and 1
                parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
            if "position_embedding" in name or "token_embedding" in name:  # so that a short training hears of places
                parameter.data.normal_(std=0.3)
            if name == "logit_scale":
                parameter.data.fill_(2.6)
    net.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_processor(family)))
    return folder


def _processor(family: str) -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor" if family == "clip" else "SiglipImageProcessor",
        "do_resize": True, "do_rescale": True, "do_normalize": True, "do_center_crop": False,
        "image_mean": [0.2, 0.2, 0.2], "image_std": [0.3, 0.3, 0.3], "size": {"height": SIDE, "width": SIDE},
    }  # fmt: skip


def drawn(shape: str, colour: str, place: str, size: str, rng: np.random.Generator) -> Image.Image:
    """A shape somewhere near its place, on a dark noisy ground."""
    y, x = np.mgrid[:SIDE, :SIDE]
    down, right = PLACES[place]
    middle = [SIDE // 2 + 8 * step + int(rng.integers(-1, 2)) for step in (down, right)]
    half = SIZES[size]
    over, along = abs(y - middle[0]), abs(x - middle[1])
    inside = {
        "square": (over <= half) & (along <= half), "ring": abs(np.hypot(over, along) - half + 1) <= 1.2,
        "cross": (np.minimum(over, along) <= half // 3) & (np.maximum(over, along) <= half),
    }[shape]  # fmt: skip
    made = rng.integers(0, 16, (SIDE, SIDE, 3)).astype(np.uint8)
    made[inside] = np.array(COLOURS[colour]) + rng.integers(-15, 16, 3).clip(-15, 15)
    return Image.fromarray(made)


def caption(shape: str, colour: str, place: str, size: str, how: int) -> str:
    """What is seen, in one of three ways."""
    chinese = [_CHINESE.get(w, w) for w in (place, size, colour, shape)]
    return (
        f"a {size} {colour} {shape} at the {place}.",
        f"at the {place} there is one {colour} {shape}, {size}",
        "在{}边有个{}{}色的{}形".format(*chinese),
    )[how]


def captioned(folder: Path, each: int = 8, captions: int = 1, seed: int = 0) -> Path:
    """train.csv and test.csv: image, caption, colour. `each` training pictures of every combination of shape, colour
    and place, one held out in four; in test a picture of each held-out combination and size."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for i, (s, c, p) in enumerate(itertools.product(range(3), range(4), range(4))):
        kind = (SHAPES[s], list(COLOURS)[c], list(PLACES)[p])
        held = (s + c + p) % 4 == 0
        for n in range(2 if held else each):
            size = list(SIZES)[n % 2]
            file = f"images/{i:02}-{n:02}.png"
            drawn(*kind, size, rng).save(folder / file)
            ways = range(captions) if captions > 1 else [0 if n % 6 < 4 else 1 + n % 2]
            rows["test" if held else "train"] += [
                {"image": file, "caption": caption(*kind, size, w), "colour": kind[1]} for w in ways
            ]
    for name, some in rows.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file_:
            writer = csv.DictWriter(file_, list(some[0]))
            writer.writeheader()
            writer.writerows(some)
    return folder


def made(base: Path, folder: Path, method: Any = "full", file: str = "train.csv", **plan: Any) -> Any:
    """(a fresh model, the rows encoded, the rows) of a file of captions."""
    from tunesmith.bases.find import find
    from tunesmith.data.ledger import Ledger
    from tunesmith.data.table import read
    from tunesmith.model import build, facts_for
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import run_steps

    task = {"name": "image_text", **plan.pop("task", {})}
    train = {"epochs": 1, "batch": 16, "warmup": 0.0, "keep": "last", "lr": 1e-2, **plan.pop("train", {})}
    tree = {"task": task, "base": str(base), "data": str(folder / file), "method": method, "train": train, **plan}
    asked = make_plan(tree)
    table, ledger = read(folder / file), Ledger()
    asked = asked.model_copy(update={"task": asked.task.resolved(table)})
    records = list(run_steps(asked, "every_row", ledger.add(table), asked.task.roles(), ledger))
    found = find(str(base))
    processor = asked.task.processor(found)
    model = build(asked, facts_for(asked, records, asked.task.roles(), found, processor), found, processor)
    return model, model.encode(records, asked.task.roles()), records
