"""Tiny language models that see, and pictures with captions and questions, made offline.

`make("llava", folder)` writes a complete base folder with random weights: config.json, model.safetensors, a tokenizer
with its template, and the library's own processor. `asked(folder)` draws squares of a colour and a place and writes a
table of photo, question and answer; `captioned(folder)` one of photo and caption.
"""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlavaProcessor,
    PaliGemmaProcessor,
)

import tiny

FAMILIES = ("llava", "paligemma")
SIDE, PATCH = 16, 8
COLOURS = {"red": (230, 40, 40), "blue": (50, 80, 235), "green": (40, 200, 60)}
PLACES = {"left": 1, "right": 9}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] }}{% endfor %}"
    "{{ eos_token if m['role'] == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
"""As LLaVA's own: messages in parts."""
_TEXT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
         "intermediate_size": 48, "max_position_embeddings": 128, "attention_dropout": 0.1}  # fmt: skip
_VISION = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
           "image_size": SIDE, "patch_size": PATCH, "projection_dim": 32}  # fmt: skip


def make(family: str, folder: Path, seed: int = 0) -> Path:
    """A complete base folder; same seed, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    processor = _processor(family)
    words = processor.tokenizer
    text = _TEXT | {"model_type": "llama" if family == "llava" else "gemma", "vocab_size": len(words)}
    text |= {f"{role}_token_id": getattr(words, f"{role}_token_id") for role in ("pad", "bos", "eos")}
    vision = _VISION | {"model_type": "clip_vision_model" if family == "llava" else "siglip_vision_model"}
    image = processor.image_token_id
    more: dict[str, Any] = {"image_token_index": image}
    more |= {"vision_feature_layer": -2, "image_seq_length": 4} if family == "llava" else {"projection_dim": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, text_config=text, vision_config=vision, **more)
        net = AutoModelForImageTextToText.from_config(config)
        for name, parameter in net.named_parameters():
            if parameter.dim() == 1:  # biases and norms: off 0 and 1
                parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
            elif "vision" in name or "projector" in name or "layers" in name:
                parameter.data.normal_(std=0.15)
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _processor(family: str) -> Any:
    llava = family == "llava"
    words = tiny.make_tokenizer("llama")
    kind = "CLIPImageProcessor" if llava else "SiglipImageProcessor"
    how = {"do_resize": True, "do_center_crop": False, "size": {"height": SIDE, "width": SIDE},
           "image_mean": [0.4] * 3, "image_std": [0.3] * 3}  # fmt: skip
    images = getattr(transformers, f"{kind}Pil")(**how)
    if llava:
        words.add_special_tokens({"additional_special_tokens": ["<image>"]})
        words.chat_template = TEMPLATE
        return LlavaProcessor(
            images, words, patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1
        )
    images.image_seq_length = (SIDE // PATCH) ** 2
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A:0 $B:1")  # as it asks
    return PaliGemmaProcessor(images, words)


@cache
def _square(colour: str, place: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 30, (20, 20, 3)).astype(np.uint8)
    made[4:16, PLACES[place] : PLACES[place] + 9] = COLOURS[colour]
    return Image.fromarray(made)


def _draw(folder: Path, count: int) -> list[tuple[str, str, str]]:
    """(file, colour, place) of each picture."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        colour, place = list(COLOURS)[number % 3], list(PLACES)[number // 3 % 2]
        name = f"photos/{number:03}.png"
        _square(colour, place, number).save(folder / name)
        found.append((name, colour, place))
    return found


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def asked(folder: Path, count: int = 24) -> Path:
    """A table of questions: two about each picture."""
    rows = []
    for name, colour, place in _draw(folder, count):
        rows += [(name, "which colour ?", colour), (name, "where is the square ?", place)]
    return _table(folder / "asked.csv", ("photo", "question", "answer"), rows)


def captioned(folder: Path, count: int = 24) -> Path:
    """A table of captions."""
    rows = [(name, f"a {colour} square at the {place}") for name, colour, place in _draw(folder, count)]
    return _table(folder / "captioned.csv", ("photo", "caption"), rows)


def tree(base: Path, data: Path, run: Path | None = None, method: Any = "lora", **more: Any) -> dict[str, Any]:
    """A plan of a few seconds; `task`, `train` and `evaluate` are merged into its own."""
    task = {"name": "generate", "image": "photo", "max_tokens": 64, "decode": {"max_new_tokens": 8}}
    train = {"epochs": 1, "batch": 12, "lr": 0.01}
    return {
        "task": task | more.pop("task", {}), "base": str(base), "data": str(data), "method": method,
        "train": train | more.pop("train", {}),
        "evaluate": {"resamples": 100, "baselines": []} | more.pop("evaluate", {}),
    } | more | ({"run": str(run)} if run else {})  # fmt: skip


def made(plan: dict[str, Any]) -> tuple[Any, list[Any]]:
    """(a fresh model, the rows of its file)."""
    from tunesmith.bases.find import find
    from tunesmith.data.ledger import Ledger
    from tunesmith.data.table import read
    from tunesmith.flows import fitted
    from tunesmith.model import build, facts_for
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import run_steps

    plan_, found = make_plan(plan), find(plan["base"])
    plan_ = fitted(plan_, found)
    table, ledger = read(Path(plan["data"])), Ledger()
    task = plan_.task.resolved(table)
    plan_ = plan_.model_copy(update={"task": task})
    rows = task.taken_in(ledger.add(table), ledger)
    records = list(run_steps(plan_, "every_row", rows, task.roles(), ledger))
    processor = task.processor(found)
    return build(plan_, facts_for(plan_, records, task.roles(), found, processor), found, processor), records
