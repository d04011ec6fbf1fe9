"""What is read of data, base and machine before anything is advised; no weight is loaded here."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.advising.case import Case
from tunesmith.bases.about import parameters_of
from tunesmith.bases.find import Found
from tunesmith.bases.fit import MANY_PIECES, MANY_UNKNOWN, Fit, fit
from tunesmith.bases.load import max_positions
from tunesmith.data import Record, Roles
from tunesmith.data.drift import evenly
from tunesmith.data.languages import chances, installed
from tunesmith.data.roles import text_of
from tunesmith.errors import TunesmithError
from tunesmith.model import family_for
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.tasks import Facts

LOOKED_AT = 1000
"""Rows whose lengths, words and language are looked at; they are taken evenly."""
_MULTIPLE = 16


@dataclass(frozen=True)
class Wish:
    """What is asked beside the plan."""

    memory_mb: int | None = None
    budget_minutes: float | None = None
    switch: int = 1
    fixed_base: bool = False


@dataclass(frozen=True)
class Look:
    """The data of a plan with one base, as far as anything was read."""

    plan: Plan
    found: Found
    prepared: Prepared
    tokenizer: Any
    facts: Facts

    @property
    def train(self) -> Sequence[Record]:
        """Training rows."""
        return self.prepared.splits["train"]

    @property
    def roles(self) -> Roles:
        """What their columns mean."""
        return self.prepared.roles

    @property
    def texts(self) -> list[str]:
        """Texts of a sample; nothing where rows are no texts."""
        if self.roles.wordless or family_for(self.plan, self.found).sense not in ("text", "text beside images"):
            return []
        return [spoken(record, self.roles) for record in evenly(self.train, LOOKED_AT)]


def look(plan: Plan, found: Found, prepared: Prepared) -> Look:
    """The data with that base. Raises TunesmithError where the base cannot serve the task."""
    family = family_for(plan, found)
    if text := plan.task.base_objection(family):
        raise TunesmithError(f"task: {text}")
    plan = plan.model_copy(update={"task": prepared.plan.task})
    tokenizer = plan.task.processor(found)
    facts = plan.task.study(prepared.splits["train"], prepared.roles)
    facts = facts.model_copy(update={"encoder_decoder": family.decodes})
    facts = plan.task.meet(facts, tokenizer, family)
    return Look(plan, found, prepared, tokenizer, facts)


def case_of(seen: Look, wish: Wish, machine: dict[str, Any]) -> Case:
    """What is known of the plan's data with that base; what only the base's weights can tell is left open."""
    plan, found, task = seen.plan, seen.found, seen.plan.task
    family, blocks = family_for(plan, found), blocks_of(found)
    lengths = lengths_of(seen)
    fits = fit(seen.tokenizer, texts) if (texts := seen.texts) else None
    return Case(
        task=task.name, kind=task.kind, writes=task.writes, sense=family.sense, rows=len(seen.train),
        pairs=len(seen.roles.texts) == 2, **_classes(seen), **lengths, max_tokens=getattr(task, "max_tokens", None),
        language=language_of(texts), **_fit(fits), base_millions=round(parameters_of(found) / 1e6, 2), blocks=blocks,
        upper_blocks=None if blocks is None else max(min(2, blocks), math.ceil(blocks / 4)),
        decoder=family.decoder, sentence_encoder=(found.folder / "modules.json").is_file(),
        gpu=machine["gpu"], bf16=machine["bf16"],
        memory_mb=machine["memory_mb"] if wish.memory_mb is None else wish.memory_mb,
        budget_minutes=wish.budget_minutes, switch=wish.switch, fixed_base=wish.fixed_base,
    )  # fmt: skip


def machine() -> dict[str, Any]:
    """{gpu, bf16, memory_mb, cores}: what there is to compute with."""
    import os

    import torch

    from tunesmith.engine.memory import room

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return {"gpu": device.type == "cuda", "bf16": bf16, "memory_mb": room(device) // 10**6,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}  # fmt: skip


def blocks_of(found: Found) -> int | None:
    """Blocks of the base by its configuration; None where that has no number for it."""
    names = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")
    config = found.config.get("text_config") or found.config
    return next((int(config[name]) for name in names if name in config), None)


def spoken(record: Record, roles: Roles) -> str:
    """What a row says, in one text."""
    return "\n".join(_said(record.cells.get(column), record, column) for column in roles.texts)


def _said(cell: Any, record: Record, column: str) -> str:
    """A cell as text; of a conversation its messages, of words in a list their line."""
    if isinstance(cell, list):
        return " ".join(_said(each, record, column) for each in cell)
    if isinstance(cell, dict):
        return " ".join(str(cell[name]) for name in ("content", "value") if cell.get(name))
    return text_of(record, column)


def language_of(texts: Sequence[str]) -> str | None:
    """The language of most texts; OTHER where only the script is known; None for none."""
    found = Counter[str]()
    by_words = installed()
    for text in evenly(texts, 200):
        if told := chances(text, by_words=by_words):
            found[max(told, key=lambda name: told[name])] += 1
    return found.most_common(1)[0][0] if found else None


def _classes(seen: Look) -> dict[str, Any]:
    """{classes, smallest_class, rows_per_class, imbalance} of labels that are counted; nothing of other answers."""
    counts = [n for n in _counted(seen) if n > 0]
    if len(counts) < 2:
        return {}
    each = round(len(seen.train) / len(counts), 1)
    return {"classes": len(counts), "smallest_class": min(counts), "rows_per_class": each,
            "imbalance": round(max(counts) / min(counts), 1)}  # fmt: skip


def _counted(seen: Look) -> list[int]:
    label = seen.roles.label
    if label is None or seen.plan.task.kind not in ("classes", "multilabel"):
        return []
    found = Counter[str]()
    for record in seen.train:
        cell = record.cells[label]
        found.update(map(str, dict.fromkeys(map(str, cell))) if isinstance(cell, list) else [str(cell)])
    return list(found.values())


def lengths_of(seen: Look) -> dict[str, Any]:
    """{tokens_median, tokens_p99, tokens_needed} of a sample that nothing is cut off of, where the task has a limit."""
    task, sample = seen.plan.task, evenly(seen.train, LOOKED_AT)
    if "max_tokens" not in type(task).model_fields or seen.roles.wordless:
        return {}
    room = min(max_positions(seen.found), 4096)
    whole = task.model_copy(update={"max_tokens": room})
    lengths = whole.encode(sample, seen.roles, seen.tokenizer, seen.facts).lengths
    longest = int(np.quantile(lengths, 0.99))
    needed = min(room, -(-longest // _MULTIPLE) * _MULTIPLE)
    return {"tokens_median": int(np.median(lengths)), "tokens_p99": longest, "tokens_needed": needed}


def _fit(fits: Fit | None) -> dict[str, Any]:
    if fits is None:
        return {}
    readable = fits.unknown_share < MANY_UNKNOWN and fits.pieces_per_word < MANY_PIECES
    return {"unknown_share": round(fits.unknown_share, 4), "pieces_per_word": round(fits.pieces_per_word, 2),
            "readable": readable}  # fmt: skip
