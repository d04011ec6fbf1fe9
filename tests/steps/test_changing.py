"""The operations of eda, noise and mask, one by one, against what they are said to do."""

from random import Random
from typing import Any

import pytest

import augmenting
from tunesmith.data.record import MADE
from tunesmith.errors import TunesmithError
from tunesmith.steps._passage import passage
from tunesmith.steps.eda import Eda, deleted, inserted, swapped
from tunesmith.steps.mask import Mask, spans
from tunesmith.steps.noise import _OCR, _ROWS, Noise, alike_in

TEXT = "one pump leaks oil while another motor runs hot and stops at night after 20 min"
FREE = TEXT.replace(" 20 min", "").split()


def made(step: Any, texts: tuple[str, ...], seed: int = 0) -> list[str]:
    given = augmenting.rows(texts, ("a",) * len(texts))
    return [str(r.cells["text"]) for r in augmenting.made(step, seed, given=given)[1] if MADE in r.cells]


def test_swap_keeps_all_words_and_insert_and_delete_change_their_number() -> None:
    text = passage(TEXT, ("numbers",))
    for seed in range(20):
        moved = swapped(text, 0.1, Random(seed))
        assert sorted(moved.text.split()) == sorted(TEXT.split()) and moved.text.endswith("20 min")
        fewer = deleted(text, 0.2, Random(seed)).text.split()
        assert 2 <= len(fewer) < len(TEXT.split()) and fewer[-2:] == ["20", "min"]
        rest = iter(TEXT.split())
        assert all(word in rest for word in fewer), "what stays keeps its order"
    assert inserted(text, {1: "valve"}).text == TEXT.replace("pump", "pump valve")
    assert deleted(passage("pump", ()), 0.5, Random(0)).text == "pump"
    assert inserted(passage("水泵坏", ()), {1: "机"}).text == "水泵机坏"


def test_a_copy_has_one_operation_with_its_share_of_words() -> None:
    for alpha, count in ((0.1, 2), (0.3, 5)):
        for text in made(Eda(swap=0, delete=0, insert=alpha, copies=5), (TEXT,)):
            assert len(text.split()) == len(TEXT.split()) + count
            assert set(text.split()) == set(TEXT.split())


def test_eda_settings_without_effect() -> None:
    plan = augmenting.plan
    nothing = Eda(swap=0, insert=0, delete=0)
    assert "nothing would change" in str(nothing.objection(plan(nothing)))
    asked = Eda(replace=0.2)
    assert "no effect without resource" in str(asked.objection(plan(asked)))


def test_keyboard_neighbours_touch_and_ocr_is_of_its_table() -> None:
    place = {c: (y, x + 0.5 * y) for y, row in enumerate(_ROWS) for x, c in enumerate(row)}
    for word in made(Noise(ways=("keyboard",), rate=1.0, copies=20), ("Pressure",)):
        (a, b), *more = [(a, b) for a, b in zip("Pressure", word, strict=True) if a != b]
        assert not more and a.isupper() == b.isupper()
        (y, x), (v, w) = place[a.lower()], place[b.lower()]
        assert abs(y - v) <= 1 and abs(x - w) <= 1
    for word in made(Noise(ways=("ocr",), rate=1.0, copies=20), ("burner",)):
        assert any("burner".replace(a, b, 1) == word or _at_any(a, b, word) for a, bs in _OCR.items() for b in bs)


def _at_any(a: str, b: str, word: str) -> bool:
    whole = "burner"
    return any(whole[:i] + b + whole[i + len(a) :] == word for i in range(len(whole)) if whole.startswith(a, i))


def test_slips_and_cases() -> None:
    for word in made(Noise(ways=("slip",), rate=1.0, copies=20), ("valve",)):
        assert abs(len(word) - 5) <= 1 and set(word) == set("valve") - ({"v", "a", "l", "e"} - set(word))
    cased = made(Noise(ways=("case",), rate=1.0, copies=10), ("valve",))
    assert set(cased) == {"VALVE", "Valve"}
    assert made(Noise(ways=("slip", "sound"), rate=1.0), ("ok", "12 bar")) == []


def test_chinese_characters_of_the_same_sound_or_shape() -> None:
    from importlib.resources import files

    table = alike_in(files("tunesmith.steps").joinpath("_alike_zh.txt").read_text("utf-8"), "ours")
    assert len(set(table["sound"]) | set(table["shape"])) >= 400
    assert "陋" in table["sound"]["漏"] and "闸" in table["shape"]["阀"]
    for kind in ("sound", "shape"):
        assert all(c in table[kind][d] for c, others in table[kind].items() for d in others)
        for text in made(Noise(ways=(kind,), rate=1.0, copies=5), ("水泵漏油阀门密封",)):  # type: ignore[arg-type]
            pairs = [(a, b) for a, b in zip("水泵漏油阀门密封", text, strict=True) if a != b]
            assert pairs and all(b in table[kind][a] for a, b in pairs)


def test_a_table_of_ones_own(tmp_path: Any) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# mine\nsound 泵蹦\n", encoding="utf-8")
    assert set(made(Noise(ways=("sound",), rate=1.0, resource=str(path), copies=3), ("水泵",))) == {"水蹦"}
    path.write_text("sound 泵蹦\nnoise 泵\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"mine.txt:2: 'noise 泵' is not sound or shape"):
        made(Noise(resource=str(path)), ("水泵",))
    with pytest.raises(TunesmithError, match="no file .*gone.txt"):
        made(Noise(resource=str(tmp_path / "gone.txt")), ("水泵",))
    idle = Noise(ways=("ocr",), resource=str(path))
    assert "no effect without sound or shape" in str(idle.objection(augmenting.plan(idle)))
    none = Noise(ways=())
    assert "nothing would change" in str(none.objection(augmenting.plan(none)))


def test_masked_spans_have_their_length_and_share(tiny_bases: Any) -> None:
    text = passage(TEXT, ("numbers",))
    for seed in range(20):
        hidden = spans(text, 0.4, 3, Random(seed))
        assert len(hidden) == round(0.4 * len(FREE)) and max(hidden) < len(FREE)
        assert len(spans(text, 1.0, 3, Random(seed))) == len(FREE) - 1, "one word stays"
    assert spans(passage("pump", ()), 0.5, 3, Random(0)) == set()
    cut = made(Mask(how="cut", rate=0.4, length=8), (TEXT,))
    assert len(cut[0].split()) == len(TEXT.split()) - 6 and cut[0].endswith("20 min")


def test_a_base_without_a_mask_token_is_refused(tiny_bases: Any) -> None:
    from types import SimpleNamespace

    from tunesmith.bases.find import find

    base = SimpleNamespace(name="tiny", found=lambda: find(str(tiny_bases["llama"])))
    with pytest.raises(TunesmithError, match="tiny has no mask token. Write how: cut"):
        augmenting.made(Mask(), base=base)
