"""Chunk: long plain texts become rows that fit, nothing of them is lost, and no document stands on both sides."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
import tiny
from kit import TinyBases
from tunesmith.bases.load import load_tokenizer
from tunesmith.dialogue.chunking import chunks
from tunesmith.dialogue.laying import encoded
from tunesmith.errors import TunesmithError
from tunesmith.flows import evaluate
from tunesmith.model import facts_for
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare
from tunesmith.progress import Progress
from tunesmith.tasks._language import dialogue_in

WORDS = ("pump", "motor", "belt", "leaks", "stops", "hot", "at", "night", "the", "and", "oil", "水泵", "漏油")


def text(seed: int, sentences: int) -> str:
    """Paragraphs of lines of sentences."""
    draw, made = random.Random(seed), []
    for number in range(sentences):
        made.append(
            " ".join(draw.choices(WORDS, k=draw.randint(3, 9))) + draw.choice([". ", "! ", "。", ".\n", ".\n\n"])
        )
        made += [f"No {number}. "] * draw.randint(0, 1)
    return "".join(made).strip()


@pytest.mark.parametrize("family", ("llama", "qwen2", "gpt2"))
@pytest.mark.parametrize("room", (7, 20, 64))
def test_pieces_are_the_text_and_have_its_tokens(family: str, room: int) -> None:
    tok = tiny.make_tokenizer(family)
    for seed in range(5):
        whole = text(seed, 30)
        spans = chunks(whole, room, 0, tok)
        assert "".join(whole[a:b] for a, b in spans) == whole
        ids = [encoded(whole[a:b], tok).ids for a, b in spans]
        assert max(map(len, ids)) <= room and len(ids) > 1
        assert [i for part in ids for i in part] == encoded(whole, tok).ids


def test_cuts_are_at_paragraphs_before_lines_before_sentences_before_words() -> None:
    tok = tiny.make_tokenizer("qwen2")
    for joint, others in (("\n\n", "\n. "), ("\n", ". "), (". ", " "), (" ", "")):
        whole = f"pump leaks{others or ' '}oil" * 3 + joint + f"motor stops{others or ' '}hot" * 3
        half = len(encoded(whole[: whole.index(joint + "motor")] + joint, tok).ids)
        (_, end), *_ = chunks(whole, half + 3, 0, tok)
        if joint.strip(" ") in ("\n\n", "\n", "."):
            assert whole[:end].rstrip(" ") == whole[: whole.index(joint + "motor")] + joint.rstrip(" "), repr(joint)


def test_a_text_without_pauses_is_cut_all_the_same_and_no_letter_in_two() -> None:
    tok = tiny.make_tokenizer("qwen2")
    whole = "水泵漏油压力下降" * 40 + "🙂" * 30
    spans = chunks(whole, 11, 0, tok)
    assert "".join(whole[a:b] for a, b in spans) == whole
    assert all(len(encoded(whole[a:b], tok).ids) <= 11 for a, b in spans)


def test_overlap_repeats_the_end_of_the_piece_before() -> None:
    tok = tiny.make_tokenizer("qwen2")
    whole = text(1, 40)
    spans = chunks(whole, 30, 6, tok)
    for (_, end), (start, _) in pairwise(spans):
        assert 0 < len(encoded(whole[start:end], tok).ids) <= 6
    assert spans[0][0] == 0 and spans[-1][1] == len(whole)
    assert all(len(encoded(whole[a:b], tok).ids) <= 30 for a, b in spans)


def tree(base: Path, data: Path, **chunk: Any) -> dict[str, Any]:
    return {
        "task": {"name": "generate", "template": "plain", "max_tokens": 40, "learn": "all"},
        "base": str(base), "data": {"train": str(data), "validation": 0.2, "test": 0.2}, "method": "lora",
        "steps": ["dedup", {"name": "chunk", **chunk}],
        "train": {"epochs": 1, "batch": 8, "lr": 0.02}, "evaluate": {"resamples": 100, "forgetting": False},
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    rows = [{"text": text(i, 2 + 3 * (i % 4))} for i in range(20)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def ready(plan_tree: dict[str, Any]) -> tuple[Prepared, Any, Any]:
    prepared = prepare(make_plan(plan_tree))
    found = prepared.plan.base.found()
    tokenizer = load_tokenizer(found)
    return prepared, tokenizer, facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, tokenizer)


def test_no_document_is_on_both_sides_and_no_token_is_lost(tiny_bases: TinyBases, data: Path) -> None:
    prepared, tokenizer, facts = ready(tree(tiny_bases["qwen2 language"], data))
    rows = [json.loads(line)["text"] for line in data.read_text(encoding="utf-8").splitlines()]
    sides: dict[int, set[str]] = {}
    total = 0
    for split, records in prepared.splits.items():
        made = prepared.plan.task.encode(records, prepared.roles, tokenizer, facts)
        assert made.labels is not None and not made.lost.any() and made.ids.lengths.max() <= 40
        total += made.ids.size
        whole: dict[int, str] = {}
        for record, ids in zip(records, made.ids, strict=True):
            sides.setdefault(record.row, set()).add(split)
            whole[record.row] = whole.get(record.row, "") + dialogue_in(record).answer()
            last = whole[record.row] == rows[record.row - 1]
            assert (ids == tokenizer.eos_token_id).sum() == last, "an end is learnt where the document ends"
            assert record.cells["text"] == dialogue_in(record).answer(), "a piece does not carry its whole document"
        assert all(rows[number - 1] == text for number, text in whole.items())
    assert all(len(where) == 1 for where in sides.values()) and len(sides) == len(rows)
    assert total == sum(len(encoded(row, tokenizer).ids) + 1 for row in rows)
    told = prepared.ledger.changes["chunk"]
    assert told["their tokens before"] == told["their tokens after"]
    pieces = prepared.ledger._arrow()["pieces"].to_pylist()
    counted = np.bincount([r.row for rs in prepared.splits.values() for r in rs], minlength=21)[1:]
    assert [p or 1 for p in pieces] == counted.tolist() and told["rows made of them"] == sum(pieces)


def test_overlap_is_counted(tiny_bases: TinyBases, data: Path) -> None:
    told = ready(tree(tiny_bases["qwen2 language"], data, overlap=5))[0].ledger.changes["chunk"]
    assert told["their tokens after"] > told["their tokens before"]


def test_a_whole_job_proves_itself_and_judges_files_in_pieces(
    tiny_bases: TinyBases, data: Path, tmp_path: Path
) -> None:
    asked = tree(tiny_bases["llama language"], data) | {"run": str(tmp_path / "run")}
    asked["evaluate"]["metrics"] = ["perplexity", "bits_per_byte"]
    reply = jobs.run_job(asked)
    assert reply["proof"]["equality"] in ("bits", "exact")
    ledger = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))["ledger"]
    assert (
        ledger["truncated"] == {"rows": 0, "tokens_lost": 0, "label_tokens_lost": 0}
        and ledger["changes"]["chunk"]["documents cut"] > 5
    )
    found = evaluate(tmp_path / "run", data, progress=Progress(silent=True))
    assert found["rows"] > 20


def test_refusals(tiny_bases: TinyBases, data: Path, tmp_path: Path) -> None:
    base = tiny_bases["qwen2 language"]
    with pytest.raises(TunesmithError, match="chunk cuts plain texts to learn a language from, and classify has none"):
        make_plan({"task": "classify", "base": str(base), "data": str(data), "steps": ["chunk"]})
    with pytest.raises(TunesmithError, match="overlap 30 is more than half"):
        make_plan(tree(base, data, overlap=30))
    talks = tmp_path / "talks.jsonl"
    talks.write_text("".join(json.dumps({"question": f"a {i}", "answer": "b"}) + "\n" for i in range(12)))
    with pytest.raises(TunesmithError, match="is a conversation, and chunk cuts plain texts"):
        prepare(make_plan(tree(base, talks)))
