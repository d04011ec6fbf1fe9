"""The words around the tables: on what, on which rows and how it was measured, and what is not the same on both sides."""

from collections.abc import Iterable
from typing import Any

from standing import Line

BF16 = {"avx512_bf16", "amx_bf16"}
DATA = {
    "texts": "docstrings of eight packages, openings of natural length (bench/speed/texts.py)",
    "sft": "random tokens of the lengths of conversations (bench/speed/sft.py)",
    "banking77": "questions to a bank, 77 intents", "mwo": "maintenance work orders, 22 failure modes",
}  # fmt: skip


def head(lines: list[Line]) -> str:
    """Title, and what a reader must know before the first number."""
    found = (
        "# Speed against peers\n\n"
        "Written by `python bench/speed/table.py` from the lines in `bench/speed/results/`, which\n"
        "`python bench/speed/run.py [JOB …] [--rows N] [--reps N]` measures and appends.\n"
    )
    return found if lines else found + "\nNothing has been measured yet.\n"


def conditions(lines: list[Line]) -> str:
    """Machine, load, versions, code, rows."""
    if not lines:
        return ""
    loads = sorted(line[when] for line in lines for when in ("load_before", "load_after"))
    dates = sorted(line["date"][:10] for line in lines)
    told = [
        "## Conditions\n",
        *(f"- Machine: {text}." for text in _distinct(_machine(line) for line in lines)),
        f"- Measured from {dates[0]} to {dates[-1]}; load average {loads[0]:.2f} to {loads[-1]:.2f}, median "
        f"{loads[len(loads) // 2]:.2f}. CPU seconds bear other work on the machine better than wall time, so they lead.",
        f"- {_devices(lines)}",
        f"- {_precision(lines)}",
        *(f"- Versions: {text}." for text in _distinct(_versions(line) for line in lines)),
        f"- Code: commit {', '.join(_distinct(line['commit'] for line in lines))}.",
        "- Each arm ran in a process of its own on one thread, arms in turn (A B A B …), repetition by repetition with another",
        "  seed and, for ours, an empty trunk cache. Only training is compared: imports, loading and tokenising are below.",
        f"- Batch {lines[0]['batch']}, the same rows, epochs, optimizer steps, learning rate, schedule and decay on both sides.\n",
        _rows(lines),
    ]
    return "\n".join(told)


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _machine(line: Line) -> str:
    about = line["machine"]
    return f"{about['cpu']} ({', '.join(about['features'])}), {about['cores']} cores, {about['memory_gb']:g} GB, {about['platform']}"


def _versions(line: Line) -> str:
    return ", ".join(f"{name} {number}" for name, number in line["versions"].items())


def _devices(lines: list[Line]) -> str:
    if {line["device"] for line in lines} == {"cpu"}:
        return "No GPU was at hand: no figure here says anything about one."
    return f"Devices: {', '.join(_distinct(line['device'] for line in lines))}."


def _precision(lines: list[Line]) -> str:
    others = _distinct(f"{line['arm']} ({line['precision']})" for line in lines if line["precision"] != "fp32")
    used = " and ".join(_distinct(line["precision"] for line in lines if line["precision"] == "fp32")) or "no fp32"
    used += f", but for {', '.join(others)}," * bool(others)
    if any(BF16 & set(line["machine"]["features"]) for line in lines):
        return f"Computed in {used} on both sides. This CPU has bf16 arithmetic."
    return (
        f"Computed in {used} on both sides. This CPU has no bf16 arithmetic (no {' or '.join(sorted(BF16))}), so bf16 would "
        "be emulated" + (": no bf16 figures." if not others else ", as it is in those arms.")
    )


def _rows(lines: list[Line]) -> str:
    """A line for each set of rows."""
    header = "| rows of | training | held-out | median tokens | mean | padding at batch 8 | 16 | 32 | digest |"
    found: dict[str, Any] = {line["digest"]: line for line in sorted(lines, key=lambda li: (li["data"], li["rows"]))}
    rows = []
    for digest, li in found.items():
        padding = " | ".join(f"{li['padding'][batch]:.2f}" for batch in ("8", "16", "32"))
        cells = (
            f"{li['rows']:,} | {li['test']:,} | {li['median_tokens']:g} | {li['mean_tokens']:g} | {padding} | {digest}"
        )
        rows.append(f"| {li['data']}: {DATA[li['data']]} | {cells} |")
    words = "Padding is places computed / real tokens where random batches are padded to their longest row.\n"
    return "\n".join([words, header, "|" + " --- |" * 9, *rows, ""])


def differences(lines: list[Line]) -> str:
    """What a reader could object to."""
    if not lines:
        return ""
    missing = (
        "; not measured here" if "not installed" in {li["versions"]["sentence-transformers"] for li in lines} else ""
    )
    return f"""## What is not the same on both sides

- Frozen blocks run with dropout in Trainer and without it in ours: what never moves computes as it will at prediction
  time, which is also what makes it cacheable. Trained parts have the base's dropout on both sides.
- "best options" groups rows of one length into a batch, so its batches are not random, and it trains another trajectory.
  Ours and the defaults train on random batches. It sorts rows // 64 batches at a time, so few rows are grouped badly:
  it is measured on 320 rows and more, where it leaves a padding of 1.07.
- Each side draws its own order of rows and its own dropout; heads start from the same seed.
- Bottleneck adapters: "defaults" and "best options" are Trainer with our own PEFT method. AdapterHub's `adapters` 1.3.0
  pins transformers ~= 4.57.6, so it runs in an environment of its own (`run.py --peer adapters`) with the same torch.
- LLaMA-Factory 0.9.5 is not measured: it installs beside torch 2.13 for CPUs (with transformers 5.6.0, peft 0.18.1, trl
  0.24.0, torchvision 0.28.0 and torchaudio 2.11.0), but torchvision is built for another torch ("operator
  torchvision::nms does not exist"), and with that transformers' Trainer cannot be imported.
- Axolotl, Unsloth and Liger need a GPU or Triton, and are not measured.
- TRL's packing puts rows together anew, so its steps hold other rows than ours.
- LoRA is r 8, alpha 16, no dropout, on query and value, with pooler and classifier trained beside, by PEFT on both sides.
- `sentence-transformers` with logistic regression is another method{missing}. SetFit's contrastive training has no counterpart
  with the same steps, and its frozen form is that arm.
- The forward pass of held-out rows, evaluation during training, saving and reports are off, or outside what is measured.
"""
