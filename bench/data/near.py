"""How many planted near-duplicates are found, how many clean rows are flagged, and how fast.

`python bench/data/near.py [--rows N] [--big N]` with the public data sets in `../shared/data`.

Copies: round(0.1 n) random substitutions, deletions and insertions in a text of n characters (of at least 10), or of n
words (of at least 8); a copy counts as found when a row is named whose exact similarity to it reaches the setting.
Clean rows: what is flagged among the rows of the file, which hold no two equal texts; many are near-duplicates indeed,
so those whose group holds another label are counted apart. `--big`: that many made-up texts of 9 words, a twentieth of
them copies, for time and memory.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from edited import copied, sentences  # noqa: E402
from tunesmith.data import near, stored  # noqa: E402
from tunesmith.data.overlap import normal  # noqa: E402
from tunesmith.data.record import Record, Roles  # noqa: E402

ROLES = Roles(("text",), "label")
FILES = {"banking77": ("train.csv", ","), "thucnews10": ("dev.txt", "\t"), "mwo_failure_mode": ("train.txt", ",")}


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="planted copies of each kind")
    parser.add_argument("--big", type=int, default=0)
    asked = parser.parse_args()
    for name, (file, mark) in FILES.items():
        lines = (ROOT.parent / "shared" / "data" / name / file).read_text(encoding="utf-8").splitlines()
        pairs = [line.rpartition(mark) for line in lines]
        texts = {normal(text.strip('"')): label for text, _, label in pairs if label != "category"}
        _clean(name, texts)
        for how in ("characters", "words"):
            _planted(name, list(texts), how, asked.rows)
    if asked.big:
        _big(asked.big)


def _records(texts: list[str], labels: list[str] | None = None) -> list[Record]:
    return [
        Record(i, "f", i + 1, i + 1, {"text": text, "label": labels[i] if labels else ""})
        for i, text in enumerate(texts)
    ]


def _clean(name: str, texts: dict[str, str]) -> None:
    labels, began = list(texts.values()), time.process_time()
    found = near.groups(_records(list(texts), labels), ROLES)
    seconds = time.process_time() - began
    groups = list(found.members())
    rows, other = sum(map(len, groups)), 0
    for group in groups:
        most = max({labels[i] for i in group}, key=[labels[i] for i in group].count)
        other += sum(labels[i] != most for i in group)
    print(f"{name}: {len(texts)} rows as they are: {rows} ({rows / len(texts):.2%}) in {len(groups)} groups; "
          f"{other} ({other / len(texts):.2%}) with another label than their group; {found.crowded} crowded; "
          f"{len(texts) / seconds:,.0f} rows/s", flush=True)  # fmt: skip


def _planted(name: str, texts: list[str], how: str, rows: int) -> None:
    least, size = (10, len) if how == "characters" else (8, lambda text: len(text.split()))
    fit = [i for i, text in enumerate(texts) if size(text) >= least]
    if not fit:
        return
    chance = random.Random(0)
    stock = sorted({unit for text in texts for unit in (text if how == "characters" else text.split())})
    some = chance.sample(fit, min(rows, len(fit)))
    began = time.process_time()
    found = near.leaks(_records(texts), _records([copied(texts[i], how, i, stock) for i in some]), ROLES)
    seconds = time.process_time() - began
    right = sum(some[row] == twin for row, twin in zip(found.rows, found.twins, strict=True))
    print(f"  {len(some)} copies with a tenth of their {how} edited: {len(found.rows) / len(some):.1%} found, "
          f"{right / len(some):.1%} with the original named; {(len(texts) + len(some)) / seconds:,.0f} rows/s")  # fmt: skip


def _big(count: int) -> None:
    def made() -> Iterator[Record]:
        row = 0
        for block in range(-(-count // 10_000)):
            texts = sentences(9_500, block, 9)
            texts += [copied(text, "characters", i) for i, text in enumerate(texts[:500])]
            for text in islice(texts, count - row):
                yield Record(row, "f", row + 1, row + 1, {"text": text, "label": "x"})
                row += 1

    records = stored.records(made())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    found = near.groups(records, ROLES)
    seconds = time.process_time() - began
    copies = sum(len(group) - 1 for group in found.members())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    anonymous = Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]
    print(f"{count} texts: {copies} of {count // 20} copies found, {found.crowded} crowded; {count / seconds:,.0f} rows/s; "
          f"peak {peak >> 10} MiB ({before >> 10} before), of it {int(anonymous) >> 10} MiB not in files at the end")  # fmt: skip


if __name__ == "__main__":
    main()
