"""Many short rows: rows a second and memory of `data check`, clean, dedup and near-duplicates, beside peers.

`python bench/data/size.py [ROWS …]`: 500,000 and 5,000,000 rows without them. Each part runs in a process of its own,
with one thread. Rows: `distinct` (random sentences of nine words, a twentieth of them copies with an edit) and
`templated` (tickets of one pattern, the worst case for a near-duplicate search: nearly every row has hundreds of near
twins). Measured are the peak of anonymous memory (RssAnon: what cannot be dropped) and of mapped file pages (RssFile:
what the system may drop at any time). Peers: pandas for clean and dedup, datasketch's MinHashLSH for near-duplicates, on
the same rows; a peer that needs more memory or time than is there is left out with `--peers` and a number of rows.

Lines are appended to bench/data/results/size.jsonl.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "bench" / "memory"), str(ROOT / "tests")]

from flat import Watch, write_rows  # noqa: E402

from edited import copied, sentences  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "size.jsonl"
BLOCK = 10_000


def main() -> int:
    """Measure each part at each size; print and keep a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, help="sizes; 500,000 and 5,000,000 without them")
    parser.add_argument("--kinds", nargs="*", default=["distinct", "templated"], choices=["distinct", "templated"])
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--peers", type=int, default=500_000, help="rows up to which datasketch runs")
    parser.add_argument("--folder", type=Path, default=None, help="where files lie meanwhile")
    parser.add_argument("--dry", action="store_true", help="print only, keep nothing")
    parser.add_argument("--inside", nargs=2, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(measured(asked.inside[0], Path(asked.inside[1]))))
        return 0
    for rows in asked.rows or [500_000, 5_000_000]:
        for kind in asked.kinds:
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                data = Path(folder) / "rows.csv"
                write_rows(data, rows) if kind == "templated" else write_distinct(data, rows)
                for part in asked.parts:
                    if part == "datasketch" and rows > asked.peers:
                        continue
                    _keep(_apart(part, data, {"part": part, "kind": kind, "rows": rows}), dry=asked.dry)
    return 0


def _apart(part: str, data: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Measured in a process of its own, with a cache and a folder for temporary files of its own."""
    environment = os.environ | {"TUNESMITH_CACHE": str(data.parent / "cache"), "TMPDIR": str(data.parent)}
    words = [sys.executable, __file__, "--inside", part, str(data)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rates = {"rows_per_second": found["seconds"], "rows_per_cpu_second": found["cpu"]}
    return about | {name: round(about["rows"] / max(0.1, spent)) for name, spent in rates.items()} | found


def _keep(line: dict[str, Any], *, dry: bool) -> None:
    print(json.dumps(line), flush=True)
    if not dry:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def write_distinct(path: Path, rows: int) -> Path:
    """Random sentences of one vocabulary of 2,000 words; one row in twenty is another one with a tenth edited."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("text,label,hours\n")
        for block in range(-(-rows // BLOCK)):
            texts = sentences(BLOCK - BLOCK // 20, block, 9)
            texts += [copied(text, "characters", i) for i, text in enumerate(texts[: BLOCK // 20])]
            for i, text in enumerate(texts[: rows - block * BLOCK]):
                stream.write(f"{text},{'abcd'[hash_of(text) % 4]},{i % 90 / 10}\n")
    return path


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(map(ord, text))


def measured(part: str, data: Path) -> dict[str, Any]:
    """One part over a file, in this process, reading it included."""
    watch, cpu = Watch(), time.process_time()
    told = PARTS[part](data)
    watch.part("all")
    seconds = watch.parts["all"]["seconds"]
    return {"seconds": seconds, "cpu": round(time.process_time() - cpu, 1), "anon_mb": watch.peak("anon"),
            "mapped_mb": watch.peak("mapped"), "told": told,
            "when": datetime.now(UTC).isoformat(timespec="seconds")}  # fmt: skip


def _check(data: Path) -> Any:
    from tunesmith.flows import check
    from tunesmith.progress import Progress

    reply = check(data, progress=Progress())
    return {finding["kind"]: finding["rows"] for finding in reply["findings"]}


def _again(data: Path) -> Any:
    """After `check`, in the same cache: what the second time costs."""
    from tunesmith.flows import check

    return {"cached": check(data)["cached"]}


def _step(name: str, **settings: Any) -> Callable[[Path], Any]:
    def run(data: Path) -> Any:
        from tunesmith.data import Roles
        from tunesmith.data.ledger import Ledger
        from tunesmith.data.table import read
        from tunesmith.progress import Progress
        from tunesmith.steps import STEPS

        ledger, progress = Ledger(), Progress()
        with progress.part(name):
            rows = ledger.add(read(data, progress=progress))
            step = STEPS.find(name)(**settings)
            kept = step.run(rows, Roles(("text",), "label"), ledger, 0)
        return {"kept": len(kept)}

    return run


def _pandas(data: Path) -> Any:
    """read_csv, the same spaces and cases as clean and dedup's comparison, drop_duplicates."""
    import pandas  # type: ignore[import-untyped]

    table = pandas.read_csv(data, dtype=str, keep_default_na=False)
    table["text"] = table["text"].str.normalize("NFC").str.replace(r"\s+", " ", regex=True).str.strip()
    compared = table["text"].str.normalize("NFKC").str.casefold()
    stays = ~table.assign(compared=compared).duplicated(["compared", "label"])
    return {"kept": int(stays.sum())}


def _datasketch(data: Path) -> Any:
    """MinHash of the same shingles, 128 permutations, LSH at a Jaccard similarity of 0.5; candidates are not compared."""
    import csv

    from datasketch import MinHash, MinHashLSH

    index, near = MinHashLSH(threshold=0.5, num_perm=128), 0
    with data.open(encoding="utf-8", newline="") as stream:
        for i, row in enumerate(csv.DictReader(stream)):
            text = row["text"].casefold()
            sketch = MinHash(num_perm=128)
            sketch.update_batch([text[j : j + 4].encode() for j in range(max(1, len(text) - 3))])
            near += bool(index.query(sketch))
            index.insert(i, sketch)
    return {"rows_with_candidates": near}


PARTS: dict[str, Callable[[Path], Any]] = {
    "check": _check, "check again": _again, "clean": _step("clean"), "dedup": _step("dedup"),
    "dedup near": _step("dedup", by="near"), "pandas": _pandas, "datasketch": _datasketch,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
