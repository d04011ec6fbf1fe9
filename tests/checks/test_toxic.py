"""Plain words are found in their disguises, innocent ones that contain them are not, and none is printed in full."""

from pathlib import Path

import pytest

from kit import SHARED
from tunesmith.checks import Seen, check
from tunesmith.checks.toxic import Toxic
from tunesmith.data import Record, Roles
from tunesmith.data.toxic import masked, words_in
from tunesmith.errors import TunesmithError

ROLES = Roles(("text",))


def rows(*texts: str) -> list[Record]:
    return [Record(i, "t.csv", i + 1, i + 2, {"text": text}) for i, text in enumerate(texts)]


@pytest.mark.parametrize("text", [
    "what the fuck", "FUUUCK!", "f u c k this", "f**k off", "f*ck", "fucking pump", "sh1t happens", "$hit", "*bitch*",
    "#asshole", "b1tches", "you retard", "操你妈的", "你这个傻逼", "傻B一个", "这他妈的什么泵", "我操！", "卧槽",
    "王八蛋", "cnm",
])  # fmt: skip
def test_found(text: str) -> None:
    assert list(words_in(text)), text


@pytest.mark.parametrize("text", [
    "Scunthorpe", "class assessment", "cocktail at the cockpit", "Dick and the stopcock", "retard the ignition timing",
    "fire retardant", "matsushita", "shiitake", "pussycat", "kick-ass", "spic and span", "a 4 * 5 * 6 b", "f** k",
    "Mishit", "therapist", "他妈的病好了", "复杂种类", "杂种优势", "印度支那", "一支那样的队伍", "我操作泵",
    "卧槽马", "体操你妈妈喜欢", "生日你妈妈来吗", "你妈比我高", "废物利用", "智障儿童", "鸡巴掌",
])  # fmt: skip
def test_innocent(text: str) -> None:
    assert not list(words_in(text)), text


def test_a_finding_masks_counts_and_places() -> None:
    (found,) = Toxic().look(Seen(rows("the pump leaks", "what the fuck, fuck", "你这个傻逼"), ROLES))
    assert (found.kind, found.rows, found.severity, found.column) == ("toxic", 2, "warning", "text")
    assert found.remedy.startswith("2 rows hold obscenities, slurs or insults: f**k 2, 傻* 1")
    assert found.listed == ({"row": "t.csv:3", "words": "f**k"}, {"row": "t.csv:4", "words": "傻*"})
    assert "fuck" not in str(found) and "傻逼" not in str(found)
    assert [masked(word) for word in ("bitch", "ab", "妈了个巴子")] == ["b***h", "a*", "妈***子"]


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("# brands\nhalvorn  # ours\n烂货\n", encoding="utf-8")
    records = rows("the HALVORN pump", "halvorns", "一台烂货", "fine")
    found = [
        f for f in check(records, ROLES, thorough=True, settings={"toxic": {"words": str(file)}}) if f.kind == "toxic"
    ]
    assert [f.rows for f in found] == [3]
    file.write_text("# nothing\n")
    with pytest.raises(TunesmithError, match=r"mine\.txt holds no word"):
        check(records, ROLES, thorough=True, settings={"toxic": {"words": str(file)}})
    with pytest.raises(TunesmithError, match=r"gone\.txt cannot be read"):
        check(records, ROLES, thorough=True, settings={"toxic": {"words": "gone.txt"}})


def test_settings_of_checks_are_judged() -> None:
    with pytest.raises(TunesmithError, match="no check named 'toxik'. Did you mean 'toxic'"):
        check(rows("a"), ROLES, settings={"toxik": {}})
    with pytest.raises(TunesmithError, match=r"checks\.toxic: word: "):
        check(rows("a"), ROLES, settings={"toxic": {"word": "x"}})


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data" / "tweeteval").is_dir(), reason="../shared/data/tweeteval is not here")
def test_on_tweets_that_people_judged() -> None:
    """What the docs say: most of what is found was judged offensive, most of what is offensive is not found."""
    folder = SHARED / "data" / "tweeteval" / "offensive"
    told = truth = both = 0
    for part in ("train", "val", "test"):
        texts = (folder / f"{part}_text.txt").read_text("utf-8").split("\n")
        for text, label in zip(texts, (folder / f"{part}_labels.txt").read_text().split(), strict=False):
            found = any(words_in(text))
            told, truth, both = told + found, truth + (label == "1"), both + (found and label == "1")
    assert both / told > 0.85
    assert 0.2 < both / truth < 0.25
