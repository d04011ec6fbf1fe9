"""One model for all brands, one for each, or several adapters put together? Measured on the demonstration tickets.

    python examples/brands.py runs/brands

Writes a file a brand, trains and merges, and prints a table: the same held-out rows answered by every arm, by brand,
each tested against the shared model. A finished run is not trained again.
"""

import argparse
import csv
import random
from pathlib import Path
from typing import Any

import tunesmith

TICKETS = Path(__file__).resolve().parent / "data" / "tickets.csv"
BRANDS = ("Halvorn", "Tornefalk", "Kelvaro")
ADAPTER: dict[str, Any] = {"name": "adapter", "reduction_factor": 8, "top": 2}
LORA: dict[str, Any] = {"name": "lora", "top": 2}
Rows = list[dict[str, str]]


def divide(rows: Rows, held: float) -> tuple[Rows, Rows]:
    """(rows to learn from, rows to be judged on): of each brand and label the same share."""
    mixed = random.Random(0).sample(rows, len(rows))
    seen: dict[tuple[str, str], int] = {}
    learn: Rows = []
    judged: Rows = []
    for row in mixed:
        key = row["brand"], row["failure"]
        seen[key] = seen.get(key, 0) + 1
        (judged if int(seen[key] * held) > int((seen[key] - 1) * held) else learn).append(row)
    return learn, judged


def write(path: Path, rows: Rows) -> Path:
    """The rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def learnt(run: Path, data: Path, method: Any, base: str, epochs: int) -> str:
    """A finished run of that method on that file."""
    made = tunesmith.train(
        {"name": "classify", "text": "text", "label": "failure", "max_tokens": 64}, base,
        {"train": str(data), "validation": 0.15, "test": None}, method,
        settings={"epochs": epochs, "batch": 16}, evaluate={"baselines": []}, run=run,
    )  # fmt: skip
    return str(made.path)


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Train all arms and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for files and runs")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args(words)
    out, base, epochs = asked.out, asked.base, asked.epochs
    out.mkdir(parents=True, exist_ok=True)
    with TICKETS.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["brand"] in BRANDS]
    learn, judged = divide(rows, 0.25)
    everything, test = write(out / "all.csv", learn), write(out / "test.csv", judged)
    own = {
        brand: learnt(out / f"own-{brand}", write(out / f"{brand}.csv", [r for r in learn if r["brand"] == brand]),
                      ADAPTER, base, epochs)
        for brand in BRANDS
    }  # fmt: skip
    average = out / "average"
    if not average.exists():
        tunesmith.merge(list(own.values()), average, how="average")
    arms: dict[str, Any] = {
        "shared": learnt(out / "shared", everything, ADAPTER, base, epochs),
        "one per brand": own,
        "average": str(average),
        "stack": learnt(out / "stack", everything, [LORA, ADAPTER], base, epochs),
        "fusion": learnt(out / "fusion", everything, {"name": "fusion", "of": list(own.values())}, base, epochs),
    }
    reply = tunesmith.compare(arms, test, by="brand")
    print(reply["table"])
    return reply


if __name__ == "__main__":
    main()
