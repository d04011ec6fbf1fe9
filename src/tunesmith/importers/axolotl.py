"""axolotl: the YAML of `axolotl train`.

Keys: https://github.com/axolotl-ai-cloud/axolotl, src/axolotl/utils/schemas.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.importers import _trainer as t
from tunesmith.importers import _values as v
from tunesmith.importers._account import Account, Idle, Lost, Rules, To, Unfit, each

TITLE = "axolotl"
SUFFIXES = (".yaml", ".yml", ".json")
LOSSES: Mapping[str, str] = {"dpo": "dpo", "ipo": "ipo", "orpo": "orpo", "kto": "kto", "simpo": "simpo"}
FORMATS: Mapping[str, str] = {
    "alpaca": "alpaca", "chat_template": "messages", "sharegpt": "sharegpt", "completion": "text", "pretrain": "text",
    "input_output": "pairs",
}  # fmt: skip
NO_SETTING = "the task prefer has no setting for it"
PACKED = "rows always run end to end and never see each other"
COLUMN = "the plan finds columns by their usual names; rename it"
USUAL = {
    "field_messages": ("messages", "conversations", "conversation"), "field_chosen": ("chosen",),
    "field_rejected": ("rejected",), "field": ("text",), "field_prompt": ("prompt",), "field_system": ("system",),
    "message_property_mappings.role": ("role", "from"), "message_property_mappings.content": ("content", "value"),
    "message_field_role": ("role", "from"), "message_field_content": ("content", "value"),
}  # fmt: skip

RULES: Rules = {
    **{key: rule for key, rule in t.RULES.items() if key not in ("optim", "lr_scheduler_type", "num_train_epochs")},
    "num_epochs": To("train.epochs", v.epochs), "sequence_len": To("task.max_tokens", v.whole),
    "optimizer": To("train.optimizer", v.choice(v.OPTIMIZERS, "optimizer")),
    "lr_scheduler": To("train.schedule", v.choice(v.SCHEDULES, "schedule")),
    "cosine_min_lr_ratio": To("train.floor", v.number), "early_stopping_patience": To("train.patience", v.patience),
    "chat_template": To("task.template", v.template), "rl_beta": To("task.beta", v.above_zero, "prefer"),
    "dpo_beta": To("task.beta", v.above_zero, "prefer"), "orpo_alpha": To("task.beta", v.above_zero, "prefer"),
    "lora_r": To("method.r", v.whole, "lora"), "lora_alpha": To("method.alpha", v.whole, "lora"),
    "lora_dropout": To("method.dropout", v.number, "lora"), "loraplus_lr_ratio": To("method.plus", v.plus, "lora"),
    "loraplus_lr_embedding": Lost("embeddings have no LoRA here"),
    **each(Idle(t.LOADING),
           "lora_fan_in_fan_out tokenizer_use_fast type_of_model dataset_prepared_path dataset_processes "
           "dataset_num_proc dataset_keep_in_memory skip_prepare_dataset"),
    "lora_model_dir": Lost("an adapter of another run: method.start takes a run of Tunesmith"),
    "lora_modules_to_save": Lost("further layers that are trained whole beside LoRA have no setting"),
    **each(Idle(t.SPEED),
           "lora_*_kernel resize_token_embeddings_to_32x *_attention flash_attn_* flash_optimum unsloth_* "
           "liger_* cut_cross_entropy attn_implementation"),
    **each(Idle(t.MEMORY), "lora_on_cpu low_cpu_mem_usage gc_steps max_memory* gpu_memory_limit eval_batch_size"),
    "merge_lora": Lost("merging is an export"),
    "peft_init_lora_weights": Lost("starts of LoRA are zero and pissa (method.init)"),
    "peft_layers_to_transform": Lost("only the top blocks can be chosen: method.top"),
    "base_model_config": Lost("the configuration is the base's own"),
    **each(Idle("the base says what it is"), "model_type tokenizer_type is_*_derived_model"),
    "tokenizer_legacy": Lost("the tokenizer is used as it comes"),
    "tokenizer_config": Lost("the tokenizer is the base's own"), "trust_remote_code": Lost(t.OWN_CODE),
    "revision_of_model": Lost("fetch that revision and name its folder as base"),
    "special_tokens.*": Lost("special tokens are the base's own"),
    **each(Lost("no tokens are added"), "tokens added_tokens_overrides*"),
    **each(Idle(PACKED),
           "sample_packing* eval_sample_packing pad_to_sequence_len batch_flattening multipack_real_batches"),
    "plugins": Lost("plug-ins of axolotl are not run"), "s2_attention": Lost("attention stays that of the base"),
    **each(Idle(t.ONE_MACHINE),
           "device_map device world_size ddp accelerator_config* sequence_parallel_degree tensor_parallel_size "
           "context_parallel_size"),
    "dataset_shard_*": Lost("rows are not left out; cut the file"), "push_dataset_to_hub": Lost(t.HUB),
    "hf_use_auth_token": Idle(t.HUB),
    **each(Idle(t.TELLS), "strict debug axolotl_config_path eval_table_size eval_max_new_tokens profiler_steps"),
    "shuffle_merged_datasets": Idle("rows are always shuffled, by train.seed"),
    "wandb_*": Lost("Weights & Biases is not among train.log (tensorboard, mlflow)"),
    "comet_*": Lost("not a train.log"), "mlflow_*": Lost("train.log: mlflow takes no further settings"),
    "evals_per_epoch": To("train.evaluate_every", lambda n: f"{round(1 / v.above_zero(n), 4):g} epochs"),
    "saves_per_epoch": To("train.save_every", lambda n: f"{round(1 / v.above_zero(n), 4):g} epochs"),
    "loss_watchdog_*": Idle("a run whose loss cannot be right stops by itself"),
    "train_on_eos": Lost("the end of an answer is always learnt"), "roles_to_train": Lost("answers are learnt"),
    "default_system_message": Lost("system prompts come from the rows"), "chat_template_jinja": Lost("not a template"),
    "simpo_gamma": To("task.gamma", v.from_zero, "simpo"), "cpo_alpha": To("task.sft_weight", v.sft_weight, "simpo"),
    "rpo_alpha": To("task.sft_weight", v.sft_weight, "dpo"),
    "dpo_label_smoothing": To("task.label_smoothing", v.smoothing, "dpo"),
    "kto_desirable_weight": To("task.desirable", v.above_zero, "kto"),
    "kto_undesirable_weight": To("task.undesirable", v.above_zero, "kto"),
    "center_rewards_coefficient": To("task.centering", v.from_zero, "reward"),
    **each(Lost(NO_SETTING), "max_prompt_len dpo_*"),
    "unfrozen_parameters": Lost("write method.name: layers with method.pattern"), "relora*": Lost("not a method"),
    "gptq": Lost("a quantised base is nf4 or int8"), "bnb_config_kwargs*": Lost("base.quant has no further settings"),
    "embedding_lr*": Lost("one learning rate, and train.head_lr"), "lr_groups*": Lost("one rate, and train.head_lr"),
    "min_sample_len": Lost("short rows are not left out"),
    **each(Lost("weights that train are kept in fp32"), "bfloat16 float16"),
    "fp8": Lost("fp8 is not among the precisions"), "datasets.*.ds_type": Idle("the suffix says how a file is read"),
    "datasets.*.roles.*": Idle("roles are known names"), "datasets.*.*": Lost("not a setting of a data file"),
    "test_datasets.*": Lost("only its path is taken"), "pretraining_dataset*": Lost("only the path of data is taken"),
}  # fmt: skip
DEFAULTS = {
    "weight_decay": 0.0, "seed": 42, "max_grad_norm": 1.0, "num_epochs": 1, "optimizer": "adamw_torch",
    "lr_scheduler": "cosine", "sequence_len": 512, "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "rl_beta": 0.1,
}  # fmt: skip


def marks(values: dict[str, Any]) -> int:
    """Keys that only axolotl has."""
    own = ("datasets", "micro_batch_size", "sequence_len", "adapter", "sample_packing", "val_set_size", "rl")
    return sum(key in values for key in own) if "base_model" in values else 0


def convert(account: Account) -> None:
    """Fill the account."""
    _task(account)
    t.base(account, "base_model")
    _data(account)
    _method(account)
    _batch(account)
    t.length(account, "max_steps", "num_epochs")
    t.warmup(account, "lr_scheduler", "warmup_steps", "warmup_ratio")
    t.precision(account, "bf16", "fp16")
    t.moments(account, "save_strategy", "save_steps", "train.save_every")
    t.moments(account, "eval_strategy", "eval_steps", "train.evaluate_every")
    if account.get("dataset_exact_deduplication") is True:
        account.carry("dataset_exact_deduplication", "steps", ["dedup"])
    account.idle("dataset_exact_deduplication", "off there")
    if account.get("use_tensorboard") is True:
        account.carry("use_tensorboard", "train.log", "tensorboard")
    account.idle("use_tensorboard", "off there")
    account.apply(RULES, DEFAULTS)
    t.habits(account)


def _task(account: Account) -> None:
    loss = account.word("rl")
    if loss and loss not in LOSSES:
        raise account.refuse("rl", f"has no loss in the task prefer. Known: {', '.join(LOSSES)}")
    account.put("task.name", "prefer" if loss else "generate")
    if loss:
        account.carry("rl", "task.loss", LOSSES[loss])
    elif account.get("reward_model") is True:
        account.carry("reward_model", "task.name", "reward")
    account.idle("reward_model", "off there")
    if account.get("train_on_inputs") is True and account.at("task.name") == "generate":
        account.carry("train_on_inputs", "task.learn", "all")
    account.idle("train_on_inputs", "off there: answers are learnt, here as well")


def _method(account: Account) -> None:
    adapter = account.word("adapter")
    if adapter not in ("lora", "qlora", ""):
        raise account.refuse("adapter", "has no method in Tunesmith. Known: lora, qlora, or left out for full tuning")
    account.carry("adapter", "method.name", "lora" if adapter else "full")
    for key, word in (("load_in_4bit", "nf4"), ("load_in_8bit", "int8")):
        if account.get(key) is True:
            account.carry(key, "base.quant", word)
        account.idle(key, "off there")
    if not adapter:
        for key in ("lora_target_linear", "lora_target_modules", "peft_use_dora", "peft_use_rslora"):
            account.idle(key, "belongs to lora, which this file does not ask for")
        return
    t.variant(account, "peft_use_dora", "peft_use_rslora")
    names = account.get("lora_target_modules")
    if account.get("lora_target_linear") is True:
        account.carry("lora_target_linear", "method.targets", "all")
        account.idle("lora_target_modules", "lora_target_linear takes all linear layers")
    elif names:
        try:
            account.carry("lora_target_modules", "method.targets", v.targets(names))
        except Unfit as error:
            account.lose("lora_target_modules", str(error))
    account.idle("lora_target_linear", "off there")


def _batch(account: Account) -> None:
    if account.get("batch_size") is not None:
        account.lose("batch_size", "micro_batch_size x gradient_accumulation_steps is taken")
    t.batch(account, "micro_batch_size", "gradient_accumulation_steps", (1, 1))


# data


def _data(account: Account) -> None:
    rows = _sets(account, "datasets") or _sets(account, "pretraining_dataset")
    files = [file for file, _ in rows]
    if files:
        account.put("data.train", files[0] if len(files) == 1 else files)
    forms = {form for _, form in rows}
    if account.at("task.name") == "generate" and rows:
        form = forms.pop() if len(forms) == 1 else "auto"
        account.put("task.format", form)
        if form == "text":
            account.put("task.learn", "all")
    if held_out := _sets(account, "test_datasets"):
        account.put("data.validation", held_out[0][0])
    t.validation(account, "val_set_size")


def _sets(account: Account, section: str) -> list[tuple[str, str]]:
    """(file, format) of each data set of a section."""
    found = []
    if isinstance(account.get(section), str):
        found.append((account.file(section, account.get(section)), "text"))
        account.carry(section, "data.train", found[0][0])
    index = 0
    while any(key.startswith(f"{section}.{index}.") for key in account.values):
        here = f"{section}.{index}"
        found.append((_file(account, here, section), _form(account, here)))
        for name, usual in USUAL.items():
            if account.get(f"{here}.{name}") in usual:
                account.idle(f"{here}.{name}", "found by its usual name")
            elif f"{here}.{name}" in account.left:
                account.lose(f"{here}.{name}", COLUMN)
        if account.get(f"{here}.roles_to_train") == ["assistant"]:
            account.idle(f"{here}.roles_to_train", "answers are learnt")
        if account.get(f"{here}.train_on_eos") == "turn":
            account.idle(f"{here}.train_on_eos", "the end of each answer is learnt")
        if account.get(f"{here}.split") == "train":
            account.idle(f"{here}.split", "a file is one split")
        if account.get(f"{here}.chat_template") is not None and account.at("task.template") is None:
            account.carry(f"{here}.chat_template", "task.template", v.template(account.get(f"{here}.chat_template")))
        index += 1
    return found


def _file(account: Account, here: str, section: str) -> str:
    to = "data.validation" if section == "test_datasets" else "data.train"
    files = account.get(f"{here}.data_files")
    named = files[0] if isinstance(files, list) and files else files
    if named:
        account.carry(f"{here}.data_files", to, named)
        if isinstance(files, list) and len(files) > 1:
            account.notes.append(f"{here}.data_files: only the first of {len(files)} files was taken; "
                                 "data.train takes a list")  # fmt: skip
        account.idle(f"{here}.path", "data_files names the file")
        return account.file(f"{here}.data_files", str(named))
    path = str(account.get(f"{here}.path", ""))
    file = account.file(f"{here}.path", path)
    account.carry(f"{here}.path", to, file)
    return file


def _form(account: Account, here: str) -> str:
    kind = account.get(f"{here}.type")
    if not isinstance(kind, str):
        return "auto"
    form = FORMATS.get(kind.split(".")[0].split(":")[0])
    if account.at("task.name") in ("prefer", "reward"):
        account.idle(f"{here}.type", "pairs are found by their columns")
    elif form:
        account.carry(f"{here}.type", "task.format", form)
    else:
        account.lose(f"{here}.type", "this prompt style is not among the formats; the plan says auto")
    return form or "auto"
