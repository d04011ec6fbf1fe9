"""A reward model and label words with real weights: the trained Llama of 260,000 parameters as a judge.

`python bench/generation/judging.py [CASE ...]` appends a line for each case to judging.jsonl and prints all lines as
rows of docs/preferences.md (reward) and docs/cloze.md. Whole runs of `tunesmith train`; about a CPU minute each.

Pairs are constructed: E2E facts, the sentence that was written for them, and one that was written for other facts of
the same length. Label words are asked about sentences of SST-2, which are none of its stories.
"""

import csv
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"
BASE = str(SHARED / "models" / "stories260k_llama" / "hf")
RESULTS = HERE / "judging.jsonl"
PAIRS, SENTENCES, TEST = 600, 600, 300
CLOZE = {"template": "{text} It was {mask}", "words": {"0": ["bad", "sad"], "1": ["good", "happy"]}}
WORDS = {"name": "classify", "text": "text", "label": "label", "max_tokens": 448, "readout": "verbalizer"}
CASES: dict[str, dict[str, Any]] = {
    "reward, lora": {"task": {"name": "reward", "max_tokens": 448, "template": "plain"}, "method": "lora"},
    "reward, head": {"task": {"name": "reward", "max_tokens": 448, "template": "plain"}, "method": "head"},
    "words, zero-shot": {"task": WORDS | {"cloze": CLOZE}, "train": {"max_steps": 0}},
    "words, zero-shot, calibrated": {"task": WORDS | {"cloze": CLOZE | {"calibrate": "content_free"}},
                                     "train": {"max_steps": 0}},
    "words, four shots": {"task": WORDS | {"cloze": CLOZE | {"shots": 4}}, "train": {"max_steps": 0}},
    "words, lora": {"task": WORDS | {"cloze": CLOZE}, "method": "lora"},
    "a new head, lora": {"task": WORDS | {"readout": "head"}, "method": "lora"},
}  # fmt: skip


def main() -> None:
    """Measure what is asked and not yet known; print what is known."""
    known = {line["case"] for line in lines()}
    with tempfile.TemporaryDirectory() as temporary:
        for case in sys.argv[1:] or CASES:
            if case not in known:
                line = {"case": case, **measured(CASES[case], case.startswith("reward"), Path(temporary))}
                with RESULTS.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")
    for line in lines():
        print(f"| {line['case']} | " + " | ".join(map(shown, line["metrics"].values())) + f" | {line['seconds']:.0f} |")


def lines() -> list[dict[str, Any]]:
    """What was measured before."""
    return [json.loads(x) for x in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def shown(value: dict[str, float]) -> str:
    """A figure with its interval."""
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def pairs(name: str, count: int) -> list[dict[str, str]]:
    """Facts with their own sentence and with that of other facts, the nearest in length among fifty."""
    with (SHARED / "data" / "e2e_nlg" / f"{name}.csv").open(encoding="utf-8") as stream:
        rows = list({r["mr"]: r["ref"] for r in csv.DictReader(stream)}.items())
    draw, made = random.Random(0), []
    draw.shuffle(rows)
    for facts, said in rows[:count]:
        others = [ref for mr, ref in draw.sample(rows, 50) if mr != facts]
        wrong = min(others, key=lambda ref: abs(len(ref) - len(said)))
        made.append({"prompt": facts, "chosen": said, "rejected": wrong})
    return made


def sentences(name: str, count: int) -> list[dict[str, str]]:
    """Sentences of SST-2 with their labels."""
    with (SHARED / "data" / "sst2" / f"{name}.tsv").open(encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    rows = [row for row in rows if len(row) == 2 and row[1] in ("0", "1")]
    random.Random(0).shuffle(rows)
    return [{"text": text, "label": label} for text, label in rows[:count]]


def measured(case: dict[str, Any], paired: bool, folder: Path) -> dict[str, Any]:
    """One whole run."""
    import tunesmith

    files = {}
    for part, name, count in (("train", "devset" if paired else "train", PAIRS if paired else SENTENCES),
                              ("test", "testset_w_refs" if paired else "test", TEST)):  # fmt: skip
        files[part] = folder / f"{part}-{paired}.jsonl"
        rows = pairs(name, count) if paired else sentences(name, count)
        files[part].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = tunesmith.train(
        task=case["task"], base=BASE, data={k: str(v) for k, v in files.items()}, method=case.get("method", "full"),
        settings={"epochs": 3, "batch": 16, "patience": None, **case.get("train", {})},
        run=folder / str(len(list(folder.iterdir()))),
    )  # fmt: skip
    reply = done.reply
    return {
        "metrics": reply["metrics"]["test"], "rows": [PAIRS if paired else SENTENCES, TEST],
        "baselines": {k: v["test"] for k, v in reply["baselines"].items()}, "paired": reply["paired"],
        "seconds": reply["seconds"]["train_cpu"],
    }  # fmt: skip


if __name__ == "__main__":
    main()
