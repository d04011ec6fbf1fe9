"""What `--json` answers, verb by verb: versioned models that every reply is validated against in the tests."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tunesmith.errors import TunesmithError, unknown

VERSION = 1


class Reply(BaseModel):
    """Fields may be added within a version; none is removed or changes its meaning."""

    model_config = ConfigDict(extra="allow")


class Value(BaseModel):
    """A number with its confidence interval; null = undefined."""

    value: float | None
    low: float | None
    high: float | None


Metrics = dict[str, Value]
Splits = dict[str, Metrics]


class Difference(BaseModel):
    """Model minus baseline, on the same rows."""

    split: str
    metric: str
    difference: Value
    p: float | None
    test: str


class Seconds(BaseModel):
    """Wall seconds of training, CPU seconds of training, wall seconds of everything."""

    train: float
    train_cpu: float
    total: float


class Parameters(BaseModel):
    """Counts of the network as it is trained."""

    trainable: int
    total: int


class TrainReply(Reply):
    """`train`."""

    run: str
    status: Literal["done", "resumed", "already_done"]
    metrics: Splits
    baselines: dict[str, Splits]
    paired: dict[str, Difference]
    seconds: Seconds
    memory_peak_mb: float
    parameters: Parameters
    weights_sha256: str
    golden_sha256: str
    equality: Literal["bits", "exact"]
    warnings: list[str]


class Perturbed(BaseModel):
    """The judged rows with other texts; `difference` is perturbed minus clean. Only `skipped` where no text changes."""

    name: str
    degree: float | None
    skipped: str | None = None
    rows_changed: int | None = None
    metrics: Metrics | None = None
    difference: Value | None = None
    p: float | None = None
    p_holm: float | None = None


class Worst(BaseModel):
    """The perturbation that costs most."""

    perturbation: str
    beyond_chance: bool


class Robustness(BaseModel):
    """The metrics under perturbations, with the one that costs most; null where none costs anything."""

    split: str
    rows: int
    metric: str
    perturbations: dict[str, Perturbed]
    worst: Worst | None


class EvaluateReply(Reply):
    """`evaluate`."""

    metrics: Metrics
    rows: int
    warnings: list[str]
    robustness: Robustness | None = None
    """Where it was asked for."""


class CompareReply(Reply):
    """`compare`: b minus a, in the unit of the metric; of several arms the first two, and all in `comparisons`.

    With `--log` a row is an outcome, with `--scores` the difference is over data sets."""

    a: str
    b: str
    metric: str
    better: Literal["higher", "lower"]
    difference: Value
    level: float
    p: float | None
    p_adjusted: float | None
    """Corrected for the number of arms (Holm)."""
    test: str
    margin: float | None
    verdict: Literal["better", "worse", "equivalent", "cannot_tell"]
    """What b is beside a."""
    rows_needed: int | None
    """More rows after which a verdict is likely (power .8), where it cannot tell and rows would help."""
    sentence: str
    data: str
    warnings: list[str]


class ChatReply(Reply):
    """`chat`: a line for each turn."""

    role: Literal["assistant"]
    content: str
    model: str
    untuned: bool
    prompt_tokens: int
    dropped_turns: int
    cut_tokens: int
    stopped: bool


class MergePart(BaseModel):
    """What went into a merged model."""

    name: str
    method: str
    weight: float
    sha256: str


class MergeProof(BaseModel):
    """What a fresh process found: differences in units of max(1, |output|), answers that became others."""

    rows: int
    max_error: float
    plain: bool
    plain_max_error: float | None
    label_flips: int
    written: int
    written_changed: int
    words_changed: float
    equality: Literal["exact", "bounded"]


class MergeTest(Difference):
    """Merged minus part."""

    p_holm: float | None = None


class Compared(BaseModel):
    """The merged model and its parts on one file."""

    data: str
    rows: int
    metrics: dict[str, Metrics]
    paired: dict[str, MergeTest]
    warnings: list[str]


class MergeReply(Reply):
    """`merge`."""

    out: str
    how: Literal["fold", "linear", "ties", "dare_linear", "dare_ties", "average"]
    dtype: Literal["fp32", "bf16"]
    parts: list[MergePart]
    density: float | None
    seed: int | None
    proof: MergeProof
    compared: Compared | None
    manifest_sha256: str
    warnings: list[str]


class PredictReply(Reply):
    """`predict`."""

    out: str
    rows: int
    resumed_at: int


class Finding(BaseModel):
    """Something about the data that a person should know."""

    kind: str
    rows: int
    column: str | None
    severity: Literal["info", "warning", "error"]
    remedy: str
    listed: list[dict[str, Any]] = []
    """Rows that deserve a look, the most telling first."""


class Pair(BaseModel):
    """A text before and after a step."""

    step: str
    place: str
    column: str
    label: Any
    before: str
    after: str
    difference: list[tuple[Literal["same", "gone", "new"], str]]


class ColumnReply(BaseModel):
    """What a column holds."""

    name: str
    kind: str
    """whole number, number, date, category, identifier, text, yes/no, list, mixed, or empty."""
    rows: int
    empty: int
    distinct: int
    distinct_counted: bool
    """Whether `distinct` is a count; otherwise there are that many or more."""
    example: str


class Described(BaseModel):
    """What is in the rows."""

    columns: list[ColumnReply]
    classes: dict[str, int]
    """Rows of each class, the largest first."""
    lengths: list[dict[str, Any]]
    """A histogram for each text column."""


class DataReply(Reply):
    """`data check`."""

    rows: int
    findings: list[Finding]
    described: Described
    held_out: list[dict[str, Any]]
    """Further files: {file, rows, malformed, sha256, notes}."""
    cached: bool
    """Whether it was found before, in the same bytes with the same settings, and kept."""
    page: str | None = None
    """The page that was written."""


class PreviewReply(Reply):
    """`data preview`."""

    rows: int
    """Rows of the training split."""
    steps: list[str]
    pairs: list[Pair]
    """Texts before and after."""
    told: dict[str, dict[str, int]]
    """{step: {what it told: how often}}."""


class Arm(BaseModel):
    """A way of training, seed by seed; all but the first have what is compared with it: `difference` is this arm minus
    the one without, `p_holm` is corrected for the number of arms, and the verdict goes by it."""

    values: list[float | None]
    mean: float | None
    steps: list[str] = []
    """Steps that make rows."""
    made: list[int] = []
    """Rows that they made, seed by seed."""
    difference: Value | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Literal["helps", "hurts", "cannot tell"] | None = None
    seeds_needed: int | None = None
    """So many seeds would tell a difference of this size; null where it is told, or no number of them would."""
    rows_needed: int | None = None
    """Where no number of seeds would: so many judged rows."""


class TrialReply(Reply):
    """`data trial`."""

    folder: str
    metric: str
    better: Literal["higher", "lower"]
    level: float
    split: str
    seeds: list[int]
    rows: dict[str, list[int]]
    """Training rows before any is made, and judged rows, seed by seed."""
    arms: dict[str, Arm]
    said: list[str]
    robustness: dict[str, dict[str, Arm]] | None
    """The same on perturbed copies of the judged rows, where the plan asks for robustness."""
    warnings: list[str]


class Suspect(BaseModel):
    """A row whose label is probably wrong, and the label that the model of the other rows gives it."""

    source: str
    row: int
    text: str
    given: str
    suggested: str
    score: float
    reason: str


class LabelsReply(Reply):
    """`data labels`."""

    rows: int
    judged: int
    by: str
    agreed: float
    suspects: int
    counted_wrong: int
    out: str
    first: list[Suspect]


class Annotator(BaseModel):
    """One annotator: agreement with the others of the same items, and alpha of all others."""

    annotator: str
    items: int
    agreement: Value
    alpha_without: float | None


class Couple(BaseModel):
    """Two annotators, over the items that both labelled."""

    a: str
    b: str
    items: int
    cohen_kappa: Value


class OfClass(BaseModel):
    """One label: how often another annotator says it where one does, and Fleiss' kappa of it against all others."""

    label: str
    given: int
    agreement: Value
    kappa: Value


class Consensus(BaseModel):
    """What annotators say together; `first` are the least certain items."""

    how: str
    uncertain: int
    sure: float
    out: str | None
    first: list[dict[str, Any]]


class AgreeReply(Reply):
    """`data agree`."""

    rows: int
    items: int
    labels: list[str]
    scale: Literal["nominal", "ordinal", "interval"]
    agreement: Value
    fleiss_kappa: Value
    krippendorff_alpha: Value
    pairs: list[Couple]
    classes: list[OfClass]
    annotators: list[Annotator]
    consensus: Consensus
    notes: list[str]


class PartReply(BaseModel):
    """One part of a plan."""

    model_config = ConfigDict(extra="allow")

    name: str
    prefer: str
    fields: dict[str, Any]


class PartsReply(Reply):
    """`parts`."""

    methods: list[PartReply] | None = None
    tasks: list[PartReply] | None = None
    penalties: list[PartReply] | None = None
    steps: list[PartReply] | None = None
    metrics: list[PartReply] | None = None
    checks: list[PartReply] | None = None
    counted_on: str | None = None
    """The base that `parameters` of methods are counted on."""


class Check(BaseModel):
    """One thing that was examined."""

    name: str
    ok: bool
    found: str
    remedy: str


class DoctorReply(Reply):
    """`doctor`."""

    ok: bool
    checks: list[Check]


class RegisterReply(Reply):
    """`register`."""

    name: str
    number: int
    digest: str


class Setting(BaseModel):
    """A setting of another tool's configuration that is not in the plan, and why."""

    key: str
    value: Any
    why: str


class Carried(BaseModel):
    """A setting of another tool's configuration, and the plan path that it became."""

    key: str
    value: Any
    to: str


class ImportReply(Reply):
    """`import`. Every key of the file stands in exactly one of the three lists."""

    tool: str
    plan: dict[str, Any]
    out: str | None
    carried: list[Carried]
    not_carried: list[Setting]
    without_effect: list[Setting]
    notes: list[str]
    refused: str | None


class Prompt(BaseModel):
    """An instruction, and the solved examples that stand before the question."""

    instruction: str
    examples: list[dict[str, Any]]


class HeldOut(BaseModel):
    """Both prompts on rows that the search never saw."""

    rows: int
    plain: Value
    best: Value
    difference: Value
    p: float | None
    test: str


class Calls(BaseModel):
    """What a search cost; `made_now`: calls that did not stand in the journal; `cut_calls`: prompts that were too long
    for the base and lost a part."""

    budget: int
    calls: int
    made_now: int
    asked_tokens: int
    written_tokens: int
    cut_calls: int


class HardPromptReply(Reply):
    """`hardprompt`."""

    metric: str
    better: Literal["higher", "lower"]
    best: Prompt
    plain: Prompt
    changed: bool
    held_out: HeldOut
    calls: Calls
    trials: list[dict[str, Any]]


class Worth(BaseModel):
    """The best trial of a search: on the rows that picked it (`seen`), the same without the luck of being picked
    (`corrected`; null where trials were not judged on the same rows), and on rows that no trial saw (`test`)."""

    metric: str
    better: Literal["higher", "lower"]
    level: float
    seen: Value
    corrected: Value | None
    test: Value
    optimism: float | None
    """How much better it looked on the rows that picked it than on those that no trial saw."""
    against: dict[str, Any] | None
    """The best against the plan with its defaults, on the test rows, as `compare` answers; null where it was not
    trained."""


class Found(BaseModel):
    """The best settings, and the plan with them."""

    trial: int
    settings: dict[str, Any]
    value: float | None
    plan: str


class Trial(BaseModel):
    """One trial; `value` is of the metric that picks, on validation rows."""

    number: int
    values: dict[str, Any]
    state: Literal["done", "stopped", "failed", "open", "member"]
    value: float | None
    share: float
    seconds: float
    cpu_seconds: float
    reason: str
    changed: list[dict[str, Any]]
    """Of populations: when it went on from another member, and with which settings."""


class TuneReply(Reply):
    """`tune`."""

    folder: str
    engine: Literal["optuna", "ray"]
    sampler: Literal["tpe", "random", "pbt"]
    pruner: Literal["asha", "hyperband", "none"]
    seed: int
    trials: dict[str, int]
    """{state: how many}."""
    seconds: float
    """Wall time of all calls together."""
    cpu_seconds: float
    picked_by: str
    best: Found
    worth: Worth
    importance: dict[str, float] | None
    """{setting: share}; null where too few trials were trained to the end."""
    space: dict[str, dict[str, Any]]
    corners: dict[str, Any]
    tried: list[Trial]
    notes: list[str]
    page: str


class Forecasted(BaseModel):
    """MB of memory at the peak of training, seconds of it, MB that a finished run keeps; null = no forecast."""

    model_config = ConfigDict(extra="allow")

    memory_mb: float | None
    seconds: float | None
    disk_mb: float | None


class Looked(BaseModel):
    """A look at an arm: the best value so far on validation rows, at that share of its steps."""

    share: float
    value: float | None
    seconds: float


class Against(BaseModel):
    """A finalist minus the best. `p`, `p_adjusted` (Holm): of "it is at least as good", one-sided; `p_within`: of "it
    loses the margin or more"; `detectable`: the loss that would have been found with power .8."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    p_within: float | None
    margin: float | None
    detectable: float | None
    keeps_up: bool


class Raced(BaseModel):
    """An arm of a race. Times are of its first seed, its forecast is from its first look; a dry race knows the first
    six fields alone."""

    arm: str
    method: str
    settings: dict[str, Any]
    fate: Literal["finalist", "finished", "stopped", "failed", "not tried", "planned"]
    reason: str
    forecast: Forecasted | None
    learning_rate: float | None = None
    share: float = 0.0
    validation: float | None = None
    test: Value | None = None
    """On rows of `split`, over `seeds`; of those that finished."""
    against: Against | None = None
    seeds: int = 0
    seconds: float | None = None
    memory_mb: float | None = None
    learning: int | None = None
    parameters: int | None = None
    trainable_share: float | None = None
    answer_ms: float | None = None
    course: list[Looked] = []


class RaceReply(Reply):
    """`race`. `recommended` is the name of an arm; null where nothing finished, and of a dry race."""

    status: Literal["done", "already_done", "planned"]
    metric: str
    better: Literal["higher", "lower"]
    budget_seconds: float
    memory_limit_mb: float | None
    seeds: int
    recommended: str | None
    said: list[str]
    ranking: list[Raced]
    refused: dict[str, str]
    """{arm: why it cannot run here}."""
    warnings: list[str]


class Reason(BaseModel):
    """One reason for or against a method: `points` of quality that it counts."""

    text: str
    rule: str
    source: str
    basis: Literal["paper", "measured", "logic"]
    points: float


class SettingAdvised(BaseModel):
    """A setting with its reason; a path that ends in + adds to a list."""

    path: str
    value: Any
    was: Any
    reason: str
    rule: str
    source: str
    basis: Literal["paper", "measured", "logic"]


class MethodAdvised(BaseModel):
    """A method of the ranking. `points`: expected quality against LoRA in points of the metric; `reason` has all of
    `reasons` in one line, `why` those of the settings."""

    method: str
    settings: dict[str, Any]
    reason: str
    forecast: Forecasted
    points: float
    fits: bool
    trainable: int
    total: int
    learning_rate: float
    reasons: list[Reason]
    why: list[SettingAdvised]


class BaseAdvised(BaseModel):
    """A base of the ranking. `probe`: what a linear model on its frozen vectors reaches; null = not probed."""

    model_config = ConfigDict(extra="allow")

    base: str
    usable: bool
    readable: bool | None
    reason: str
    probe: float | None


class Also(BaseModel):
    """What to do beside training."""

    do: str
    reason: str
    rule: str
    source: str


class AdviseReply(Reply):
    """`advise`."""

    ranking: list[MethodAdvised]
    recommended: str
    refused: dict[str, str]
    """{method: why it is out}."""
    bases: list[BaseAdvised]
    known: dict[str, Any]
    """Facts that the rules ask about; null = not known."""
    also: list[Also]
    plan: str | None
    """File that the recommended plan was written to."""
    seconds: float
    warnings: list[str]


REPLIES: dict[str, type[Reply]] = {
    "train": TrainReply, "chat": ChatReply, "merge": MergeReply, "evaluate": EvaluateReply,
    "advise": AdviseReply, "compare": CompareReply, "predict": PredictReply,
    "data": DataReply, "data agree": AgreeReply, "data labels": LabelsReply, "data preview": PreviewReply,
    "data trial": TrialReply,
    "parts": PartsReply, "race": RaceReply,
    "doctor": DoctorReply, "register": RegisterReply, "import": ImportReply,
    "hardprompt": HardPromptReply, "tune": TuneReply,
}  # fmt: skip


def schema_of(what: str) -> dict[str, Any]:
    """JSON schema of a plan, or of a verb's reply."""
    if what == "plan":
        from tunesmith.plan import Plan

        return Plan.model_json_schema()
    if what not in REPLIES:
        raise TunesmithError(unknown("schema", what, ["plan", *REPLIES]))
    return {"version": VERSION, **REPLIES[what].model_json_schema()}
