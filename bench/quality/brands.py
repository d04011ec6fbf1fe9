"""One shared adapter, one for each camera, or several put together: `python bench/quality/brands.py [--seeds N]`, a line
for each arm and seed in results/brands.jsonl.

MNIST digits as three cameras see them: plain, inverted, turned by a quarter. 300 of each to learn from, of which 45 pick
the epoch, 300 of each to be judged on; no digit twice. MobileNetV1 0.25 pretrained on ImageNet, 64 x 64 pixels, bottleneck
adapters. Every run makes about as many steps of 32 rows: 4 epochs of all rows, 12 of one camera's. About four CPU minutes
a seed. A seed draws the digits, too. Settings were not searched for.

    shared           one adapter, learnt from all rows
    one per camera   three, each learnt from its camera's rows, and asked for these alone
    average          the mean of these three's weights
    stack            LoRA and an adapter at once, learnt from all rows
    fusion           the three, frozen, weighed by an attention that is learnt from all rows
"""

import argparse
import csv
import gzip
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent / "results" / "brands.jsonl"
SHARED = Path(__file__).parents[3] / "shared"
BASE = SHARED / "models" / "mobilenet_v1_025_imagenet" / "hf"
DIGITS = SHARED / "data" / "mnist_t10k"
CAMERAS: dict[str, Callable[[Any], Any]] = {"plain": lambda x: x, "inverted": lambda x: 255 - x, "turned": np.rot90}
EACH, EPOCHS = 300, 4
ADAPTER = {"name": "adapter", "reduction_factor": 4}


def main() -> None:
    """Measure what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    have = {line["seed"] for line in known}
    for seed in range(parser.parse_args().seeds):
        if seed in have:
            continue
        with tempfile.TemporaryDirectory() as folder:
            lines, table = measured(Path(folder), seed)
        with RESULTS.open("a") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in lines)
        print(f"seed {seed}\n{table}", flush=True)


def photographed(folder: Path, seed: int) -> dict[str, Path]:
    """Tables of pictures: `all` and each camera's to learn from, and `test`."""
    images = gzip.decompress((DIGITS / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DIGITS / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
    order = iter(np.random.default_rng([seed, 7]).permutation(len(pixels)))
    tables: dict[str, list[dict[str, str]]] = {"all": [], "test": []}
    for camera, seen in CAMERAS.items():
        for number in range(2 * EACH):
            digit = int(next(order))
            Image.fromarray(np.ascontiguousarray(seen(pixels[digit]))).save(folder / f"{camera}-{digit}.png")
            row = {"image": f"{camera}-{digit}.png", "label": str(labels[digit]), "camera": camera}
            for table in ("test",) if number >= EACH else ("all", camera):
                tables.setdefault(table, []).append(row)
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return {name: folder / f"{name}.csv" for name in tables}


def learnt(folder: Path, name: str, data: Path, method: Any, seed: int, epochs: int) -> str:
    """A run of that method on that table."""
    import tunesmith
    from tunesmith.progress import Progress

    made = tunesmith.train(
        {"name": "image", "image": "image", "label": "label", "resolution": 64}, str(BASE),
        {"train": str(data), "validation": 0.15, "test": None}, method, run=folder / name,
        settings={"epochs": epochs, "batch": 32, "seed": seed},
        evaluate={"baselines": [], "metrics": ["accuracy", "macro_f1"]}, progress=Progress(silent=True),
    )  # fmt: skip
    return str(made.path)


def measured(folder: Path, seed: int) -> tuple[list[dict[str, Any]], str]:
    """A line for each arm with one seed, and the table of the comparison."""
    import tunesmith
    from tunesmith.progress import Progress

    began, tables = time.process_time(), photographed(folder, seed)
    own = {c: learnt(folder, f"own-{c}", tables[c], ADAPTER, seed, EPOCHS * len(CAMERAS)) for c in CAMERAS}
    tunesmith.merge(list(own.values()), folder / "average", how="average", progress=Progress(silent=True))
    fused = {"name": "fusion", "of": list(own.values())}
    arms: dict[str, Any] = {
        "shared": learnt(folder, "shared", tables["all"], ADAPTER, seed, EPOCHS),
        "one per camera": own,
        "average": str(folder / "average"),
        "stack": learnt(folder, "stack", tables["all"], ["lora", ADAPTER], seed, EPOCHS),
        "fusion": learnt(folder, "fusion", tables["all"], fused, seed, EPOCHS),
    }
    reply = tunesmith.compare(arms, tables["test"], by="camera", progress=Progress(silent=True))
    lines = [
        {
            "set": "three cameras", "arm": arm, "seed": seed, "metrics": found,
            "cameras": {c: reply["slices"]["camera"][c]["metrics"][arm]["accuracy"] for c in CAMERAS},
            "against shared": next((c for c in reply["comparisons"] if c["b"] == arm), None), "rows": reply["rows"],
            "cpu_seconds_of_all_arms": round(time.process_time() - began),
        }
        for arm, found in reply["metrics"].items()
    ]  # fmt: skip
    return lines, reply["table"]


if __name__ == "__main__":
    main()
