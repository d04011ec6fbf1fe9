"""Does augmentation help? `python bench/quality/augment.py SET [METHOD …] [--seeds 5]`, lines in results/augment.jsonl.

Each arm is the plan without augmentation plus one step (a copy of each training row) or one penalty, and makes as many
steps of as many rows: what differs is what the rows look like, not how long is learnt. Five seeds draw the rows, the
head and the order, and the arms share them.

    mwo          maintenance work orders, 22 failure modes: the first fold of each of five repeats (about 500 rows)
    banking10    20 of the 77 intents of banking77, drawn by the seed, 10 rows of each; judged on all their test rows
    banking50    the same, 50 rows of each
    thucnews50   10 kinds of Chinese headlines, 50 of each, judged on 1,000; a tiny network of random weights, and TF-IDF

`tfidf` stands in every set beside the methods: the baseline learns from the rows that the step made, too.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from run import baseline, trained
from sets import DATA, SETS, Set, Split, _records

RESULTS = Path(__file__).parent / "results" / "augment.jsonl"
INTENTS, JUDGED, BATCH = 20, 1000, 16
WORDNET, CILIN = DATA / "open_english_wordnet" / "oewn_2025_yaml.tar.xz", DATA / "cilin_zh" / "new_cilin.txt"


def arms(chinese: bool, method: str) -> dict[str, dict[str, Any]]:
    """What each arm adds to the plan."""
    thesaurus = str(CILIN if chinese else WORDNET)
    ways = ["sound", "shape"] if chinese else ["keyboard", "slip"]
    steps = {
        "synonyms": {"name": "synonyms", "resource": thesaurus}, "eda": {"name": "eda"},
        "noise": {"name": "noise", "ways": ways}, "cut": {"name": "mask", "how": "cut"},
    }  # fmt: skip
    penalties = {"tfidf": (), "head": ("mixup", "smote")}.get(method, ("mixup", "cutoff"))
    return (
        {"none": {}}
        | {name: {"steps": [step]} for name, step in steps.items()}
        | {name: {"penalties": [name]} for name in penalties}
    )


@dataclass(frozen=True)
class Job:
    """A set of five splits."""

    about: Set
    splits: Callable[[int], Iterator[Split]]
    epochs: int
    train: dict[str, Any] = field(default_factory=dict)
    base: str = "minilm"

    @property
    def chinese(self) -> bool:
        """Whether its texts are."""
        return self.base != "minilm"


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=["mwo", "banking10", "banking50", "thucnews50"])
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    have = {(line["set"], line["method"], line["arm"], line["seed"]) for line in known}
    with tempfile.TemporaryDirectory() as folder:
        job = jobs(Path(folder))[asked.set]
        methods = asked.methods or (["tfidf", "full"] if job.chinese else ["tfidf", "head", "lora", "full"])
        for method in methods:
            for split in job.splits(asked.seeds):
                for arm, more in arms(job.chinese, method).items():
                    if (asked.set, method, arm, split.seed) not in have:
                        told(
                            {"set": asked.set, "method": method, "arm": arm, "seed": split.seed}
                            | measured(job, split, method, more)
                        )


def told(line: dict[str, Any]) -> None:
    """Keep a line, and print what it says."""
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    print(*(line[k] for k in ("set", "method", "seed", "arm")), line["metrics"]["accuracy"], f"{line['seconds']:.0f} s",
          flush=True)  # fmt: skip


def measured(job: Job, split: Split, method: str, more: dict[str, Any]) -> dict[str, Any]:
    """One arm with one seed."""
    from tunesmith.data.ledger import Ledger
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import run_steps

    asked = job.about.plan("head" if method == "tfidf" else method, split) | {"base": job.base} | more
    plan = make_plan(asked)
    ledger = Ledger()
    rows = [replace(r, id=i) for i, r in enumerate(split.train)]
    ledger._grow(len(rows))  # rows of no file
    taught = list(run_steps(plan, "train", rows, plan.task.roles(), ledger))
    grown = replace(split, train=taught)
    size = {"rows": len(rows), "rows_made": len(taught) - len(rows)}
    if method == "tfidf":
        line = baseline(job.about, grown, "tfidf")
    else:
        steps = -(-len(rows) // BATCH) * job.epochs
        asked["train"] = {
            "seed": split.seed, "batch": BATCH, "epochs": job.epochs, "max_steps": steps, "patience": None, "keep": "last",
            "evaluate_every": f"{steps} steps", **job.train,
        }  # fmt: skip
        line = trained(asked, grown)
    return (
        size | {key: line[key] for key in ("metrics", "predicted", "truth", "seconds")} | {"steps": line.get("steps")}
    )


def jobs(folder: Path) -> dict[str, Job]:
    """By name."""
    banking, work, base = SETS["banking77"], SETS["mwo"], folder / "base"
    short = replace(banking, task=banking.task | {"max_tokens": 48})
    return {
        "mwo": Job(work, lambda n: iter(list(work.splits(folds=25, seeds=1, rows=None))[::5][:n]), 12),
        "banking10": Job(banking, lambda n: _intents(10, n), 16),
        "banking50": Job(banking, lambda n: _intents(50, n), 5),
        "thucnews50": Job(short, lambda n: _headlines(50, n, base), 20, {"lr": 1e-3}, str(base)),
    }


def _intents(shots: int, seeds: int) -> Iterator[Split]:
    learn, test = SETS["banking77"].read()
    assert test is not None
    names = sorted({row["label"] for row in learn})
    for seed in range(seeds):
        chosen = set(np.random.default_rng([seed, 21]).choice(names, INTENTS, replace=False).tolist())
        few = _shots([row for row in learn if row["label"] in chosen], shots, seed)
        judged = [row for row in test if row["label"] in chosen]
        yield Split(f"seed {seed}", few, few[::10], _records(judged, range(len(judged))), seed)


def _headlines(shots: int, seeds: int, base: Path) -> Iterator[Split]:
    def read(name: str) -> list[dict[str, Any]]:
        lines = (DATA / "thucnews10" / name).read_text(encoding="utf-8").splitlines()
        return [{"text": text, "label": label} for text, _, label in (line.rpartition("\t") for line in lines)]

    learn, test = read("dev.txt"), read("test.txt")
    _write_base(base, "".join(row["text"] for row in learn))
    for seed in range(seeds):
        few = _shots(learn, shots, seed)
        judged = np.random.default_rng([seed, 23]).permutation(len(test))[:JUDGED]
        yield Split(f"seed {seed}", few, few[::10], _records(test, judged), seed)


def _shots(rows: list[dict[str, Any]], shots: int, seed: int) -> list[Any]:
    """So many rows of each class."""
    left: dict[str, int] = {}
    chosen = []
    for i in np.random.default_rng([seed, 22]).permutation(len(rows)).tolist():
        label = str(rows[i]["label"])
        if left.setdefault(label, shots):
            left[label] -= 1
            chosen.append(i)
    return _records(rows, chosen)


def _write_base(folder: Path, text: str) -> None:
    """A BERT of two blocks, 128 wide, of random weights, with a token for each character."""
    from collections import Counter

    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    frequent = [character for character, _ in Counter(text.lower()).most_common(4000) if character.strip()]
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate([*specials, *frequent])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{s[1:-1].lower()}_token": s for s in specials}
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, model_max_length=64, **names).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(specials) + len(frequent), hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)


if __name__ == "__main__":
    main()
