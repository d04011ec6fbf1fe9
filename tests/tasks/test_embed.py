"""Rows, relations, mining, files and whole jobs of the task `embed`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embedding
from jobs import run_job
from kit import TinyBases
from tunesmith.data.table import Table, read
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.bm25 import bm25, words
from tunesmith.files import read_json
from tunesmith.mining import mine
from tunesmith.progress import Progress
from tunesmith.tasks import TASKS, _relations
from tunesmith.tasks._relations import Relations
from tunesmith.tasks.embed import Embed

SILENT = Progress(silent=True)


def resolved(columns: str, **settings: Any) -> Embed:
    task = TASKS.find("embed").model_validate({"name": "embed", **settings})
    found = task.resolved(Table("rows.csv", tuple(columns.split()), [], (), ""))
    assert isinstance(found, Embed)
    return found


@pytest.mark.parametrize(
    ("columns", "layout", "loss", "named"),
    [
        ("question answer", "pairs", "in_batch", ("question", "answer")),
        ("id Query Passage", "pairs", "in_batch", ("Query", "Passage")),
        ("anchor positive negative", "triplets", "in_batch", ("anchor", "positive")),
        ("query pos neg_1 neg_2", "triplets", "in_batch", ("query", "pos")),
        ("sentence1 sentence2 score", "scored", "cosent", ("sentence1", "sentence2")),
        ("text_a text_b label", "scored", "cosent", ("text_a", "text_b")),
    ],
)
def test_layouts_are_told_by_columns(columns: str, layout: str, loss: str, named: tuple[str, str]) -> None:
    task = resolved(columns)
    assert (task.layout, task.loss, (task.anchor, task.positive)) == (layout, loss, named)
    assert task.metrics == (("spearman", "pearson") if layout == "scored" else TASKS.find("embed")().metrics)
    if layout == "triplets":
        assert task.negatives == tuple(c for c in columns.split() if c.startswith("neg"))


def test_columns_that_nobody_can_tell_are_refused() -> None:
    with pytest.raises(TunesmithError, match="which column is the anchor. Name it: task.anchor=COLUMN. Columns: x, y"):
        resolved("x y")
    assert resolved("x y", anchor="x", positive="y").layout == "pairs"


def plan_of(tiny_bases: TinyBases, path: Path, **more: Any) -> dict[str, Any]:
    return embedding.tree(tiny_bases["bert"], path, path.parent / "run", **more)


@pytest.mark.parametrize(
    ("task", "scored", "words_"),
    [
        ({"loss": "cosent"}, False, "loss cosent is for scored, and these rows are pairs"),
        ({"loss": "triplet"}, False, "loss triplet is for triplets"),
        ({"loss": "contrastive"}, True, "wants pairs labelled 0 or 1"),
        ({"metrics": ["ndcg_at_10"]}, True, "ndcg_at_10 cannot be measured on scored"),
        ({"metrics": ["spearman"]}, False, "spearman cannot be measured on pairs"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused(
    tiny_bases: TinyBases, tmp_path: Path, task: dict[str, Any], scored: bool, words_: str
) -> None:
    data = embedding.write(tmp_path / "rows.jsonl", embedding.pairs(scored=scored))
    with pytest.raises(TunesmithError, match=words_):
        run_job(plan_of(tiny_bases, data, task=task))


@pytest.mark.parametrize(
    ("task", "words_"),
    [
        ({"loss": "cosine", "symmetric": True}, "symmetric has no effect with loss: cosine"),
        ({"mine_skip": 2}, "mine_skip has no effect without mine"),
    ],
)
def test_settings_without_effect_are_refused(tiny_bases: TinyBases, tmp_path: Path, task: Any, words_: str) -> None:
    from tunesmith.plan_text import make_plan

    with pytest.raises(TunesmithError, match=words_):
        make_plan(plan_of(tiny_bases, tmp_path / "rows.jsonl", task=task))


@pytest.mark.parametrize("task", ({"width": 40}, {"matryoshka": [33, 8]}))
def test_more_numbers_than_there_are_are_refused(tiny_bases: TinyBases, task: dict[str, Any]) -> None:
    model, encoded, _ = embedding.made(tiny_bases["bert"], embedding.pairs(8), **task)
    with pytest.raises(TunesmithError, match=f"task.{next(iter(task))}: .* more than the 32 numbers"):
        model.plan.task.step_loss(model.shortcuts.plain, encoded, [0, 1])


# relations


def test_what_another_row_says_is_right_is_no_wrong_answer(tiny_bases: TinyBases) -> None:
    rows = [
        {"question": "a", "answer": "leak"}, {"question": "a", "answer": "oil"}, {"question": "b", "answer": "leak"},
        {"question": "c", "answer": "hot"},
    ]  # fmt: skip
    _, encoded, _ = embedding.made(tiny_bases["bert"], rows)
    related = encoded.relations
    assert related is not None
    assert related.query_N.tolist() == [0, 0, 1, 2] and related.own(encoded).tolist() == [0, 1, 0, 2]
    known = related.right(np.arange(3), np.arange(3))
    assert known.tolist() == [[True, True, False], [True, False, False], [False, False, True]]


def test_duplicates_do_not_push_each_other_away(tiny_bases: TinyBases) -> None:
    """Two rows with one passage: neither takes the other's for wrong; a third row does."""
    import torch

    rows = [{"question": q, "answer": a} for q, a in (("a", "leak"), ("b", "leak"), ("c", "hot"))]
    model, encoded, _ = embedding.made(tiny_bases["bert"], rows)
    states = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
    states[3] = states[1]
    loss = model.plan.task.whole_loss(states, encoded, [0, 1, 2])  # type: ignore[attr-defined]
    unit = torch.nn.functional.normalize(states, dim=1)
    near = (unit[[0, 2, 4]] @ unit[[1, 3, 5]].T / 0.05).exp()
    shares = near[0, 0] / near[0, [0, 2]].sum(), near[1, 1] / near[1, [1, 2]].sum(), near[2, 2] / near[2].sum()
    assert loss.item() == pytest.approx(-sum(share.log().item() for share in shares), rel=1e-5)


def test_standings_are_those_of_a_full_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    query = np.sort(draw.integers(0, 11, 40))
    query = _relations.number([str(q) for q in query])
    related = Relations(query, np.arange(40), 50, np.empty(0, dtype=np.int64), None)
    score, own = draw.integers(0, 9, (11, 50)).astype(float), draw.integers(0, 50, 40)
    expected = [1 + np.argsort(-score[q], kind="stable").tolist().index(p) for q, p in zip(query, own, strict=True)]
    assert _relations.standings(related, own, lambda q: score[q]).tolist() == expected
    monkeypatch.setattr(_relations, "CELLS", 120)
    assert _relations.standings(related, own, lambda q: score[q]).tolist() == expected


# mining


def test_mined_passages_are_the_most_similar_wrong_ones_below_the_margin() -> None:
    draw = np.random.default_rng(1)
    near = draw.random((6, 30))
    related = Relations(np.arange(6), np.arange(6), 30, np.sort(np.arange(6) * 30 + np.arange(6)), None)
    known = np.sort(np.append(related.known, 0 * 30 + 7))
    related = Relations(related.query_N, related.passage_S, 30, known, None)
    found = _relations.hard(lambda q: near[q], related, np.arange(6), 4, 2, 0.1)
    for q in range(6):
        order = [p for p in np.argsort(-near[q], kind="stable") if p != q and not (q == 0 and p == 7)][2:]
        expected = [p for p in order if near[q, p] <= 0.9 * near[q, q]][:4]
        assert found[q].tolist() == expected
    assert any(len(each) for each in found)


def test_mining_adds_texts_to_rows(tiny_bases: TinyBases) -> None:
    rows = embedding.pairs(18)
    model, encoded, _ = embedding.made(tiny_bases["bert"], rows, mine=2, mine_margin=0.0)
    before = encoded.ids.lengths.copy()
    found = mine(model, encoded, SILENT)
    assert found is not None and encoded.bounds is not None and encoded.inner is not None
    assert 0 < found["found"] == len(encoded.inner) - 36 <= 36 and found["passages"] == len({r["answer"] for r in rows})
    related, sizes = encoded.relations, np.diff(encoded.bounds)
    assert related is not None and sizes.max() == 4
    assert (encoded.ids.lengths >= before).all() and encoded.ids.size == encoded.inner.ids.size
    for row in range(18):
        wrong = related.passage_S[encoded.bounds[row] + 2 : encoded.bounds[row + 1]]
        assert not related.right(related.query_N[[row]], wrong).any()
        for place, passage in enumerate(wrong):  # the text is that of the passage
            same = np.flatnonzero(related.passage_S == passage)[0]
            assert (
                encoded.inner.ids[int(encoded.bounds[row]) + 2 + place].tolist()
                == encoded.inner.ids[int(same)].tolist()
            )


@pytest.mark.peers
def test_mining_finds_what_sentence_transformers_finds(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    from tunesmith.model import save

    rows = [{"question": f"{' '.join(embedding.WORDS[t])} {i}", "answer": f"{t} {i} {i * 7 % 11}"}
            for i, t in enumerate(sorted(embedding.WORDS) * 8)]  # fmt: skip
    model, encoded, _ = embedding.made(tiny_bases["bert"], rows, mine=3, mine_margin=0.001)
    save(model, tmp_path / "model")
    mine(model, encoded, SILENT)
    peer = mine_hard_negatives(
        Dataset.from_list(rows), SentenceTransformer(str(tmp_path / "model"), device="cpu"), num_negatives=3,
        relative_margin=0.001, range_max=23, output_format="n-tuple", verbose=False,
    )  # fmt: skip
    assert encoded.bounds is not None and encoded.relations is not None
    texts = list(dict.fromkeys(row["answer"] for row in rows))
    opened = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    vector = dict(zip(texts, opened.encode(texts), strict=True))
    own = {}
    for row in range(len(rows)):
        wrong = encoded.relations.passage_S[encoded.bounds[row] + 2 : encoded.bounds[row + 1]]
        own[rows[row]["question"]] = [texts[p] for p in wrong]
    theirs = {r["question"]: [r[f"negative_{k}"] for k in (1, 2, 3)] for r in peer}
    assert len(theirs) > 5
    for question, wrong in theirs.items():  # texts of unknown words alone have one vector: compare how near they are
        asked = opened.encode([question])[0]
        near = [[float(vector[text] @ asked) for text in each] for each in (own[question], wrong)]
        assert near[0] == pytest.approx(near[1], abs=1e-6)


# BM25


def test_bm25_is_the_formula() -> None:
    passages = ["the pump leaks oil oil", "the fan is hot", "水泵漏油"]
    score = bm25(["oil pump", "漏油", "nothing"], passages)
    idf, mean = np.log(1 + 2.5 / 1.5), np.mean([len(words(p)) for p in passages])
    length = 1.2 * (0.25 + 0.75 * 5 / mean)
    assert score[0].tolist() == pytest.approx([idf * 2.2 * (2 / (2 + length) + 1 / (1 + length)), 0, 0])
    assert score[1].argmax() == 2 and not score[2].any()
    assert words("Oil-leak, A_1 漏油!") == ["oil", "leak", "a", "1", "漏", "油", "漏油"]


# whole jobs


def test_pairs_from_file_to_vectors(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from tunesmith import flows

    data = embedding.write(tmp_path / "rows.jsonl", embedding.pairs(60))
    reply = run_job(plan_of(tiny_bases, data, task={"width": 16}, train={"micro_tokens": 60}, method="full"))
    assert reply["proof"]["plain"] and reply["equality"] in ("bits", "exact")
    assert set(reply["baselines"]) == {"bm25", "untuned"} == set(reply["paired"])
    assert 0 < reply["metrics"]["test"]["ndcg_at_10"]["value"] <= 1
    run = tmp_path / "run"
    notes = " ".join(read_json(run / "data.json")["notes"])
    assert "rows: pairs: anchor question, positive answer" in notes and "rows repeat a passage" in notes
    assert "bring the vectors of texts" in (run / "report.html").read_text(encoding="utf-8")
    flows.predict(run, data, out=tmp_path / "v.npy")
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.shape == (60, 16) and vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    flows.predict(run, data, out=tmp_path / "v.jsonl")
    first = json.loads((tmp_path / "v.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["question"] and np.abs(np.array(first["prediction"]) - vectors[0]).max() < 1e-6
    assert np.abs(np.array(flows.ask(run, [{"text": first["question"]}])[0]) - vectors[0]).max() < 1e-5


def test_a_relevance_file_is_judged_on_the_whole_corpus(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = embedding.write_beir(tmp_path)
    task = {"mine": 2, "mine_margin": 0.0, "query_prefix": "query: "}
    reply = run_job(plan_of(tiny_bases, data, task=task))
    about = read_json(data.parent / "run" / "data.json")
    assert about["mined"]["passages"] == 30 and about["mined"]["found"] > 0
    assert [Path(f["name"]).name for f in about["files"]] == ["train.tsv", "corpus.jsonl", "queries.jsonl"]
    import pyarrow.parquet as pq

    rows = pq.read_table(data.parent / "run" / "predictions.parquet").to_pylist()
    assert max(r["prediction"] for r in rows) > 9, "places are among all 30 passages"
    sides = {r["text"].split(" ‖ ")[0]: set() for r in rows}
    for r in rows:
        sides[r["text"].split(" ‖ ")[0]].add(r["split"])
    assert all(len(where) == 1 for where in sides.values()), "a query stands on one side"
    assert reply["proof"]["metric"]


def test_the_untuned_model_ranks_as_computed_by_hand(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """Places on a corpus, from vectors made one by one."""
    data = embedding.write_beir(tmp_path)
    rows = [cells for _, cells in read(data).rows]
    task = {"corpus": str(tmp_path / "corpus.jsonl"), "queries": str(tmp_path / "queries.jsonl")}
    model, encoded, records = embedding.made(tiny_bases["bert"], rows, **task)
    found = model.outputs(encoded)

    def vector(text: str) -> np.ndarray:
        row = type(records[0])(0, "x", 1, 1, {"tunesmith:text": text})
        return np.asarray(
            model.outputs(model.encode([row], model.plan.task.roles(labelled=False)))[0], dtype=np.float64
        )

    passages = [json.loads(line) for line in (tmp_path / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    table = np.stack([vector(f"{p['title']} {p['text']}") for p in passages])
    for i in (0, 1, 2, 20, 35):
        score = table @ vector(str(records[i].cells["tunesmith:text"]))
        own = [p["_id"] for p in passages].index(rows[i]["corpus-id"])
        assert found[i, 0] == 1 + (score > score[own] + 1e-6).sum()
        assert found[i, 1] == pytest.approx(score[own], abs=1e-5)
    gains = model.plan.task.truth(encoded, model.facts)[:, 0]
    assert sorted(set(gains)) == [0, 1, 2] and (encoded.weights[gains == 0] == 0).all()


def test_a_text_that_no_file_holds_is_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = embedding.write_beir(tmp_path)
    data.write_text(data.read_text(encoding="utf-8") + "q1\td99\t1\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"train.tsv:38: corpus-id 'd99' does not stand in .*corpus.jsonl"):
        run_job(plan_of(tiny_bases, data))


@pytest.mark.parametrize("loss", ("cosent", "cosine"))
def test_scored_pairs(tiny_bases: TinyBases, tmp_path: Path, loss: str) -> None:
    data = embedding.write(tmp_path / "rows.jsonl", embedding.pairs(60, scored=True))
    reply = run_job(plan_of(tiny_bases, data, task={"loss": loss}))
    assert set(reply["metrics"]["test"]) == {"spearman", "pearson"} and set(reply["baselines"]) == {"untuned"}


@pytest.mark.peers
@pytest.mark.parametrize(
    ("method", "task"),
    [
        ("full", {}),
        ("full", {"pool": "base", "normalize": False}),
        ("layers", {"width": 16}),
        ("lora", {}),
        ("ia3", {}),
    ],
)  # fmt: skip
def test_sentence_transformers_opens_the_saved_model(
    tiny_bases: TinyBases, tmp_path: Path, method: str, task: dict[str, Any]
) -> None:
    from sentence_transformers import SentenceTransformer

    from tunesmith import flows

    data = embedding.write(tmp_path / "rows.jsonl", embedding.pairs(40))
    run_job(plan_of(tiny_bases, data, method=method, task=task | {"query_prefix": "query: "}))
    texts = ["oil drips 3", "hot smoke rises from the fan and glows", "x"]
    own = np.array(flows.ask(tmp_path / "run", [{"question": t} for t in texts]))
    model = SentenceTransformer(str(tmp_path / "run" / "model"), device="cpu")
    theirs = model.encode(texts, prompt_name="query")
    assert np.abs(own - theirs).max() <= 1e-5 * max(1, np.abs(own).max())
