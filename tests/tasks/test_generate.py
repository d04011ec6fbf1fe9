"""The task `generate`: what becomes of rows, what is refused, and a whole job that writes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
import preferring
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.errors import TunesmithError
from tunesmith.model import facts_for, load
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.progress import Progress
from tunesmith.run import Run

ROWS = [
    {"instruction": f"what is wrong with pump {i}", "output": "it leaks oil" if i % 2 else "it is hot"}
    for i in range(30)
]


def tree(base: Path, data: Path, **task: Any) -> dict[str, Any]:
    return {
        "task": {"name": "generate", "template": "plain", "max_tokens": 64, "decode": {"max_new_tokens": 8}, **task},
        "base": str(base), "data": str(data), "method": "lora",
        "train": {"epochs": 2, "batch": 8, "lr": 0.02}, "evaluate": {"resamples": 100, "forgetting": False},
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "rows", "repeated"), [("alpaca_en_demo", 999, 14), ("alpaca_zh_demo", 1000, 8)])
def test_the_ledger_of_the_demo_files_adds_up(name: str, rows: int, repeated: int, real_data: Path) -> None:
    file = real_data / "llamafactory_demo" / f"{name}.json"
    told = prepare(make_plan({"task": "generate", "base": "unused", "data": str(file)})).ledger.summary()
    assert told["rows"] == rows == sum(told["fates"].values())
    assert told["fates"]["duplicate"] == repeated and told["fates"]["dropped"] == 0


def test_rows_that_keep_nothing_to_learn_are_refused_with_the_cure(tiny_bases: TinyBases, data: Path) -> None:
    long = [{"instruction": "pump " * 60 + str(i), "output": r["output"]} for i, r in enumerate(ROWS)]
    data.write_text(json.dumps(long), encoding="utf-8")
    plan = make_plan(tree(tiny_bases["llama language"], data, max_tokens=8))
    prepared = prepare(plan)
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, tokenizer)
    encoded = prepared.plan.task.encode(prepared.splits["train"], prepared.roles, tokenizer, facts)
    assert (encoded.lengths <= 8).all() and (encoded.lost > 0).all(), "questions are cut before answers"
    task = prepared.plan.task.model_copy(update={"max_tokens": 1})
    with pytest.raises(TunesmithError, match="keep no token to learn from with max_tokens: 1") as refused:
        task.encode(prepared.splits["train"], prepared.roles, tokenizer, facts)
    assert "task.max_tokens=" in str(refused.value) and "rows.json" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": ["clean"]}, "clean is no step for conversations"),
        ({"train": {"best": "bleu"}, "evaluate": {"metrics": ["perplexity", "bleu"]}}, "bleu reads written answers"),
        ({"evaluate": {"baselines": ["tfidf"]}}, "tfidf does not fit this task"),
        ({"task": {"name": "generate", "decode": {"top_k": 5}}}, "temperature 0 draws nothing"),
        ({"task": {"name": "generate", "pool": "mean"}}, "a language model reads every token"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_loads(change: dict[str, Any], words: str, data: Path) -> None:
    with pytest.raises(TunesmithError, match=words):
        make_plan(tree(Path("unused"), data) | change)


def test_an_encoder_cannot_write(tiny_bases: TinyBases, data: Path) -> None:
    with pytest.raises(TunesmithError, match="bert reads text and cannot write it"):
        jobs.run_job(tree(tiny_bases["bert"], data) | {"run": str(data.parent / "run")})


def test_a_whole_job_learns_writes_and_reloads(tiny_bases: TinyBases, data: Path, tmp_path: Path) -> None:
    plan = tree(tiny_bases["qwen2 language"], data)
    reply = jobs.run_job(plan | {"train": plan["train"] | {"epochs": 12}, "run": str(tmp_path / "run")})
    mine, untuned = reply["metrics"]["test"]["perplexity"], reply["baselines"]["untuned"]["test"]["perplexity"]
    assert mine["value"] < untuned["value"] / 2, "twelve epochs of two answers teach them"
    assert {"bleu", "rougeL", "exact_match"} <= set(reply["metrics"]["test"])
    assert "bleu" not in reply["metrics"]["validation"], "texts are written for one split alone"
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5
    run = Run(tmp_path / "run")
    model = load(run.model)
    assert model.facts.template is not None and model.facts.template.name == "plain", "serving writes as training did"
    asked = list(prepare(model.plan).splits["test"])
    again = model.write(asked)
    alone = np.concatenate([model.write([row]) for row in asked])
    assert again.tolist() == alone.tolist(), "an answer does not depend on the rows that are asked beside it"
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "to answer as its rows do" in page and "Most surprising answers" in page


def test_weights_of_labels_and_rows_count(tiny_bases: TinyBases, data: Path) -> None:
    plan = make_plan(tree(tiny_bases["llama language"], data))
    prepared = prepare(plan)
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, tokenizer)
    encoded = prepared.plan.task.encode(prepared.splits["train"][:4], prepared.roles, tokenizer, facts)
    assert encoded.labels is not None
    count = sum(int((labels >= 0).sum()) for labels in encoded.labels)
    assert prepared.plan.task.weigh(encoded, range(4)) == count
    heavy = replace(encoded, weights=encoded.weights * 2)
    assert prepared.plan.task.weigh(heavy, range(4)) == 2 * count


def several(count: int = 40) -> list[dict[str, Any]]:
    """Questions with one, two or three right answers."""
    ways = ["it leaks oil", "the oil leaks out", "there is a leak"]
    return [{"instruction": f"what is wrong with pump {i}", "output": ways[: 1 + i % 3]} for i in range(count)]


def test_the_first_of_several_answers_is_learnt_and_texts_are_compared_with_all(
    tiny_bases: TinyBases, data: Path, tmp_path: Path
) -> None:
    """Values equal sacreBLEU's and SQuAD's own on what the run has written."""
    import pyarrow.parquet as pq
    from sacrebleu.metrics import BLEU, CHRF, TER

    data.write_text(json.dumps(several()), encoding="utf-8")
    asked = tree(tiny_bases["llama language"], data) | {"run": str(tmp_path / "run")}
    asked["evaluate"]["metrics"] = ["perplexity", "bleu", "chrf", "ter", "exact_match", "token_f1"]
    found = jobs.run_job(asked)["metrics"]["test"]
    rows = [r for r in pq.read_table(tmp_path / "run/predictions.parquet").to_pylist() if r["split"] == "test"]
    assert {len(r["references"]) for r in rows} > {1} and all(r["truth"] == "it leaks oil" for r in rows)
    said, wanted = [r["prediction"] for r in rows], [r["references"] for r in rows]
    streams = [[row[i] if i < len(row) else None for row in wanted] for i in range(3)]
    for name, theirs in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        assert found[name]["value"] == pytest.approx(theirs.corpus_score(said, streams).score, abs=1e-9)
    f1 = [max(squad_f1(text, each) for each in references) for text, references in zip(said, wanted, strict=True)]
    assert found["token_f1"]["value"] == pytest.approx(np.mean(f1))
    exact = [any(squad(text) == squad(each) for each in refs) for text, refs in zip(said, wanted, strict=True)]
    assert found["exact_match"]["value"] == pytest.approx(np.mean(exact))
    changes = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))["ledger"]["changes"]
    assert sum(changes["references"].values()) == 26
    assert "the first is learnt" in (tmp_path / "run/report.html").read_text(encoding="utf-8")


def squad(text: str) -> list[str]:
    """The official script of SQuAD 1.1: normalize_answer, split."""
    import re
    import string

    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def squad_f1(said: str, wanted: str) -> float:
    """f1_score of that script."""
    from collections import Counter

    both = Counter(squad(said)) & Counter(squad(wanted))
    same = sum(both.values())
    if not same:
        return 0.0
    precision, recall = same / len(squad(said)), same / len(squad(wanted))
    return 2 * precision * recall / (precision + recall)


def test_further_answers_stand_in_columns_of_tables(tiny_bases: TinyBases, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    body = "".join(f'ask {i},"[""a""]",also {i},{"x" if i % 2 else ""}\n' for i in range(12))
    file.write_text("question,answer,second,third\n" + body, encoding="utf-8")
    asked = tree(tiny_bases["llama language"], file, references=["second", "third"])
    prepared = prepare(make_plan(asked))
    rows = prepared.splits["train"]
    encoded = encode_rows(prepared, rows)
    by_row = {r.row: references for r, references in zip(rows, encoded.references, strict=True)}
    for number, references in by_row.items():
        assert references == ('["a"]', f"also {number - 1}", *(["x"] if number % 2 == 0 else [])), "text stays text"
    with pytest.raises(TunesmithError, match="fourth"):
        prepare(make_plan(tree(tiny_bases["llama language"], file, references=["fourth"])))


def encode_rows(prepared: Any, rows: Any) -> Any:
    found = find(prepared.plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(prepared.plan, rows, prepared.roles, found, tokenizer)
    return prepared.plan.task.encode(rows, prepared.roles, tokenizer, facts)


@pytest.mark.parametrize(("cell", "shown"), [([], r"\[\]"), (["a", ""], "''"), (["a", 3], "3")])
def test_a_list_of_answers_holds_texts_alone(cell: Any, shown: str, tiny_bases: TinyBases, data: Path) -> None:
    data.write_text(json.dumps([*several(10), {"instruction": "b", "output": cell}]), encoding="utf-8")
    with pytest.raises(TunesmithError, match=f"column 'output' is a list of more than texts: .*{shown}"):
        prepare(make_plan(tree(tiny_bases["llama language"], data)))


def test_rows_with_other_answers_beside_the_first_are_no_repeats(tiny_bases: TinyBases, data: Path) -> None:
    twice = [{"instruction": "a", "output": ["x", "y"]}, {"instruction": "a", "output": ["x", "z"]}]
    data.write_text(json.dumps([*several(10), *twice, twice[1]]), encoding="utf-8")
    told = prepare(make_plan(tree(tiny_bases["llama language"], data))).ledger.summary()["fates"]
    assert told["duplicate"] == 1


def test_references_of_plain_texts_are_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "other": "b"}\n' * 12, encoding="utf-8")
    with pytest.raises(TunesmithError, match="plain texts answer nothing"):
        prepare(make_plan(tree(tiny_bases["llama language"], file, references=["other"])))


def test_plain_texts_are_compared_by_what_they_say(tmp_path: Path) -> None:
    """They ask nothing, and to ask the same nothing makes no repeats: all rows once left the training split."""
    file = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": f"document {i} says {i * 7}"}) + "\n" for i in range(30)]
    file.write_text("".join([*lines, lines[0]]), encoding="utf-8")
    prepared = prepare(make_plan({"task": "generate", "base": "unused", "data": str(file)}))
    assert {name: len(rows) for name, rows in prepared.splits.items()} == {"train": 24, "validation": 3, "test": 3}
    assert prepared.ledger.summary()["fates"]["duplicate"] == 1


def test_format_and_template_are_told(
    tiny_bases: TinyBases, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(Progress, "say", lambda self, text: heard.append(text))
    asked = tree(tiny_bases["llama language"], data, template="auto") | {"run": str(tmp_path / "run")}
    plan = asked | {"train": asked["train"] | {"epochs": 1}}
    jobs.run_job(plan)
    known = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))["notes"]
    for said in ("read as alpaca: question in 'instruction', answer in 'output'", "has no chat template"):
        assert any(said in line for line in heard) and any(said in note for note in known)
    warned = json.loads((tmp_path / "run/warnings.json").read_text(encoding="utf-8"))
    assert not any("read as" in text for text in warned), "nothing to be warned of"


def test_rows_whose_answers_all_weigh_nothing_are_told_by_their_number(tiny_bases: TinyBases, data: Path) -> None:
    talk = [[{"role": "user", "content": f"ask {i}"}, {"role": "assistant", "content": "a", "weight": int(i != 3)}]
            for i in range(12)]  # fmt: skip
    data.write_text(json.dumps([{"messages": each} for each in talk]), encoding="utf-8")
    prepared = prepare(make_plan(tree(tiny_bases["llama language"], data, template="chatml")))
    rows = [r for split in prepared.splits.values() for r in split]
    with pytest.raises(TunesmithError, match=r"1 of 12 rows .*rows.json:1: row 4\). Every answer in them .* weight 0"):
        encode_rows(prepared, rows)


def test_answers_that_are_cut_are_counted_in_the_ledger_and_warned_of(
    tiny_bases: TinyBases, data: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    long = [{"instruction": f"ask {i}", "output": "pump " * (60 if i % 3 else 2)} for i in range(30)]
    data.write_text(json.dumps(long), encoding="utf-8")
    asked = tree(tiny_bases["llama language"], data, max_tokens=32)
    jobs.run_job(asked | {"train": asked["train"] | {"epochs": 1}, "run": str(tmp_path / "run")})
    ledger = pq.read_table(tmp_path / "run/ledger.parquet").to_pylist()
    assert [r["row"] for r in ledger if r["label_tokens_lost"]] == [i + 1 for i in range(30) if i % 3]
    assert all(r["label_tokens_lost"] <= r["tokens_lost"] for r in ledger)
    total = sum(r["label_tokens_lost"] for r in ledger)
    about = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))["ledger"]["truncated"]
    assert about["label_tokens_lost"] == total > 20 * 20
    warned = " ".join(json.loads((tmp_path / "run/warnings.json").read_text(encoding="utf-8")))
    assert "texts are cut before their end" in warned and "task.max_tokens=" in warned


@pytest.mark.slow
@pytest.mark.parametrize(("name", "repeated"), [("alpaca_en_demo", 14), ("alpaca_zh_demo", 8)])
def test_the_demo_files_run_from_file_to_proof(name: str, repeated: int, real_data: Path, tmp_path: Path) -> None:
    file = real_data / "llamafactory_demo" / f"{name}.json"
    base = preferring.write_base(
        "llama", tmp_path / "base", places=1500
    )  # a question of 1,000 bytes is in the Chinese one
    asked = tree(base, file, template="chatml", max_tokens=1500) | {"run": str(tmp_path / "run")}
    reply = jobs.run_job(asked | {"train": asked["train"] | {"max_steps": 2}})
    assert reply["proof"]["plain"] and reply["status"] == "done"
    about = json.loads((tmp_path / "run/data.json").read_text(encoding="utf-8"))["ledger"]
    assert about["fates"]["duplicate"] == repeated and sum(about["fates"].values()) == about["rows"]
