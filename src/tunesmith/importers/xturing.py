"""xTuring: its fine-tuning YAML, `defaults:` under the section of one model (gpt2_lora: …); also its PEFT template with
the sections model, peft, data, training. Keys: https://github.com/stochasticai/xTuring, src/xturing/config.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To, each

TITLE = "xTuring"
SUFFIXES = (".yaml", ".yml")
BASES: Mapping[str, str] = {
    "gpt2": "gpt2", "distilgpt2": "distilgpt2", "opt": "facebook/opt-1.3b", "bloom": "bigscience/bloom-1b1",
    "gptj": "EleutherAI/gpt-j-6B", "galactica": "facebook/galactica-1.3b", "falcon": "tiiuae/falcon-7b",
    "cerebras": "cerebras/Cerebras-GPT-1.3B",
}  # fmt: skip
OUTSIDE = ("defaults", "dataset", "model")
WEIGHTS = {"int8": "int8", "int4": "nf4", "kbit": "nf4"}

RULES: Rules = {
    "learning_rate": To("train.lr", v.above_zero), "weight_decay": To("train.weight_decay", v.number),
    "max_grad_norm": To("train.clip", v.unless_zero), "num_train_epochs": To("train.epochs", v.epochs),
    "max_length": To("task.max_tokens", v.whole), "logging_steps": To("train.log_every", v.every_steps),
    "optimizer_name": To("train.optimizer", v.choice(v.OPTIMIZERS, "optimizer")),
    "save_steps": To("train.save_every", v.every_steps), "eval_steps": To("train.evaluate_every", v.every_steps),
    "save_total_limit": t.RULES["save_total_limit"], "output_dir": Idle(t.RUNS),
}  # fmt: skip
TEMPLATE: Rules = {
    **{f"training.{key}": rule for key, rule in t.RULES.items()}, "model.trust_remote_code": Lost(t.OWN_CODE),
    "model.torch_dtype": Idle("train.precision says it"), "model.use_flash_attention_2": Idle(t.SPEED),
    "peft.r": To("method.r", v.whole, "lora"), "peft.lora_alpha": To("method.alpha", v.whole, "lora"),
    "peft.lora_dropout": To("method.dropout", v.number, "lora"),
    "peft.target_modules": To("method.targets", v.targets, "lora"), "peft.task_type": Idle("the task says it"),
    "peft.bias": Lost("biases are trained by the method bitfit"), "data.train_split": Idle("a file is one split"),
    **each(Idle("found by its usual name"), "data.text_column data.target_column"),
    "data.*": Lost("not a setting of a data file"), "eval.*": Lost("validation is data.validation"),
}  # fmt: skip


def marks(values: dict[str, Any]) -> int:
    """A section of defaults or of a model that xTuring knows, or the template's four sections."""
    known = sum(_model_of(name) is not None for name, value in values.items() if isinstance(value, dict))
    template = all(isinstance(values.get(name), dict) for name in ("model", "peft", "training"))
    return 3 * template + 2 * known + ("learning_rate" in (values.get("defaults") or {}))


def convert(account: Account) -> None:
    """Fill the account."""
    account.put("task.name", "generate")
    if "model.name_or_path" in account.values:
        _template(account)
    else:
        _sections(account)
    t.validation(account)
    t.habits(account)


def _model_of(name: str) -> tuple[str, list[str]] | None:
    """'gpt2_lora_int8' -> ('gpt2', ['lora', 'int8'])."""
    base, *more = name.split("_")
    known = (*BASES, "llama", "llama2", "mistral", "mixtral", "generic", "qwen3", "gpt", "minimax", "mamba")
    return (base, more) if base in known else None


def _sections(account: Account) -> None:
    """One model's section over the defaults: its settings win."""
    heads = list(dict.fromkeys(k.split(".")[0] for k in account.values if k.split(".")[0] not in OUTSIDE))
    named = [h for h in heads if _model_of(h)]
    if len(named) > 1:
        raise account.refuse(named[0], f"one of {len(named)} models: {', '.join(named)}. Keep the section of one")
    name = named[0] if named else str(account.get("model", ""))
    _chosen(account, name)
    for key in [k for k in account.left if k.startswith("defaults.")]:
        if account.values.get(key.replace("defaults", name, 1)) is not None:
            account.idle(key, f"{name} says otherwise")
    for key in ("dataset", f"{name}.dataset", "defaults.dataset"):
        if account.get(key):
            account.carry(key, "data.train", account.file(key, str(account.get(key))))
    if account.at("data.train") is None:
        account.notes.append("the file names no data (xTuring takes it in Python): add data.train=FILE to the command")
    where = {k.split(".")[-1]: k for k in account.left}
    t.batch(account, where.get("batch_size", "batch_size"),
            where.get("gradient_accumulation_steps", "gradient_accumulation_steps"), (1, 1))  # fmt: skip
    t.warmup(account, "", where.get("warmup_steps", "warmup_steps"), "warmup_ratio")
    account.put("train.schedule", "constant")
    account.notes.append(
        "train.schedule: constant after the warm-up; xTuring's own course differs between its versions"
    )
    account.apply({f"*.{key}": rule for key, rule in RULES.items()} | dict(RULES))


def _chosen(account: Account, name: str) -> None:
    base, more = _model_of(name) or ("", [])
    if base in BASES:
        account.put("base.name", BASES[base])
        account.notes.append(f"base.name: what xTuring loads for {name}; set base.name if your weights lie elsewhere")
    else:
        account.notes.append(f"no base is known for '{name}': add base.name=NAME to the command")
    lora = "lora" in more
    account.put("method.name", "lora" if lora else "full")
    for word in set(more) & set(WEIGHTS):
        account.put("base.quant", WEIGHTS[word])
    if lora:
        settings = {"r": 8, "alpha": 32, "dropout": 0.1, "targets": "qv"}
        for path, value in settings.items():
            account.put(f"method.{path}", value)
        account.notes.append(f"method: xTuring's LoRA has fixed settings, {settings}; check the layers for this base")
    if account.get("model"):
        account.carry("model", "base.name", account.at("base.name"))


def _template(account: Account) -> None:
    t.base(account, "model.name_or_path")
    kind = account.get("peft.method")
    if kind is not None and kind != "lora":
        raise account.refuse("peft.method", "has no method here. Known: lora")
    account.carry("peft.method", "method.name", "lora" if kind else "full")
    if file := account.get("data.train_dataset"):
        account.carry("data.train_dataset", "data.train", account.file("data.train_dataset", str(file)))
    t.batch(account, "training.per_device_train_batch_size", "training.gradient_accumulation_steps", (8, 1))
    t.length(account, "training.max_steps", "training.num_train_epochs")
    t.warmup(account, "training.lr_scheduler_type", "training.warmup_steps", "training.warmup_ratio")
    t.precision(account, "training.bf16", "training.fp16")
    t.moments(account, "training.save_strategy", "training.save_steps", "train.save_every")
    account.apply(TEMPLATE, {f"training.{key}": value for key, value in t.DEFAULTS.items()})
