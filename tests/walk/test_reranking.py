"""Re-rankers: pairs with queries through a whole job, beside BM25 and an untuned bi-encoder."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import jobs
import ranking
import tunesmith
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import rankers
from tunesmith.evaluation.bm25 import bm25
from tunesmith.plan_text import make_plan

PAGE = Path(__file__).parent.parent.parent / "docs" / "re-ranking.md"


def rankings(run: Path, column: str) -> dict[str, list[tuple[float, str]]]:
    """By query of the test rows: (score, truth), best first, of equal scores the answers last."""
    import pyarrow.parquet as pq

    found: dict[str, list[tuple[float, str]]] = {}
    for row in pq.read_table(run / "predictions.parquet").to_pylist():
        if row["split"] == "test":
            found.setdefault(row["text"].split(" ‖ ")[0], []).append((row[column], str(row["truth"])))
    return {q: sorted(rows, key=lambda each: (-each[0], each[1])) for q, rows in found.items()}


def test_classify_ranks(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """What the report says is what the predictions of the run give; queries stay whole; the model is a plain one."""
    data, run = ranking.write(tmp_path / "rows.csv"), tmp_path / "run"
    reply = jobs.run_job(ranking.tree(tiny_bases["bert"], data, run))
    assert reply["proof"]["plain"]
    assert set(reply["baselines"]) == {"majority", "tfidf", "probe", "bm25", "cosine"}
    ranked = rankings(run, "p:yes")
    assert len(ranked) == 9 and {len(rows) for rows in ranked.values()} == {6}
    firsts = [[truth for _, truth in rows].index("yes") + 1 for rows in ranked.values()]
    test = reply["metrics"]["test"]
    assert test["mrr_at_10"]["value"] == pytest.approx(np.mean([1 / place for place in firsts]), abs=1e-9)
    assert 0 < reply["baselines"]["majority"]["test"]["mrr_at_10"]["value"] < 0.35, "a constant answer ranks nothing"
    words = reply["baselines"]["bm25"]["test"]
    assert words["ndcg_at_10"]["value"] > 0.95, "questions and answers share the name of the fault"
    assert reply["paired"]["bm25"]["metric"] == "ndcg_at_10"


def test_regress_ranks_by_grades(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data, run = ranking.write(tmp_path / "rows.csv"), tmp_path / "run"
    asked = ranking.tree(
        tiny_bases["bert"], data, run, task={"name": "regress", "label": "grade"},
        evaluate={"metrics": ["ndcg_at_10", "map", "spearman"], "baselines": ["bm25", "cosine"]},
    )  # fmt: skip
    test = jobs.run_job(asked)["metrics"]["test"]
    gains = [[float(truth) for _, truth in rows] for rows in rankings(run, "prediction").values()]
    steps = np.log2(np.arange(2, 8))
    each = [(np.round(g, 4) / steps).sum() / (np.sort(np.round(g, 4))[::-1] / steps).sum() for g in gains]
    assert test["ndcg_at_10"]["value"] == pytest.approx(np.mean(each), abs=1e-6)
    again = tunesmith.evaluate(run, data)
    assert set(again["metrics"]) == {"ndcg_at_10", "map", "spearman"}


def test_predict_needs_no_query(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data, run = ranking.write(tmp_path / "rows.csv", queries=12), tmp_path / "run"
    jobs.run_job(ranking.tree(tiny_bases["bert"], data, run, train={"epochs": 1}, evaluate={"baselines": []}))
    pairs = [{"question": "oil drips", "passage": "leak seal"}, {"question": "oil drips", "passage": "noise hum"}]
    assert len(tunesmith.ask(run, pairs)) == 2


def test_the_plan_of_the_page_runs(tiny_bases: TinyBases, tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    plan = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0])
    (shown,) = re.findall(r"^```csv\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    rows = csv.DictReader(ranking.write(tmp_path / "rows.csv", queries=20).read_text(encoding="utf-8").splitlines())
    lines = [f"{r['id']},{r['question']},{r['passage']},{r['answers']}\n" for r in rows]
    (tmp_path / "candidates.csv").write_text(shown.replace("q7", "shown") + "".join(lines), encoding="utf-8")
    plan |= {"base": str(tiny_bases["bert"]), "data": str(tmp_path / "candidates.csv"), "run": str(tmp_path / "run")}
    plan["task"]["max_tokens"], plan["evaluate"]["resamples"] = 48, 100
    reply = jobs.run_job(plan)
    assert reply["status"] == "done" and reply["metrics"]["test"]["ndcg_at_10"]["value"] is not None
    grades = re.search(r"`task: (\{name: regress.*?\})`", text)
    assert grades is not None and make_plan(plan | {"task": yaml.safe_load(grades.group(1)), "evaluate": {}})


def test_bm25_of_pairs_is_bm25(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.data import Record

    said = [("oil leak", "a leak of oil"), ("hot", "smoke"), ("oil leak", "nothing"), ("hum", "a hum, a hum")]
    records = [Record(i, "t", i + 1, i + 1, {"q": q, "p": p}) for i, (q, p) in enumerate(said)]
    whole = bm25(["oil leak", "hot", "hum"], [p for _, p in said])
    expected = [whole[0, 0], whole[1, 1], whole[0, 2], whole[2, 3]]
    for at_once in (64, 1):
        monkeypatch.setattr(rankers, "QUERIES", at_once)
        assert rankers.by_words(records, ("q", "p")) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positive", [0, 1, None])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_keeps_its_order(positive: int | None, sign: int) -> None:
    """Even where training rows say the contrary: what is compared is the score's order, not the fit."""
    draw = np.random.default_rng(0)
    score, new = draw.normal(size=50), draw.normal(size=30)
    truth = sign * score + draw.normal(size=50) * 0.1
    aims = truth if positive is None else np.where(truth > 0, positive, 1 - positive)
    made = rankers.answered(score, aims, {"test": new}, positive)["test"]
    found = made.predicted if positive is None or made.scores is None else made.scores[:, positive]
    assert np.array_equal(np.argsort(np.asarray(found, dtype=float)), np.argsort(new))
    if positive is None and sign == 1:
        assert np.corrcoef(np.asarray(found, dtype=float), new)[0, 1] == pytest.approx(1)


def test_what_cannot_be_ranked_is_said(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = ranking.write(tmp_path / "rows.csv", queries=6)
    asked = ranking.tree(tiny_bases["bert"], data, tmp_path / "run")
    with pytest.raises(TunesmithError, match="ndcg_at_10 ranks the candidates of a query. Name the column: task.query"):
        make_plan(asked | {"task": {k: v for k, v in asked["task"].items() if k != "query"}})
    with pytest.raises(TunesmithError, match="ranked by one of 2 labels, and these data have 3"):
        jobs.run_job(asked | {"task": asked["task"] | {"label": "grade"}})
    with pytest.raises(TunesmithError, match="bm25 does not fit this task"):
        single = {k: v for k, v in asked["task"].items() if k != "pair"}
        make_plan(asked | {"task": single, "evaluate": {"baselines": ["bm25"]}})


def test_candidates_of_a_query_stay_together(tmp_path: Path) -> None:
    from tunesmith.prepare import prepare

    data = ranking.write(tmp_path / "rows.csv")
    found = prepare(make_plan(ranking.tree(tmp_path, data, tmp_path / "run")))
    sides = [{r.cells["id"] for r in rows} for rows in found.splits.values()]
    assert len(sides) == 3 and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert json.dumps(found.roles.group) == '"id"'
