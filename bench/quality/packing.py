"""Packed against padded rows where dropout is drawn: `python bench/quality/packing.py`, lines in results/packing.jsonl.

Without dropout both compute the same, which tests hold to 1e-10. With it they draw other masks, and packed rows draw them
with `engine/dropout.py`, so that the two can only be compared by what comes out. Five seeds of two jobs, everything but
`engine` equal: `full` on five splits of mwo_failure_mode (the first fold of each repeat), `lora` on 640 rows of sst2.
Padded rows are computed with torch's own dropout. About 15 CPU minutes.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from run import trained
from sets import SETS, Set, Split

RESULTS = Path(__file__).parent / "results" / "packing.jsonl"
SEEDS = 5
ENGINES = {"packed": {"cache": "off"}, "padded": {"cache": "off", "pack": False, "reads": False}}


def main() -> None:
    """Measure what is not there yet."""
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    have = {(line["set"], line["split"], line["engine"]) for line in known}
    for name, method, about, split in jobs():
        for engine, setting in ENGINES.items():
            if (name, split.name, engine) in have:
                continue
            line = trained(about.plan(method, split) | {"engine": setting}, split)
            kept = {key: line[key] for key in ("metrics", "predicted", "truth", "seconds", "steps")}
            asked = {"set": name, "method": method, "split": split.name, "engine": engine, "seed": split.seed}
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(asked | kept) + "\n")
            print(name, split.name, engine, line["metrics"]["accuracy"], f"{line['seconds']:.0f} s", flush=True)


def jobs() -> Iterator[tuple[str, str, Set, Split]]:
    """(set, method, its settings, split) of each seed."""
    for split in list(SETS["mwo"].splits(folds=25, seeds=1, rows=None))[::5]:
        yield "mwo", "full", SETS["mwo"], split
    for split in SETS["sizes"].splits(folds=None, seeds=SEEDS, rows=640):
        yield "sst2", "lora", SETS["sizes"], split


if __name__ == "__main__":
    main()
