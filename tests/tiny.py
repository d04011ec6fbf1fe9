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
from collections import Counter
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
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    MBartTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

FAMILIES = ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2")
DECODERS = ("llama", "qwen2")
ENCODER_DECODERS = ("t5", "mt5", "bart", "mbart")
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

_T5_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}

_SPECIALS = {
    "bert": _BERT_SPECIALS, "distilbert": _BERT_SPECIALS, "electra": _BERT_SPECIALS, "roberta": _ROBERTA_SPECIALS,
    "xlm-roberta": _ROBERTA_SPECIALS, "deberta-v2": _DEBERTA_SPECIALS, "llama": _LLAMA_SPECIALS,
    "qwen2": _QWEN_SPECIALS, "qwen3": _QWEN_SPECIALS, "mistral": _LLAMA_SPECIALS, "gemma": _LLAMA_SPECIALS,
    "phi": _QWEN_SPECIALS, "gpt2": _QWEN_SPECIALS, "gpt_neox": _QWEN_SPECIALS,
    "t5": _T5_SPECIALS, "mt5": _T5_SPECIALS, "bart": _ROBERTA_SPECIALS,
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
_T5: dict[str, Any] = {
    "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "dropout_rate": 0.1,
    "decoder_start_token_id": 0, "initializer_factor": 1.0,
}  # fmt: skip
_BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "max_position_embeddings": POSITIONS, "dropout": 0.1,
    "attention_dropout": 0.1, "init_std": 0.15,
}  # fmt: skip
_SHAPES: dict[str, dict[str, Any]] = {
    "t5": _T5 | {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "mt5": _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "bart": _BART | {"decoder_start_token_id": 2, "scale_embedding": False},
    "mbart": _BART | {"scale_embedding": True},
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
    "gemma": _DECODER,
    "phi": {k: v for k, v in _DECODER.items() if k != "head_dim"},
    "gpt2": {
        "n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": POSITIONS, "tie_word_embeddings": False,
    },
    "gpt_neox": {
        "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48,
        "max_position_embeddings": POSITIONS, "rotary_pct": 0.5, "tie_word_embeddings": False,
    },
}  # fmt: skip


def make(family: str, folder: str | Path, seed: int = 0, *, language: bool = False) -> Path:
    """Write a complete base folder (config.json, model.safetensors, tokenizer); same seed, same bytes. `language`: the
    language model as it was pretrained (causal, masked or encoder-decoder), with its head over the vocabulary."""
    folder = Path(folder)
    tokenizer = make_tokenizer(family)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _auto(family, language=language).from_config(make_config(family, tokenizer))
        net.init_weights()
        if language and family == "mt5":  # as real ones have it, whatever their configuration is made to say
            net.lm_head.weight = torch.nn.Parameter(torch.randn_like(net.lm_head.weight) * 0.2)
        for name, parameter in net.named_parameters():
            if parameter.dim() == 1:  # biases and norms: off 0 and 1
                parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
            assert parameter.isfinite().all(), name
    net.save_pretrained(folder)
    return folder


def _auto(family: str, *, language: bool) -> Any:
    if not language:
        return AutoModel
    if family in ENCODER_DECODERS:
        return AutoModelForSeq2SeqLM
    return AutoModelForMaskedLM if "cls_token" in _SPECIALS[family] else AutoModelForCausalLM


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
    spread = {} if family in ("distilbert", *ENCODER_DECODERS) else {"initializer_range": 0.15}
    config = AutoConfig.for_model(
        family, vocab_size=max(VOCABULARY, len(tokenizer)), **_SHAPES[family], **ids, **spread
    )
    if family == "distilbert":
        config.initializer_range = 0.15
    return config


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A fast tokenizer trained on the corpus: WordPiece for encoders, byte-level BPE for all that writes."""
    if family in ENCODER_DECODERS:
        return _pairing(family)
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


def _pairing(family: str) -> PreTrainedTokenizerFast:
    """As real ones: T5 ends a text, BART puts it between <s> and </s>, mBART marks its language behind it."""
    if family == "mbart":
        return _mbart()
    specials = _SPECIALS[family]
    order = ("<s>", "<pad>", "</s>", "<unk>") if "cls_token" in specials else ("<pad>", "</s>", "<unk>")
    words = [*order, *(w for w in specials.values() if w not in order)]
    tokenizer = _bpe(list(dict.fromkeys(words)))
    end = ("</s>", tokenizer.token_to_id("</s>"))
    first = [("<s>", tokenizer.token_to_id("<s>"))] if "cls_token" in specials else []
    begin = "<s> " if first else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin}$A </s>", pair=f"{begin}$A </s> $B </s>", special_tokens=[end, *first]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=POSITIONS, model_input_names=["input_ids", "attention_mask"],
        padding_side="right", **specials,
    )  # fmt: skip


def _mbart() -> PreTrainedTokenizerFast:
    """The library's own class, with the characters of the corpus for a vocabulary."""
    empty = MBartTokenizer()
    letters = sorted({c for line in CORPUS for c in line if not c.isspace()})
    vocab = [*empty._vocab[:5], *((c, -3.0) for c in letters), *empty._vocab[5:]]
    return MBartTokenizer(
        vocab=vocab, src_lang="en_XX", tgt_lang="zh_CN", model_max_length=POSITIONS, padding_side="right"
    )


def _wordpiece(words: list[str], specials: dict[str, str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=specials["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    numbered = {piece: number for number, piece in enumerate([*words, *_pieces(tokenizer, VOCABULARY - len(words))])}
    tokenizer.model = models.WordPiece(numbered, unk_token=specials["unk_token"])
    tokenizer.add_special_tokens(words)
    first, last = specials["cls_token"], specials["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(first, tokenizer.token_to_id(first)), (last, tokenizer.token_to_id(last))],
    )
    return tokenizer


def _pieces(tokenizer: Tokenizer, room: int) -> list[str]:
    """Every character, as a beginning and as what follows, then the most frequent words of the corpus, then beginnings
    and ends of words. The library's own trainer chooses and numbers pieces differently in every process."""
    counts: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    letters: set[str] = set()
    for line in CORPUS:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line)):
            letters |= {*word, *(f"##{c}" for c in word)}
            whole[word] += len(word) > 1
            counts.update(word[:end] for end in range(2, len(word) + 1))
            counts.update(f"##{word[begin:]}" for begin in range(1, len(word) - 1))
    frequent = sorted(counts, key=lambda piece: (-whole[piece], -counts[piece], piece))
    return [*sorted(letters), *frequent][:room]


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
