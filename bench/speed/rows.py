"""The rows of a job, chosen once and written to a file that every arm reads: all arms see the same texts in one order."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import texts

sys.path.append(str(Path(__file__).parent.parent / "quality"))  # behind our own folder, which has a run.py, too

LONGEST = {"texts": texts.LONGEST, "banking77": 128, "mwo": 128}
"""Data sets, and at how many tokens a row is cut."""


@dataclass(frozen=True)
class Rows:
    """A file of rows, and what a result line has to say of them."""

    file: Path
    about: dict[str, Any]
    base: str = "minilm"
    """Name or folder of the base that reads them."""

    @property
    def train(self) -> int:
        """How many rows are learnt from."""
        return int(self.about["rows"])


def prepare(name: str, train: int, test: int) -> Rows:
    """The first rows of a data set, at most so many of each kind, in a file under made/."""
    learn, held = (_texts if name == "texts" else _real)(name)
    learn, held = learn[:train], held[:test]
    labels = sorted({label for _, label in learn})
    chosen = {"train": learn, "test": held, "longest": LONGEST[name], "labels": labels}
    text = json.dumps(chosen, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    texts.MADE.mkdir(exist_ok=True)
    file = texts.MADE / f"rows-{name}-{digest}.json"
    file.write_text(text, encoding="utf-8")
    lengths = texts.token_counts([text for text, _ in learn], texts.base_tokenizer(), LONGEST[name])
    about = {
        "data": name, "digest": digest, "rows": len(lengths), "test": len(held),
        "padding": texts.padding_factors(lengths), "median_tokens": float(np.median(lengths)),
        "mean_tokens": round(float(lengths.mean()), 1), "longest": LONGEST[name],
    }  # fmt: skip
    return Rows(file, about)


def for_language(name: str, count: int) -> Rows:
    """Rows of tokens and the base of a language model's job."""
    import sft

    file, about = sft.prepare(name, count)
    return Rows(file, about, str(sft.base(about["vocabulary"])))


def _texts(name: str) -> tuple[list[Any], list[Any]]:
    """Docstrings, made at first use. Labels come in turn: any number of first rows is balanced."""
    if not texts.FILE.is_file():
        texts.make()
    rows = [json.loads(line) for line in texts.FILE.read_text(encoding="utf-8").splitlines()]
    pairs = [(row["text"], row["label"]) for row in rows]
    cut = texts.TRAIN * len(texts.LABELS)
    return pairs[:cut], pairs[cut:]


def _real(name: str) -> tuple[list[Any], list[Any]]:
    """A real data set with its own test rows, both in one fixed random order."""
    from sets import SETS

    learn, held = SETS["mwo_shipped" if name == "mwo" else name].read()
    assert held is not None
    return _shuffled(learn), _shuffled(held)


def _shuffled(rows: list[dict[str, Any]]) -> list[Any]:
    order = np.random.default_rng(texts.SEED).permutation(len(rows))
    return [(rows[i]["text"], rows[i]["label"]) for i in order]
