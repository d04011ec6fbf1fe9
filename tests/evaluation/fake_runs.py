"""Four run folders with made-up answers and honest numbers: what the report and the card are drawn from in tests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tunesmith.evaluation.intervals import intervals
from tunesmith.evaluation.significance import paired_bootstrap
from tunesmith.metrics import METRICS, Answers

MANY = ("bearing", "belt", "electrical", "hydraulic leak", "lubrication", "motor", "pneumatic", "seal", "sensor")
MANY += ("spindle",)
TWO_ZH = ("液压泄漏", "轴承磨损")
TAGS = ("noise", "smoke", "leak", "vibration", "overheating", "stopped")
EVIL = "<img src=x onerror=alert(1)>"
TEXTS = (
    "bearing on drive end squeals above 1200 rpm, regreased, still there",
    "oil under press 4, hose at cyl. B wet, topped up 3 l",
    "prox switch S12 no signal -> line stops, cleaned, ok for now",
    "spindle runout 0.04 mm after crash, needs new drawbar",
)
TEXTS_ZH = ("主轴运转时有异响，温度升高到 78 度，已加注润滑脂", "三号压机油缸下方漏油，更换密封圈后正常")
METRIC_NAMES = {
    "classify": ("macro_f1", "accuracy", "balanced_accuracy", "mcc", "log_loss", "ece"),
    "multilabel": ("macro_f1", "micro_f1", "subset_accuracy", "hamming_loss"),
    "regress": ("spearman", "pearson", "mae", "rmse", "r2"),
}
COLUMN = {"classify": "failure", "multilabel": "symptoms", "regress": "downtime_hours"}


def build(folder: Path, task: str = "classify", labels: tuple[str, ...] = MANY, rows: int = 140, **left: Any) -> Path:
    """A run folder. `left`: test=False, baselines=False, texts=(…) change what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = left.get("texts", TEXTS)
    rng = np.random.default_rng(7)
    splits = ("validation", "test") if left.get("test", True) else ("validation",)
    answers = {split: answers_of(rng, task, labels, rows, 0.82) for split in splits}
    measured = _measured(rng, task, answers, left.get("baselines", True))
    (folder / "plan.yaml").write_text(yaml.safe_dump(_plan(task), sort_keys=False, allow_unicode=True), "utf-8")
    thresholds = [0.5, 0.42, 0.61, 0.5, 0.38, 0.55][: len(labels)] if task == "multilabel" else []
    _write(folder, "facts", {"labels": [] if task == "regress" else list(labels), "thresholds": thresholds})
    _write(folder, "metrics", measured)
    _write(folder, "data", _data(task, labels, rows, splits))
    _write(folder, "learnt", _learnt())
    _write(folder, "warnings", ["over-fitting: the training loss falls while the validation loss has risen three times "
                                "in a row. The best weights are kept. Cures: fewer epochs, more dropout"])  # fmt: skip
    _write(folder, "provenance", _provenance())
    _history(folder, next(iter(measured["metrics"]["validation"])))
    pq.write_table(pa.table(_columns(answers, labels, texts)), folder / "predictions.parquet")
    return folder


def _write(folder: Path, name: str, value: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def answers_of(rng: np.random.Generator, task: str, labels: tuple[str, ...], rows: int, skill: float) -> Answers:
    """Answers that are right about as often as `skill` says."""
    num = len(labels)
    if task == "regress":
        truth = np.round(rng.gamma(2.0, 3.0, rows), 1)
        return Answers("numbers", truth, truth * skill + rng.normal(1.0, 6.5 * (1 - skill) + 0.8, rows))
    if task == "multilabel":
        ones = (rng.random((rows, num)) < 0.28).astype(np.int64)
        logits = (ones * 2 - 1) * 3 * skill + rng.normal(0, 1.4, (rows, num))
        scores = 1 / (1 + np.exp(-logits))
        return Answers("multilabel", ones, (scores >= 0.5).astype(np.int64), scores, labels)
    share = np.linspace(2.2, 0.6, num)
    truth = rng.choice(num, rows, p=share / share.sum())
    logits = rng.normal(0, 1, (rows, num))
    logits[np.arange(rows), truth] += 4.2 * skill
    logits[np.arange(rows), (truth + 1) % num] += 1.0  # neighbours are mixed up
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Answers("classes", truth, scores.argmax(1), scores, labels, 1 if num == 2 else None)


def _measured(rng: np.random.Generator, task: str, answers: dict[str, Answers], baselines: bool) -> dict[str, Any]:
    metrics = [METRICS.find(name)() for name in METRIC_NAMES[task]]

    def table(one: Answers) -> dict[str, Any]:
        found = intervals(metrics, one, resamples=100, seed=0, level=0.95)
        spell = {n: (f.value, f.low, f.high) for n, f in found.items()}
        return {n: {k: None if np.isnan(v) else float(v) for k, v in zip(("value", "low", "high"), three, strict=True)}
                for n, three in spell.items()}  # fmt: skip

    told: dict[str, Any] = {
        "metrics": {split: table(one) for split, one in answers.items()}, "baselines": {}, "paired": {}, "slices": {},
        "better": {m.name: m.better for m in metrics}, "level": 0.95, "main": metrics[0].name,
    }  # fmt: skip
    split = "test" if "test" in answers else "validation"
    ours = answers[split]
    if baselines:
        for name, skill in (("majority", 0.0), ("tfidf", 0.7), ("probe", 0.76)):
            others = {s: _baseline(rng, one, skill) for s, one in answers.items()}
            told["baselines"][name] = {s: table(one) for s, one in others.items()}
            found = paired_bootstrap(metrics[0], ours, others[split], resamples=200)
            told["paired"][name] = {
                "split": split, "metric": metrics[0].name, "p": found.p, "test": "paired_bootstrap",
                "difference": {k: None if np.isnan(getattr(found, k)) else getattr(found, k)
                               for k in ("value", "low", "high")},
            }  # fmt: skip
    third = np.arange(len(ours.truth)) % 3
    told["slices"] = {"site": {name: {"rows": int((third == i).sum()), **table(ours.take(third == i))}
                               for i, name in enumerate(("Gdańsk", "上海", "Lyon <north>"))}}  # fmt: skip
    return told


def _baseline(rng: np.random.Generator, ours: Answers, skill: float) -> Answers:
    """Other answers to the same truths."""
    if ours.kind == "numbers":
        truth = ours.truth.astype(float)
        noise = rng.normal(0.0, 2.4, len(truth)) if skill else 0.0
        return replace(ours, predicted=truth * skill + truth.mean() * (1 - skill) + noise)
    num = len(ours.labels)
    if not skill:
        if ours.kind == "multilabel":
            return replace(ours, predicted=ours.truth * 0, scores=np.full(ours.scores.shape, 0.28))
        return replace(ours, predicted=ours.truth * 0, scores=np.full((len(ours.truth), num), 1 / num))
    if ours.kind == "multilabel":
        scores = 1 / (1 + np.exp(-((ours.truth * 2 - 1) * 2 * skill + rng.normal(0, 1.5, ours.truth.shape))))
        return replace(ours, predicted=(scores >= 0.5).astype(np.int64), scores=scores)
    logits = rng.normal(0, 1, (len(ours.truth), num))
    logits[np.arange(len(ours.truth)), ours.truth] += 3.6 * skill
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return replace(ours, predicted=scores.argmax(1), scores=scores)


def _plan(task: str) -> dict[str, Any]:
    return {
        "task": {"name": task, "text": "description", "label": COLUMN[task], "max_tokens": 256},
        "base": {"name": "minilm", "layers": None}, "method": {"name": "lora", "r": 8, "alpha": 16, "dropout": 0.0},
        "data": {"train": [{"file": "data/tickets.csv", "weight": 1.0}], "validation": 0.1, "test": 0.1},
        "steps": [{"name": "clean"}, {"name": "dedup"}], "train": {"epochs": "auto", "lr": "auto", "seed": 0},
        "evaluate": {"level": 0.95, "slices": ["site"]}, "run": "runs/tickets",
    }  # fmt: skip


def _data(task: str, labels: tuple[str, ...], rows: int, splits: tuple[str, ...]) -> dict[str, Any]:
    counts = {"train": 1120, "validation": rows, "test": rows if "test" in splits else 0, "duplicate": 46, "dropped": 9,
              "malformed": 3, "truncated": 12}  # fmt: skip
    total = sum(v for k, v in counts.items() if k != "truncated")
    sizes = np.linspace(220, 40, len(labels)).astype(int)
    balance = {name: {"train": int(n), "validation": int(n) // 8, "test": int(n) // 8}
               for name, n in zip(labels, sizes, strict=True)}  # fmt: skip
    return {
        "files": [{"name": "data/tickets.csv", "sha256": "ab12" * 16, "rows": total, "notes": ["UTF-8", "tabs"]}],
        "ledger": {"rows": total, "counts": counts,
                   "reasons": {"exact duplicate": 46, "empty text": 9, "2 fields, 8 expected": 3}},
        "labels": balance if task == "classify" else {},
        "findings": [
            {"kind": "conflicts", "rows": 6, "column": "failure", "severity": "warning",
             "remedy": "3 texts carry different labels (first: tickets.csv:12 and 340). Correct the labels, or add "
                       "the step {name: dedup, conflicts: drop}"},
            {"kind": "script", "rows": total, "column": "description", "severity": "info",
             "remedy": "Script: latin 99%. Choose a base that was trained on it"},
        ],
        "tokens": {"median": 21, "p95": 64, "max": 310, "truncated_rows": 12, "tokens_lost": 431,
                   "unknown_share": 0.0004, "pieces_per_word": 1.38},
    }  # fmt: skip


def _learnt() -> list[dict[str, Any]]:
    rows = [[f"layer {i}", part, 0.31 + 0.07 * i, 3.1 + i / 2] for i in range(6) for part in ("query", "value")]
    header = ["Block", "Part", "Norm of the update", "Effective rank"]
    return [{"caption": "How far LoRA moved each weight", "header": header, "rows": rows}]


def _provenance() -> dict[str, Any]:
    return {
        "created": "2026-05-04T09:12:33+00:00", "command": ["tunesmith", "train", "plan.yaml"], "seed": 0,
        "best_step": 140,
        "versions": {"tunesmith": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
        "machine": {"cpu": "AMD EPYC 7B13", "threads": 2, "memory_gb": 8, "platform": "Linux", "device": "cpu"},
        "seconds": {"train": 96.4, "train_cpu": 181.2, "total": 141.9}, "memory_peak_mb": 812.4,
        "parameters": {"trainable": 297_226, "total": 23_010_058, "head": 151_690},
        "base": {"name": "minilm", "public_name": "sentence-transformers/all-MiniLM-L6-v2", "digest": "53aa" * 16},
        "equality": "bits", "weights_sha256": "9f3c" * 16, "golden_sha256": "77de" * 16, "ecosystem": "plain",
        "reason": "no better value for 3 evaluations", "energy_wh": 0.83,
        "energy_basis": "estimate: CPU seconds of training x 15 W for a busy core",
        "proof": {"max_error": 0.0, "bits": True, "metric": {"macro_f1": 0.8123}, "equality": "bits", "plain": True,
                  "plain_max_error": 0.0},
    }  # fmt: skip


def _history(folder: Path, main: str) -> None:
    lines: list[dict[str, Any]] = []
    for step in range(1, 246):
        epoch = step / 35
        loss = 2.1 * np.exp(-epoch / 2) + 0.15 + 0.1 * np.sin(step * 1.7)
        rate = 1e-3 * min(1, step / 15) * (1 - step / 246)
        lines.append(
            {
                "kind": "step",
                "step": step,
                "epoch": epoch,
                "loss": loss,
                "lr": rate,
                "grad_norm": 0.8 + loss / 2 + 0.2 * np.cos(step * 2.3),
            }
        )
        if step % 35 == 0:
            value = 0.83 - 0.6 * np.exp(-epoch / 1.1) - max(0, epoch - 4) * 0.008
            held = 2.1 * np.exp(-epoch / 1.8) + 0.42 + max(0, epoch - 4) * 0.05
            lines.append({"kind": "evaluation", "step": step, "epoch": epoch, "train_loss": loss,
                          "validation_loss": held, main: value})  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")


def _columns(answers: dict[str, Answers], labels: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {k: [] for k in ("split", "source", "row", "line", "text", "truth", "prediction")}
    for split, one in answers.items():
        num = len(one.truth)
        out["split"] += [split] * num
        out["source"] += ["data/tickets.csv"] * num
        out["row"] += list(range(1, num + 1))
        out["line"] += list(range(2, num + 2))
        out["text"] += [f"{texts[i % len(texts)]} ({i})" for i in range(num)]
        for name, side in (("truth", one.truth), ("prediction", one.predicted)):
            out[name] += [_named(one, labels, value) for value in side]
        if one.scores is not None:
            for c, label in enumerate(labels):
                out.setdefault(f"p:{label}", []).extend(one.scores[:, c].tolist())
    return out


def _named(one: Answers, labels: tuple[str, ...], value: Any) -> Any:
    if one.kind == "numbers":
        return float(value)
    if one.kind == "multilabel":
        return json.dumps([labels[i] for i in np.flatnonzero(value)], ensure_ascii=False)
    return labels[int(value)]
