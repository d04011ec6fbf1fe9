"""Make the texts of the speed benchmark: `python bench/speed/texts.py` writes made/texts.jsonl and says how it pads.

4,000 docstrings of the Python library and of seven installed packages; the label is where a text comes from. A text is
an opening of its docstring: one paragraph, some, or all, each number of paragraphs being equally likely, cut at 256
tokens. So summary lines and whole docstrings both occur, and lengths have the long tail that real text has, which is
what makes padding expensive. The same package versions give the same bytes; the digest stands in every result line.
"""

import ast
import hashlib
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

MADE = Path(__file__).parent / "made"
FILE = MADE / "texts.jsonl"
PACKAGES = ("torch", "numpy", "scipy", "sklearn", "transformers", "sympy", "networkx")
LABELS = ("python", *PACKAGES)
EACH, TRAIN = 500, 400
"""Texts a label, and how many of them are learnt from."""
SHORTEST, LONGEST = 8, 256
"""Tokens of a text, special tokens included."""
POOL = 1600
"""Docstrings gathered before choosing: enough for 500 good ones, without reading all of torch."""
SEED = 0


def main() -> None:
    """Write the file, and say what it is like."""
    about = make()
    print(json.dumps({k: v for k, v in about.items() if k != "versions"}, indent=1))


def make() -> dict[str, Any]:
    """Write made/texts.jsonl (training texts first, labels in turn, so that every part of it is balanced)."""
    tokenizer = base_tokenizer()
    seen: set[str] = set()
    by_label = {label: chosen(label, tokenizer, seen) for label in LABELS}
    rows = [{"text": by_label[label][i], "label": label} for i in range(EACH) for label in LABELS]
    MADE.mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    FILE.write_text(text, encoding="utf-8")
    lengths = token_counts([row["text"] for row in rows], tokenizer, LONGEST)
    return {
        "file": str(FILE), "digest": hashlib.sha256(text.encode()).hexdigest()[:16], "texts": len(rows),
        "train": TRAIN * len(LABELS), "labels": LABELS, "median_tokens": float(np.median(lengths)),
        "mean_tokens": round(float(lengths.mean()), 1), "longest_share": round(float((lengths >= LONGEST).mean()), 3),
        "padding": padding_factors(lengths), "versions": versions(),
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Where the texts come from, exactly."""
    known = {name: version("scikit-learn" if name == "sklearn" else name) for name in PACKAGES}
    return {"python": python_version(), **known}


def base_tokenizer() -> Any:
    """The tokenizer of the base that is trained."""
    from tunesmith.bases.find import find
    from tunesmith.bases.load import load_tokenizer

    return load_tokenizer(find("minilm"))


def chosen(label: str, tokenizer: Any, seen: set[str]) -> list[str]:
    """The texts of a label, none of which is in `seen` yet."""
    chance = random.Random(f"{SEED} {label}")
    docstrings = list(dict.fromkeys(gathered(label, chance)))
    chance.shuffle(docstrings)
    texts: list[str] = []
    for docstring in docstrings:
        text = fitted(opening(docstring, chance), tokenizer)
        if text is not None and text.casefold() not in seen:
            seen.add(text.casefold())
            texts.append(text)
        if len(texts) == EACH:
            return texts
    raise SystemExit(f"{label}: only {len(texts)} texts of {EACH}; raise POOL in texts.py")


def gathered(label: str, chance: random.Random) -> Iterator[str]:
    """Docstrings from files in a random order, until there are enough to choose from."""
    root = Path(sysconfig.get_path("stdlib")) if label == "python" else Path(sysconfig.get_path("purelib")) / label
    places = sorted(file.relative_to(root) for file in root.rglob("*.py"))
    files = [place for place in places if not re.search(r"site-packages|test", str(place))]
    chance.shuffle(files)
    found = 0
    for place in files:
        for docstring in docstrings_of(root / place):
            found += 1
            yield docstring
        if found >= POOL:
            return


def docstrings_of(file: Path) -> list[str]:
    """What a source file documents; nothing where it is no Python of this version."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):  # templates and deliberately broken samples
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return [docstring for docstring in found if docstring]


def opening(docstring: str, chance: random.Random) -> str:
    """The first paragraphs of a docstring on one line."""
    paragraphs = re.split(r"\n\s*\n", docstring)
    return " ".join(" ".join(paragraphs[: chance.randint(1, len(paragraphs))]).split())


def fitted(text: str, tokenizer: Any) -> str | None:
    """The text, cut where it gets too long; None when it is too short."""
    encoded = tokenizer(text, truncation=True, max_length=LONGEST, return_offsets_mapping=True)
    if len(encoded["input_ids"]) < SHORTEST:
        return None
    return text[: max(end for _, end in encoded["offset_mapping"])]


def token_counts(texts: list[str], tokenizer: Any, longest: int) -> Any:
    """Length of each text in tokens, special tokens included."""
    found = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
    return np.array([len(ids) for ids in found], dtype=np.int64)


def padding_factors(lengths: Any, times: int = 20) -> dict[str, float]:
    """{batch size: places computed / real tokens} where random batches are padded to their longest row."""
    chance = np.random.default_rng(SEED)
    out = {}
    for batch in (8, 16, 32):
        places = 0
        for _ in range(times):
            shuffled = lengths[chance.permutation(len(lengths))]
            places += sum(int(part.max()) * len(part) for part in np.split(shuffled, range(batch, len(lengths), batch)))
        out[str(batch)] = round(places / (times * int(lengths.sum())), 2)
    return out


if __name__ == "__main__":
    main()
