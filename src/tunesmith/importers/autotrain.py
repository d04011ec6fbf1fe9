"""AutoTrain: the YAML of `autotrain --config`. Keys: https://github.com/huggingface/autotrain-advanced, configs and
src/autotrain/trainers/*/params.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To, each

TITLE = "AutoTrain"
SUFFIXES = (".yaml", ".yml")
LABEL, NUMBER, TEXT = {"name": "classify"}, {"name": "regress"}, {"name": "generate", "learn": "all"}
TASKS: Mapping[str, Mapping[str, Any]] = {
    "text-classification": LABEL, "text-binary-classification": LABEL, "text-multi-class-classification": LABEL,
    "text-regression": NUMBER, "text-single-column-regression": NUMBER, "text-scoring": NUMBER,
    "llm": TEXT, "llm-sft": TEXT, "llm-generic": TEXT, "llm-training": TEXT, "llm-finetuning": TEXT,
    "llm-dpo": {"name": "prefer", "loss": "dpo"}, "llm-orpo": {"name": "prefer", "loss": "orpo"},
    "llm-reward": {"name": "reward"},
}  # fmt: skip
COLUMN = "the plan finds columns by their usual names; rename it"

RULES: Rules = {
    "params.lr": To("train.lr", v.above_zero), "params.epochs": To("train.epochs", v.epochs),
    "params.optimizer": To("train.optimizer", v.choice(v.OPTIMIZERS, "optimizer")),
    "params.scheduler": To("train.schedule", v.choice(v.SCHEDULES, "schedule")),
    "params.weight_decay": To("train.weight_decay", v.number), "params.max_grad_norm": To("train.clip", v.unless_zero),
    "params.seed": To("train.seed", v.seed), "params.max_seq_length": To("task.max_tokens", v.whole),
    "params.mixed_precision": To("train.precision", v.choice(v.PRECISIONS, "precision")),
    "params.early_stopping_patience": To("train.patience", v.patience),
    "params.early_stopping_threshold": Lost("any better value counts as better"),
    "params.logging_steps": Idle(t.TELLS), "params.eval*_strategy": Idle("rows are judged once an epoch"),
    "params.save_*": Idle("old checkpoints are cleared away by themselves"),
    "params.padding": Idle("nothing is padded"), "params.auto_find_batch_size": t.RULES["auto_find_batch_size"],
    **each(Idle(t.SPEED),
           "params.use_flash_attention_2 params.attn_implementation params.unsloth params.use_liger_kernel"),
    "params.disable_gradient_checkpointing": Idle(t.MEMORY),
    **each(Idle(t.ONE_MACHINE), "params.distributed_backend backend"),
    "params.lora_r": To("method.r", v.whole, "lora"), "params.lora_alpha": To("method.alpha", v.whole, "lora"),
    "params.lora_dropout": To("method.dropout", v.number, "lora"),
    "params.target_modules": To("method.targets", v.targets, "lora"),
    "params.merge_adapter": Lost("merging is an export"), "params.dpo_beta": To("task.beta", v.above_zero, "prefer"),
    **each(Lost("prompt and answer share task.max_tokens"), "params.max_prompt_length params.max_completion_length"),
    "params.model_ref": Lost("the reference is the base before training"),
    "params.add_eos_token": Idle("the end of an answer is always learnt"),
    "log": To("train.log", v.choice(v.LOGS, "log")), "project_name": Idle(t.RUNS), "hub.*": Lost(t.HUB),
    "data.column_mapping.*": Lost(COLUMN),
}  # fmt: skip
DEFAULTS = {
    "params.optimizer": "adamw_torch", "params.scheduler": "linear", "params.weight_decay": 0.0,
    "params.max_grad_norm": 1.0, "params.seed": 42,
}  # fmt: skip
FOR_LLM = {
    "params.lr": 3e-5, "params.epochs": 1, "params.lora_r": 16, "params.lora_alpha": 32, "params.lora_dropout": 0.05,
    "params.target_modules": "all-linear", "params.dpo_beta": 0.1,
}  # fmt: skip
FOR_TEXT = {"params.lr": 5e-5, "params.epochs": 3, "params.max_seq_length": 128}


def marks(values: dict[str, Any]) -> int:
    """Keys that only AutoTrain has."""
    return sum(key in values for key in ("params", "project_name", "backend", "hub")) if "task" in values else 0


def convert(account: Account) -> None:
    """Fill the account."""
    llm = _task(account)
    t.base(account, "base_model")
    _data(account, llm)
    _method(account, llm)
    t.batch(account, "params.batch_size", "params.gradient_accumulation", (2, 4) if llm else (8, 1))
    if account.get("params.warmup_ratio") is None:
        account.carry("params.warmup_ratio", "train.warmup", 0.1)
    else:
        t.warmup(account, "params.scheduler", "params.warmup_steps", "params.warmup_ratio")
    defaults = DEFAULTS | (FOR_LLM if llm else FOR_TEXT)
    if not llm and account.values.get("data.valid_split") is not None:
        account.put("train.keep", "best")  # with validation rows it stops early and keeps the best weights
        defaults |= {"params.early_stopping_patience": 5}
    account.apply(RULES, defaults)
    t.habits(account)


def _task(account: Account) -> bool:
    """Whether it is about a language model."""
    trainer = account.get("params.trainer")
    name = str(account.get("task", "")).replace("_", "-")
    asked = f"llm-{trainer}" if name in ("llm", "llm-training", "llm-finetuning") and trainer else name
    asked = "llm-generic" if asked == "llm-default" else asked
    if asked not in TASKS:
        raise account.refuse("task", f"has no task in Tunesmith. Known: {', '.join(TASKS)}")
    for key, value in TASKS[asked].items():
        account.put(f"task.{key}", value)
    account.carry("task", "task.name", TASKS[asked]["name"])
    if trainer is not None:
        account.carry("params.trainer", "task.name", TASKS[asked]["name"])
    if asked in ("llm", "llm-generic"):
        account.put("task.format", "text")
    if "learn" in TASKS[asked]:
        account.notes.append("AutoTrain learns every token of a row; the plan says so with task.learn: all "
                             "(answers: the answers alone)")  # fmt: skip
    return asked.startswith("llm")


def _data(account: Account, llm: bool) -> None:
    path = str(account.get("data.path", ""))
    for key, to in (("data.train_split", "data.train"), ("data.valid_split", "data.validation")):
        split = account.get(key)
        if split is not None:
            file = _split(account, path, str(split))
            account.put(to, account.file(key, str(file)) if file else account.file(key, path))
            account.carry(key, to, account.at(to))
    if account.at("data.train") is None and path:
        account.put("data.train", account.file("data.path", path))
    account.carry("data.path", "data.train", account.at("data.train"))
    t.validation(account)
    if (chat := account.get("data.chat_template")) not in (None, "none"):
        account.carry("data.chat_template", "task.template", v.template(chat))
    account.idle("data.chat_template", "rows are taken as they are")
    usual = {"text_column": ("text", "messages", "chosen"), "prompt_text_column": ("prompt",),
             "rejected_text_column": ("rejected",)}  # fmt: skip
    columns = {"text_column": "task.text", "target_column": "task.label"}
    for name in ("text_column", "target_column", "prompt_text_column", "rejected_text_column"):
        key = f"data.column_mapping.{name}"
        if not llm and name in columns and account.get(key):
            account.carry(key, columns[name], account.word(key))
        elif llm and account.get(key) in usual.get(name, ()):
            account.idle(key, "found by its usual name")


def _split(account: Account, path: str, split: str) -> Path | None:
    """The file of a split in a local folder: train.csv, train.jsonl …"""
    folder = account.found(path) if path else None
    for suffix in (".csv", ".jsonl", ".json", ".parquet"):
        if folder is not None and (folder / f"{split}{suffix}").is_file():
            return folder / f"{split}{suffix}" if Path(path).is_absolute() else Path(path) / f"{split}{suffix}"
    return None


def _method(account: Account, llm: bool) -> None:
    lora = llm and account.get("params.peft") is True
    account.carry("params.peft", "method.name", "lora" if lora else "full")
    quant = account.word("params.quantization")
    if quant in ("int4", "int8"):
        account.carry("params.quantization", "base.quant", "nf4" if quant == "int4" else "int8")
    account.lose("params.quantization", "a base is quantised to int4 (nf4) or int8")
    block, limit = account.get("params.block_size"), account.get("params.model_max_length")
    if isinstance(block, int) and block > 0:
        account.carry("params.block_size", "task.max_tokens", block)
    elif isinstance(limit, int) and limit > 0:
        account.carry("params.model_max_length", "task.max_tokens", limit)
    account.idle("params.block_size", "off there")
    account.idle("params.model_max_length", "params.block_size cuts the rows")
