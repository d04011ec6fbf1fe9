"""The real data sets of the quality benchmark: rows, splits, and the settings each is measured with."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record, table
from tunesmith.methods import METHODS

DATA = Path(__file__).parents[3] / "shared" / "data"
LAST = "head, last layer alone"
SIX = ("full", "layers", "head", LAST, "lora", "adapter", "bitfit")
ALL = tuple(n for n in METHODS.names() if n not in ("mixed", "expand", "fusion")) + ("mixed", LAST)
SETTINGS: dict[str, Any] = {"mixed": {"parts": ["lora", "bitfit"]}, LAST: {"name": "head", "pooler": False}}
"""Methods run with their defaults; `mixed` has none and stacks LoRA with BitFit. `expand` is for decoders, `fusion` for runs
that are there. `head` learns
with the pooler and without it."""


@dataclass
class Split:
    """Rows to learn from, to stop on, and to be judged on."""

    name: str
    train: list[Record]
    validation: list[Record]
    test: list[Record]
    seed: int = 0


@dataclass(frozen=True)
class Set:
    """A data set and how it is measured."""

    task: dict[str, Any]
    read: Callable[[], tuple[list[dict[str, Any]], list[dict[str, Any]] | None]]
    """Rows to learn from, and the set's own test rows; None where folds are made."""
    methods: tuple[str, ...]
    train: dict[str, Any] = field(default_factory=dict)
    choices: tuple[dict[str, Any], ...] = ()
    """Settings to choose between inside each fold, by a quarter of its own training rows; without: no choice."""
    steps: int | None = None
    """As many epochs as make at least so many steps of 32 rows, so that few rows are not also few steps."""

    def plan(self, method: str, split: Split, choice: dict[str, Any] | None = None) -> dict[str, Any]:
        """The plan of one measurement."""
        chosen = choice or {}
        lasting = {} if self.steps is None else {"epochs": -(-self.steps // -(-len(split.train) // 32))}
        return {
            "task": self.task | chosen.get("task", {}), "base": "minilm", "data": "unused.csv",
            "method": {"name": method, **SETTINGS.get(method, {}), **chosen.get("method", {})},
            "train": {"seed": split.seed, **self.train, **lasting, **chosen.get("train", {})},
        }  # fmt: skip

    def splits(self, *, folds: int | None, seeds: int, rows: int | None) -> Iterator[Split]:
        """Folds where the set has no test file worth the name, else one split a seed."""
        learn, test = self.read()
        if test is None:
            yield from _folds(learn, folds or 25)
            return
        for seed in range(seeds):
            order = np.random.default_rng([seed, 7]).permutation(len(learn))
            chosen = order if rows is None else order[: rows + rows // 9]
            held = max(1, len(chosen) // 10)
            yield Split(
                f"seed {seed}", _records(learn, chosen[held:]), _records(learn, chosen[:held]),
                _records(test, range(len(test))), seed,
            )  # fmt: skip


def _records(rows: list[dict[str, Any]], index: Any) -> list[Record]:
    return [Record(int(i), "set", int(i) + 1, int(i) + 1, rows[int(i)]) for i in index]


def _folds(rows: list[dict[str, Any]], count: int) -> Iterator[Split]:
    """Repeated 5-fold splits, stratified where a class has five rows."""
    labels = [r["label"] for r in rows]
    for number in range(count):
        repeat, fold = divmod(number, 5)
        order = np.random.default_rng([repeat, 11]).permutation(len(rows))
        place = np.empty(len(rows), dtype=int)
        for label in sorted(set(labels)):
            own = [i for i in order if labels[i] == label]
            start = int(np.random.default_rng([repeat, sum(map(ord, label))]).integers(5))
            for k, i in enumerate(own):
                place[i] = (k + start) % 5
        test = [i for i in order if place[i] == fold]
        learn = [i for i in order if place[i] != fold]
        # a fixed recipe and the last weights: 50 rows of 22 classes could not pick an epoch, so none are held back
        yield Split(
            f"repeat {repeat} fold {fold}",
            _records(rows, learn),
            _records(rows, learn[::10]),
            _records(rows, test),
            repeat,
        )


def _mwo() -> tuple[list[dict[str, Any]], None]:
    rows = []
    for name in ("train", "dev", "test"):
        for line in (DATA / "mwo_failure_mode" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            text, _, label = line.rpartition(",")
            rows.append({"text": text, "label": label})
    return rows, None


def _mwo_shipped() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows, _ = _mwo()
    return rows[:564], rows[564:]


def _banking() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def read(name: str) -> list[dict[str, Any]]:
        with (DATA / "banking77" / name).open(encoding="utf-8") as stream:
            return [{"text": r["text"], "label": r["category"]} for r in csv.DictReader(stream)]

    return read("train.csv"), read("test.csv")


def _sst2() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def read(name: str) -> list[dict[str, Any]]:
        lines = (DATA / "sst2" / name).read_text(encoding="utf-8").splitlines()
        return [{"text": t, "label": y} for t, _, y in (line.rpartition("\t") for line in lines)]

    return read("train.tsv"), read("test.tsv")


def _sst2_part() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    learn, test = _sst2()
    return learn, test[:800]


def _goemotions() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names = (DATA / "goemotions" / "original" / "labels.txt").read_text(encoding="utf-8").split()

    def read(name: str) -> list[dict[str, Any]]:
        lines = (DATA / "goemotions" / "original" / name).read_text(encoding="utf-8").splitlines()
        cells = [line.split("\t") for line in lines]
        return [{"text": c[0], "label": [names[int(i)] for i in c[1].split(",")]} for c in cells]

    return read("train.tsv"), read("test.tsv")


def _sts() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def read(year: str) -> list[dict[str, Any]]:
        rows = []
        for file in sorted((DATA / "sts_semeval" / year).glob("*.tsv")):
            for line in file.read_text(encoding="utf-8").splitlines():
                score, first, second = (line.split("\t") + ["", ""])[:3]
                if score.strip() and first and second:  # 2015 and 2016 hold pairs that nobody scored
                    rows.append({"text": first, "pair": second, "label": float(score)})
        return rows

    return [*read("2012"), *read("2013"), *read("2014")], [*read("2015"), *read("2016")]


_CLASSIFY = {"name": "classify", "text": "text", "label": "label", "max_tokens": 128}
_FIXED = {"epochs": 12, "batch": 16, "patience": None, "keep": "last", "evaluate_every": "12 epochs"}
_LONG = {"epochs": 25, "evaluate_every": "25 epochs"}
_CHOICES = tuple(
    {"task": {"pool": "mean", "label_smoothing": smoothing}, "method": {"top": 3}, "train": _LONG}
    for smoothing in (0.0, 0.1)
)


def _wnut() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def read(name: str) -> list[dict[str, Any]]:
        return [dict(cells) for _, cells in table.read(DATA / "wnut17" / name).rows]

    return read("wnut17train.conll"), read("emerging.test.annotated")


def _mwo_ner() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Work orders with the marks of two annotators: spans that both made, then those of one where nothing lies yet,
    longer ones first; of a type its first level."""

    def read(name: str) -> list[dict[str, Any]]:
        lines = (DATA / "mwo_ner" / name).read_text(encoding="utf-8").splitlines()
        return [_one_opinion(json.loads(line)) for line in lines]

    return read("train_3200.json"), read("test_401.json")


def _one_opinion(row: dict[str, Any]) -> dict[str, Any]:
    marks = Counter((m["start"], m["end"], m["labels"][0].split("/")[0]) for m in row["mentions"])
    tags = ["O"] * len(row["tokens"])
    for (start, end, kind), _ in sorted(marks.items(), key=lambda m: (-m[1], m[0][0] - m[0][1], m[0])):
        if set(tags[start:end]) == {"O"}:
            tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return {"tokens": row["tokens"], "tags": tags}


_TAG = {"name": "tag", "tokens": "tokens", "label": "tags", "scheme": "bio", "max_tokens": 128}
SETS = {
    "mwo": Set(_CLASSIFY, _mwo, ("majority", "tfidf", "tfidf_svm", *ALL), _FIXED),
    "mwo_mean": Set(_CLASSIFY | {"pool": "mean"}, _mwo, ("tfidf_svm", *ALL), _FIXED),
    "mwo_chosen": Set(_CLASSIFY, _mwo, ("tfidf_svm", "layers"), _FIXED, _CHOICES),
    "mwo_shipped": Set(_CLASSIFY, _mwo_shipped, ("tfidf_svm", *SIX), _FIXED),
    "banking77": Set(_CLASSIFY, _banking, ("majority", "tfidf", *SIX), {"epochs": 5}),
    "sst2": Set(_CLASSIFY, _sst2, ("majority", "tfidf", *SIX), {"epochs": 3}),
    "sizes": Set(_CLASSIFY, _sst2_part, ("tfidf", *SIX), steps=64),
    "goemotions": Set(
        {"name": "multilabel", "text": "text", "label": "label", "max_tokens": 64}, _goemotions,
        ("majority", "tfidf", *SIX), {"epochs": 3},
    ),
    "sts": Set(
        {"name": "regress", "text": "text", "pair": "pair", "label": "label", "max_tokens": 128, "bounds": [0, 5]},
        _sts, ("majority", "tfidf", *SIX), {"epochs": 3},
    ),
    "wnut17": Set(_TAG, _wnut, ("majority", "dictionary", "full", "lora", "head"), {"epochs": 4}),
    "mwo_ner": Set(_TAG, _mwo_ner, ("majority", "dictionary", "full", "lora", "head"), {"epochs": 6}),
}  # fmt: skip
