"""Tagging: formats and schemes of rows, words of texts, windows, what is repaired or refused and where."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from tunesmith.data import Record
from tunesmith.data.ledger import Ledger
from tunesmith.data.segment import words_in
from tunesmith.data.table import Table, read
from tunesmith.data.words import spans_of
from tunesmith.errors import TunesmithError
from tunesmith.tasks import TASKS, Encoded
from tunesmith.tasks._tagging import TAGS, TEXT, as_bio, joined, scheme_of
from tunesmith.tasks._windows import cuts, window_of
from tunesmith.tasks.tag import Tag


def task(**settings: Any) -> Tag:
    made = TASKS.find("tag").model_validate({"name": "tag", **settings})
    assert isinstance(made, Tag)
    return made


def taken(rows: list[dict[str, Any]], *, labelled: bool = True, **settings: Any) -> tuple[Tag, list[Record], Ledger]:
    table = Table("t.jsonl", tuple(rows[0]), [(i, row) for i, row in enumerate(rows, 1)], (), "")
    ledger = Ledger()
    resolved = task(**settings).resolved(table)
    return resolved, list(resolved.taken_in(ledger.add(table), ledger, labelled=labelled)), ledger


def strings(text: str) -> list[str]:
    return [text[a:b] for a, b in words_in(text)]


# words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Pump P-12 leaks (oil).", ["Pump", "P", "-", "12", "leaks", "(", "oil", ")", "."]),
        ("IM-5V带 40Nm", ["IM", "-", "5", "V", "带", "40", "Nm"]),
        ("更换2号水泵", ["更", "换", "2", "号", "水", "泵"]),
        ("ok👩‍🔧 cafe\u0301", ["ok", "👩‍🔧", "cafe\u0301"]),
        ("हिन्दी है", ["हिन्दी", "है"]),
        ("a\u200bb", ["a", "b"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert strings(text) == words


def test_given_words_are_joined_and_keep_their_places() -> None:
    text, places = joined(["水", "泵", "pump", "漏", "oil", "rig"])
    assert text == "水泵 pump 漏 oil rig"
    assert [text[a:b] for a, b in places] == ["水", "泵", "pump", "漏", "oil", "rig"]


# schemes


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ([["B-a", "I-a", "O"]], "bio"),
        ([["I-a", "I-a", "B-a", "O"], ["O", "I-b"]], "iob1"),
        ([["B-a", "I-a", "E-a", "S-b"]], "bioes"),
        ([["B-a", "L-a"], ["U-b"]], "bioes"),
        ([["B-a", "O", "I-a"]], "bio"),
        ([["O", "O"]], "bio"),
    ],
)
def test_the_scheme_is_seen_from_the_tags(tags: list[list[str]], scheme: str) -> None:
    assert scheme_of(tags) == scheme


@pytest.mark.parametrize(
    ("given", "scheme", "bio", "broken"),
    [
        ("I-a I-a B-a O I-b", "iob1", "B-a I-a B-a O B-b", []),
        ("B-a I-a E-a S-b O", "bioes", "B-a I-a I-a B-b O", []),
        ("B-a M-a L-a U-b", "bioes", "B-a I-a I-a B-b", []),
        ("O I-a I-a B-b I-a", "bio", "O B-a I-a B-b B-a", [1, 4]),
        ("B-a O E-b S-a I-a", "bioes", "B-a O B-b B-a B-a", [0, 2, 4]),
        ("B-a I-a", "bioes", "B-a I-a", [1]),
    ],
)
def test_every_scheme_becomes_b_and_i_and_breaks_are_found(
    given: str, scheme: Any, bio: str, broken: list[int]
) -> None:
    assert as_bio(given.split(), scheme) == (bio.split(), broken)


def test_broken_tags_are_repaired_and_counted_or_refused_with_their_place() -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["B-x", "O"]}, {"tokens": ["c", "d"], "tags": ["O", "I-x"]}]
    _, records, ledger = taken(rows)
    assert records[1].cells[TAGS] == ["O", "B-x"]
    assert sum(ledger.changes["tag"].values()) == 1
    with pytest.raises(TunesmithError, match=r"t\.jsonl:2: word 2 carries I-x, which breaks the scheme bio.*repair"):
        taken(rows, malformed="refuse")


# spans


def test_spans_in_characters_become_tags_also_in_chinese_and_behind_emoji() -> None:
    rows = [
        {"text": "😀 2号水泵漏油", "spans": [{"start": 2, "end": 6, "label": "设备"}, [6, 8, "故障"]]},
        {"text": "nothing here", "spans": []},
    ]
    asked, records, _ = taken(rows)
    assert asked.text == "text" and asked.label == "spans"
    tagged = zip(strings(str(records[0].cells[TEXT])), records[0].cells[TAGS], strict=True)  # type: ignore[arg-type]
    assert list(tagged) == [("😀", "O"), ("2", "B-设备"), ("号", "I-设备"), ("水", "I-设备"), ("泵", "I-设备"),
                            ("漏", "B-故障"), ("油", "I-故障")]  # fmt: skip
    assert records[1].cells[TAGS] == ["O", "O"]


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([[0, 4, "a"], [2, 8, "b"]], "lies over another"),
        ([[0, 8, "a"], [0, 4, "b"]], "lies over another"),
        ([[0, 99, "a"]], "lies outside the text"),
        ([[4, 4, "a"]], "lies outside the text, or is empty"),
        ([[-1, 4, "a"]], "lies outside the text"),
        ([[4, 5, "a"]], "holds no word"),
        ([[9, 13, "a"]], "cuts a character"),
    ],
)
def test_spans_that_cannot_be_are_refused_with_file_and_line_or_left_out(spans: Any, words: str) -> None:
    rows = [{"text": "fine", "spans": [[0, 4, "a"]]}, {"text": "pump oil cafe\u0301", "spans": spans}]
    with pytest.raises(TunesmithError, match=rf"t\.jsonl:2: the span .*{words}.*task\.spans=drop"):
        taken(rows)
    _, records, ledger = taken(rows, spans="drop")
    kept = sum(str(t).startswith("B-") for t in records[1].cells[TAGS])  # type: ignore[union-attr]
    assert kept == len(spans) - 1 and sum(ledger.changes["tag"].values()) == 1


def test_a_span_inside_a_word_is_widened_and_counted() -> None:
    _, records, ledger = taken(
        [{"text": "to unscrew 40Nm", "entities": [{"start": 5, "end": 10, "label": "do"}, [13, 15, "unit"]]}]
    )
    assert records[0].cells[TAGS] == ["O", "B-do", "O", "B-unit"]
    assert ledger.changes["tag"] == {"spans that begin or end inside a word, widened to it": 1}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "1 tags for 2 words"),
        ({"tokens": ["a"], "tags": ["part"]}, "the tag 'part' is not O or a type"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "not a list of words"),
        ({"text": "a", "spans": [{"start": "0", "end": 1, "label": "x"}]}, "not a span"),
        ({"text": "a", "spans": None}, "not a list of tags or spans"),
        ({"text": 3, "spans": []}, "not a text"),
    ],
)
def test_rows_that_say_something_else_are_refused_with_file_and_line(row: dict[str, Any], words: str) -> None:
    with pytest.raises(TunesmithError, match=rf"t\.jsonl:1: .*{words}"):
        taken([row])


def test_a_file_without_tags_is_told_what_is_looked_for() -> None:
    with pytest.raises(TunesmithError, match="no column holds tags or spans.*task: {label: COLUMN}"):
        taken([{"text": "a", "other": "b"}])


# windows


@pytest.mark.parametrize(("pieces", "room", "stride"), [(1, 8, 4), (8, 8, 2), (9, 8, 4), (57, 10, 3), (40, 6, 0)])
def test_windows_cover_a_text_and_each_piece_is_answered_farthest_from_a_cut(
    pieces: int, room: int, stride: int
) -> None:
    begins = cuts(pieces, room, stride)
    ends = np.minimum(begins + room, pieces)
    assert begins[0] == 0 and ends[-1] == pieces and (begins[1:] <= ends[:-1] - stride).all()
    for at in range(pieces):
        left = np.where(begins == 0, np.inf, at - begins)
        right = np.where(ends == pieces, np.inf, ends - 1 - at)
        far = np.where((begins <= at) & (at < ends), np.minimum(left, right), -1)
        assert far[window_of(np.array([at]), begins, room)[0]] == far.max()


def encoded(family: str, rows: list[dict[str, Any]], **settings: Any) -> tuple[Encoded, Tag, Any]:
    from transformers import AutoTokenizer

    asked, records, _ = taken(rows, **settings)
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder(family))
    facts = asked.study(records, asked.roles())
    return asked.encode(records, asked.roles(), tokenizer, facts), asked, tokenizer


LONG = {"tokens": ["the", "pump"] + ["leaks", "oil", "belt"] * 20, "tags": ["O", "B-x"] + ["O", "B-y", "O"] * 20}


@pytest.mark.parametrize("family", ["bert", "roberta", "qwen2", "llama"])
def test_every_word_is_read_once_at_its_first_piece_and_nothing_is_lost(family: str) -> None:
    made, _, tokenizer = encoded(
        family, [LONG, {"tokens": ["水", "泵"], "tags": ["B-y", "I-y"]}], max_tokens=16, stride=4
    )
    words, windows, reads = made.words, made.windows, made.reads
    assert words is not None and windows is not None and reads is not None and made.targets is not None
    assert windows.texts.tolist()[-1] == len(made) > 2 and len(words) == 64
    assert made.lost.sum() == 0 and made.lengths.max() <= 16
    own = np.repeat(np.arange(len(made)), np.diff(windows.parts))
    said = words.said()
    for word in range(len(words)):
        if windows.follows[word]:
            continue
        place = int(reads[int(own[word])][windows.places[word]])
        piece = tokenizer.decode([int(made.ids[int(own[word])][place])]).strip(" ▁#")
        assert piece == "" or said[word].startswith(piece) or not piece.isprintable() or piece == "�"
        assert words.tags is not None
        assert made.targets[int(reads.offsets[own[word]]) + windows.places[word]] == words.tags[word]
    assert (made.targets >= 0).sum() == (~windows.follows).sum(), "each word is learnt once, in one window"


def test_all_pieces_of_a_word_learn_when_asked() -> None:
    row = {"tokens": ["bearingless", "pumpings"], "tags": ["B-x", "O"]}
    first, _, _ = encoded("bert", [row])
    every, _, _ = encoded("bert", [row], pieces="all")
    assert first.targets is not None and every.targets is not None and first.reads is not None
    assert first.targets.tolist() == [1, 0]
    pieces = len(every.ids[0]) - 2
    assert len(every.targets) == pieces > 2
    begins = int(first.reads[0][1]) - 1
    assert every.targets.tolist() == [1] + [2] * (begins - 1) + [0] * (pieces - begins)


def test_a_piece_of_several_characters_is_one_place_and_torn_spans_are_told() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "水泵": 1, "漏油": 2, "[PAD]": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Split("水泵", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")
    asked, records, _ = taken([{"text": "水泵漏油", "spans": [[0, 2, "a"], [3, 4, "b"]]}])
    made = asked.encode(records, asked.roles(), tokenizer, asked.study(records, asked.roles()))
    assert made.windows is not None and made.windows.follows.tolist() == [False, True, False, True]
    assert made.targets is not None and made.targets.tolist() == [1, 0]
    assert made.notes == ("1 spans begin or end inside a piece of the tokenizer, so that no answer can be theirs. They "
                          "count as missed",)  # fmt: skip


def test_a_word_that_shares_its_piece_continues_it() -> None:
    import torch

    logits = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0], [5.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    follows = np.array([False, True, False, True])
    assert Tag.by_word(logits, follows).argmax(-1).tolist() == [1, 2, 0, 0]
    chances = Tag.by_word(logits, follows).softmax(-1)
    whole = logits.softmax(-1)
    assert chances[1, 2] == pytest.approx(float(whole[0, 1] + whole[0, 2]), abs=1e-6)


def test_tags_that_training_never_saw_are_kept_and_count_as_missed() -> None:
    asked, records, _ = taken([{"tokens": ["a", "b"], "tags": ["B-x", "O"]}, {"tokens": ["c"], "tags": ["B-new"]}])
    from transformers import AutoTokenizer

    facts = asked.study(records[:1], asked.roles())
    made = asked.encode(records, asked.roles(), AutoTokenizer.from_pretrained(tiny.folder("bert")), facts)
    assert made.words is not None and made.words.tags is not None and made.words.strange == ("B-new", "I-new")
    assert made.words.tags.tolist() == [1, 0, 3] and made.targets is not None and made.targets.tolist() == [1, 0, -1]


def test_answers_are_spans_with_text_and_confidence() -> None:
    asked, records, _ = taken([{"text": "pump P-12 leaks", "spans": [[0, 9, "part"]]}, {"text": "", "spans": []}])
    from transformers import AutoTokenizer

    facts = asked.study(records, asked.roles())
    made = asked.encode(records, asked.roles(), AutoTokenizer.from_pretrained(tiny.folder("bert")), facts)
    outputs = np.log(np.array([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8], [0.1, 0.3, 0.6], [0.9, 0.05, 0.05]]))
    found = asked.columns(*asked.answer(outputs, facts), facts, made.words)["prediction"]
    assert [json.loads(cell) for cell in found] == [
        [{"start": 0, "end": 9, "label": "part", "text": "pump P-12", "confidence": 0.7}], [],
    ]  # fmt: skip


# files


def test_a_conll_file_is_read_by_suffix_or_content(tmp_path: Path) -> None:
    text = '# a comment\n-DOCSTART-\tO\n\n#NFL\tB-org\nwins\tO\n\t\n"\tO\nEU\tB-org\n'
    for name, line in (("a.conll", 4), ("a.txt", 4), ("a.annotated", 4)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        table = read(tmp_path / name)
        assert [cells for _, cells in table.rows] == [
            {"tokens": ["#NFL", "wins"], "tags": ["B-org", "O"]}, {"tokens": ['"', "EU"], "tags": ["O", "B-org"]},
        ]  # fmt: skip
        assert table.rows[0][0] == line
        assert any("1 comments left out" in note for note in table.notes)


def test_columns_between_blanks_and_named_columns(tmp_path: Path) -> None:
    from tunesmith.data.format import Format

    (tmp_path / "a.conll").write_text("EU NNP I-NP B-org\nsays VB O O\n\nUN NNP O B-org\n", encoding="utf-8")
    assert read(tmp_path / "a.conll").rows[0][1] == {"tokens": ["EU", "says"], "tags": ["B-org", "O"]}
    named = read(tmp_path / "a.conll", Format(columns=("token", "pos", "tag", "ner")))
    assert named.rows[0][1]["tags"] == ["I-NP", "O"]
    with pytest.raises(TunesmithError, match="do not name the 4 columns"):
        read(tmp_path / "a.conll", Format(columns=("token", "tag")))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oil", "1 columns where other lines have 2"),
        ("oil\tfluid", "the tag is not O"),
        ("\tO", "a tag without a word"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number_or_left_out(tmp_path: Path, line: str, words: str) -> None:
    from tunesmith.data.format import Format

    (tmp_path / "a.conll").write_text(f"a\tO\nb\tB-x\n\nc\tO\n{line}\n\nd\tO\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=rf"a\.conll:5: {words}"):
        read(tmp_path / "a.conll")
    table = read(tmp_path / "a.conll", Format(on_bad="drop"))
    assert len(table.rows) == 2 and table.bad[0].line == 5


def test_real_conll_files_are_read_whole(real_data: Path) -> None:
    counts = {"wnut17train.conll": 3394, "emerging.dev.conll": 1009, "emerging.test.annotated": 1287}
    for name, rows in counts.items():
        assert len(read(real_data / "wnut17" / name).rows) == rows
    table = read(real_data / "wnut17" / "wnut17train.conll")
    asked = task().resolved(table)
    assert asked.scheme == "bio"
    records = list(asked.taken_in(Ledger().add(table)))
    assert asked.study(records, asked.roles()).counts["person"] == 660


def test_spans_of_tags_end_with_their_text() -> None:
    found = spans_of(np.array([1, 2, 2, 0, 2, 4]), np.array([0, 0, 2, 6, 6]))
    assert [part.tolist() for part in found] == [[1, 2, 2, 2], [0, 2, 4, 5], [1, 2, 4, 5], [0, 0, 0, 1]]
