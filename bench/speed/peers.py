"""The peers' side of a job, as their own documentation has it: transformers' Trainer and pipeline, PEFT for LoRA.

Nothing of Tunesmith is loaded here, except for bottleneck adapters: AdapterHub's package pins an old transformers, so
Trainer gets our own PEFT method.
"""

import re
from tempfile import mkdtemp
from typing import Any

from meter import Laps, Meter

EVALUATION_BATCH = 32


def train(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """One fine-tuning run with Trainer."""
    meter = Meter()
    tokenizer, learn, test = _ready(ask, laps)
    return _run(ask, tokenizer, learn, test, laps, meter) | meter.told()


def search(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Every configuration as a run of its own; or one, and the others are taken to cost the same."""
    meter, found = Meter(), []
    tokenizer, learn, test = _ready(ask, laps)
    measured = ask["varied"] if ask["whole"] else [ask["varied"][ask["main"]]]
    for varied in measured:
        own = ask | {"lr": varied["lr"], "plan": _varied(ask["plan"], varied)}
        found.append(_run(own, tokenizer, learn, test, laps, meter))
    times = len(ask["varied"]) / len(measured)
    told, accuracies = meter.told(), [each["accuracy"] for each in found]
    told |= {field: told[field] * times for field in ("cpu", "user", "wall")}
    about = {"runs": len(measured), "extrapolated": times > 1, "accuracies": accuracies}
    about["steps"] = int(sum(each["steps"] for each in found) * times)
    return found[ask["main"] if ask["whole"] else 0] | told | about


def predict(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Labels for all held-out texts from the pipeline, tokenisation included."""
    from transformers import pipeline

    meter = Meter()
    tokenizer, _, _ = _ready(ask | {"rows": ask["rows"] | {"train": [], "test": []}}, laps)
    net = _network(ask)
    pipe: Any = pipeline("text-classification", model=net, tokenizer=tokenizer, device="cpu")
    texts = [text for text, _ in ask["rows"]["test"]]
    settings = {"truncation": True, "max_length": ask["rows"]["longest"], **ask["options"]}
    laps.lap("load")
    pipe(texts[:8], **settings)
    laps.lap("warm up")
    with meter:
        answers = pipe(texts, **settings)
    laps.lap("predict")
    predicted = [ask["rows"]["labels"].index(answer["label"]) for answer in answers]
    return meter.told() | {"texts": len(texts), "predicted": predicted, **_told(net)}


def _varied(plan: dict[str, Any], varied: dict[str, Any]) -> dict[str, Any]:
    return plan | {"method": plan["method"] | varied["method"]}


def _ready(ask: dict[str, Any], laps: Laps) -> tuple[Any, list[Any], list[Any]]:
    """Tokenizer, training rows, test rows; rows as dictionaries of lists, which Trainer's collator takes."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer  # noqa: F401  # paid here

    laps.lap("import")
    tokenizer = AutoTokenizer.from_pretrained(ask["base"])
    laps.lap("load")
    rows = ask["rows"]
    number = {label: i for i, label in enumerate(rows["labels"])}
    out = []
    for pairs in (rows["train"], rows["test"]):
        found = tokenizer([t for t, _ in pairs], truncation=True, max_length=rows["longest"]) if pairs else {}
        made = [{k: v[i] for k, v in found.items()} for i in range(len(pairs))]
        out.append([row | {"labels": number.get(label, -1)} for row, (_, label) in zip(made, pairs, strict=True)])
    laps.lap("tokenise")
    return tokenizer, out[0], out[1]


def _network(ask: dict[str, Any]) -> Any:
    """The base with a fresh head, drawn from the same seed as ours."""
    import torch
    from transformers import AutoModelForSequenceClassification, set_seed

    set_seed(ask["plan"]["train"]["seed"])
    labels = ask["rows"]["labels"]
    net = AutoModelForSequenceClassification.from_pretrained(
        ask["base"],
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={n: i for i, n in enumerate(labels)},
    )
    assert next(net.parameters()).dtype == torch.float32, "the peer does not train in the precision of ours"
    return net


def _run(
    ask: dict[str, Any], tokenizer: Any, learn: list[Any], test: list[Any], laps: Laps, meter: Meter
) -> dict[str, Any]:
    from transformers import DataCollatorWithPadding, Trainer

    net = tuned(_network(ask), ask["plan"]["method"])
    arguments = _arguments(ask)
    laps.lap("load")
    with meter:
        trainer = Trainer(net, arguments, DataCollatorWithPadding(tokenizer), learn)
        trainer.train()
    laps.lap("train")
    accuracy = _accuracy(net, tokenizer, test)
    laps.lap("judge")
    told = {"optimizer": str(arguments.optim.value), "sampling": arguments.train_sampling_strategy}
    return {"steps": trainer.state.global_step, "accuracy": accuracy, "lr": ask["lr"], **told, **_told(net)}


def _arguments(ask: dict[str, Any]) -> Any:
    """Trainer's defaults, except for what the job says (rate, schedule, decay, batch, epochs, seed) and for saving,
    evaluating and reporting, which are off on both sides."""
    from transformers import TrainingArguments

    train = ask["plan"]["train"]
    return TrainingArguments(
        output_dir=mkdtemp(), learning_rate=ask["lr"], num_train_epochs=train["epochs"], seed=train["seed"],
        per_device_train_batch_size=train["batch"], weight_decay=train["weight_decay"],
        warmup_steps=round(train["warmup"] * ask["steps"]), use_cpu=True, report_to="none", save_strategy="no",
        eval_strategy="no", disable_tqdm=True, dataloader_pin_memory=False, **ask["options"],
    )  # fmt: skip


def tuned(net: Any, method: dict[str, Any]) -> Any:
    """The network with the method of the job on it; pooler and classifier learn under every method, as ours do."""
    name = method["name"]
    if name == "full":
        return net
    if name == "lora":
        return _lora(net, method)
    if name == "adapter":
        from tunesmith.bases.family import family_of
        from tunesmith.methods import METHODS

        return METHODS.make("adapter").apply(net, family_of(net.config.model_type))
    top = method["top"] if name == "layers" else 0
    first = net.config.num_hidden_layers - top
    for path, parameter in net.named_parameters():
        block = re.search(r"encoder\.layer\.(\d+)\.", path)
        parameter.requires_grad_(int(block[1]) >= first if block else path.startswith(("bert.pooler", "classifier")))
    return net


def _lora(net: Any, method: dict[str, Any]) -> Any:
    """PEFT with the numbers that our LoRA has by default."""
    import peft

    assert method["targets"] == "qv"
    blocks = net.config.num_hidden_layers
    top = method.get("top", blocks)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=method.get("r", 8), lora_alpha=16, lora_dropout=0.0, target_modules=["query", "value"],
        layers_to_transform=list(range(blocks - top, blocks)), layers_pattern="layer",
        modules_to_save=["pooler", "classifier"],
    )  # fmt: skip
    return peft.get_peft_model(net, config)


def _told(net: Any) -> dict[str, Any]:
    return {
        "trainable": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in net.parameters()), "precision": "fp32",
    }  # fmt: skip


def _accuracy(net: Any, tokenizer: Any, test: list[Any]) -> float:
    """Share of right answers. Not metered, so rows are sorted by length to be done with it soon."""
    import torch

    net.eval()
    ordered = sorted(test, key=lambda row: len(row["input_ids"]))
    right = 0
    with torch.inference_mode():
        for start in range(0, len(ordered), EVALUATION_BATCH):
            rows = ordered[start : start + EVALUATION_BATCH]
            inputs = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
            logits = net(**tokenizer.pad(inputs, return_tensors="pt")).logits
            right += int((logits.argmax(-1) == torch.tensor([row["labels"] for row in rows])).sum())
    return right / len(test)
