"""Settings of transformers' TrainingArguments, which several tools share, and rules that need two keys at once."""

from collections.abc import Mapping
from typing import Any

from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To, Unfit, each

ONE_MACHINE = "how work is spread over devices does not change what is learnt; here it is one device"
MEMORY = "trades time for memory and changes no result"
SPEED = "a faster way to the same numbers; the engine packs attention and leaves out work by its own means"
LOADING = "how rows are loaded and cached changes no result"
TELLS = "what is printed and where it is shown changes no result"
RUNS = "a run gets a folder of its own (run=FOLDER names it); the other tool's is not written into"
HUB = "nothing is sent to a hub"
OWN_CODE = "bases that ask to run their own code are refused"

RULES: Rules = {
    "learning_rate": To("train.lr", v.above_zero), "weight_decay": To("train.weight_decay", v.number),
    "max_grad_norm": To("train.clip", v.unless_zero), "seed": To("train.seed", v.seed),
    "num_train_epochs": To("train.epochs", v.epochs),
    "optim": To("train.optimizer", v.choice(v.OPTIMIZERS, "optimizer")),
    "lr_scheduler_type": To("train.schedule", v.choice(v.SCHEDULES, "schedule")),
    "neftune_noise_alpha": To("train.neftune", v.unless_zero), "logging_steps": To("train.log_every", v.every_steps),
    "report_to": To("train.log", v.choice(v.LOGS, "log")),
    "label_smoothing_factor": Lost("label smoothing of a language model is not among the settings"),
    "adam_*": Lost("betas and epsilon of the optimizer are not settings; its defaults are 0.9, 0.999, 1e-8"),
    "optim_args": Lost("further settings of the optimizer are not taken"),
    "lr_scheduler_kwargs*": Lost("further settings of the schedule are not taken; see train.cycles, power, floor"),
    "group_by_length": Idle("a batch is cut into pieces of similar length anyway, and its gradient is the same"),
    "load_best_model_at_end": To("train.keep", lambda on: "best" if on else "last"),
    "metric_for_best_model": Lost("write train.best with the name that Tunesmith has for it"),
    "greater_is_better": Idle("each metric knows its direction"),
    **each(Idle(ONE_MACHINE), "deepspeed* fsdp* ddp_* local_rank ray_* save_on_each_node"),
    **each(Idle(SPEED), "tf32 torch_compile*"),
    "auto_find_batch_size": Idle("train.batch is what is learnt from; what fits in memory is train.micro_tokens"),
    **each(Idle(MEMORY), "gradient_checkpointing* torch_empty_cache_steps eval_accumulation_steps"),
    "per_device_eval_batch_size": Idle("the size of evaluation batches changes no result"),
    **each(Idle(TELLS),
           "eval_on_start include_* logging_* log_level* disable_tqdm run_name prediction_loss_only "
           "skip_memory_metrics"),
    **each(Idle(LOADING), "dataloader_* remove_unused_columns"),
    "save_total_limit": Idle("old checkpoints are cleared away by themselves"),
    "save_only_model": Idle("a checkpoint always holds all that a resumed run needs"),
    "save_safetensors": Idle("weights are always stored as safetensors"),
    **each(Idle(RUNS), "output_dir overwrite_output_dir"), "do_train": Idle("tunesmith train trains"),
    "do_eval": Idle("validation rows are always judged"),
    "do_predict": Lost("answers for a file are a command of their own: tunesmith predict"),
    "resume_from_checkpoint": Lost("a checkpoint of another tool cannot be gone on with"),
    **each(Lost(HUB), "push_to_hub* hub_*"),
}  # fmt: skip
DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 5e-5, "weight_decay": 0.0, "max_grad_norm": 1.0, "seed": 42, "num_train_epochs": 3,
    "optim": "adamw_torch", "lr_scheduler_type": "linear",
}  # fmt: skip


def habits(account: Account) -> None:
    """What the other tools do and a plan would do otherwise unless told: keep the last weights, use every row."""
    others: dict[str, Any] = {"data.test": None, "train.keep": "last", "train.patience": None, "steps": []}
    for path, value in others.items():
        if account.at(path, "unset") == "unset":
            account.put(path, value)
    account.notes.append(
        "as in the other tool no test rows are set aside, rows are neither cleaned nor freed of duplicates, and the "
        "last weights are kept. Tunesmith's own defaults come back by removing data.test, steps, train.keep, "
        "train.patience"
    )


def arguments(account: Account) -> None:
    """The pairs of TrainingArguments: batch and accumulation, steps and epochs, schedule and warm-up, precision."""
    batch(account, "per_device_train_batch_size", "gradient_accumulation_steps", (8, 1))
    length(account, "max_steps", "num_train_epochs")
    warmup(account, "lr_scheduler_type", "warmup_steps", "warmup_ratio")
    precision(account, "bf16", "fp16")
    moments(account, "save_strategy", "save_steps", "train.save_every")
    strategy = "eval_strategy" if "eval_strategy" in account.values else "evaluation_strategy"
    moments(account, strategy, "eval_steps", "train.evaluate_every")


def batch(account: Account, rows_key: str, times_key: str, defaults: tuple[int, int]) -> None:
    """Rows a step = rows a device x accumulation, on one device."""
    try:
        rows, times = v.whole(account.get(rows_key, defaults[0])), v.whole(account.get(times_key, defaults[1]))
    except Unfit as error:
        account.lose(rows_key, f"the product with {times_key} is no batch: {error}")
        account.lose(times_key, f"the product with {rows_key} is no batch: {error}")
        return
    account.put("train.batch", rows * times)
    for key in (rows_key, times_key):
        if key in account.left:
            account.carry(key, "train.batch", rows * times)
    account.notes.append(f"train.batch: {rows} rows ({rows_key}) x {times} ({times_key}) = {rows * times} on one "
                         f"device; where that ran on n devices, multiply by n")  # fmt: skip


def length(account: Account, steps_key: str, epochs_key: str) -> None:
    """A number of steps wins over epochs there. Here the epochs must be enough for it, and each has a step at least."""
    steps = account.get(steps_key)
    if steps is None:
        return
    try:
        if v.number(steps) <= 0:
            account.idle(steps_key, "off there: the epochs decide")
            return
        account.carry(steps_key, "train.max_steps", v.whole(steps))
    except Unfit as error:
        account.lose(steps_key, str(error))
        return
    account.put("train.epochs", v.whole(steps))
    account.idle(epochs_key, f"{steps_key} decides")
    account.notes.append(f"{steps_key}: the run ends after so many steps; train.epochs only has to be large enough")


def warmup(account: Account, schedule_key: str, steps_key: str, ratio_key: str) -> None:
    """Warm-up: steps win over a share, and the schedule 'constant' has none. Also what a schedule's name implies."""
    name = str(account.get(schedule_key, ""))
    implied = {"cosine_with_restarts": ("train.cycles", 1), "polynomial": ("train.power", 1.0)}
    if name in implied:
        account.put(*implied[name])
    steps, ratio = account.get(steps_key), account.get(ratio_key)
    account.put("train.warmup", 0.0)
    for key in (steps_key, ratio_key):
        if name == "constant":
            account.idle(key, f"{schedule_key}: constant has no warm-up there")
    if name == "constant":
        return
    try:
        if steps is not None and v.number(steps) >= 1:
            account.carry(steps_key, "train.warmup", f"{v.whole(steps)} steps")
            account.idle(ratio_key, f"{steps_key} decides")
        elif (share := v.number(ratio or steps or 0)) < 1:
            account.carry(ratio_key if ratio else steps_key, "train.warmup", share)
            account.idle(steps_key, "off there")
            account.idle(ratio_key, "off there")
    except Unfit as error:
        for key in (steps_key, ratio_key):
            account.lose(key, f"no warm-up in a plan: {error}")
    for key in (steps_key, ratio_key):
        account.lose(key, "a share of the run is below 1")


def precision(account: Account, bf16_key: str, fp16_key: str) -> None:
    """Two switches become one word."""
    for key, word in ((bf16_key, "bf16"), (fp16_key, "fp16")):
        value = account.get(key)
        if value in (True, "true", "full"):
            account.carry(key, "train.precision", word)
        elif value == "auto":
            account.carry(key, "train.precision", "auto")
        elif value is not None:
            account.idle(key, "off there")
    if account.at("train.precision") is None and False in (account.values.get(bf16_key), account.values.get(fp16_key)):
        account.put("train.precision", "fp32")


def moments(account: Account, strategy_key: str, steps_key: str, path: str) -> None:
    """When something happens: by steps or by epoch."""
    strategy = str(account.get(strategy_key, "steps" if account.get(steps_key) is not None else "")).lower()
    if strategy == "steps" and account.get(steps_key) is not None:
        try:
            account.carry(steps_key, path, v.every_steps(account.get(steps_key)))
        except Unfit as error:
            account.lose(steps_key, str(error))
        account.idle(strategy_key, f"{steps_key} says how many")
    elif strategy in ("steps", "epoch"):
        account.carry(strategy_key, path, "1 epoch" if strategy == "epoch" else "500 steps")
    else:
        account.idle(strategy_key, "happens once an epoch here; the weights do not depend on it")
    account.idle(steps_key, f"{strategy_key} decides otherwise")


def base(account: Account, key: str) -> None:
    """The pretrained model: a hub id as it is, a local folder by its full path."""
    name = account.get(key)
    if not isinstance(name, str) or not name:
        account.lose(key, "is not the name of a base")
        account.notes.append(f"the file names no base ({key}): add base.name=NAME to the command")
        return
    place = account.found(name)
    account.carry(key, "base.name", str(place) if place and place.is_dir() else name)
    if place is None and name.startswith((".", "/", "~")):
        account.notes.append(f"{key}: '{name}' is not on this machine; it is kept as written")


def variant(account: Account, dora: str, rslora: str, pissa: str = "") -> None:
    """Switches of LoRA become one variant; a second one cannot stand beside the first."""
    if account.at("method.name") != "lora":
        return
    for key, path, word in ((dora, "method.variant", "dora"), (rslora, "method.variant", "rslora"),
                            (pissa, "method.init", "pissa")):  # fmt: skip
        if account.get(key) is not True:
            account.idle(key, "off there")
        elif account.at("method.variant") in (None, *(["rslora"] * (word == "pissa"))):
            account.carry(key, path, word)
        else:
            account.lose(key, f"does not go together with {account.at('method.variant')} in a plan")


def validation(account: Account, key: str = "") -> None:
    """A share of the rows that is held out, where the tool has such a key; without any a note says what holds."""
    value = account.get(key)
    if value is not None and account.at("data.validation") is None:
        try:
            share = v.number(value)
        except Unfit:
            share = -1.0
        if 0 < share < 1:
            account.carry(key, "data.validation", share)
        elif share:
            account.lose(key, "a plan takes a share of the rows (0 to 1) or a file, not a number of rows")
        else:
            account.idle(key, "off there")
    if account.at("data.validation") is None:
        account.notes.append("no rows are held out there; here data.validation, a share of the rows, always is, and it "
                             "is not trained on")  # fmt: skip
