"""Whole jobs of every task and of settings that change the walk: each must end proven, with a report and a ledger."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from jobs import WORDS, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def multilabel_rows(count: int = 90) -> list[dict[str, Any]]:
    generator = random.Random(2)
    rows = []
    for i in range(count):
        labels = sorted(generator.sample(list(WORDS), generator.randint(0, 2)))
        words = [w for label in labels for w in generator.sample(WORDS[label], 2)] or ["quiet", "day"]
        rows.append({"text": f"{' '.join(words)} {i}", "labels": labels})
    return rows


def number_rows(count: int = 90) -> list[dict[str, Any]]:
    generator = random.Random(2)
    return [{"text": f"{'hot ' * (i % 5)}pump {i}", "score": i % 5 + generator.random()} for i in range(count)]


def pair_rows(count: int = 90) -> list[dict[str, Any]]:
    return [
        {"first": f"pump {i}", "second": f"{'pump' if i % 2 else 'belt'} {i}", "score": float(i % 2)}
        for i in range(count)
    ]


def side_rows(count: int = 90) -> list[dict[str, Any]]:
    generator = random.Random(5)
    rows = []
    for i in range(count):
        hours = generator.random() * 10
        site = generator.choice(["north", "south"])
        rows.append({"text": f"note {i}", "hours": hours, "site": site, "label": "late" if hours > 5 else "ok"})
    return rows


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "multilabel": (multilabel_rows(), {"task": {"name": "multilabel", "text": "text", "label": "labels"}}),
    "regress": (number_rows(), {"task": {"name": "regress", "text": "text", "label": "score", "loss": "huber"}}),
    "pairs": (
        pair_rows(),
        {"task": {"name": "regress", "text": "first", "pair": "second", "label": "score", "bounds": [0, 1]}},
    ),
    "side vector": (
        side_rows(),
        {
            "task": {
                "name": "classify",
                "text": "text",
                "label": "label",
                "side_columns": ["hours", "site"],
                "side": "vector",
            }
        },
    ),
    "side text and slices": (
        side_rows(),
        {
            "task": {"name": "classify", "text": "text", "label": "label", "side_columns": ["site"]},
            "evaluate": {"baselines": ["majority", "tfidf", "probe"], "resamples": 100, "slices": ["site"]},
        },
    ),
    "threshold": (
        side_rows(),
        {"task": {"name": "classify", "text": "text", "label": "label", "decide": "threshold", "positive": "late"}},
    ),
    "mean pooling": (side_rows(), {"task": {"name": "classify", "text": "text", "label": "label", "pool": "mean"}}),
    "mean pooling, cached": (
        side_rows(),
        {"task": {"name": "classify", "text": "text", "label": "label", "pool": "mean"}, "method": "head"},
    ),
    "token budget": (side_rows(), {"train": {"epochs": 3, "batch_tokens": 64, "lr": 1e-3}}),
    "costs": (
        side_rows(),
        {
            "task": {
                "name": "classify",
                "text": "text",
                "label": "label",
                "decide": "cost",
                "costs": {"late": {"ok": 5}},
            }
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_whole_job_ends_proven(name: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    rows, more = CASES[name]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    plan = tree(tiny_bases["bert"], data, tmp_path / "run", save_every="1 epoch") | more
    reply = run_job(plan)
    assert reply["proof"]["max_error"] <= 1e-5
    assert reply["proof"]["plain"] == (name != "side vector" and "mean" not in name)
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    ledger = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))["ledger"]
    assert sum(ledger["fates"].values()) == ledger["rows"] == len(rows)
    if name == "threshold":
        facts = json.loads((tmp_path / "run" / "facts.json").read_text(encoding="utf-8"))
        assert len(facts["thresholds"]) == 1
    if name.startswith("side text"):
        slices = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["slices"]
        assert set(slices["site"]) == {"north", "south"}


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "bf16"},
        {"schedule": "plateau"},
        *(
            pytest.param(t, marks=pytest.mark.slow)
            for t in ({"optimizer": "sgd", "lr": 0.1}, {"optimizer": "adafactor"}, {"ema": 0.5})
        ),
    ],
    ids=lambda t: "-".join(map(str, t.values())),
)
def test_other_ways_to_train_end_proven(train: dict[str, Any], tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "tickets.csv")
    reply = run_job(tree(tiny_bases["bert"], data, tmp_path / "run", **({"save_every": "1 epoch"} | train)))
    assert reply["proof"]["max_error"] <= 1e-5


def test_several_files_with_weights_given_test_file_and_balance(tiny_bases: TinyBases, tmp_path: Path) -> None:
    first, second = write_tickets(tmp_path / "a.csv"), write_tickets(tmp_path / "b.csv", rows=30, seed=8)
    test = write_tickets(tmp_path / "test.csv", rows=21, seed=9)
    plan = tree(tiny_bases["bert"], first, tmp_path / "run", save_every="1 epoch")
    plan["data"] = {"train": [str(first), {"file": str(second), "weight": 0.5}], "test": str(test)}
    plan["steps"] = ["clean", "dedup", {"name": "balance", "how": "weights"}]
    reply = run_job(plan)
    about = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))
    assert about["ledger"]["fates"]["test"] == 21 and about["ledger"]["rows"] == 141
    assert reply["metrics"]["test"]["accuracy"]["value"] is not None


@pytest.mark.parametrize("family", ("qwen2", "distilbert"))
def test_a_prompt_on_other_families_ends_proven(family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "tickets.csv")
    plan = tree(tiny_bases[family], data, tmp_path / "run", epochs=1, save_every="1 epoch")
    reply = run_job(plan | {"method": {"name": "prompt", "tokens": 4}})
    assert reply["proof"]["plain_max_error"] <= 1e-5


def test_a_mix_is_measured_beside_each_of_its_parts_alone(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data, run = write_tickets(tmp_path / "tickets.csv"), tmp_path / "run"
    plan = tree(tiny_bases["bert"], data, run, epochs=2, save_every="1 epoch")
    assert make_plan(plan | {"method": ["lora", "bitfit"], "evaluate": {}}).baseline_names[-1] == "parts"
    reply = run_job(plan | {"method": ["lora", "bitfit"], "evaluate": {"baselines": ["parts"], "resamples": 100}})
    assert list(reply["baselines"]) == list(reply["paired"]) == ["lora alone", "bitfit alone"]
    alone = run_job(plan | {"method": "lora", "run": str(tmp_path / "alone")})
    assert reply["baselines"]["lora alone"] == alone["metrics"], "the same as a run of that method by itself"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "lora alone" in page and "bitfit alone" in page


@pytest.mark.parametrize(
    ("evaluate", "told"),
    [
        ({"slices": ["hour"]}, r"evaluate.slices: no column named 'hour'. Did you mean 'hours'"),
        ({"metrics": ["f1"]}, r"f1 compare a positive with a negative class; these data have 3 classes"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(
    evaluate: dict[str, Any], told: str, tiny_bases: TinyBases, tmp_path: Path
) -> None:
    plan = tree(tiny_bases["bert"], write_tickets(tmp_path / "tickets.csv"), tmp_path / "run")
    with pytest.raises(TunesmithError, match=told):
        run_job(plan | {"evaluate": {"baselines": [], **evaluate}})
    assert not (tmp_path / "run" / "checkpoints").exists()
