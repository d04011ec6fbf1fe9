"""Which writing a text is in, for mixed texts above all."""

import pytest

from tunesmith.metrics._language import chinese_share, script_of, units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("用 LoRA 微调", ["用", "LoRA", "微", "调"]),
        ("GPU显存24GB，够了！", ["GPU", "显", "存", "24GB", "够", "了"]),
        ("it's well-known", ["it", "s", "well", "known"]),
        ("Größe naïve Привет", ["Größe", "naïve", "Привет"]),
        ("コーヒーを飲む", [*"コーヒーを飲む"]),
        ("人々 〇 𠮷", ["人", "々", "〇", "𠮷"]),
        ("😀 。。。 ... _", []),
        ("", []),
    ],
)
def test_units(text: str, expected: list[str]) -> None:
    assert units(text) == expected


@pytest.mark.parametrize(
    ("texts", "share", "script"),
    [
        (["今天天气很好"], 1.0, "chinese"),
        (["用 BERT 做分类"], 4 / 5, "chinese"),
        (["The word 猫 means cat"], 1 / 5, "chinese"),
        (["The one word 猫 in a sentence of mostly English words"], 1 / 11, "other"),
        (["it is a fine day", "今天"], 2 / 7, "chinese"),
        (["it is a fine day"], 0.0, "other"),
        (["今日はいい天気ですね"], 4 / 10, "japanese"),
        (["こんにちは"], 0.0, "japanese"),
        (["他最喜欢的日本歌曲是一首老歌，歌名里有个の字"], 20 / 21, "chinese"),
        (["안녕하세요 세계"], 0.0, "other"),
        (["", "。。。", "😀"], 0.0, "other"),
        ([], 0.0, "other"),
    ],
)
def test_share_and_script(texts: list[str], share: float, script: str) -> None:
    assert chinese_share(texts) == pytest.approx(share)
    assert script_of(texts) == script
