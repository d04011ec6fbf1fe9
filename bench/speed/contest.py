"""What is measured: jobs, their arms, and the settings that every arm of a job shares.

An arm is one way to do the job: ours, a peer with its defaults, a peer with its best options. The words of an arm say
who does it and with which switches; the job says what is learnt, so that no arm can differ in method, rows or steps.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

BATCH = 16
WARMUP = 0.06
WEIGHT_DECAY = 0.01
"""As our plan has them by default; peers are told."""

SFT_ROWS, SFT_RATE = 32, 1e-3
"""Rows of a language model's job: its cost is that of a row's tokens, not of many rows."""

Kind = Literal["train", "search", "predict", "limit", "sft"]


@dataclass(frozen=True)
class Arm:
    """One way to do a job."""

    name: str
    side: Literal["ours", "trainer", "trl", "adapters", "pipeline", "sentence_transformers", "gemm"]
    options: dict[str, Any] = field(default_factory=dict)
    """For ours the plan's section `engine`; for peers arguments of theirs."""


@dataclass(frozen=True)
class Job:
    """One thing to do, by every arm."""

    name: str
    kind: Kind
    method: dict[str, Any]
    """The plan's section `method`."""
    arms: tuple[Arm, ...]
    epochs: int = 1
    data: str = "texts"
    batch: int = BATCH
    varied: tuple[dict[str, Any], ...] = ()
    """search: what each configuration changes, {method: {…}, rate: factor of the learning rate}."""

    @property
    def group(self) -> str:
        """Name of the file that its lines go into."""
        return self.name.split("-")[0]

    def plan(self, seed: int, longest: int) -> dict[str, Any]:
        """The plan of this job: no early stop, and the last weights, as a peer without evaluation has them."""
        task = {"name": "classify", "text": "text", "label": "label", "max_tokens": longest}
        own = {"log_every": "1 step", "lr": SFT_RATE} if self.kind == "sft" else {}
        return {
            "task": {"name": "generate"} if self.kind == "sft" else task,
            "base": "minilm", "data": "unused.csv", "method": self.method,
            "train": {
                "epochs": self.epochs, "batch": self.batch, "seed": seed, "patience": None, "keep": "last",
                "evaluate_every": f"{self.epochs} epochs", "warmup": WARMUP, "weight_decay": WEIGHT_DECAY, **own,
            },
        }  # fmt: skip

    def steps(self, rows: int) -> int:
        """Optimizer steps that every arm must take."""
        return self.epochs * math.ceil(rows / self.batch)


OURS = Arm("ours", "ours")
DEFAULTS = Arm("trainer", "trainer")
BEST = Arm("trainer best", "trainer", {"train_sampling_strategy": "group_by_length"})
"""What a user gains who knows every switch: rows of one length together. Fused AdamW is the default in this version."""
GROUPED = 20 * BATCH
"""Trainer sorts rows // (4 batch) batches at a time, 50 at most: with fewer rows than these it groups next to nothing,
and what is measured are the defaults once more."""
ADAPTERS = Arm("adapters", "adapters")
"""AdapterHub, in an environment of its own: `run.py --peer adapters`."""
FEATURES = Arm("sentence-transformers", "sentence_transformers")
TRL = (
    Arm("trl", "trl"), Arm("trl packing", "trl", {"packing": True}),
    Arm("trl best", "trl", {"bf16": False, "gradient_checkpointing": False, "padding_free": True, "max_length": None}),
)  # fmt: skip
"""Its defaults are bf16 autocast and gradient checkpointing. Best is what costs least on a CPU without bf16 arithmetic."""
PLAIN_ENGINE: dict[str, Any] = {"pack": False, "cache": "off", "reads": False}
_ALONE = {"pack": True}, {"pack": True, "reads": True}, {"pack": True, "cache": "auto"}
LEVERS = (
    Arm("all on", "ours"), *(Arm(f"{name} off", "ours", {name: value}) for name, value in PLAIN_ENGINE.items()),
    Arm("check off", "ours", {"check": False}), Arm("all off", "ours", {**PLAIN_ENGINE, "check": False}),
    *(Arm(f"{' and '.join(on)} alone", "ours", {**PLAIN_ENGINE, "check": False, **on}) for on in _ALONE),
)  # fmt: skip
"""Every lever off alone, and on alone; the last block at read positions and the cache work on packed rows only."""

LORA: dict[str, Any] = {"name": "lora", "targets": "qv"}
METHODS: dict[str, dict[str, Any]] = {
    "head": {"name": "head"}, "layers1": {"name": "layers", "top": 1}, "layers2": {"name": "layers", "top": 2},
    "lora2": {**LORA, "top": 2}, "lora": LORA, "adapter": {"name": "adapter"}, "full": {"name": "full"},
}  # fmt: skip
"""LoRA on query and value, as its paper has it; r, alpha and dropout are our defaults, and mirrored."""
HEAD_RATES = (0.1, 0.2, 0.35, 0.5, 1.0, 1.5, 2.0, 3.0)
LORA_RANKS, LORA_RATES = (4, 8, 16, 32), (1.0, 0.5)


def _training() -> Iterable[Job]:
    for epochs in (1, 3, 10):
        for name, method in METHODS.items():
            extra = (FEATURES,) if (name, epochs) == ("head", 3) else (ADAPTERS,) * (name in ("full", "adapter"))
            yield Job(f"{name}-{epochs}", "train", method, (OURS, DEFAULTS, BEST, *extra), epochs)
    for data in ("banking77", "mwo"):
        for name in ("head", "layers2", "lora", "full"):
            yield Job(f"{data}-{name}", "train", METHODS[name], (OURS, DEFAULTS, BEST), 3, data)


def _searches() -> Iterable[Job]:
    heads = tuple({"method": {}, "rate": rate} for rate in HEAD_RATES)
    yield Job("search_heads", "search", METHODS["head"], (OURS, DEFAULTS), 3, varied=heads)
    loras = tuple({"method": {"r": r}, "rate": rate} for r in LORA_RANKS for rate in LORA_RATES)
    yield Job("search_lora2", "search", METHODS["lora2"], (OURS, DEFAULTS), 3, varied=loras)


def _others() -> Iterable[Job]:
    pipelines = tuple(Arm(f"pipeline {n}", "pipeline", {"batch_size": n}) for n in (1, 32))
    yield Job("predict", "predict", METHODS["full"], (OURS, *pipelines, FEATURES))
    for name, epochs in (("full", 1), ("lora", 1), ("layers2", 3), ("lora2", 3), ("head", 3)):
        yield Job(f"ablation-{name}", "train", METHODS[name], LEVERS, epochs)
    for vocabulary in ("152k", "32k"):
        for share in (70, 50, 0):
            name = f"{vocabulary}-{share}"
            yield Job(f"sft-{name}", "sft", {"name": "lora"}, (OURS, DEFAULTS, *TRL), data=name)
    unlike = {"prefix off": {"prefix": False}, "check off": {"check": False}}
    unlike["prefix and check off"] = unlike["prefix off"] | unlike["check off"]
    shared = (OURS, *(Arm(f"ours, {name}", "ours", options) for name, options in unlike.items()), DEFAULTS)
    yield Job("sft-32k-shared", "sft", {"name": "lora"}, shared, data="32k-shared", batch=8)
    yield Job("limit", "limit", METHODS["full"], (Arm("gemm", "gemm"),))


JOBS: tuple[Job, ...] = (*_training(), *_searches(), *_others())


def chosen(words: list[str]) -> list[Job]:
    """Jobs by name or by what stands before the dash; all without words. Raises SystemExit for an unknown word."""
    for word in words:
        if not any(word in (job.name, job.group) for job in JOBS):
            known = ", ".join(dict.fromkeys(job.group for job in JOBS))
            raise SystemExit(f"no job '{word}'. Known: {known}; one alone is named like full-3")
    return [job for job in JOBS if not words or job.name in words or job.group in words]


def learning_rate(job: Job) -> float:
    """What our plan's `lr: auto` means for this job on this base; peers train with the same."""
    if job.kind == "sft":
        return SFT_RATE
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from tunesmith.bases.find import find
    from tunesmith.model import family_for, fitted_rate
    from tunesmith.plan_text import make_plan

    base, plan = find("minilm"), make_plan(job.plan(0, 128))
    classes: Any = AutoModelForSequenceClassification
    with torch.device("meta"):  # a rate may depend on what the network is, never on its weights here
        net = classes.from_config(AutoConfig.for_model(**base.config))
    return fitted_rate(plan.method, family_for(plan, base), base, net)
