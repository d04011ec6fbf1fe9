"""Sections of a plan that speak of numbers alone: how training runs, and which shortcuts the engine may take."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from tunesmith.described import Described
from tunesmith.errors import TunesmithError

Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


class Section(Described):
    """A named group of settings."""


class Galore(Section):
    """AdamW in the directions in which a matrix's gradient is largest."""

    rank: PositiveInt = 128
    """How many of them; a matrix that has no more is moved by plain AdamW."""
    every: PositiveInt = 200
    """Steps after which they are looked for anew."""
    scale: Rate = 0.25
    """Factor of the update."""


def _switch(value: Any) -> Any:
    """YAML reads the words on and off as true and false."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class Train(Section):
    """How the training runs."""

    epochs: PositiveInt | Literal["auto"] = "auto"
    """Passes over the training rows. auto: more for small data, 3 to 20."""
    max_steps: NonNegativeInt | None = None
    """Stop after so many optimizer steps, if the epochs have more; the learning rate runs its course over them. 0: no
    training, for tasks that a base answers as it is (generate; classify with readout: verbalizer)."""
    lr: Rate | Literal["auto"] = "auto"
    """Peak learning rate; auto: the method's own default."""
    head_lr: Rate | None = None
    """Learning rate of the head, where it should differ."""
    batch: Annotated[
        PositiveInt, WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"const": "auto"}]})
    ] = 32
    """Rows in one optimizer step. What fits in memory is a matter of `micro_tokens`, not of this: auto is 32 rows, in
    forward passes as large as fit (`fit`)."""
    batch_tokens: PositiveInt | None = None
    """Tokens in one optimizer step, instead of `batch` rows: steps of even cost where texts differ much in length."""
    micro_tokens: PositiveInt = 2048
    """Tokens in one forward pass: a batch is split into such pieces, sorted by length, and their gradients add up to
    exactly the big batch's (gradient accumulation)."""
    fit: bool = False
    """Take the largest `micro_tokens` that fits into the memory that is free when the run begins; it is written into
    the run's plan, so that going on and repeating use the same. `batch: auto` says it, too."""
    optimizer: Literal["adamw", "sgd", "adafactor", "lion", "adamw8bit", "galore"] = "adamw"
    """lion and galore need the extra [optim], adamw8bit the extra [quant]. galore: AdamW on gradients of low rank, for
    methods that move whole matrices: about a fifth of AdamW's state at an eighth of the rank."""
    galore: Galore = Galore()
    """Its settings."""
    weight_decay: NonNegativeFloat = 0.01
    """Not applied to biases and norms."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """For sgd."""
    clip: Rate | None = 1.0
    """Largest gradient norm."""
    schedule: Literal[
        "linear",
        "cosine",
        "restarts",
        "polynomial",
        "step",
        "constant",
        "inverse_sqrt",
        "plateau",
        "cyclic",
        "one_cycle",
    ] = "linear"
    """Course of the learning rate after warm-up. restarts: cosine with `cycles`; plateau: falls when stuck; cyclic:
    climbs and falls in straight lines, `cycles` times; one_cycle: climbs for 30 % of the run, then falls to almost
    nothing. The last two warm up by themselves."""
    warmup: NonNegativeFloat | str = 0.06
    """Share of the run (0.06), or '100 steps', or '1 epoch'."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Lowest learning rate, as a share of the peak."""
    cycles: PositiveInt = 3
    """Restarts of `restarts`, drops of `step`, cycles of `cyclic`."""
    power: Rate = 2.0
    """Exponent of `polynomial`."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What `step` and `plateau` multiply the rate by."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Override of every dropout of the base that is trained."""
    batch_norm: Literal["fixed", "moving"] = "fixed"
    """Running statistics of batch norms, in bases for images. fixed: as they were pretrained, while their weights may
    learn. moving: those of layers that learn follow the batches; for large batches that look unlike the pretraining."""
    neftune: Rate | None = None
    """Noise on the embeddings of words while training, uniform within alpha / sqrt(tokens x width); 5 to 15 are usual
    (NEFTune). It costs the trunk cache and shared beginnings: what they keep would be noisy."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an average of the weights that is evaluated and kept instead of the last ones."""
    swa: Annotated[float, Field(ge=0, lt=1)] | None = None
    """From this share of the run on, the mean of the weights at the end of each epoch is evaluated and kept instead of
    the last ones (stochastic weight averaging); 0.5 to 0.75 are usual, with `schedule: constant` or `cyclic`."""
    evaluate_every: str = "1 epoch"
    """'200 steps', '1 epoch' or '60 seconds'."""
    save_every: str = "1 epoch"
    """When a checkpoint is written, besides at a signal: '200 steps', '1 epoch' or '60 seconds'."""
    log_every: str = "10 steps"
    """When a line goes into history.jsonl."""
    patience: PositiveInt | None = 3
    """Stop after so many evaluations without a better value; null: never."""
    best: str | None = None
    """Metric that picks the checkpoint and stops early; the task's first unless named, or 'loss'."""
    keep: Literal["best", "last"] = "best"
    """Which weights become the model."""
    checkpointing: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = "auto"
    """Compute the blocks again in the backward pass instead of keeping what they computed: the same result to the bit,
    for less memory and a third more work. auto: only where the forecast does not fit into the memory that is free."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where a GPU has it, else fp32."""
    log: Literal["none", "tensorboard", "mlflow"] = "none"
    """A further place for the curves; needs the extra [track]."""
    seed: NonNegativeInt = 0
    """The one source of randomness: rows, weights, dropout, resampling."""

    @model_validator(mode="before")
    @classmethod
    def _as_fits(cls, value: Any) -> Any:
        """`batch: auto` is a word for the default number of rows and `fit`."""
        if isinstance(value, dict) and value.get("batch") == "auto":
            return {k: v for k, v in value.items() if k != "batch"} | {"fit": True}
        return value


class Engine(Section):
    """Shortcuts: work that is left out because it cannot change the result. Each can be switched off."""

    pack: bool = True
    """Rows end to end instead of padded batches, each attending to itself alone."""
    reads: bool = True
    """The last block only at the positions that the head reads."""
    head: bool = True
    """Language models: the output layer and the loss only where something is learnt, never all logits at once."""
    prefix: bool = True
    """Language models: tokens with which several rows of a step begin run once."""
    cache: Annotated[Literal["auto", "disk", "memory", "off"], BeforeValidator(_switch)] = "auto"
    """Blocks that never move run once for each row. disk: kept for other runs, too. auto: on disk, or in memory where
    the disk has no room."""
    cache_dtype: Literal["fp32", "bf16"] = "fp32"
    """Format of the cache. fp32 changes nothing; bf16 halves its size and rounds to 3 digits."""
    cache_gb: Annotated[float, Field(gt=0)] = 4.0
    """Room on disk for all caches together; the least recently used ones make way."""
    check: bool = True
    """Before the first step, compare each shortcut with the library's own forward pass on three rows."""


OWN_WARMUP = ("cyclic", "one_cycle")
"""Schedules that start low by themselves."""
_USED_BY = {
    "momentum": ("optimizer", ("sgd",)), "cycles": ("schedule", ("restarts", "step", "cyclic")),
    "power": ("schedule", ("polynomial",)), "factor": ("schedule", ("step", "plateau")),
    "galore": ("optimizer", ("galore",)),
}  # fmt: skip

_LIBRARIES = {
    ("log", "tensorboard"): ("tensorboard", "track"), ("log", "mlflow"): ("mlflow", "track"),
    ("optimizer", "lion"): ("pytorch_optimizer", "optim"), ("optimizer", "galore"): ("pytorch_optimizer", "optim"),
    ("optimizer", "adamw8bit"): ("bitsandbytes", "quant"),
}  # fmt: skip


def require_libraries(train: Train) -> None:
    """Raise TunesmithError where a setting needs a library that is not installed: before any row is read. A plan that
    names it is right elsewhere, so this is no objection to the plan."""
    from importlib.util import find_spec

    for (field, value), (library, extra) in _LIBRARIES.items():
        if getattr(train, field) == value and find_spec(library) is None:
            raise TunesmithError(f"train.{field}: {value} needs the library {library}, which is not installed. "
                                 f"Run: pip install 'tunesmith[{extra}]'")  # fmt: skip


def train_objections(train: Train) -> list[str]:
    """Settings of training that do not go together, or have no effect."""
    from tunesmith.moments import Moment

    found = []
    for field, (owner, values) in _USED_BY.items():
        if getattr(train, field) != Train.model_fields[field].default and getattr(train, owner) not in values:
            named = " and ".join(filter(None, (", ".join(values[:-1]), values[-1])))
            found.append(f"train.{field} has no effect with train.{owner}: {getattr(train, owner)} "
                         f"(it belongs to {named})")  # fmt: skip
    if train.schedule in OWN_WARMUP and train.warmup != Train.model_fields["warmup"].default:
        found.append(f"train.warmup has no effect with train.schedule: {train.schedule}, which climbs by itself")
    if train.ema is not None and train.swa is not None:
        found.append("train.swa and train.ema are two averages of the same weights: remove one of the two")
    if train.batch_tokens is not None and train.batch != Train.model_fields["batch"].default:
        found.append("train.batch has no effect with train.batch_tokens: remove one of the two")
    if train.fit and train.micro_tokens != Train.model_fields["micro_tokens"].default:
        found.append("train.micro_tokens has no effect with train.fit (or train.batch: auto): remove one of the two")
    for field in ("evaluate_every", "save_every", "log_every", "warmup"):
        value = getattr(train, field)
        if isinstance(value, str) and (text := Moment.objection(value, seconds=field != "warmup")):
            found.append(f"train.{field}: {text}")
    if isinstance(train.warmup, float) and train.warmup >= 1:
        found.append(f"train.warmup: {train.warmup} is not a share of the run (0 to 1). For steps write "
                     f"'{train.warmup:g} steps'")  # fmt: skip
    return found
