"""Embeddings on real data: `python bench/quality/retrieval.py [cranfield | sts_embed] [METHOD …]`.

Whole runs of the product on `minilm`, with its own baselines and paired tests; a line each in results/SET.jsonl.
cranfield: three fifths of the queries with their relevance to learn from, a tenth to stop on, the rest to be judged on,
all by the first 64 tokens of the 1,400 documents; grades 1 (best) to 4 count as gains 4 to 1. sts_embed: scored pairs
of SemEval 2012 to 2014, tested on 2015 and 2016.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from sets import DATA, _sts

RESULTS = Path(__file__).parent / "results"
SETTINGS: dict[str, Any] = {"layers": {"name": "layers", "top": 2}}
PLANS: dict[str, dict[str, Any]] = {
    "cranfield": {"task": {"name": "embed", "max_tokens": 64, "corpus": "corpus.jsonl", "queries": "queries.jsonl"},
                  "train": {"epochs": 4, "batch": 64, "micro_tokens": 2048, "evaluate_every": "2 epochs"}},
    "sts_embed": {"task": {"name": "embed", "max_tokens": 64},
                  "train": {"epochs": 1, "batch": 64, "micro_tokens": 8192}},
}  # fmt: skip


def main() -> None:
    """Measure what is asked for."""
    name, methods = sys.argv[1], sys.argv[2:] or ["layers"]
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            line = measured(name, method, {"cranfield": cranfield, "sts_embed": scored}[name](Path(folder)))
        with (RESULTS / f"{name}.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        print(name, method, line["metrics"], line["paired"], flush=True)


def measured(name: str, method: str, data: dict[str, str]) -> dict[str, Any]:
    """A whole run."""
    from tunesmith.flows import train_plan
    from tunesmith.plan_text import make_plan
    from tunesmith.progress import Progress

    plan = PLANS[name] | {"base": "minilm", "method": SETTINGS.get(method, method), "data": data, "run": "run"}
    reply = train_plan(make_plan(plan), progress=Progress(silent=True)).reply
    return {
        "set": name, "method": method, "split": "own", "rows": counted(data["train"]), "metrics": reply["metrics"]["test"],
        "baselines": {b: found["test"] for b, found in reply["baselines"].items()}, "paired": reply["paired"],
        "seconds": reply["seconds"]["train_cpu"], "parameters": reply["parameters"],
    }  # fmt: skip


def counted(file: str) -> int:
    """Rows of a file with a header, or of JSON lines."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return len(lines) - file.endswith(".tsv")


def cranfield(folder: Path) -> dict[str, str]:
    """The collection in the BEIR layout, queries divided by a fixed seed."""
    parts = re.split(r"^\.I \d+\n", (DATA / "cranfield/cran.all.1400").read_text(encoding="latin-1"), flags=re.M)[1:]
    texts = [re.split(r"^\.[TABW]\n", part, flags=re.M) for part in parts]
    rows = [{"_id": str(i + 1), "title": plain(t[1]), "text": plain(t[4])} for i, t in enumerate(texts)]
    # the abstract repeats the title
    rows = [row | {"text": row["text"].removeprefix(row["title"]).strip()} for row in rows]
    write(folder / "corpus.jsonl", rows)
    asked = re.split(r"^\.I \d+\n\.W\n", (DATA / "cranfield/cran.qry").read_text(encoding="latin-1"), flags=re.M)[1:]
    write(folder / "queries.jsonl", [{"_id": str(i + 1), "text": plain(text)} for i, text in enumerate(asked)])
    judged = [line.split() for line in (DATA / "cranfield/cranqrel").read_text().splitlines() if line.strip()]
    order = np.random.default_rng(0).permutation(len(asked)) + 1
    cuts = int(len(order) * 0.6), int(len(order) * 0.7)
    found = {}
    for split, queries in zip(("train", "validation", "test"), np.split(order, cuts), strict=True):
        lines = [
            f"{q}\t{d}\t{5 - int(code)}"
            for q, d, code in judged
            if int(q) in set(queries.tolist()) and 1 <= int(code) <= 4
        ]
        (folder / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
        found[split] = f"{split}.tsv"
    return found


def scored(folder: Path) -> dict[str, str]:
    """Scored pairs; a tenth of the training rows to stop on."""
    learn, test = _sts()
    rows = [{"sentence1": r["text"], "sentence2": r["pair"], "score": float(r["label"])} for r in learn]
    order = np.random.default_rng(0).permutation(len(rows))
    held = len(rows) // 10
    write(folder / "train.jsonl", [rows[i] for i in order[held:]])
    write(folder / "validation.jsonl", [rows[i] for i in order[:held]])
    write(
        folder / "test.jsonl",
        [{"sentence1": r["text"], "sentence2": r["pair"], "score": float(r["label"])} for r in test],
    )
    return {name: f"{name}.jsonl" for name in ("train", "validation", "test")}


def plain(text: str) -> str:
    """Without line breaks."""
    return " ".join(text.split())


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """As JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
