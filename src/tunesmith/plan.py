"""The plan: what was asked, as one frozen value that checks itself before anything loads."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
)

from tunesmith.bases.quant import Quant
from tunesmith.bases.rope import Rope
from tunesmith.data.table import Format
from tunesmith.methods import METHODS, Method
from tunesmith.metrics import METRICS
from tunesmith.penalties import PENALTIES, Penalty
from tunesmith.steps import STEPS, Step
from tunesmith.tasks import TASKS, Task

Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A named group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Base(Section):
    """The pretrained model to start from."""

    name: str
    """Alias (minilm), local folder, or hub id."""
    layers: PositiveInt | None = None
    """Keep only the lowest n blocks: smaller and faster, at some loss of quality."""
    quant: Quant | None = None
    """Hold the linear layers of the blocks in 4 bits (nf4, the base of QLoRA) or 8 (int8): an eighth or a quarter of
    their memory, at some loss of quality and speed. Norms, embeddings and heads stay whole. For methods that leave the
    base's own weights alone. Needs the extra [quant]."""

    rope: Rope | None = None
    """Scale the base's rotary positions, for longer texts than it was trained on; then learn from such texts. The saved
    configuration has it; an adapter's base must be loaded the same way."""

    def found(self, *, online: bool = False) -> "Found":
        """The base on this machine. Raises TunesmithError where it is not, or cannot be taken that way."""
        from tunesmith.bases.find import find

        return find(self.name, online=online, quant=self.quant, rope=self.rope)

    def objection(self, plan: "Plan") -> str | None:
        """Which other part a setting of the base does not go with; None where all do."""
        if self.rope is not None and (fault := self.rope.objection()):
            return fault
        if self.quant is None or not plan.method.moves_base():
            return None
        return (
            f"quant: {self.quant} is for a base that stays as it is, and {plan.method.name} moves its own weights or "
            "keeps the whole model. Use lora (or adapter, ia3, prompt, ptuning, prefix), or remove base.quant"
        )


class Source(Section):
    """A training file with a weight."""

    file: str
    """The file."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of its rows in the loss."""


def _file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


class Data(Section):
    """Where rows come from and how they are divided."""

    train: Annotated[
        tuple[Annotated[Source, BeforeValidator(_file)], ...], BeforeValidator(_as_list), Field(min_length=1)
    ]
    """File to learn from; or a list of files, each with a weight if wanted."""
    validation: Share | str = 0.1
    """Share of the training rows, or a file: picks the best checkpoint and thresholds."""
    test: Share | str | None = 0.1
    """Share of the training rows, or a file; judged once, never trained or tuned on. null: no test."""
    group: str | None = None
    """Column whose equal values stay on one side of the split (machine, customer, document)."""
    overlap: Literal["remove", "refuse"] = "remove"
    """What happens to training rows whose text stands in validation or test, too."""
    format: Format = Format()
    """How to read the files, where it cannot be seen from them."""


class Replay(Section):
    """Learning in instalments: a version is the base, new rows come, and what it knew should stay."""

    share: Share | None = None
    """Share of the training rows that are old ones, as far as there are enough."""
    file: str | None = None
    """Old rows; without it those that the base kept with itself."""
    keep: NonNegativeInt = 0
    """How many training rows of this run, and how many of its held-out rows, are kept inside the saved model for later
    instalments. 0: none, and nobody who gets the model gets any of your rows."""

    @property
    def rows(self) -> bool:
        """Whether old rows are learnt from."""
        return self.share is not None

    def objection(self, plan: "Plan") -> str | None:
        """Why this section cannot work in that plan; None when it can."""
        if self.file is not None and self.share is None:
            return "replay.file has no effect without replay.share: how much of it shall be learnt from?"
        if plan.task.kind not in ("classes", "multilabel", "numbers") and (self.share is not None or self.keep):
            return (
                f"replay keeps rows with a label, and task {plan.task.name} has none. Mix files in data.train instead"
            )
        return None


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
    batch: PositiveInt = 32
    """Rows in one optimizer step. What fits in memory is a matter of `micro_tokens`, not of this."""
    batch_tokens: PositiveInt | None = None
    """Tokens in one optimizer step, instead of `batch` rows: steps of even cost where texts differ much in length."""
    micro_tokens: PositiveInt = 2048
    """Tokens in one forward pass: a batch is split into such pieces, sorted by length, and their gradients add up to
    exactly the big batch's (gradient accumulation)."""
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


class Engine(Section):
    """Shortcuts: work that is left out because it cannot change the result. Each can be switched off."""

    pack: bool = True
    """Rows end to end instead of padded batches, each attending to itself alone."""
    reads: bool = True
    """The last block only at the positions that the head reads."""
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


class Evaluate(Section):
    """How the result is judged."""

    metrics: tuple[str, ...] | None = None
    """Metrics to report; the task's own unless named."""
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples behind each interval."""
    level: Share = 0.95
    """Confidence level of the intervals."""
    baselines: (
        tuple[Literal["majority", "longer", "tfidf", "pixels", "probe", "bm25", "dictionary", "untuned"], ...] | None
    ) = None
    """What stands beside the result; the task's own unless named. majority: the most frequent answer. longer: the
    answer with more tokens, for reward. tfidf: word counts with a linear model. pixels: small images with one. probe:
    the frozen base with one. bm25: passages ranked by shared words. dictionary: for tags, each word's most frequent
    one. untuned: the base as it was, for tasks that write or compare."""
    slices: tuple[str, ...] = ()
    """Columns by whose values the metrics are reported, too."""
    forgetting: bool | str = True
    """Tasks that write: the loss on general text before and after tuning. true: on a hundred sentences that come with
    the package; a file: on its lines."""


def _mixed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return {"name": "mixed", "parts": list(value)}
    return value


def _base(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _usual_steps(value: Any, info: ValidationInfo) -> Any:
    """Where the plan names none, the task's own."""
    task = info.data.get("task")
    return list(task.usual_steps) if value is None and task is not None else value or ()


def _data(value: Any) -> Any:
    return {"train": value} if isinstance(value, (str, list, tuple)) else value


if TYPE_CHECKING:
    from tunesmith.bases.find import Found

    AnyTask = Task
    AnyMethod = Method
    AnyStep = Step
    AnyPenalty = Penalty
else:
    AnyTask, AnyMethod, AnyStep = TASKS.union(), METHODS.union(), STEPS.union()
    AnyPenalty = PENALTIES.union()


class Plan(Section):
    """Task, base and data are asked for; everything else has a default that a practitioner would choose."""

    task: AnyTask
    """What rows mean."""
    base: Annotated[Base, BeforeValidator(_base)]
    """The pretrained model to start from."""
    data: Annotated[Data, BeforeValidator(_data)]
    """Where rows come from."""
    method: Annotated[AnyMethod, BeforeValidator(_mixed)] = METHODS.make("lora")
    """How the backbone learns; a list stacks methods."""
    steps: Annotated[tuple[AnyStep, ...], BeforeValidator(_usual_steps)] = Field(None, validate_default=True)
    """Data preparation, in order; clean and dedup unless named, dedup alone for tasks that learn to write."""
    replay: Replay = Replay()
    penalties: tuple[AnyPenalty, ...] = ()
    """What joins the loss of a step, or disturbs it, so that training stays on its way."""
    train: Train = Train()
    engine: Engine = Engine()
    evaluate: Evaluate = Evaluate()
    run: str | None = None
    """Folder of the run; named after data, task, method and a digest unless given."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Metrics to report, in order."""
        return self.evaluate.metrics or self.task.metrics

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """Baselines, in order."""
        if self.evaluate.baselines is not None:
            return self.evaluate.baselines
        same = ("untuned",) if self.train.max_steps == 0 else ()  # nothing is tuned: the result itself
        return tuple(name for name in self.task.usual_baselines if name not in same)

    @property
    def best_metric(self) -> str:
        """Metric that picks the checkpoint."""
        return self.train.best or self.metric_names[0]

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        return self.method.auto_rate() if self.train.lr == "auto" else self.train.lr

    def anchored(self) -> "Plan":
        """With every file and folder as an absolute path, so that the plan works from anywhere on this machine."""
        from pathlib import Path

        def fixed(name: Any) -> Any:
            return str(Path(name).expanduser().absolute()) if isinstance(name, str) else name

        train = tuple(s.model_copy(update={"file": fixed(s.file)}) for s in self.data.train)
        files = {"train": train, "validation": fixed(self.data.validation), "test": fixed(self.data.test)}
        replay = self.replay.model_copy(update={"file": fixed(self.replay.file)})
        base = self.base
        if Path(base.name).expanduser().is_dir():
            base = base.model_copy(update={"name": fixed(base.name)})
        judged = self.evaluate.model_copy(update={"forgetting": fixed(self.evaluate.forgetting)})
        data = self.data.model_copy(update=files)
        return self.model_copy(update={"data": data, "base": base, "evaluate": judged, "replay": replay})

    def epochs(self, num_rows: int) -> int:
        """Epochs for so many training rows: about 40,000 row visits, at least 3 and at most 20."""
        if self.train.epochs != "auto":
            return self.train.epochs
        return min(20, max(3, round(40_000 / max(1, num_rows))))

    def total_steps(self, num_rows: int, per_epoch: int) -> int:
        """Optimizer steps for so many training rows: all epochs, or `train.max_steps` if that is less."""
        steps = per_epoch * self.epochs(num_rows)
        return steps if self.train.max_steps is None else min(steps, self.train.max_steps)


def objections(plan: Plan) -> list[str]:
    """Every rule between parts that this plan breaks, each with its plan path. Costs no loading."""
    parts: list[tuple[str, Any]] = [("task", plan.task), ("base", plan.base), ("method", plan.method)]
    parts.append(("replay", plan.replay))
    parts += [(f"steps.{i}", step) for i, step in enumerate(plan.steps)]
    parts += [(f"penalties.{i}", penalty) for i, penalty in enumerate(plan.penalties)]
    found = [f"{path}: {text}" for path, part in parts if (text := part.objection(plan))]
    if plan.train.max_steps == 0 and not plan.task.untrained:
        found.append("train.max_steps: 0 steps leave a new head as it was drawn. Take at least 1, or, to classify with "
                     "the base as it is, task.readout: verbalizer")  # fmt: skip
    headless = plan.task.purpose("") != "classify" and not getattr(plan.task, "vector", False)
    if plan.train.head_lr is not None and headless:
        found.append(f"train.head_lr has no effect: {plan.task.name} reads the base's own head over words and "
                     "adds none. Set train.lr, or remove it")  # fmt: skip
    methods = getattr(plan.method, "parts", (plan.method,))
    if plan.train.checkpointing == "on" and not all(type(p).packs for p in methods):
        found.append(f"train.checkpointing: {plan.method.name} puts keys before each row, and a block that runs again "
                     "would put them there twice. Leave it on auto, or use prompt")  # fmt: skip
    if plan.train.batch_norm == "moving" and (text := _statistics_objection(plan)):
        found.append(f"train.batch_norm: {text}")
    return found + _metric_objections(plan) + _train_objections(plan.train)


def _statistics_objection(plan: Plan) -> str | None:
    if not plan.task.sees:
        return "moving has no effect on a base that reads text: it has no batch norms. Remove it"
    if not type(plan.method).whole:
        return f"{plan.method.name} saves what it added to the base, and moved statistics would be lost. Use fixed"
    if plan.train.ema is not None:
        return "moving statistics belong to the last weights, and train.ema keeps an average. Remove one of the two"
    return None


def _metric_objections(plan: Plan) -> list[str]:
    found = []
    named = [*plan.metric_names] + ([plan.train.best] if plan.train.best not in (None, "loss") else [])
    for name in named:
        if name not in METRICS.names():
            from tunesmith.errors import unknown

            found.append(f"evaluate.metrics: {unknown('metric', name, METRICS.names())}")
        elif plan.task.kind not in METRICS.find(name).kinds:
            fitting = [n for n in METRICS.names() if plan.task.kind in METRICS.find(n).kinds]
            found.append(f"evaluate.metrics: {name} does not fit this task. Fitting: {', '.join(fitting)}")
        elif text := METRICS.make(name).objection(plan):
            found.append(f"evaluate.metrics: {text}")
    best = plan.best_metric
    if best in METRICS.names() and METRICS.find(best).reads_text:
        found.append(f"train.best: {best} reads written answers, which are made at the end of a run alone. Choose "
                     "perplexity, loss, or put another metric first")  # fmt: skip
    odd: list[str] = [name for name in plan.baseline_names if name not in plan.task.usual_baselines]
    if odd:
        usual = ", ".join(plan.task.usual_baselines) or "none"
        found.append(f"evaluate.baselines: {', '.join(odd)} does not fit this task. Fitting: {usual}")
    for which in dict.fromkeys([plan.metric_names[0], plan.best_metric]):
        if which in METRICS.names() and not METRICS.find(which).picks:
            found.append(f"evaluate.metrics: {which} describes answers and picks no model: put another metric first, "
                         "and train.best on one that may")  # fmt: skip
    if isinstance(plan.evaluate.forgetting, str) and plan.task.kind != "text":
        found.append("evaluate.forgetting has no effect on a task that does not write: remove it")
    if plan.train.best not in (None, "loss", *plan.metric_names):
        found.append(f"train.best: {plan.train.best} is not among the metrics that are computed: "
                     f"{', '.join(plan.metric_names)}. Add it to evaluate.metrics")  # fmt: skip
    return found


OWN_WARMUP = ("cyclic", "one_cycle")
"""Schedules that start low by themselves."""
_USED_BY = {
    "momentum": ("optimizer", ("sgd",)), "cycles": ("schedule", ("restarts", "step", "cyclic")),
    "power": ("schedule", ("polynomial",)), "factor": ("schedule", ("step", "plateau")),
    "galore": ("optimizer", ("galore",)),
}  # fmt: skip


def _train_objections(train: Train) -> list[str]:
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
    for field in ("evaluate_every", "save_every", "log_every", "warmup"):
        value = getattr(train, field)
        if isinstance(value, str) and (text := Moment.objection(value, seconds=field != "warmup")):
            found.append(f"train.{field}: {text}")
    if isinstance(train.warmup, float) and train.warmup >= 1:
        found.append(f"train.warmup: {train.warmup} is not a share of the run (0 to 1). For steps write "
                     f"'{train.warmup:g} steps'")  # fmt: skip
    return found
