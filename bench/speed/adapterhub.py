"""AdapterHub's side of a job, run by a Python that has its `adapters` (and the older transformers that it pins).

Full fine-tuning there is transformers' Trainer on a model that `adapters` has prepared; a bottleneck is its SeqBn
(Pfeiffer), which has the formula and the size of ours. Pooler and classifier learn beside it, as on every side.
"""

from importlib import import_module
from typing import Any

import peers
from meter import Laps, Meter


def train(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """One fine-tuning run."""
    adapters: Any = import_module("adapters")  # paid as an import; types of it are in its own environment alone
    from transformers import DataCollatorWithPadding, Trainer

    meter = Meter()
    tokenizer, learn, test = peers._ready(ask, laps)
    net, bottleneck = peers._network(ask), ask["plan"]["method"]["name"] == "adapter"
    adapters.init(net)
    if bottleneck:
        net.add_adapter("job", config=adapters.SeqBnConfig())
        net.train_adapter("job")
        for name, parameter in net.named_parameters():
            if name.startswith(("bert.pooler", "classifier")):
                parameter.requires_grad_(True)
    laps.lap("load")
    with meter:
        trainer = (adapters.AdapterTrainer if bottleneck else Trainer)(
            model=net,
            args=peers._arguments(ask),
            data_collator=DataCollatorWithPadding(tokenizer),
            train_dataset=learn,
        )
        trainer.train()
    laps.lap("train")
    accuracy = peers._accuracy(net, tokenizer, test)
    laps.lap("judge")
    told = {"steps": trainer.state.global_step, "accuracy": accuracy, "lr": ask["lr"], **peers._told(net)}
    return {**meter.told(), **told, "peer_versions": _versions()}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("adapters", "transformers", "torch", "accelerate")}
