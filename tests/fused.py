"""Rows of a text, a picture and a number, each of which tells a part of the answer."""

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SAID = {"leak": ("oil", "drips", "puddle", "seal"), "heat": ("hot", "smoke", "burnt", "steam")}
SHOWN = {"red": (200, 40, 40), "blue": (40, 40, 200)}
COLUMNS = ("text", "photo", "load", "label", "hours")


def write(folder: Path, rows: int = 60, seed: int = 0, *, lacking: int = 0) -> Path:
    """table.csv with pictures beside it. Text tells leak from heat, the picture red from blue, and the number, where
    both speak of the first, high from low: five labels that no input tells alone. `hours` is their sum with noise.
    Every `lacking`-th row has no picture."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for i in range(rows):
        said, shown, load = draw.choice(list(SAID)), draw.choice(list(SHOWN)), draw.uniform(-1, 1)
        name = f"photos/{i:03}.png"
        noise = rng.integers(-30, 31, (40, 40, 3))
        Image.fromarray((np.array(SHOWN[shown]) + noise).clip(0, 255).astype(np.uint8)).save(folder / name)
        label = f"{said} {shown}" + (" high" if load > 0 else " low") * (said == "leak" and shown == "red")
        words = [*draw.choices(SAID[said], k=3), *draw.choices(["pump", "fan", "belt", "night"], k=2)]
        hours = 2 * (said == "leak") + 2 * (shown == "red") + 2 * load + draw.uniform(-0.1, 0.1)
        lines.append({"text": f"{' '.join(words)} {i}", "photo": name if not lacking or i % lacking else "",
                      "load": f"{load:.3f}", "label": label, "hours": f"{hours:.3f}"})  # fmt: skip
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    return folder / "table.csv"


def tree(base: Path, seeing: Path, table: Path, run: Path | None = None, **more: Any) -> dict[str, Any]:
    """A plan of a few seconds; `more` by section, merged into it."""
    task = {"name": "classify", "text": "text", "label": "label", "image": "photo", "side_columns": ["load"],
            "side": "vector", "max_tokens": 24}  # fmt: skip
    train = {"epochs": 2, "batch": 16, "lr": 0.01, "save_every": "1 step", "log_every": "1 step"}
    merged: dict[str, Any] = {
        "task": task | more.pop("task", {}), "base": str(base), "data": str(table),
        "tower": {"base": str(seeing)} | more.pop("tower", {}), "method": "lora",
        "train": train | more.pop("train", {}), "evaluate": {"resamples": 100, "baselines": []},
    }  # fmt: skip
    return merged | more | ({"run": str(run)} if run else {})
