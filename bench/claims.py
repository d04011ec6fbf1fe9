"""Measure what handbooks of fine-tuning claim: `python bench/claims.py` writes docs/handbook-claims.md.

Exact here: parameter shares, from configurations alone (no weights). Measured here: live memory of one training step,
each method in a process of its own. Quality by amount of data comes from bench/quality/results.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
PAGE = Path(__file__).parent.parent / "docs" / "handbook-claims.md"
STORE = Path(__file__).parent / "claims.json"
QUALITY = Path(__file__).parent / "quality" / "results"
SMALL_CHANGES = ("lora", "adapter", "bitfit", "head", "layers")

BASES: dict[str, dict[str, Any]] = {
    "MiniLM-L6": {
        "model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
        "intermediate_size": 1536, "vocab_size": 30522,
    },
    "BERT-base": {"model_type": "bert"},
    "RoBERTa-base": {"model_type": "roberta", "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    "Qwen2-0.5B": {
        "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "pad_token_id": 0,
    },
    "Llama-7B": {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 11008, "vocab_size": 32000, "pad_token_id": 0,
    },
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "full": {"name": "full"}, "head": {"name": "head"},
    "head, last layer alone": {"name": "head", "pooler": False}, "layers (top 2)": {"name": "layers"},
    "lora r8, q v": {"name": "lora", "targets": "qv"}, "lora r8, all": {"name": "lora"},
    "lora r16, all": {"name": "lora", "r": 16}, "adapter (pfeiffer, 16)": {"name": "adapter", "place": "pfeiffer"},
    "adapter (houlsby, 16)": {"name": "adapter", "place": "houlsby"}, "prefix 20": {"name": "prefix"},
    "prefix 20, projected": {"name": "prefix", "projection": True, "hidden": 512}, "p-tuning 20": {"name": "ptuning"},
    "prompt 20": {"name": "prompt"}, "bitfit": {"name": "bitfit"}, "ia3": {"name": "ia3"},
}  # fmt: skip


def counts() -> dict[str, dict[str, Any]]:
    """{method: {base: {trained, stored, added, head, base} or refused}}."""
    from transformers import AutoConfig

    from tunesmith.errors import TunesmithError
    from tunesmith.listing import count_method
    from tunesmith.methods import METHODS as KNOWN

    out: dict[str, dict[str, Any]] = {}
    for label, settings in METHODS.items():
        method = KNOWN.find(settings["name"]).model_validate(settings)
        for base, fields in BASES.items():
            config = AutoConfig.for_model(**fields)
            try:
                out.setdefault(label, {})[base] = count_method(method, config, 2)
            except TunesmithError as error:
                out.setdefault(label, {})[base] = {"refused": str(error)}
    return out


STEP = """
import json, resource, sys, time, torch
from tunesmith.bases.find import find
from tunesmith.bases.load import load_net, load_tokenizer
from tunesmith.bases.family import family_of
from tunesmith.methods import METHODS
settings = json.loads(sys.argv[1])
found = find("minilm"); torch.manual_seed(0)
net = load_net(found, num_labels=2)
import peft
settled = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
method = METHODS.find(settings["name"]).model_validate(settings)
net = method.apply(net, family_of("bert"))
moving = [p for p in net.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(moving, lr=1e-4, fused=True)
ids = torch.randint(1000, 20000, (32, 64)); mask = torch.ones_like(ids); labels = torch.randint(0, 2, (32,))
net.train()
for turn in range(3):
    began = time.process_time()
    loss = torch.nn.functional.cross_entropy(net(input_ids=ids, attention_mask=mask).logits, labels)
    loss.backward(); optimizer.step(); optimizer.zero_grad()
    seconds = time.process_time() - began
print(json.dumps({"mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - settled) / 1024, "seconds": seconds}))
"""


def memory() -> dict[str, dict[str, float]]:
    """{method: {mb: peak memory of a training step beyond the loaded base, seconds: CPU of one step}}."""
    out = {}
    for label, settings in METHODS.items():
        words = [sys.executable, "-c", STEP, json.dumps(settings)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        out[label] = json.loads(done.stdout.splitlines()[-1])
        print(label, out[label], flush=True)
    return out


def main() -> None:
    """Measure and write the page; `--keep` writes it from the stored measurement."""
    if "--keep" in sys.argv:
        found = json.loads(STORE.read_text(encoding="utf-8"))
    else:
        found = {"counts": counts(), "memory": memory()}
        STORE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    table = [f"| method | {' | '.join(BASES)} |", "|" + " --- |" * (len(BASES) + 1)]
    for method, by_base in found["counts"].items():
        table.append(f"| {method} | {' | '.join(cell(by_base[b]) for b in BASES)} |")
    heads = " | ".join(f"{found['counts']['full'][b]['head']:,}" for b in BASES)
    table.append(f"| head (two classes), trained beside | {heads} |")
    stored = ["| method | trained | stored | added when answering |", "|" + " --- |" * 4]
    for method, by_base in found["counts"].items():
        c = by_base["BERT-base"]
        if "refused" not in c:
            stored.append(f"| {method} | {c['trained']:,} | {c['stored']:,} | {c['added']:,} |")
    live = ["| method | memory of a step, MB | CPU seconds of a step |", "|" + " --- |" * 3]
    full = found["memory"]["full"]
    for method, m in found["memory"].items():
        live.append(f"| {method} | {m['mb']:.0f} ({m['mb'] / full['mb']:.0%} of full) | {m['seconds']:.2f} |")
    told = [*claims(found), *claims_of_quality()]
    return TEXT.format(
        shares="\n".join(table), stored="\n".join(stored), live="\n".join(live), claims="\n".join(told), sizes=sizes()
    )


def measured(name: str) -> list[dict[str, Any]]:
    """Lines of the quality benchmark; none where it was not run."""
    file = QUALITY / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def by_size() -> dict[int, dict[str, dict[str, Any]]]:
    """{rows: {method: its line}} of the grid, seed 0, few rows first."""
    out: dict[int, dict[str, dict[str, Any]]] = {}
    for line in sorted(measured("sizes"), key=lambda each: each["rows"]):
        if line["split"] == "seed 0":
            out.setdefault(line["rows"], {})[line["method"]] = line
    return out


def sizes() -> str:
    """Accuracy of each method on each number of rows."""
    grid = by_size()
    if not grid:
        return "Not measured."
    methods = sorted({m for row in grid.values() for m in row}, key=lambda m: -sum(
        row[m]["metrics"]["accuracy"] for row in grid.values() if m in row))  # fmt: skip
    rows = [f"| method | {' | '.join(f'{n:,} rows' for n in grid)} |", "|" + " --- |" * (len(grid) + 1)]
    for method in methods:
        cells = [_interval(row[method], "accuracy") if method in row else "not measured" for row in grid.values()]
        rows.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _interval(line: dict[str, Any], metric: str) -> str:
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**{"value": line["metrics"][metric], **{
        end: line["intervals"][metric][end] for end in ("low", "high")}})  # fmt: skip


def _apart(mine: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """(difference of accuracy, p) of two lines over the same test rows, paired bootstrap."""
    import numpy as np

    from tunesmith.evaluation.significance import paired_bootstrap
    from tunesmith.metrics import METRICS, Answers

    a, b = (Answers("classes", np.array(x["truth"]), np.array(x["predicted"])) for x in (mine, other))
    test = paired_bootstrap(METRICS.make("accuracy"), a, b)
    return float(test.value), float(test.p)


def claims_of_quality() -> list[str]:
    """Claims that need trained models; one line each, where they are measured."""
    lines, grid = [], by_size()
    if grid:
        few, many = (grid[end] for end in (min(grid), max(grid)))
        for rows, found in ((min(grid), few), (max(grid), many)):
            best = max((m for m in found if m in SMALL_CHANGES), key=lambda m: found[m]["metrics"]["accuracy"])
            value, p = _apart(found[best], found["full"])
            holds = "holds" if value > 0 and p < 0.05 else "does not hold" if value < 0 and p < 0.05 else "cannot tell"
            lines.append(
                f"| few rows: freeze or LoRA rather than full tuning ({rows:,} rows of sst2) | best of the small changes "
                f"minus full: {best} {value:+.3f}, p = {p:.3f} | {holds} |"
            )
        value, p = _apart(few["full"], few["tfidf"])
        verdict = "holds" if value > 0 and p < 0.05 else "cannot tell" if p >= 0.05 else "does not hold"
        lines.append(
            f"| a few hundred rows are enough | {min(grid)} rows of sst2: full {few['full']['metrics']['accuracy']:.3f}, "
            f"TF-IDF {few['tfidf']['metrics']['accuracy']:.3f} (p = {p:.3f}); {max(grid):,} rows: "
            f"{many['full']['metrics']['accuracy']:.3f} | {verdict} to be ahead of counting words; more rows help |"
        )
    return lines + _mixed()


def _mixed() -> list[str]:
    """LoRA and BitFit together against each alone, over the folds that all three have."""
    folds: dict[str, dict[str, float]] = {}
    for line in measured("mwo"):
        folds.setdefault(line["method"], {})[line["split"]] = line["metrics"]["accuracy"]
    parts = [folds.get(name, {}) for name in ("mixed", "lora", "bitfit")]
    both = sorted(set.intersection(*map(set, parts))) if all(parts) else []
    if len(both) < 3:
        return []
    from tunesmith.evaluation.significance import corrected_t

    sides = [[part[fold] for fold in both] for part in parts]
    tests = [corrected_t(sides[0], other, 0.2) for other in sides[1:]]
    told = ", ".join(
        f"{t.value:+.3f} over {name} (p = {t.p:.2f})" for t, name in zip(tests, ("lora", "bitfit"), strict=True)
    )
    verdict = (
        "holds" if all(t.value > 0 and t.p < 0.05 for t in tests) else "not shown: within the noise of these folds"
    )
    return [f"| mixed methods improve further | mwo_failure_mode, {len(both)} folds: {told} | {verdict} |"]


def cell(count: dict[str, Any]) -> str:
    """'294,912 (0.269 %)' of the whole model, head left out."""
    if "refused" in count:
        return "refused"
    return f"{count['trained']:,} ({count['trained'] / (count['base'] + count['head']):.3%})"


def claims(found: dict[str, Any]) -> list[str]:
    """Claim, ours, verdict."""

    def share(method: str, base: str) -> float:
        c = found["counts"][method][base]
        return float(c["trained"] / (c["base"] + c["head"]))

    head = found["counts"]["head"]["BERT-base"]
    whole = head["base"] + head["head"]
    ratio = found["memory"]
    lines = ["| claim | ours | verdict |", "| --- | --- | --- |"]

    def add(claim: str, ours: str, verdict: str) -> None:
        lines.append(f"| {claim} | {ours} | {verdict} |")

    add("frozen tuning trains 0.1 to 1 %", f"BERT-base, head with pooler: {head['head']:,} = {head['head'] / whole:.2%}; "
        f"the last linear layer alone: 1,538 = {1538 / whole:.4%}", "holds if the pooler is trained")  # fmt: skip
    add("LoRA trains 0.01 to 0.1 %", f"r 8 on q and v: {share('lora r8, q v', 'BERT-base'):.3%} of BERT-base, "
        f"{share('lora r8, q v', 'Llama-7B'):.3%} of a 7B model; all layers: {share('lora r8, all', 'BERT-base'):.2%}",
        "holds if the base has billions of parameters")  # fmt: skip
    add("P-tuning and prefix train 0.05 to 0.2 %", f"prefix 20: {share('prefix 20', 'BERT-base'):.2%}; projected, while "
        f"training: {share('prefix 20, projected', 'BERT-base'):.1%}", "holds if few tokens and no projection")  # fmt: skip
    add("an adapter trains 0.1 to 1 %", f"reduction 16: Pfeiffer {share('adapter (pfeiffer, 16)', 'BERT-base'):.2%}, "
        f"Houlsby {share('adapter (houlsby, 16)', 'BERT-base'):.2%}", "holds for one adapter a block")  # fmt: skip
    add("prompt tuning has no parameters", f"20 tokens: {found['counts']['prompt 20']['BERT-base']['trained']:,} = "
        f"{share('prompt 20', 'BERT-base'):.3%}, and the head", "does not hold")  # fmt: skip
    add("BitFit is tiny", f"{share('bitfit', 'BERT-base'):.3%} of BERT-base; Llama has no biases at all",
        "holds if the base has biases")  # fmt: skip
    add("IA3 adds nothing", f"{found['counts']['ia3']['BERT-base']['trained']:,} = {share('ia3', 'BERT-base'):.3%}; "
        "folded away when answering", "does not hold while training, holds after folding")  # fmt: skip
    add("memory: prompt very low, LoRA medium", f"of full: prompt {ratio['prompt 20']['mb'] / ratio['full']['mb']:.0%}, "
        f"prefix {ratio['prefix 20']['mb'] / ratio['full']['mb']:.0%}, LoRA (all) "
        f"{ratio['lora r8, all']['mb'] / ratio['full']['mb']:.0%}, head {ratio['head']['mb'] / ratio['full']['mb']:.0%}",
        "does not hold: all but head keep the activations of the backward pass")  # fmt: skip
    add("training few parameters is 3 to 5 times faster", "CPU of a step against full: " + ", ".join(
        f"{m} {ratio['full']['seconds'] / ratio[m]['seconds']:.1f}x" for m in ("head", "layers (top 2)", "lora r8, q v", "bitfit")),
        "holds if no block is trained (head); not for methods that reach the lowest block")  # fmt: skip
    return lines


TEXT = """# Claims of handbooks, measured

Written by `python bench/claims.py`. More rows follow as more is measured.

## Verdicts

{claims}

## Trained parameters, exact

Counted from configurations alone, without weights; the head is counted apart, in the last line. Shares are of the
whole model.

{shares}

## Trained, stored, added (BERT-base)

"stored" is what a saved model holds beside the base, head included; "added" is what answering computes beyond the
base's own weights, after folding where a method folds.

{stored}

## Memory and time of one step (MiniLM-L6, 32 rows of 64 tokens, one core)

Peak memory of three training steps beyond the loaded base, each method in a fresh process. A method that leaves the
lowest blocks alone saves activations; one that only trains fewer numbers saves gradients and optimizer state.

{live}

## Number of rows and method (sst2, accuracy on 800 test rows)

At least 100 steps of 32 rows for every cell, default settings, one seed; intervals count the test rows and not which
rows were learnt from. Measured by `python bench/quality/run.py sizes --rows N`.

{sizes}
"""


if __name__ == "__main__":
    main()
