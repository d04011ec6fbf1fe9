"""Trainable parameters of real architectures, from shapes alone (no weights): numbers that papers and readers know."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, LlamaConfig, Qwen2Config, RobertaConfig

from tunesmith.bases.family import family_of
from tunesmith.methods import METHODS

BASES = {
    "minilm": BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536),
    "bert-base": BertConfig(),
    "roberta-base": RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1),
    "qwen2.5-0.5b": Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=True,
    ),
    "llama-3.2-1b": LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, head_dim=64, max_position_embeddings=131072, tie_word_embeddings=True,
    ),
}  # fmt: skip
LORA_QV = {"name": "lora", "targets": "qv"}
LORA_ALL = {"name": "lora", "targets": "all"}
HOULSBY = {"name": "adapter", "place": "houlsby"}
PREFIX = {"name": "prefix", "tokens": 20}

KNOWN = [
    ("minilm", LORA_QV, 73_728), ("bert-base", LORA_QV, 294_912), ("roberta-base", LORA_QV, 294_912),
    ("qwen2.5-0.5b", LORA_QV, 540_672), ("llama-3.2-1b", LORA_QV, 851_968),
    ("roberta-base", LORA_ALL, 1_327_104), ("qwen2.5-0.5b", LORA_ALL, 4_399_104), ("llama-3.2-1b", LORA_ALL, 5_636_096),
    ("minilm", LORA_ALL, 331_776), ("bert-base", LORA_ALL, 1_327_104),
    ("bert-base", LORA_QV | {"variant": "dora"}, 313_344), ("llama-3.2-1b", LORA_QV | {"variant": "dora"}, 892_928),
    ("bert-base", LORA_QV | {"variant": "rslora"}, 294_912),
    ("minilm", {"name": "ia3"}, 13_824), ("bert-base", {"name": "ia3"}, 55_296),
    ("bert-base", HOULSBY | {"reduction_factor": 12}, 2_379_264),
    ("minilm", HOULSBY | {"reduction_factor": 6}, 595_200),
    ("bert-base", {"name": "adapter", "reduction_factor": 16}, 894_528),
    ("bert-base", {"name": "adapter", "place": "parallel", "reduction_factor": 16}, 894_528),
    ("bert-base", PREFIX, 368_640), ("minilm", PREFIX, 92_160), ("llama-3.2-1b", PREFIX, 327_680),
    ("qwen2.5-0.5b", PREFIX, 122_880), ("bert-base", PREFIX | {"projection": True}, 14_780_160),
    ("bert-base", {"name": "prompt", "tokens": 20}, 15_360), ("minilm", {"name": "prompt", "tokens": 20}, 7_680),
    ("roberta-base", {"name": "bitfit"}, 102_144), ("qwen2.5-0.5b", {"name": "bitfit"}, 27_648),
    ("minilm", {"name": "layers", "kinds": ["norms"]}, 9_984),
    ("bert-base", {"name": "layers", "kinds": ["norms"]}, 38_400),
    ("llama-3.2-1b", {"name": "layers", "kinds": ["norms"]}, 67_584),
    ("bert-base", {"name": "layers", "top": 4}, 4 * 7_087_872), ("bert-base", {"name": "head"}, 0),
]  # fmt: skip


def counted(base: str, spec: dict[str, object]) -> tuple[nn.Module, str]:
    config = BASES[base]
    with torch.device("meta"):
        net = AutoModelForSequenceClassification.from_config(config)
    made = METHODS.find(str(spec["name"])).model_validate(spec)
    return made.apply(net, family_of(config.model_type)), config.model_type


@pytest.mark.parametrize(("base", "spec", "expected"), KNOWN)
def test_trainable_parameters_without_head(base: str, spec: dict[str, object], expected: int) -> None:
    net, family = counted(base, spec)
    own = [p.numel() for n, p in net.named_parameters() if p.requires_grad and not family_of(family).is_head(n)]
    assert sum(own) == expected


@pytest.mark.parametrize(("base", "expected"), [("bert-base", 592_130), ("roberta-base", 592_130)])
def test_head_with_its_dense_layer(base: str, expected: int) -> None:
    net, _ = counted(base, {"name": "head"})
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == expected


def test_last_linear_of_bert_base_is_the_famous_1538() -> None:
    net, _ = counted("bert-base", {"name": "head", "pooler": False})
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 1_538


def test_all_biases_of_bert_base_below_the_classifier_are_the_famous_102912() -> None:
    net, _ = counted("bert-base", {"name": "bitfit"})
    biases = [p.numel() for n, p in net.named_parameters() if n.endswith("bias") and not n.startswith("classifier")]
    assert sum(biases) == 102_912


def test_ptuning_trains_its_encoder_and_keeps_the_tokens() -> None:
    spec = {"name": "ptuning", "tokens": 5, "hidden": 32}
    for encoder, expected in (("mlp", 27_968), ("lstm", 163_136)):
        net, _ = counted("minilm", spec | {"encoder": encoder})
        assert sum(p.numel() for p in net.prompt_encoder.parameters()) == expected
