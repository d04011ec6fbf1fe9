"""The peers' side of fine-tuning a language model: transformers' Trainer with PEFT, and TRL's SFTTrainer.

Rows come tokenised and in the order in which ours takes them, and the samplers are told to keep it. TRL's packing puts
rows together anew, so its steps hold other rows than ours: about as many tokens a step.
"""

from importlib import import_module
from tempfile import mkdtemp
from typing import Any

import sft as shared
from meter import Laps, Meter
from peers import _told

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PACKED = 1024
"""Tokens of a packed row: TRL's default."""


def sft(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """One run of fine-tuning."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, set_seed

    with_trl = ask["side"] == "trl"
    if with_trl:
        import_module("trl").SFTTrainer  # noqa: B018 - loaded when it is asked for
    else:
        from transformers import Trainer  # noqa: F401
    laps.lap("import")
    set_seed(ask["plan"]["train"]["seed"])
    net: Any = AutoModelForCausalLM.from_pretrained(ask["base"], dtype=torch.float32)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=shared.RANK, lora_alpha=shared.ALPHA, lora_dropout=0.0, target_modules=LINEARS
    )
    net = peft.get_peft_model(net, config)
    shared.fill(net)
    rows = [
        {"input_ids": ask["rows"]["ids"][i], "labels": shared.labels(ask["rows"]["ids"][i], ask["rows"]["given"][i])}
        for i in ask["order"]
    ]
    laps.lap("load")
    meter = Meter()
    with meter:
        trainer = (_trl if with_trl else _trainer)(ask, net, rows)
        trainer.train()
    laps.lap("train")
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    steps = "packed_steps" if ask["options"].get("packing") else "steps"
    return meter.told() | {
        steps: trainer.state.global_step,
        "losses": losses,
        **_told(net),
        "precision": _precision(ask),
    }


def _precision(ask: dict[str, Any]) -> str:
    return "bf16 autocast" if ask["side"] == "trl" and ask["options"].get("bf16", True) else "fp32"


def _arguments(ask: dict[str, Any]) -> dict[str, Any]:
    """What both are told: the job's own settings, order and reports. The rest are their defaults and `options`."""
    train = ask["plan"]["train"]
    return {
        "output_dir": mkdtemp(), "learning_rate": ask["lr"], "num_train_epochs": 1, "seed": train["seed"],
        "per_device_train_batch_size": train["batch"], "weight_decay": train["weight_decay"],
        "warmup_steps": round(train["warmup"] * ask["steps"]), "use_cpu": True, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False, "logging_steps": 1,
        "train_sampling_strategy": "sequential", **ask["options"],
    }  # fmt: skip


def _trainer(ask: dict[str, Any], net: Any, rows: list[dict[str, Any]]) -> Any:
    import torch
    from transformers import Trainer, TrainingArguments

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in batch)
        fill = {"input_ids": 0, "labels": shared.UNREAD, "attention_mask": 0}
        full = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in batch]
        return {k: torch.tensor([r[k] + [v] * (longest - len(r[k])) for r in full]) for k, v in fill.items()}

    return Trainer(net, TrainingArguments(**_arguments(ask)), collate, rows)


def _trl(ask: dict[str, Any], net: Any, rows: list[dict[str, Any]]) -> Any:
    trl: Any = import_module("trl")
    rows_of: Any = import_module("datasets").Dataset
    arguments = _arguments(ask)
    if ask["options"].get("packing"):
        tokens = sum(len(row["input_ids"]) for row in rows)
        arguments["per_device_train_batch_size"] = max(1, round(tokens / ask["steps"] / PACKED))
    made = trl.SFTConfig(**arguments)
    return trl.SFTTrainer(net, made, train_dataset=rows_of.from_list(rows), processing_class=_tokenizer())


def _tokenizer() -> Any:
    """It asks for one, though rows are tokenised."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    kind: Any = PreTrainedTokenizerFast
    return kind(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
