"""LLaMA-Factory: the YAML or JSON of `llamafactory-cli train`. Data sets are names that dataset_info.json explains.

Keys: https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To, Unfit, each
from tunesmith.importers._read import read_tree

TITLE = "LLaMA-Factory"
SUFFIXES = (".yaml", ".yml", ".json")
STAGES: Mapping[str, dict[str, Any]] = {
    "sft": {"name": "generate"}, "pt": {"name": "generate", "format": "text", "learn": "all"},
    "dpo": {"name": "prefer", "loss": "dpo"}, "kto": {"name": "prefer", "loss": "kto"},
    "rm": {"name": "reward"},
}  # fmt: skip
LOSSES = {"sigmoid": "dpo", "ipo": "ipo", "orpo": "orpo", "simpo": "simpo"}
KINDS = {"self_attn": "attention", "attn": "attention", "attention": "attention", "mlp": "feed_forward"}
PARTS = "images, video and sound are not among the inputs"
NO_SETTING = "the task prefer has no setting for it"
NOT_KTO = ("dpo", "ipo", "simpo")
"""Losses that take a share of the loss of the chosen answer."""
NO_OPTIMIZER = "this optimizer is not among those of a plan"

RULES: Rules = {
    **t.RULES, "cutoff_len": To("task.max_tokens", v.whole), "template": To("task.template", v.template),
    "lora_rank": To("method.r", v.whole, "lora"), "lora_alpha": To("method.alpha", v.whole, "lora"),
    "lora_dropout": To("method.dropout", v.number, "lora"), "lora_target": To("method.targets", v.targets, "lora"),
    "loraplus_lr_ratio": To("method.plus", v.plus, "lora"), "pref_beta": To("task.beta", v.above_zero, "prefer"),
    "early_stopping_steps": To("train.patience", v.patience),
    "quantization_method": Lost("a quantised base is made with bitsandbytes"),
    "double_quantization": Idle("rounds the scales of 4-bit weights once more; base.quant decides on that by itself"),
    **each(Idle(t.ONE_MACHINE), "quantization_device_map use_mca"),
    "freeze_extra_modules": Lost("name layers with method.pattern"),
    "pissa_iter": Idle("the singular vectors are computed exactly"), "pissa_convert": Idle("stored as plain LoRA"),
    "loraplus_lr_embedding": Lost("embeddings have no LoRA here"), "create_new_adapter": Idle("always a new one"),
    "additional_target": Lost("further layers that are trained whole beside LoRA have no setting"),
    "adapter_*": Lost("an adapter of another run: method.start takes a run of Tunesmith"),
    "resize_vocab": Lost("the vocabulary stays that of the base"),
    **each(Lost("no tokens are added"), "add_*tokens new_special_tokens_config"),
    "init_special_tokens": Idle("no tokens are added"), "trust_remote_code": Lost(t.OWN_CODE),
    "model_revision": Lost("fetch that revision and name its folder as base"),
    **each(Idle(t.SPEED), "flash_attn use_unsloth* enable_liger_kernel use_v1_kernels use_kv_cache"),
    **each(Idle(t.MEMORY), "low_cpu_mem_usage disable_gradient_checkpointing use_reentrant_gc offload_folder"),
    **each(Idle(t.LOADING), "cache_dir use_fast_tokenizer buffer_size overwrite_cache preprocessing_* tokenized_path"),
    **each(Idle("rows always run end to end and never see each other"), "packing neat_packing"),
    "streaming": Idle("files larger than memory are read in pieces"),
    "dataset_dir": Idle("says where dataset names are looked up; the plan names files"),
    "ignore_pad_token_for_loss": Idle("there is no padding"), "plot_loss": Idle("the report shows the curves"),
    "compute_accuracy": Lost("name metrics with evaluate.metrics"),
    **each(Lost("not a setting"), "eval_num_beams tool_format eval_on_each_dataset"),
    "max_samples": Lost("rows are not left out; cut the file"),
    "mix_strategy": Lost("files are put one after another"),
    "interleave_probs": Lost("for proportions of files add the step {name: mix, shares: […]}"),
    "disable_shuffling": Lost("rows are always shuffled, by train.seed"),
    "pure_bf16": Lost("weights that train are kept in fp32"), "fp8*": Lost("fp8 is not among the precisions"),
    "upcast_*": Idle("norms and losses are computed in fp32"),
    "rope_scaling": Lost("positions stay those of the base"), "shift_attn": Lost("attention stays that of the base"),
    "mixture_of_depths": Lost("the base keeps its layers"), "moe_aux_loss_coef": Lost("no loss is added"),
    "train_from_scratch": Lost("training starts from a pretrained base"), "use_llama_pro": Lost("no blocks are added"),
    "use_dft_loss": Lost("this loss is not among those of the task"),
    "simpo_gamma": To("task.gamma", v.from_zero, "simpo"),
    "dpo_label_smoothing": To("task.label_smoothing", v.smoothing, "dpo"),
    "kto_chosen_weight": To("task.desirable", v.above_zero, "kto"),
    "kto_rejected_weight": To("task.undesirable", v.above_zero, "kto"),
    **each(Lost(NO_SETTING), "pref_ftx pref_bco_weight ld_alpha"),
    "ref_model*": Lost("the reference is the base before training"),
    **each(Lost("there is no PPO"), "ppo_* reward_model*"),
    **each(Lost("OFT is not among the methods"), "oft_* module_dropout"),
    **each(Lost(NO_OPTIMIZER), "use_galore use_apollo use_badam use_adam_mini use_muon galore_* apollo_* badam_*"),
    **each(Lost("SwanLab is not among train.log"), "use_swanlab swanlab_*"), "print_param_status": Idle(t.TELLS),
    "*_hub_token": Idle(t.HUB),
    **each(Lost(PARTS),
           "media_dir image_* video_* audio_* use_audio_in_video freeze_vision_tower "
           "freeze_multi_modal_projector freeze_language_model crop_to_patches"),
    **each(Idle("about answering, not about training"), "infer_* do_sample temperature top_* max_new_tokens"),
    "export_*": Idle("about exports, not about training"),
    "predict_with_generate": Lost("answers for a file are a command of their own: tunesmith predict"),
    "split_special_tokens": Lost("the tokenizer is used as it comes"),
}  # fmt: skip
DEFAULTS = {**t.DEFAULTS, "cutoff_len": 2048, "lora_rank": 8, "lora_dropout": 0.0, "lora_target": "all",
            "pref_beta": 0.1}  # fmt: skip


def marks(values: dict[str, Any]) -> int:
    """Keys that only LLaMA-Factory has."""
    own = ("stage", "finetuning_type", "cutoff_len", "dataset_dir", "lora_target", "template", "dataset")
    return sum(key in values for key in own) if "model_name_or_path" in values else 0


def convert(account: Account) -> None:
    """Fill the account."""
    _task(account)
    t.base(account, "model_name_or_path")
    _quantised(account)
    _data(account)
    _method(account)
    t.arguments(account)
    account.apply(RULES, DEFAULTS | {"lora_alpha": 2 * account.at("method.r", account.get("lora_rank", 8))})
    t.habits(account)


def _task(account: Account) -> None:
    stage = str(account.get("stage", "sft"))
    if stage not in STAGES:
        raise account.refuse("stage", f"has no task in Tunesmith. Known: {', '.join(STAGES)}")
    for name, value in STAGES[stage].items():
        account.put(f"task.{name}", value)
    account.carry("stage", "task.name", STAGES[stage]["name"])
    loss = account.word("pref_loss")
    if stage != "dpo":
        account.idle("pref_loss", f"stage: {stage} has its own loss")
    elif loss in LOSSES:
        account.carry("pref_loss", "task.loss", LOSSES[loss])
    else:
        account.lose("pref_loss", "not among the losses of the task prefer; the plan says dpo instead")
    weight = account.get("pref_ftx")
    if account.at("task.loss") in NOT_KTO and isinstance(weight, (int, float)) and weight > 0:
        account.carry("pref_ftx", "task.sft_weight", float(weight))
    for key, word in (("train_on_prompt", "all"), ("mask_history", "last")):
        if account.get(key) is True and stage == "sft":
            account.carry(key, "task.learn", word)
        account.idle(key, "off there, or of no use at this stage")


def _quantised(account: Account) -> None:
    bits, kind = account.get("quantization_bit"), account.get("quantization_type", "nf4")
    if str(bits) in ("4", "8") and (str(bits) == "8" or kind == "nf4"):
        account.carry("quantization_bit", "base.quant", "nf4" if str(bits) == "4" else "int8")
        account.idle("quantization_type", "nf4 is the 4-bit form of a plan")
    account.lose("quantization_bit", f"a base is quantised to nf4 (4 bits) or int8, not to {bits} bits of {kind}")
    account.idle("quantization_type", "belongs to quantization_bit")
    if account.get("quantization_method") in ("bitsandbytes", "bnb"):
        account.idle("quantization_method", "a quantised base is made with bitsandbytes")


def _method(account: Account) -> None:
    kind = account.word("finetuning_type", "lora")
    names = {"lora": "lora", "full": "full", "freeze": "layers"}
    if kind not in names:
        raise account.refuse("finetuning_type", f"has no method in Tunesmith. Known: {', '.join(names)}")
    account.carry("finetuning_type", "method.name", names[kind])
    t.variant(account, "use_dora", "use_rslora", "pissa_init")
    for key in ("use_dora", "use_rslora", "pissa_init", *(["freeze_trainable_layers"] * (kind != "freeze"))):
        account.idle(key, f"belongs to another method than {kind}")
    if kind == "freeze":
        _frozen(account)
    account.idle("freeze_trainable_modules", "all kinds of layers, or another method than freeze")


def _frozen(account: Account) -> None:
    try:
        count = int(v.number(account.get("freeze_trainable_layers", 2)))
    except Unfit as error:
        raise account.refuse("freeze_trainable_layers", str(error)) from None
    lowest = "|".join(str(i) for i in range(-count))
    where = ("method.top", count) if count > 0 else ("method.pattern", rf"\.({lowest})\.")
    account.carry("freeze_trainable_layers", *where)
    wanted = str(account.get("freeze_trainable_modules", "all")).split(",")
    kinds = [KINDS.get(name.strip()) for name in wanted]
    if all(kinds):
        account.carry("freeze_trainable_modules", "method.kinds", kinds)
    elif wanted != ["all"]:
        account.lose("freeze_trainable_modules", f"kinds of layers are {', '.join(sorted(set(KINDS.values())))}; "
                                                 "single layers are named with method.pattern")  # fmt: skip


# data


def _data(account: Account) -> None:
    known, folder = _registry(account)
    train = _files(account, "dataset", known, folder)
    if train:
        account.put("data.train", train if len(train) > 1 else train[0])
    held_out = _files(account, "eval_dataset", known, folder)
    if len(held_out) == 1:
        account.put("data.validation", held_out[0])
    elif held_out:
        account.notes.append("eval_dataset: a plan has one validation file; the first of several was taken")
        account.put("data.validation", held_out[0])
    t.validation(account, "val_size")


def _registry(account: Account) -> tuple[dict[str, Any], Path]:
    """({name: description}, folder of the data files)."""
    named = str(account.get("dataset_dir", "data"))
    above = [account.path.absolute().parent, *account.path.absolute().parents[:4]]
    for folder in (*(p / named for p in above), Path(named), above[0]):
        if (folder / "dataset_info.json").is_file():
            return read_tree(folder / "dataset_info.json").values, folder.absolute()
    account.notes.append(f"no dataset_info.json in '{named}' or beside the file: names of data sets stay names")
    return {}, Path(named)


def _files(account: Account, key: str, known: dict[str, Any], folder: Path) -> list[str]:
    names = account.get(key)
    if not names:
        return []
    files = []
    for name in names if isinstance(names, list) else [n.strip() for n in str(names).split(",")]:
        about = known.get(str(name), {})
        file = about.get("file_name") if isinstance(about, dict) else None
        files.append(account.file(f"{key} {name}", str(file or name), folder))
        if isinstance(about, dict) and key == "dataset":
            _described(account, str(name), about)
    account.carry(key, "data.train" if key == "dataset" else "data.validation", files)
    return files


def _described(account: Account, name: str, about: dict[str, Any]) -> None:
    """What dataset_info.json says of a data set: its form, and columns with other names than usual."""
    form = "sharegpt" if about.get("formatting") == "sharegpt" else "alpaca"
    if form == "sharegpt" and (about.get("tags") or {}).get("role_tag") == "role":
        form = "messages"
    if account.at("task.name") == "generate" and account.at("task.format") != "text":
        same = account.at("task.format", form) in (form, "auto") and account.at("task.format") != "auto"
        account.put("task.format", form if same else "auto")
    usual = {"prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system",
             "chosen": "chosen", "rejected": "rejected", "tools": "tools", "kto_tag": "label"}  # fmt: skip
    columns = about.get("columns") or {}
    odd = {k: c for k, c in columns.items() if c not in (usual.get(k), "messages", "conversations", "text")}
    rest = {k: about[k] for k in ("subset", "split", "num_samples", "folder") if about.get(k)}
    for key, value in ({f"columns.{k}": c for k, c in odd.items()} | rest).items():
        why = "the plan finds columns by their usual names; rename it" if key.startswith("col") else "not a setting"
        account.not_carried.append({"key": f"dataset_info.json: {name}.{key}", "value": value, "why": why})
