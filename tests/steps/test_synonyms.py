"""Thesauri in four forms, what is taken from them, and the file of a resource as a part of the run's identity."""

import io
import tarfile
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

import augmenting
import jobs
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.steps._passage import passage
from tunesmith.steps._thesaurus import files_of, thesaurus
from tunesmith.steps.synonyms import Synonyms, replaced

ENTRIES = """\
leak:
  n:
    sense:
    - id: 'leak%1:11:00::'
      synset: 00000001-n
    - id: 'leak%1:04:00::'
      synset: 00000002-n
  v:
    sense:
    - id: 'leak%2:32:00::'
      subcat:
      - vii
      synset: 00000003-v
'no':
  n:
    sense:
    - id: 'no%1:10:00::'
      synset: 00000004-n
run:
  v:
    form:
    - ran
    sense:
    - synset: 00000005-v
operate:
  v:
    sense:
    - synset: 00000005-v
"""
NOUNS = """\
00000001-n:
  definition:
  - a hole that lets something out
  members:
  - leak
  partOfSpeech: n
00000002-n:
  members:
  - leak
  - escape
00000004-n:
  members:
  - 'no'
  - "naysay"
"""
VERBS = """\
00000003-v:
  definition:
  - to drip
  members:
  - leak
  - drip
  - seep out
  partOfSpeech: v
00000005-v:
  members:
  - run
  - operate
  - work
"""


def wordnet(folder: Path, *, packed: bool) -> Path:
    """A tiny Open English WordNet, as a folder or an archive."""
    files = {"src/yaml/entries-x.yaml": ENTRIES, "src/yaml/noun.act.yaml": NOUNS, "src/yaml/verb.motion.yaml": VERBS,
             "LICENSE.md": "# This is made for a test\nLicense: CC BY 4.0\n"}  # fmt: skip
    if not packed:
        for name, text in files.items():
            (folder / "oewn" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "oewn" / name).write_text(text, encoding="utf-8")
        return folder / "oewn"
    with tarfile.open(folder / "oewn.tar.xz", "w:xz") as out:
        for name, text in files.items():
            told = tarfile.TarInfo(name)
            told.size = len(raw := text.encode())
            out.addfile(told, io.BytesIO(raw))
    return folder / "oewn.tar.xz"


@pytest.mark.parametrize("packed", (True, False))
def test_wordnet_senses_endings_and_letters(packed: bool, tmp_path: Path) -> None:
    words = thesaurus(str(wordnet(tmp_path, packed=packed)))
    assert words.licence == "License: CC BY 4.0"
    assert words.others("leak", 1) == ["drip", "seep out"]  # the first sense of the noun has no other word
    assert words.others("leak", 2) == ["drip", "escape", "seep out"]
    assert words.others("leaks", 1) == ["drips"] and words.others("Leaking", 1) == ["Dripping"]
    assert words.others("leaked", 2) == ["dripped"]
    assert words.others("no", 1) == ["naysay"] and words.others("NO", 1) == ["NAYSAY"]
    assert words.others("operates", 1) == ["works"]  # run has forms of its own
    assert words.others("operating", 1) == ["working"] and words.others("pump", 1) == []


def test_cilin_and_csv(tmp_path: Path) -> None:
    path = tmp_path / "cilin.txt"
    lines = (
        "Aa 人\nAa01A01= 更换 替换 调换\nAa01A02= 检查 查看\nAa01A03= 检查 检讨\nAa01A04# 水泵 电机\nAa01A05@ 皮带\n"
    )
    for encoding in ("utf-8", "gb18030"):
        path.write_bytes(lines.encode(encoding))
        words = thesaurus(str(path))
        assert words.others("更换", 1) == ["替换", "调换"] and words.others("水泵", 1) == []
        assert words.others("检查", 1) == []  # two senses, and nobody says which is the usual one
        assert words.others("检查", 2) == ["查看", "检讨"]
        assert words.wide == {"更换", "替换", "调换", "检查", "查看", "检讨"}
    assert words.licence.startswith("none found")
    mine = thesaurus(str(augmenting.thesaurus(tmp_path)))
    assert mine.others("Pump", 1) == ["Pumping unit"] and "CC0" in mine.licence


def test_resources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="no file .*nothing.csv. It is a CSV file"):
        thesaurus(str(tmp_path / "nothing.csv"))
    (tmp_path / "prose.txt").write_text("no groups here\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match="holds no group of two words"):
        thesaurus(str(tmp_path / "prose.txt"))


def test_nltk_without_its_data_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(TunesmithError, match="nltk.downloader wordnet"):
        files_of("nltk")


def test_nltk_as_the_library_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("nltk")
    import nltk.corpus

    def synset(kind: str, *names: str) -> Any:
        return SimpleNamespace(pos=lambda: kind, lemma_names=lambda: list(names))

    stub = SimpleNamespace(
        synsets=lambda word: [synset("v", "leak", "seep_out")] if word == "leak" else [], license=lambda: "WordNet\n3.0"
    )
    monkeypatch.setattr(nltk.corpus, "wordnet", stub)
    (tmp_path / "index.verb").write_text("x", encoding="utf-8")
    monkeypatch.setattr("tunesmith.steps._thesaurus._nltk", lambda: tmp_path)
    words = thesaurus("nltk")
    assert words.others("leak", 1) == ["seep out"] and words.licence == "WordNet 3.0"
    assert files_of("nltk") == (tmp_path / "index.verb",)


def test_rate_is_a_share_of_the_words_that_have_synonyms(tmp_path: Path) -> None:
    words = thesaurus(str(augmenting.thesaurus(tmp_path)))
    text = passage("the hot pump leaks, check the belt of pump 7", ("numbers",))
    for rate, count in ((0.1, 1), (0.5, 3), (1.0, 6)):
        made = replaced(text, words, rate, 1, Random(3))
        assert sum(a != b for a, b in zip(text.units, made.units, strict=True)) == count
    assert replaced(text, words, 1.0, 1, Random(0)).text == (
        "the warm pumping unit drips, inspect the strap of pumping unit 7"
    )
    chinese = passage("请更换密封件", (), (), None, words.wide)
    assert replaced(chinese, words, 1.0, 1, Random(0)).text == "请替换密封件"


def test_paths_in_a_plan_file_and_the_content_of_a_resource(tmp_path: Path, tiny_bases: TinyBases) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    augmenting.thesaurus(tmp_path)
    file = tmp_path / "plan.yaml"
    file.write_text(
        f"task: classify\nbase: {tiny_bases['bert']}\ndata: {data.name}\nsteps: [dedup, {{name: synonyms, resource: "
        "groups.csv}]\n",
        encoding="utf-8",
    )
    plan = read_plan(file)
    assert plan.steps[1].files() == (tmp_path / "groups.csv",)
    assert plan.anchored().steps == plan.steps
    from tunesmith.run import identity

    who = identity(plan, [], "")
    assert who["plan"]["steps"][1]["resource"] == "file"


def test_another_resource_under_the_same_name_is_another_run(tmp_path: Path, tiny_bases: TinyBases) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    path = augmenting.thesaurus(tmp_path)
    tree = jobs.tree(tiny_bases["bert"], data, tmp_path / "run", epochs=1)
    tree["steps"] = ["dedup", {"name": "synonyms", "resource": str(path), "keep": ["fan"]}]
    jobs.run_job(tree)
    import json

    assert json.loads((tmp_path / "run" / "run.json").read_text())["files"] == [digest_file(path)]
    path.write_text("fan,blower\npump,pumping unit\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match="holds another run"):
        jobs.run_job(tree)


def test_the_real_resources(real_data: Path) -> None:
    cilin = real_data / "cilin_zh" / "new_cilin.txt"
    if not cilin.is_file():
        pytest.skip("Cilin is not here")
    words = thesaurus(str(cilin))
    assert "热度" in words.others("温度", 1) and len(words.wide) > 40_000 and "licence:" in words.licence
    step = Synonyms(resource=str(cilin), rate=0.9)
    assert make_plan({"task": "classify", "base": "x", "data": "y.csv", "steps": [step.model_dump()]}).steps == (step,)


@pytest.mark.slow
def test_the_real_wordnet(real_data: Path) -> None:
    packed = real_data / "open_english_wordnet" / "oewn_2025_yaml.tar.xz"
    if not packed.is_file():
        pytest.skip("Open English WordNet is not here")
    words = thesaurus(str(packed))
    assert words.others("faulty", 1) == ["defective"] and "purchasing" in words.others("buying", 1)
    assert "went" not in words.others("moved", 3) and "CC BY 4.0" in words.licence
