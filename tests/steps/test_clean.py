"""Clean: what must survive, what must go, and that every change is counted."""

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.steps import STEPS
from tunesmith.steps.clean import Clean


@pytest.mark.parametrize(
    "text",
    [
        "0.5 MPa -3.2°C",
        "泵A-12漏油,压力<0.3!",
        "泵A-12漏油，压力＜0.3！",
        "<0.3!",
        "a<b and c>d",
        "a<b>c",
        "x <i> y",
        "<5> mm & <unknown>",
        "AT&T R&D; a&b",
        "?a=1&copy=2&lt",
        "3 < 4 > 2",
        "<3 you",
        "👩‍👩‍👧 ok",
        "e=mc² 5‰ ±2 µm №5",
        "می‌خواهم",
        "if (a<p && b>q)",
        "List<String> names",
        "one\n\ntwo",
    ],
)
def test_survives(text: str) -> None:
    assert Clean().tidy(text) == (text, Counter())


@pytest.mark.parametrize(
    ("text", "clean", "counts"),
    [
        ("a<br>b", "a\nb", {"tags": 1}),
        ("a<BR />b</div>", "a\nb", {"tags": 2, "whitespace": 1}),
        ("<b>bold</b> move", "bold move", {"tags": 2}),
        ('see <a href="http://x.y/?a=1">this</a>', "see this", {"tags": 2}),
        ("<div class=x id='y'>text</div>", "text", {"tags": 2, "whitespace": 1}),
        ("a &amp; b &lt;0.3 &#176;C &nbsp;x", "a & b <0.3 °C x", {"entities": 4, "whitespace": 1}),
        ("&amp;amp; &nosuch;", "&amp; &nosuch;", {"entities": 1}),
        ("x<!-- gone -->y<script>bad()</script>z", "x y z", {"hidden": 2}),
        ("a\x00b\x07\ufeffc\u200bd", "abcd", {"controls": 4}),
        ("cafe\u0301", "caf\u00e9", {"unicode": 1}),
        ("  a \t b\u3000c\u00a0 \r\n\r\n\r\nd ", "a b c\n\nd", {"whitespace": 1}),
    ],
)
def test_goes(text: str, clean: str, counts: dict[str, int]) -> None:
    assert Clean().tidy(text) == (clean, Counter(counts))


def test_settings() -> None:
    assert Clean(unicode="nfkc").tidy("５℃ ﬁn")[0] == "5°C fin"
    assert Clean(unicode="keep").tidy("cafe\u0301")[0] == "cafe\u0301"
    assert Clean(markup="keep").tidy("a<br>&amp;")[0] == "a<br>&amp;"
    assert Clean(controls="keep").tidy("a\x07b")[0] == "a\x07b"
    assert Clean(whitespace="keep").tidy(" a  b ")[0] == " a  b "


def test_rows() -> None:
    roles, ledger = Roles(("text",), "label"), Ledger()
    records = [
        Record(0, "t.csv", 1, 2, {"text": " a<br>b", "label": " x ", "other": "<br>"}),
        Record(1, "t.csv", 2, 3, {"text": "c", "label": "y", "other": ""}),
    ]
    out = Clean().run(records, roles, ledger, 0)
    assert out[0].cells == {"text": "a\nb", "label": " x ", "other": "<br>"}
    assert out[1] is records[1]
    assert records[0].cells["text"] == " a<br>b"
    assert ledger.changes == {"clean": Counter({"rows": 1, "tags": 1, "whitespace": 1})}


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(st.sampled_from("ab <>/&;p=\"'brscript!-\n\t") | st.characters(exclude_categories=["Cs"]), max_size=60))
def test_counts_tell_every_change(text: str) -> None:
    clean, counts = Clean().tidy(text)
    assert (clean != text) <= bool(counts)
    assert Clean(markup="keep").tidy(Clean(markup="keep").tidy(text)[0])[1] == Counter()


@pytest.mark.parametrize(
    "text",
    [
        "<a " * 20_000,
        "<a" + " b=c" * 50_000,
        "<!--" * 20_000,
        "&" * 100_000,
        "<script>" * 5_000,
        "<b>" * 30_000,
        "<a" + " " * 100_000,
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    started = time.process_time()
    Clean().tidy(text)
    assert time.process_time() - started < 2


def test_catalog() -> None:
    assert {"clean", "dedup", "balance"} <= set(STEPS.names())
    assert [STEPS.find(n).scope for n in ("clean", "dedup", "balance")] == ["every_row", "pool", "train"]
