"""Tiny causal language models in fp64, made in memory, and rows with labels to learn from."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

import tiny
from tunesmith.bases.family import FAMILIES, Family
from tunesmith.bases.load import quiet
from tunesmith.data.ragged import Ragged
from tunesmith.engine.fast import Fast
from tunesmith.engine.language import PackedLanguage, PlainLanguage
from tunesmith.engine.layouts import layout_of
from tunesmith.engine.lessons import Levers
from tunesmith.engine.network import Network
from tunesmith.tasks import Encoded

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NO_DROPOUT = {
    "gpt2": dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), 0.0), "phi": {"qk_layernorm": True},
}  # fmt: skip
ALL = Levers()
PREFIX = tuple(range(20, 43))
"""A system prompt of 23 tokens."""


def network(family: str, method: str = "full", *, tied: bool = False, **settings: Any) -> Network:
    """`method`: full, lora, top (LoRA on the top block) or none (all frozen but the norms)."""
    shape = tiny._SHAPES[family] | {"tie_word_embeddings": tied, "attention_dropout": 0.0, "initializer_range": 0.15}
    shape |= NO_DROPOUT.get(family, {})
    auto: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=tiny.VOCABULARY, **shape))
    for name, parameter in auto.named_parameters():
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        assert parameter.isfinite().all(), name
    if method in ("lora", "top"):
        targets = {
            "target_modules": list(dict.fromkeys(FAMILIES[family].linears)),
            "layers_to_transform": [3] if method == "top" else None,
        }
        with quiet():
            auto = get_peft_model(auto, LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, **targets, **settings}))
        for name, parameter in auto.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    elif method == "none":
        for name, parameter in auto.named_parameters():
            parameter.requires_grad_("norm" in name)
    unrounded(auto)
    return Network(auto, 0, 0).double().eval()


def unrounded(net: Any) -> None:
    """The library's norm rounds to float32, also in a network in fp64: last bits that differ would become 1e-7."""
    for module in net.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm, module)


def _norm(self: Any, states: torch.Tensor) -> torch.Tensor:
    gemma = type(self).__name__.startswith("Gemma")
    spread = states.pow(2).mean(-1, keepdim=True) + (self.eps if gemma else self.variance_epsilon)
    return (1 + self.weight if gemma else self.weight) * states * torch.rsqrt(spread)


def family_of(net: Network) -> Family:
    base: Any = net.auto
    return FAMILIES[base.config.model_type]


def packed(net: Network, levers: Levers = ALL, virtual: Any = None, count: int = 0) -> PackedLanguage:
    family = family_of(net)
    layout = layout_of(family)
    assert layout is not None
    return PackedLanguage(Fast(net, family, layout, reads=levers.reads, virtual=virtual), levers, count)


def plain(net: Network) -> PlainLanguage:
    return PlainLanguage(net, 0)


def lesson(rows: Sequence[tuple[Sequence[int], Sequence[int]]], *, weighted: bool = True, seed: int = 0) -> Encoded:
    """(tokens, places with a label) -> encoded rows, weights drawn for rows and tokens."""
    draw = np.random.default_rng(seed)
    ids = [list(tokens) for tokens, _ in rows]
    labels = [[t if i in set(read) else -100 for i, t in enumerate(tokens)] for tokens, read in rows]
    num = sum(map(len, ids))
    return Encoded(
        ids=Ragged.of(ids), types=None, lost=np.zeros(len(rows), np.int32), targets=None, side=None,
        weights=draw.uniform(0.5, 2, len(rows)).astype(np.float32), labels=Ragged.of(labels),
        token_weights=draw.uniform(0.5, 2, num).astype(np.float32) if weighted else None,
    )  # fmt: skip


def mixed(shared: bool = False, seed: int = 0) -> Encoded:
    """Rows with prompt shares of 0 to 90 %, two of one length, one with nothing to learn, one of several turns, one
    learnt in whole; with `shared`, most begin with one of two prompts, which some learn, too."""
    draw = np.random.default_rng(seed)
    word = lambda n: draw.integers(10, tiny.VOCABULARY, n).tolist()  # noqa: E731
    lengths = (9, 14, 14, 5, 21, 30, 12, 2)
    rows = []
    for i, n in enumerate(lengths):
        tokens = word(n)
        read = range(int(n * (0.0, 0.5, 0.7, 0.9, 0.3, 0.6, 1.0, 0.5)[i]), n)
        if i == 4:
            read = [3, 4, 5, 11, 12]  # turns: what stands between and behind them is given
        if shared and i not in (2, 3):
            start = list(PREFIX) if i % 2 else [*PREFIX[:17], *range(60, 70)]
            tokens, read = start + tokens, [r + len(start) for r in read]
            read = [*range(len(start)), *read] if i in (0, 7) else read
        rows.append((tokens, list(read)))
    return lesson(rows)


def gradients(net: Network) -> dict[str, torch.Tensor]:
    return {n: p.grad.detach().clone() for n, p in net.named_parameters() if p.grad is not None}


def step(
    net: Network, way: Any, encoded: Encoded, rows: Sequence[int], smoothing: float = 0.0, *, each: bool = False
) -> Any:
    """(losses, gradients) of the weighted sum; with `each` one row at a time, so that nothing is padded."""
    net.zero_grad(set_to_none=True)
    outcomes = [way.losses(encoded, [r], smoothing) for r in rows] if each else [way.losses(encoded, rows, smoothing)]
    total = torch.stack([(o.losses_S * o.weights()).sum() for o in outcomes]).sum()
    total.backward()
    return torch.cat([o.losses_S.detach() for o in outcomes]), gradients(net)
