"""Languages: by script without a library, by words with one; rows that cannot be told stay."""

import sys
from types import SimpleNamespace

import pytest

from kit import SHARED
from tunesmith.checks import Seen
from tunesmith.checks.language import Language as Check
from tunesmith.data import Record, Roles, languages
from tunesmith.data.format import Table
from tunesmith.data.languages import chances, script_of
from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.steps.language import Language
from tunesmith.tasks import TASKS

ROLES = Roles(("text",), "label")
PLAN = SimpleNamespace(task=TASKS.make("classify"))
ENGLISH = ("the pump leaks oil since this morning", "please change the filter of the press", "no belt", "??? 12")
OTHERS = (
    "die Pumpe verliert seit heute morgen Öl", "la pompe fuit depuis ce matin",
    "la bomba pierde aceite desde esta mañana", "насос течёт с сегодняшнего утра",
)  # fmt: skip
SCRIPTS = {
    "zh": "水泵从今天早上开始漏油", "ja": "ポンプから油が漏れています", "ko": "펌프에서 기름이 샙니다",
    "th": "ปั๊มรั่วตั้งแต่เช้า", "el": "η αντλία έχει διαρροή από το πρωί",
}  # fmt: skip


def records(*texts: str) -> tuple[Ledger, list[Record]]:
    ledger = Ledger()
    table = Table("t.csv", ("text", "label"), [(i + 2, {"text": t, "label": "a"}) for i, t in enumerate(texts)], (), "")
    return ledger, list(ledger.add(table))


def kept(step: Language, *texts: str) -> tuple[list[str], Ledger]:
    ledger, rows = records(*texts)
    return [str(r.cells["text"]) for r in step.run(rows, ROLES, ledger, 0, plan=PLAN)], ledger


def test_scripts_that_tell_a_language() -> None:
    assert {name: script_of(text)[0] for name, text in SCRIPTS.items()} == {name: name for name in SCRIPTS}
    assert script_of("泵A-12漏油,压力<0.3!")[0] == script_of("换 filter 滤芯")[0] == "zh"
    assert script_of("an article about 水 in English")[0] == "other"
    assert script_of("他喜欢听日本的歌曲《さくら》和别的流行音乐")[0] == "zh", "a name in kana makes no Japanese"
    assert script_of("12 :-) a")[0] == script_of("")[0] == "" and chances("12") == {}


def test_chinese_rows_stay_and_others_leave_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    found, ledger = kept(Language(languages=("zh",)), *SCRIPTS.values(), *ENGLISH)
    assert found == [SCRIPTS["zh"], "no belt", "??? 12"]
    assert ledger.changes == {"language": {"rows whose language cannot be told, kept": 2}}
    reasons = ledger.summary()["reasons"]
    assert reasons == {"language: other": 2} | {f"language: {name}": 1 for name in SCRIPTS if name != "zh"}
    assert sum(ledger.counts().values()) == 9


def test_the_rows_of_a_language_that_needs_the_library_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    languages._identifier.cache_clear()
    with pytest.raises(TunesmithError, match=r"pip install 'tunesmith\[language\]'"):
        kept(Language(languages=("en",)), *ENGLISH)


def test_a_row_leaves_where_it_is_surely_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"a": {"en": 0.5, "de": 0.5}, "b": {"en": 0.06, "de": 0.94}, "c": {"en": 0.04, "de": 0.96}}
    monkeypatch.setattr(languages, "_identifier", lambda: SimpleNamespace(rank=lambda t: said[t[0]].items()))
    texts = [f"{letter} text that is long enough to tell" for letter in "abc"]
    found, ledger = kept(Language(languages=("en",)), *texts)
    assert found == texts[:2] and ledger.changes["language"].total() == 1  # the second: German is the likelier
    assert kept(Language(languages=("en", "de")), *texts)[0] == texts
    assert kept(Language(languages=("en",), certainty=0.9), *texts)[0] == texts[:1]


def test_settings_that_cannot_be() -> None:
    assert "no language named 'eng'" in str(Language(languages=("eng",)).objection(PLAN))
    assert Language(languages=("en", "zh")).objection(PLAN) is None
    assert "may have none" in str(Language(languages=("en",)).objection(SimpleNamespace(task=TASKS.make("image"))))


def test_the_check_names_rows_of_another_language_by_script_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.checks.language.installed", lambda: False)
    _, rows = records(*(f"{ENGLISH[0]} {i}" for i in range(30)), SCRIPTS["zh"], "ok")
    (found,) = Check().look(Seen(rows, ROLES))
    assert (found.rows, found.severity) == (1, "warning")
    assert "zh: t.csv:32" in found.remedy and "1 texts are too short" in found.remedy and "[language]" in found.remedy
    (mixed,) = Check().look(Seen(records(*SCRIPTS.values())[1], ROLES))
    assert mixed.severity == "info" and "zh 20.0%" in mixed.remedy
    assert not list(Check().look(Seen(records("ok", "12")[1], ROLES)))


def test_words_tell_languages_that_share_a_script() -> None:
    pytest.importorskip("py3langid", reason="the extra [language] is not installed")
    assert [max(c, key=lambda n: c[n]) for c in map(chances, OTHERS)] == ["de", "fr", "es", "ru"]
    found, ledger = kept(Language(languages=("en",)), *ENGLISH, *OTHERS, SCRIPTS["zh"])
    assert found == list(ENGLISH) and ledger.counts()["dropped"] == 5
    _, rows = records(*(f"{ENGLISH[0]} {i}" for i in range(30)), *OTHERS[:2])
    (told,) = Check().look(Seen(rows, ROLES))
    assert "de: t.csv:32" in told.remedy and "fr: t.csv:33" in told.remedy and "languages: [en]" in told.remedy


@pytest.mark.parametrize(("file", "language"), [("banking77/test.csv", "en"), ("thucnews10/test.txt", "zh")])
def test_no_row_of_the_language_asked_for_leaves_on_real_data(file: str, language: str) -> None:
    if not (path := SHARED / "data" / file).is_file():
        pytest.skip(f"{path} is not there")
    if language == "en":
        pytest.importorskip("py3langid", reason="the extra [language] is not installed")
    texts = [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()[1::10]]
    step = Language(languages=(language,))
    assert len(texts) > 300 and not [text for text in texts if step._strange(text) not in ("", "?")]
