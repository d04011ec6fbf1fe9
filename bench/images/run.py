"""Images: what tuning a real MobileNet on 2,000 digits reaches, by method, and what moving batch-norm statistics cost.

    python -m bench.images.run [--out FOLDER]        about six CPU minutes; writes images.json and prints the table

MNIST digits (the first 2,000 to learn from, 200 of them to validate; the next 1,000 to judge) at 96 x 96, MobileNetV1
0.25 pretrained on ImageNet, five epochs, seed 0. Settings were not searched for.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared"
BASE = SHARED / "models" / "mobilenet_v1_025_imagenet" / "hf"
DIGITS = SHARED / "data" / "mnist_t10k"
TRAIN, TEST = 2000, 1000
METRICS = ("accuracy", "macro_f1", "log_loss")
RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "head": ("head", {}),
    "full": ("full", {}),
    "full, batch_norm: moving": ("full", {"batch_norm": "moving"}),
    "layers, top 8": ({"name": "layers", "top": 8}, {}),
    "lora": ("lora", {}),
    "adapter": ("adapter", {}),
}


def digits(folder: Path) -> tuple[Path, Path]:
    """Folders of digits to learn from and to judge with."""
    from PIL import Image

    images = gzip.decompress((DIGITS / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DIGITS / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
    for row in range(TRAIN + TEST):
        file = folder / ("train" if row < TRAIN else "test") / str(labels[row]) / f"{row:05}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[row]).save(file)
    return folder / "train", folder / "test"


def main() -> None:
    """Train each, print a table."""
    import tunesmith
    from tunesmith.progress import Progress

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-images"))
    out = parser.parse_args().out
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        train, test = digits(Path(folder))
        for name, (method, settings) in RUNS.items():
            done = tunesmith.train(
                task={"name": "image", "resolution": 96}, base=str(BASE), method=method,
                data={"train": str(train), "test": str(test)}, settings={"epochs": 5, **settings},
                evaluate={} if name == "head" else {"baselines": []},
                run=out / name.replace(" ", "-").replace(",", "").replace(":", ""), progress=Progress(silent=True),
            )  # fmt: skip
            found[name] = measured(done.reply)
            (out / "images.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(name, shown(found[name]["test"]["accuracy"]), flush=True)
    print(table(found))


def measured(reply: dict[str, Any]) -> dict[str, Any]:
    """What the table is made of."""

    def few(splits: dict[str, Any]) -> dict[str, Any]:
        return {m: {k: round(v, 4) for k, v in splits["test"][m].items()} for m in METRICS}

    return {
        "test": few(reply["metrics"]), "baselines": {n: few(b) for n, b in reply["baselines"].items()},
        "trained": reply["parameters"]["trainable"], "cpu_seconds": round(reply["seconds"]["train_cpu"], 1),
        "warnings": reply["warnings"],
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """Accuracy and macro F1 with intervals, trained parameters and CPU seconds, by run; baselines below."""
    lines = ["| method | accuracy | macro F1 | log loss | trained | CPU s |", "| --- | --- | --- | --- | --- | --- |"]
    for name, run in found.items():
        values = " | ".join(shown(run["test"][m]) for m in METRICS)
        lines.append(f"| {name} | {values} | {run['trained']:,} | {run['cpu_seconds']:.0f} |")
    for name, tests in found["head"]["baselines"].items():
        values = " | ".join(shown(tests[m]) for m in METRICS)
        lines.append(f"| *{name}* | {values} | | |")
    return "\n".join(lines)


def shown(one: dict[str, float]) -> str:
    """value [low, high]."""
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


if __name__ == "__main__":
    main()
