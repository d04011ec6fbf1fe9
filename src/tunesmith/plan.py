"""The plan: what was asked, as one frozen value that checks itself before anything loads."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
)
from pydantic_core import PydanticKnownError

from tunesmith.bases.quant import Quant
from tunesmith.bases.rope import Rope
from tunesmith.data.table import Format
from tunesmith.methods import METHODS, Method
from tunesmith.penalties import PENALTIES, Penalty
from tunesmith.plan_tower import Tower
from tunesmith.settings import Engine, Section, Share, Train
from tunesmith.steps import STEPS, Step
from tunesmith.steps._perturbing import Perturbation, Perturbations, objection, usual
from tunesmith.tasks import TASKS, Task


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
    near: Literal["report", "remove", "ignore"] = "report"
    """Near-duplicates between training and held-out rows. report: they are counted and listed, and metrics are measured
    without the held-out ones, too; remove: the training rows leave; ignore: they are not looked for. Of images
    with captions: rows with the same image."""
    cache: bool = True
    """Rows whose preparation took long are kept beside the trunk caches, and found again while no byte of a file and no
    setting that they depend on differs."""
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
    beside: tuple[Literal["plain", "joint"], ...] = ()
    """What is trained in the same run to be compared with, on the held-out rows of every instalment; each takes about
    as long as the run itself. plain: this instalment without old rows and without penalties that hold on to what was
    known. joint: the base that the first instalment began from, on old and new rows at once."""

    @property
    def rows(self) -> bool:
        """Whether old rows are learnt from."""
        return self.share is not None

    def objection(self, plan: "Plan") -> str | None:
        """Why this section cannot work in that plan; None when it can."""
        if self.file is not None and self.share is None:
            return "replay.file has no effect without replay.share: how much of it shall be learnt from?"
        asked = self.share is not None or self.keep or self.beside
        if plan.task.kind not in ("classes", "multilabel", "numbers") and asked:
            return (
                f"replay keeps rows with a label, and task {plan.task.name} has none. Mix files in data.train instead"
            )
        return self._beside_objection(plan)

    def _beside_objection(self, plan: "Plan") -> str | None:
        if self.beside and plan.task.two_domains:
            return "replay.beside compares with rows of instalments, and rows here are of two domains. Remove it"
        if "joint" in self.beside and plan.method.start is not None:
            return "replay.beside: joint begins from the first base, where method.start has no meaning. Remove either"
        if "plain" in self.beside and not self.rows and not any(p.remembers for p in plan.penalties):
            return (
                "replay.beside: plain would be this very plan, which has no old rows and no penalty that holds on to "
                "what was known (distill, ewc, l2sp, mixout). Remove plain, or set replay.share"
            )
        return None


Baseline = Literal[
    "majority", "longer", "tfidf", "pixels", "probe", "image", "side", "no_text", "no_image", "no_side", "bm25",
    "cosine", "dictionary", "untuned", "source", "chance", "parts",
]  # fmt: skip


class Evaluate(Section):
    """How the result is judged."""

    metrics: tuple[str, ...] | None = None
    """Metrics to report; the task's own unless named."""
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples behind each interval."""
    level: Share = 0.95
    """Confidence level of the intervals."""
    baselines: tuple[Baseline, ...] | None = None
    """What stands beside the result; the task's own unless named. majority: the most frequent answer. longer: the
    answer with more tokens, for reward. tfidf: word counts with a linear model. pixels: small images with one. probe:
    the frozen base with one; image: the second tower's frozen base with one; side: side columns as a vector with one.
    bm25: passages ranked by shared words; cosine: by vectors of the frozen base. dictionary: for tags, each word's most
    frequent one. untuned: the base as it was, for tasks that write or compare. chance: a guess, for
    image_text. no_text, no_image, no_side: the result
    itself, with what it draws from one of several inputs held at its mean. source: the same plan without rows of the
    target, trained for as many steps, for domain; it takes as long as the run itself. parts: of several methods at once
    (mixed), each of them alone, trained on the same rows; each takes about as long as the run itself."""
    slices: tuple[str, ...] = ()
    """Columns by whose values the metrics are reported, too."""
    forgetting: bool | str = True
    """Tasks that write: the loss on general text before and after tuning. true: on a hundred sentences that come with
    the package; a file: on its lines."""
    robustness: bool | Perturbations = False
    """The metrics once more on perturbed copies of the judged rows, beside the clean ones. true: the usual ones, with
    typing and scanning mistakes in 10 % of the words, capitals, no punctuation, the first half and tenth alone; or a
    list: keyboard, slip, ocr, sound, shape (each with a rate), upper, lower, punctuation, cut (with keep)."""

    def perturbations(self, kind: str) -> tuple[Perturbation, ...]:
        """What judged rows are perturbed with, for answers of a kind."""
        return (usual(kind) if self.robustness else ()) if isinstance(self.robustness, bool) else self.robustness

    def objection(self, plan: "Plan") -> str | None:
        """Why the task cannot be judged so; None where it can."""
        return objection(self.robustness, plan.task)


def _mixed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return {"name": "mixed", "parts": list(value)}
    return value


def _base(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _usual_steps(value: Any, info: ValidationInfo) -> Any:
    """Where the plan names none, the task's own."""
    task = info.data.get("task")
    return list(task.wanted_steps()) if value is None and task is not None else value or ()


def _data(value: Any, info: ValidationInfo) -> Any:
    """A file or a list of files; where there is none, those that the task names."""
    value = {"train": value} if isinstance(value, (str, list, tuple)) else value
    task = info.data.get("task")
    if isinstance(value or {}, dict) and "train" not in (value or {}) and task is not None and task.own_files():
        return {**(value or {}), "train": list(task.own_files())}
    if value is None:
        raise PydanticKnownError("missing")
    return value


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
    data: Annotated[Data, BeforeValidator(_data)] = Field(None, validate_default=True)
    """Where rows come from. Asked for, unless the task names files of its own."""
    method: Annotated[AnyMethod, BeforeValidator(_mixed)] = METHODS.make("lora")
    """How the backbone learns; a list stacks methods."""
    tower: Tower | None = None
    """A second network, for images (`task.image`)."""
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
        return self.evaluate.metrics or self.task.metric_names

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """Baselines, in order."""
        if self.evaluate.baselines is not None:
            return self.evaluate.baselines
        same = ("untuned",) if self.train.max_steps == 0 else ()  # nothing is tuned: the result itself
        return tuple(name for name in self.fitting_baselines if name not in same)

    @property
    def fitting_baselines(self) -> tuple[str, ...]:
        """Those that mean something for this task and method."""
        return (*self.task.usual_baselines, *(("parts",) if self.alone else ()))

    @property
    def alone(self) -> dict[str, Method]:
        """What is trained by itself, too, by the name of its baseline: the methods of a mix, for tasks that give each
        row, or each word of it, one answer."""
        judged = self.task.kind in ("classes", "multilabel", "numbers", "tags") and self.train.max_steps != 0
        return {f"{name} alone": part for name, part in self.method.components().items() if judged}

    @property
    def best_metric(self) -> str:
        """Metric that picks the checkpoint."""
        return self.train.best or self.task.best or self.metric_names[0]

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
        base, tower = self.base, self.tower
        if Path(base.name).expanduser().is_dir():
            base = base.model_copy(update={"name": fixed(base.name)})
        if tower is not None and Path(tower.base).expanduser().is_dir():
            tower = tower.model_copy(update={"base": fixed(tower.base)})
        judged = self.evaluate.model_copy(update={"forgetting": fixed(self.evaluate.forgetting)})
        data, task = self.data.model_copy(update=files), self.task.anchored(fixed)
        steps = tuple(step.anchored(fixed) for step in self.steps)
        changed = {"task": task, "data": data, "steps": steps, "base": base, "tower": tower, "replay": replay}
        return self.model_copy(update=changed | {"evaluate": judged})

    def epochs(self, num_rows: int) -> int:
        """Epochs for so many training rows: about 40,000 row visits, at least 3 and at most 20."""
        if self.train.epochs != "auto":
            return self.train.epochs
        return min(20, max(3, round(40_000 / max(1, num_rows))))

    def total_steps(self, num_rows: int, per_epoch: int) -> int:
        """Optimizer steps for so many training rows: all epochs, or `train.max_steps` if that is less."""
        steps = per_epoch * self.epochs(num_rows)
        return steps if self.train.max_steps is None else min(steps, self.train.max_steps)
