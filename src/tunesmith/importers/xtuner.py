"""XTuner: its Python configurations, read as a syntax tree. Names: https://github.com/InternLM/xtuner, xtuner/configs.

What counts is what XTuner builds: model, train_dataloader, optim_wrapper, param_scheduler, train_cfg, randomness. The
names above them (lr, max_length …) are only put into these.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Near, Rules, To

TITLE = "XTuner"
SUFFIXES = (".py",)
MODELS: Mapping[str, dict[str, Any]] = {
    "SupervisedFinetune": {"name": "generate"}, "DPO": {"name": "prefer", "loss": "dpo"},
    "ORPO": {"name": "prefer", "loss": "orpo"}, "RewardModel": {"name": "reward"},
}  # fmt: skip
FORMATS: Mapping[str, str] = {
    "alpaca_map_fn": "alpaca", "alpaca_zh_map_fn": "alpaca", "openai_map_fn": "messages", "pretrain_map_fn": "text",
}  # fmt: skip
LOSSES: Mapping[str, str] = {"sigmoid": "dpo", "ipo": "ipo"}
ROWS = "train_dataloader.dataset"


def _template(value: Any) -> Any:
    return v.template(str(value).removeprefix("PROMPT_TEMPLATE."))


RULES: Rules = {
    "model.type": Idle("says which task it is"), "model.beta": To("task.beta", v.above_zero, "prefer"),
    "model.use_varlen_attn": Idle(t.SPEED), "model.llm.type": Idle("the base says what it is"),
    "model.*.trust_remote_code": Lost(t.OWN_CODE), "model.llm.torch_dtype": Idle("train.precision says it"),
    "model.llm.attn_implementation": Idle(t.SPEED), "model.llm.quantization_config.*": Idle("base.quant says it"),
    "model.lora.r": To("method.r", v.whole, "lora"), "model.lora.lora_alpha": To("method.alpha", v.whole, "lora"),
    "model.lora.lora_dropout": To("method.dropout", v.number, "lora"),
    "model.lora.target_modules": To("method.targets", v.targets, "lora"), "model.lora.type": Idle("LoRA"),
    "model.lora.bias": Lost("biases are trained by the method bitfit"),
    "model.lora.task_type": Idle("the task says it"),
    "model.lora.modules_to_save": Lost("further layers that are trained whole beside LoRA have no setting"),
    "model.ref_llm*": Lost("the reference is the base before training"),
    "model.label_smoothing": To("task.label_smoothing", v.smoothing, "dpo"),
    "model.loss_type": Lost("not among the losses of the task"), "model.penalty_type": Lost("no loss is added"),
    f"{ROWS}*pack*": Idle("rows always run end to end and never see each other"),
    f"{ROWS}.*template": To("task.template", _template), f"{ROWS}*max_length": To("task.max_tokens", v.whole),
    f"{ROWS}*map_fn*": Idle("says how rows are written"), f"{ROWS}*tokenizer.*": Idle("the base's own"),
    f"{ROWS}*type": Idle(t.LOADING), f"{ROWS}*num_proc": Idle(t.LOADING),
    f"{ROWS}*remove_unused_columns": Idle(t.LOADING),
    f"{ROWS}*use_varlen_attn": Idle(t.SPEED), f"{ROWS}*is_dpo": Idle("the task says it"),
    f"{ROWS}*is_reward": Idle("the task says it"), f"{ROWS}*use_dpo": Idle("the task says it"),
    f"{ROWS}*max_dataset_length": Lost("rows are not left out; cut the file"),
    f"{ROWS}.*": Lost("not a setting of a data file"),
    "train_dataloader.num_workers": Idle(t.LOADING), "train_dataloader.sampler.*": Idle("rows are always shuffled"),
    "train_dataloader.collate_fn.*": Idle(t.LOADING), "train_dataloader.*": Idle(t.LOADING),
    "optim_wrapper.optimizer.type": To("train.optimizer", v.choice(v.OPTIMIZERS, "optimizer")),
    "optim_wrapper.optimizer.lr": To("train.lr", v.above_zero),
    "optim_wrapper.optimizer.betas": Lost("betas are not settings; AdamW's are 0.9 and 0.999"),
    "optim_wrapper.optimizer.weight_decay": To("train.weight_decay", v.number),
    "optim_wrapper.clip_grad.max_norm": To("train.clip", v.unless_zero),
    "optim_wrapper.clip_grad.*": Idle("a run stops at NaN"),
    "optim_wrapper.dtype": To("train.precision", v.choice(v.PRECISIONS, "precision")),
    "optim_wrapper.loss_scale": Idle("fp16 is always scaled"), "optim_wrapper.type": Idle("train.precision says it"),
    "train_cfg.max_epochs": To("train.epochs", v.epochs), "train_cfg.type": Idle("one loop"),
    "train_cfg.max_iters": Lost("counts passes, not optimizer steps; write train.max_steps"),
    "train_cfg.*": Idle("happens once an epoch here"), "param_scheduler*": Lost("this course of the rate is not known"),
    "randomness.seed": To("train.seed", v.seed), "randomness.*": Idle("everything is drawn from train.seed"),
    "tokenizer.*": Idle("the base's own"), "custom_hooks*": Lost("sample answers while training are not shown"),
    "default_hooks.*": Idle("checkpoints and curves are kept by themselves"), "env_cfg.*": Idle(t.ONE_MACHINE),
    "visualizer*": Lost("write train.log: tensorboard"), "log_level": Idle(t.TELLS), "log_processor.*": Idle(t.TELLS),
    "load_from": Lost("a checkpoint of another tool cannot be gone on with"),
    "resume": Lost("a checkpoint of another tool cannot be gone on with"),
    "val_*": Lost("validation is data.validation"), "test_*": Lost("test rows are data.test"),
}  # fmt: skip
DEFAULTS = {"optim_wrapper.clip_grad.max_norm": 0, "optim_wrapper.optimizer.weight_decay": 0.01}


def marks(values: dict[str, Any]) -> int:
    """What XTuner builds."""
    return sum(key in values for key in ("model", "train_dataloader", "optim_wrapper", "train_cfg"))


def convert(account: Account) -> None:
    """Fill the account."""
    _names(account)
    _model(account)
    _data(account)
    t.batch(account, "train_dataloader.batch_size", "optim_wrapper.accumulative_counts", (1, 1))
    _schedule(account)
    account.apply(RULES, DEFAULTS)
    t.habits(account)


def _names(account: Account) -> None:
    """Names that only stand for a value in what is built."""
    for key in list(account.left):
        name = key.split(".")[0]
        if name in account.used and name not in ("model", "train_dataloader", "optim_wrapper", "param_scheduler"):
            users = ", ".join(dict.fromkeys(account.used[name]))
            account.idle(key, f"only a name: its value stands in {users}")


def _model(account: Account) -> None:
    kind = str(account.get("model.type", "")).split(".")[-1]
    if kind not in MODELS:
        raise account.refuse("model.type", f"has no task in Tunesmith. Known: {', '.join(MODELS)}")
    for name, value in MODELS[kind].items():
        account.put(f"task.{name}", value)
    account.carry("model.type", "task.name", MODELS[kind]["name"])
    if kind == "RewardModel" and account.word("model.loss_type") == "ranking":
        account.idle("model.loss_type", "the loss of the task reward")
    if kind == "DPO" and account.word("model.loss_type") in LOSSES:
        account.carry("model.loss_type", "task.loss", LOSSES[account.word("model.loss_type")])
    t.base(account, "model.llm.pretrained_model_name_or_path")
    for key, word in (("load_in_4bit", "nf4"), ("load_in_8bit", "int8")):
        if account.get(f"model.llm.quantization_config.{key}") is True:
            account.carry(f"model.llm.quantization_config.{key}", "base.quant", word)
    if account.get("optim_wrapper.optimizer.betas") == [0.9, 0.999]:
        account.idle("optim_wrapper.optimizer.betas", "AdamW's own")
    lora = any(key.startswith("model.lora.") for key in account.values)
    account.put("method.name", "lora" if lora else "full")
    if lora and account.get("model.lora.target_modules") is None:
        account.put("method.targets", "all")


def _data(account: Account) -> None:
    keys = [k for k in account.left if k.startswith(f"{ROWS}.") and k.endswith((".path", ".data_files"))]
    files: list[str] = []
    for key in keys:
        value = account.get(key)
        if key.endswith(".path") and value in ("json", "csv", "parquet", "text"):
            account.idle(key, "the suffix says how a file is read")
            continue
        named = [account.file(key, str(n)) for n in (value if isinstance(value, list) else [value])]
        account.carry(key, "data.train", named)
        files += named
    for key in [k for k in account.left if k.startswith(f"{ROWS}.") and ".data_files." in k]:
        files.append(account.file(key, str(account.get(key))))
        account.carry(key, "data.train", files[-1])
    if files:
        account.put("data.train", files[0] if len(files) == 1 else files)
    for key in [k for k in account.left if k.startswith(ROWS) and k.endswith("dataset_map_fn")]:
        _form(account, key)
    for key in [k for k in account.left if k.startswith(ROWS) and k.endswith(".split")]:
        account.idle(key, "a file is one split")
    t.validation(account)


def _form(account: Account, key: str) -> None:
    if account.at("task.name") != "generate":
        return
    name = str(account.get(key))
    if name in FORMATS and account.at("task.format") in (None, FORMATS[name]):
        account.carry(key, "task.format", FORMATS[name])
        if FORMATS[name] == "text":
            account.put("task.learn", "all")
    else:
        account.carry(key, "task.format", Near("auto", f"{name} became auto; check that the rows are read as meant"))


def _schedule(account: Account) -> None:
    """[LinearLR for warm-up, CosineAnnealingLR for the rest], in epochs."""
    epochs = account.values.get("train_cfg.max_epochs")
    epochs = epochs if isinstance(epochs, (int, float)) else 0
    account.put("train.warmup", 0.0)
    account.put("train.schedule", "constant")
    shapes = {"CosineAnnealingLR": "cosine", "ConstantLR": "constant", "LinearLR": "linear"}
    for here in [
        k.removesuffix(".type") for k in account.left if k.startswith("param_scheduler") and k.endswith(".type")
    ]:
        kind, begin, end = account.word(f"{here}.type"), account.get(f"{here}.begin"), account.get(f"{here}.end")
        warm = kind == "LinearLR" and not begin and isinstance(end, (int, float)) and 0 < end < epochs
        if warm and account.get(f"{here}.by_epoch") is not False:
            account.carry(f"{here}.end", "train.warmup", round(end / epochs, 6))
        elif kind in shapes:
            account.carry(f"{here}.type", "train.schedule", shapes[kind])
        else:
            continue
        lowest, peak = account.get(f"{here}.eta_min"), account.values.get("optim_wrapper.optimizer.lr")
        if isinstance(lowest, float) and isinstance(peak, float) and 0 < lowest <= peak:
            account.carry(f"{here}.eta_min", "train.floor", lowest / peak)
        for name in ("type", "begin", "end", "by_epoch", "convert_to_iter_based", "start_factor", "eta_min", "T_max"):
            account.idle(f"{here}.{name}", "says when and how this part of the course runs")
