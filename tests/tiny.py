"""Tiny networks of every family, made offline: a complete base folder in a second, with a real fast tokenizer.

`make("bert", folder)` writes config.json, model.safetensors (the headless model, as real bases ship it) and a tokenizer
trained on the corpus below. Weights are drawn wide (std 0.15 at width 32) and biases and norms are moved off their
neutral values, so that a wrong formula shows in the logits instead of hiding under zeros.

`folder("bert")` is such a folder, made once a process; `fresh("bert", seed=3)` the classifier on it with a head drawn
from that seed; `encode("bert", TEXTS)` a padded batch.
"""

import atexit
import copy
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")
DECODERS = ("llama", "qwen2")
VOCABULARY = 300
POSITIONS = 128

CORPUS = """\
the pump leaks oil and the pressure drops below the limit
goal team wins the match after a late penalty in the second half
soup chef adds salt and pepper to the hot pot and stirs it slowly
the bank raised its rate and the market fell by two percent today
this film is a warm and funny story with a great cast
this film is a dull and slow story with a poor ending
my order has not arrived and nobody answers the phone
thank you for the quick help, the new card works very well
the motor of fan 12 is too hot, check the bearing and the belt
new study finds that sleep and light food help the heart
the player scored a goal and the team took the cup home
0.5 MPa, -3.2 C, valve A-12 open, level 40 %, normal operation
水泵漏油压力下降 需要更换密封件
电机温度过高 请检查轴承和皮带
球队在下半场进球 赢得比赛冠军
银行提高利率 市场今天下跌
这部电影很好看 故事温暖 演员很棒
这部电影很无聊 故事很慢 结局不好
订单还没有到 电话没有人接
谢谢你的帮助 新卡很好用
""".splitlines()

TEXTS = ("the pump leaks oil and the pressure drops", "goal", "水泵漏油压力下降 需要更换密封件")
"""Three rows of different length, English and Chinese."""

_BERT_SPECIALS = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
}  # fmt: skip
_ROBERTA_SPECIALS = {
    "bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>",
    "cls_token": "<s>", "sep_token": "</s>",
}  # fmt: skip
_DEBERTA_SPECIALS = {
    "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]",
}  # fmt: skip
_LLAMA_SPECIALS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|pad|>"}
_QWEN_SPECIALS = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>", "additional": "<|im_start|>"}

_SPECIALS = {
    "bert": _BERT_SPECIALS, "distilbert": _BERT_SPECIALS, "electra": _BERT_SPECIALS, "roberta": _ROBERTA_SPECIALS,
    "xlm-roberta": _ROBERTA_SPECIALS, "deberta-v2": _DEBERTA_SPECIALS, "llama": _LLAMA_SPECIALS,
    "qwen2": _QWEN_SPECIALS, "qwen3": _QWEN_SPECIALS, "mistral": _LLAMA_SPECIALS,
}  # fmt: skip

_ENCODER = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": POSITIONS, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
_DECODER = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "intermediate_size": 48, "max_position_embeddings": POSITIONS, "attention_dropout": 0.1,
    "tie_word_embeddings": False,
}  # fmt: skip
_SHAPES: dict[str, dict[str, Any]] = {
    "bert": _ENCODER,
    "distilbert": {
        "dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": POSITIONS,
        "dropout": 0.1, "attention_dropout": 0.1, "seq_classif_dropout": 0.2,
    },
    "roberta": _ENCODER | {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1},
    "xlm-roberta": _ENCODER | {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1},
    "electra": _ENCODER | {"embedding_size": 16},
    "deberta-v2": _ENCODER | {
        "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "max_relative_positions": -1,
        "type_vocab_size": 0, "pooler_hidden_size": 32, "pooler_dropout": 0, "pooler_hidden_act": "gelu",
    },
    "llama": _DECODER,
    "qwen2": {k: v for k, v in _DECODER.items() if k != "head_dim"},
    "qwen3": _DECODER,
    "mistral": _DECODER,
}  # fmt: skip


def make(family: str, folder: str | Path, seed: int = 0, *, words: bool = False) -> Path:
    """Write a complete base folder (config.json, model.safetensors, tokenizer); same seed, same bytes. With `words` the
    language model as it was pretrained, causal or masked, with its head over the vocabulary."""
    folder = Path(folder)
    tokenizer = make_tokenizer(family)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = AutoModel
        if words:
            kind = AutoModelForCausalLM if family in DECODERS else AutoModelForMaskedLM
        net = kind.from_config(make_config(family, tokenizer))
        net.init_weights()
        for name, parameter in net.named_parameters():
            if parameter.dim() == 1:  # biases and norms: off 0 and 1
                parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
            assert parameter.isfinite().all(), name
    net.save_pretrained(folder)
    return folder


@cache
def folder(family: str) -> Path:
    """A base folder of that family, made once a process and deleted at its end."""
    top = Path(tempfile.mkdtemp(prefix="tiny-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    return make(family, top / family)


def fresh(family: str, outputs: int = 3, seed: int = 0) -> PreTrainedModel:
    """The classifier on that base, in evaluation mode, with a head drawn from the seed; the base is always the same."""
    net = copy.deepcopy(_loaded(family, outputs))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in net.named_parameters():
        if name.startswith(("classifier", "score", "pre_classifier", "pooler", "bert.pooler")):
            parameter.data.normal_(std=0.2, generator=generator)
    return net.eval()


@cache
def _loaded(family: str, outputs: int) -> PreTrainedModel:
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    net = AutoModelForSequenceClassification.from_pretrained(folder(family), num_labels=outputs)
    logging.set_verbosity(level)
    return net


@cache
def tokenizer(family: str) -> Any:
    """That base's tokenizer, loaded from its folder as a user would."""
    return AutoTokenizer.from_pretrained(folder(family))


def encode(family: str, texts: Sequence[str] = TEXTS) -> dict[str, torch.Tensor]:
    """A padded batch."""
    return dict(tokenizer(family)(list(texts), padding=True, return_tensors="pt"))


def make_config(family: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    """The configuration of the tiny network of that family."""
    ids = {
        f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None)
        for role in ("pad", "bos", "eos")
        if getattr(tokenizer, f"{role}_token_id", None) is not None
    }
    spread = {} if family == "distilbert" else {"initializer_range": 0.15}
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, **_SHAPES[family], **ids, **spread)
    if family == "distilbert":
        config.initializer_range = 0.15
    return config


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer trained on the corpus: WordPiece for encoders, byte-level BPE for decoders."""
    specials = _SPECIALS[family]
    words = list(dict.fromkeys(specials.values()))
    decoder = "cls_token" not in specials
    tokenizer = _bpe(words) if decoder else _wordpiece(words, specials)
    names = ["input_ids", "attention_mask"]
    if family in ("bert", "electra", "deberta-v2"):
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        model_input_names=names,
        padding_side="right",
        **{role: word for role, word in specials.items() if role != "additional"},
    )


def _wordpiece(words: list[str], specials: dict[str, str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=specials["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=words, show_progress=False)
    )
    first, last = specials["cls_token"], specials["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(first, tokenizer.token_to_id(first)), (last, tokenizer.token_to_id(last))],
    )
    return tokenizer


def _bpe(words: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=words,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if "<|begin_of_text|>" in words:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A",
            pair="<|begin_of_text|> $A <|begin_of_text|> $B",
            special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))],
        )
    return tokenizer
