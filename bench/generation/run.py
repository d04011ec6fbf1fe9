"""Instruction tuning with real weights: a trained Llama of 260,000 parameters learns to put E2E facts into sentences.

`python bench/generation/run.py [METHOD …]` appends a line for each method to results.jsonl and writes
docs/generation.md from all lines. Whole runs of `tunesmith train`: ledger, baseline, paired test, reload proof.
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"
RESULTS, PAGE = HERE / "results.jsonl", HERE.parents[1] / "docs" / "generation.md"
METHODS = ("full", "lora", "adapter", "ia3", "prefix", "prompt", "ptuning")
TRAIN, TEST, EPOCHS = 1500, 120, 3


def main() -> None:
    """Measure what is asked and not yet known, and write the page."""
    known = {line["method"] for line in lines()}
    with tempfile.TemporaryDirectory() as folder:
        train, test = write_data(Path(folder))
        for method in sys.argv[1:] or METHODS:
            if method not in known:
                line = measured(method, train, test, Path(folder) / method)
                with RESULTS.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")
                print(method, line["metrics"]["perplexity"], line["paired"], flush=True)
    PAGE.write_text(page(lines()), encoding="utf-8")


def lines() -> list[dict[str, Any]]:
    """What was measured before."""
    return [json.loads(x) for x in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def write_data(folder: Path) -> tuple[Path, Path]:
    """Rows of the development set to learn from; test rows of meanings that it does not have, one sentence each."""
    paths = []
    for name, count in (("devset", TRAIN), ("testset_w_refs", TEST)):
        with (SHARED / "data" / "e2e_nlg" / f"{name}.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        step = max(1, len(rows) // count)
        one = {r["mr"]: r["ref"] for r in reversed(rows)} if name != "devset" else None
        pairs = list(one.items()) if one else [(r["mr"], r["ref"]) for r in rows[::step]]
        made = [{"instruction": mr, "output": ref} for mr, ref in pairs[:count]]
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(made), encoding="utf-8")
    return paths[0], paths[1]


def measured(method: str, train: Path, test: Path, run: Path) -> dict[str, Any]:
    """One whole run."""
    import tunesmith

    done = tunesmith.train(
        task={"name": "generate", "max_tokens": 384, "decode": {"max_new_tokens": 80}},
        base=str(SHARED / "models" / "stories260k_llama" / "hf"),
        data={"train": str(train), "test": str(test)}, method=method,
        settings={"epochs": EPOCHS, "batch": 16, "patience": None}, run=run,
    )  # fmt: skip
    reply = done.reply
    return {
        "method": method, "rows": [TRAIN, TEST], "epochs": EPOCHS, "metrics": reply["metrics"]["test"],
        "untuned": reply["baselines"]["untuned"]["test"], "paired": reply["paired"]["untuned"],
        "seconds": reply["seconds"]["train_cpu"], "parameters": reply["parameters"],
        "proof": {k: reply["proof"][k] for k in ("bits", "max_error", "plain", "plain_max_error")},
    }  # fmt: skip


def page(found: list[dict[str, Any]]) -> str:
    """The page of what was measured."""
    head = f"""# Generation, measured

Written by `python bench/generation/run.py`. Base: the TinyStories Llama of 260,032 parameters (512 pieces of
vocabulary), which has never seen anything but stories. Learnt from: {TRAIN} rows of the E2E development set
(restaurant facts to a sentence, Novikova et al. 2017), {EPOCHS} epochs; judged on {TEST} test meanings that the
development set does not have, greedy answers. Default settings of each method. The base is far too small to do this
well: what is shown is that every method learns, that the difference to the untuned base is beyond chance, and that the
saved model opens elsewhere with the same answers.

| method | trained | perplexity (untuned {value(found, "perplexity")}) | token accuracy | ROUGE-L | BLEU | against untuned (perplexity) | p | CPU s | plain transformers, largest difference |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
    return head + "".join(row(line) for line in found)


def value(found: list[dict[str, Any]], metric: str) -> str:
    """A figure of the untuned base."""
    return f"{found[0]['untuned'][metric]['value']:.1f}" if found else "?"


def row(line: dict[str, Any]) -> str:
    """A line of the table."""

    def cell(name: str, digits: int = 3) -> str:
        m = line["metrics"][name]
        return f"{m['value']:.{digits}f} [{m['low']:.{digits}f}, {m['high']:.{digits}f}]"

    share = line["parameters"]["trainable"] / line["parameters"]["total"]
    plain = line["proof"]["plain_max_error"]
    return (
        f"| {line['method']} | {share:.2%} | {cell('perplexity', 2)} | {cell('token_accuracy')} | {cell('rougeL')} | "
        f"{cell('bleu', 1)} | {line['paired']['difference']['value']:+.1f} | {line['paired']['p']:.3f} | "
        f"{line['seconds']:.0f} | {'needs tunesmith.peft' if plain is None else f'{plain:.1g}'} |\n"
    )


if __name__ == "__main__":
    main()
