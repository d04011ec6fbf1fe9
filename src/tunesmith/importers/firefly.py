"""Firefly: the JSON of train_args/. Keys: https://github.com/yangjianxin1/Firefly, component/argument.py, and those of
transformers' TrainingArguments.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To

TITLE = "Firefly"
SUFFIXES = (".json",)
TASKS: Mapping[str, dict[str, Any]] = {
    "sft": {"name": "generate"}, "pretrain": {"name": "generate", "format": "text", "learn": "all"},
    "dpo": {"name": "prefer", "loss": "dpo"},
}  # fmt: skip
RULES: Rules = {
    **t.RULES, "max_seq_length": To("task.max_tokens", v.whole), "template_name": To("task.template", v.template),
    "beta": To("task.beta", v.above_zero, "prefer"), "lora_rank": To("method.r", v.whole, "lora"),
    "lora_alpha": To("method.alpha", v.whole, "lora"), "lora_dropout": To("method.dropout", v.number, "lora"),
    "max_prompt_length": Lost("prompt and answer share task.max_tokens"), "use_unsloth": Idle(t.SPEED),
    "tokenize_num_workers": Idle(t.LOADING),
}  # fmt: skip
DEFAULTS = {**t.DEFAULTS, "lora_rank": 64, "lora_alpha": 16, "lora_dropout": 0.05, "beta": 0.1}


def marks(values: dict[str, Any]) -> int:
    """Keys that only Firefly has."""
    own = ("train_file", "max_seq_length", "train_mode", "template_name", "task_type")
    return sum(key in values for key in own) if "model_name_or_path" in values and "train_file" in values else 0


def convert(account: Account) -> None:
    """Fill the account."""
    kind = str(account.get("task_type", "sft"))
    if kind not in TASKS:
        raise account.refuse("task_type", f"has no task in Tunesmith. Known: {', '.join(TASKS)}")
    for name, value in TASKS[kind].items():
        account.put(f"task.{name}", value)
    account.carry("task_type", "task.name", TASKS[kind]["name"])
    t.base(account, "model_name_or_path")
    _data(account)
    _method(account)
    t.arguments(account)
    account.apply(RULES, DEFAULTS)
    t.habits(account)


def _data(account: Account) -> None:
    for key, path in (("train_file", "data.train"), ("eval_file", "data.validation")):
        if account.get(key):
            account.carry(key, path, account.file(key, str(account.get(key))))
        account.idle(key, "left empty")
    t.validation(account)


def _method(account: Account) -> None:
    mode = str(account.get("train_mode", "qlora"))
    if mode not in ("full", "lora", "qlora", "dora"):
        raise account.refuse("train_mode", "has no method in Tunesmith. Known: full, lora, qlora, dora")
    account.put("method.name", "full" if mode == "full" else "lora")
    if mode != "full":
        account.put("method.targets", "all")
    if mode == "qlora":
        account.put("base.quant", "nf4")
    if mode == "dora":
        account.put("method.variant", "dora")
    account.carry("train_mode", "method.name", account.at("method.name"))
