"""The model card: what is measured and known of a run, as Markdown with the front matter that model hubs read.

Nothing is claimed that is not in the run folder: no licence is guessed, no use is recommended.
"""

from pathlib import Path
from typing import Any

import yaml

from tunesmith.evaluation.report_blocks import fixed, title_of
from tunesmith.evaluation.report_data import fates
from tunesmith.evaluation.report_read import Results, base_name, innermost, named, pipeline_of, read
from tunesmith.evaluation.report_robustness import meaning
from tunesmith.evaluation.report_training import duration
from tunesmith.evaluation.report_verdict import question, verdict
from tunesmith.evaluation.robustness import sentence
from tunesmith.files import write_text

CARD = "MODEL_CARD.md"
_SPECIAL = {ord(letter): f"\\{letter}" for letter in r"\`*_[]<>|#~!$"}


def write_card(run: Path) -> Path:
    """Write `MODEL_CARD.md` of a run folder; returns its path."""
    path = run / CARD
    write_text(path, render(read(run)))
    return path


def render(results: Results) -> str:
    """The card as text."""
    told = verdict(results)
    parts = [
        f"---\n{yaml.safe_dump(_front(results), sort_keys=False, allow_unicode=True)}---",
        f"# {plain(results.name)}",
        plain(question(results)),
        f"**{plain(told.headline)}**",
        *(plain(sentence) for sentence in told.sentences),
        *_results(results),
        *_robustness(results),
        *_limits(results),
        *_data(results),
        *_made(results),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: object) -> str:
    """A text that Markdown and HTML leave as it is, on one line."""
    return " ".join(str(text).translate(_SPECIAL).split())


def _front(results: Results) -> dict[str, Any]:
    task = named(results.plan.get("task"))
    front: dict[str, Any] = {"tags": ["tunesmith", task, *named(results.plan.get("method")).split(" + ")]}
    if base := (results.provenance.get("base") or {}).get("public_name"):
        front["base_model"] = str(base)
    if pipeline := pipeline_of(results.plan):
        front["pipeline_tag"] = pipeline
    front["model-index"] = [{"name": results.name, "results": _index(results)}]
    return front


def _index(results: Results) -> list[dict[str, Any]]:
    data = base_name(((results.data.get("files") or [{}])[0]).get("name", "unknown"))
    found = []
    for split, table in (results.measured.get("metrics") or {}).items():
        metrics = [{"type": name, "value": one["value"]} for name, one in table.items() if one.get("value") is not None]
        if metrics:
            about = {"type": "private", "name": data, "split": split}
            kind = pipeline_of(results.plan) or named(innermost(results.plan))
            found.append({"task": {"type": kind}, "dataset": about, "metrics": metrics})
    return found


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _results(results: Results) -> list[str]:
    splits = results.measured.get("metrics") or {}
    if not splits:
        return []
    rows = [
        [title_of(name), split, fixed(one["value"]), _span(one)]
        for split, table in splits.items()
        for name, one in table.items()
        if one.get("value") is not None
    ]
    for split, found in (results.measured.get("without_leaks") or {}).items():
        rows += [
            [title_of(name), f"{split}, {found['left_out']} near-duplicates of training rows left out",
             fixed(one["value"]), _span(one)]
            for name, one in (found.get("metrics") or {}).items() if one.get("value") is not None
        ]  # fmt: skip
    baselines = [
        [plain(baseline), title_of(results.main), results.split, fixed(results.of(results.main, baseline)["value"])]
        for baseline in results.measured.get("baselines") or {}
        if results.main and results.of(results.main, baseline)
    ]
    parts = ["## Results", _table(["Metric", "Split", "Value", f"{results.percent} interval"], rows)]
    return parts + ([_table(["Baseline", "Metric", "Split", "Value"], baselines)] if baselines else [])


def _robustness(results: Results) -> list[str]:
    found = results.measured.get("robustness")
    if not found:
        return []
    rows = [
        [plain(f"{label}: {meaning(each)}"), *_value(each["metrics"].get(found["metric"])), *_value(each["difference"])]
        for label, each in found["perturbations"].items() if "skipped" not in each
    ]  # fmt: skip
    span = f"{results.percent} interval"
    header = [f"Texts of {found['split']}", title_of(found["metric"]), span, "Minus as they are", span]
    return ["## Perturbed texts", plain(sentence(found)), *([_table(header, rows)] if rows else [])]


def _value(found: dict[str, Any] | None) -> list[str]:
    known = found is not None and found["value"] is not None
    return [fixed(found["value"]), _span(found)] if found and known else ["undefined", ""]


def _span(found: dict[str, Any]) -> str:
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else f"{fixed(low)} to {fixed(high)}"


def _limits(results: Results) -> list[str]:
    if not results.warnings:
        return []
    return ["## Warnings", "\n".join(f"- {plain(text)}" for text in results.warnings)]


def _data(results: Results) -> list[str]:
    files = [
        f"- {plain(base_name(f.get('name', '')))}: {f.get('rows')} rows, sha256 `{plain(f.get('sha256', ''))}`"
        for f in results.data.get("files") or []
    ]
    if ledger := results.data.get("ledger"):
        counts = ", ".join(f"{plain(name)} {num}" for name, num in fates(ledger).items() if num)
        files.append(f"- {ledger.get('rows')} input rows: {counts}")
    if labels := results.facts.get("labels"):
        files.append(f"- {len(labels)} labels: {', '.join(map(plain, labels))}")
    return ["## Data", "\n".join(files)] if files else []


def _quantised(base: dict[str, Any]) -> str | None:
    if not base.get("quant"):
        return None
    held = base["bytes"]
    return (
        f"{base['quant']}: the linear layers of its blocks take {held['quantised'] / 1e6:,.1f} MB instead of "
        f"{held['whole'] / 1e6:,.1f}; load the base the same way (bitsandbytes) before the adapter"
    )


def _scaled(base: dict[str, Any]) -> str | None:
    rope = base.get("rope")
    if not rope:
        return None
    return (
        f"{rope['type']}, factor {rope['factor']:g}: an adapter's base must be loaded with rope_parameters of this "
        "rope_type and factor"
    )


def _made(results: Results) -> list[str]:
    found = results.provenance
    seconds, parameters = found.get("seconds") or {}, found.get("parameters") or {}
    base = found.get("base") or {}
    pairs = [
        ("Base", base.get("public_name") or base.get("name")), ("Digest of the base", base.get("digest")),
        ("Quantised base", _quantised(base)), ("Scaled positions", _scaled(base)),
        ("Method", named(results.plan.get("method"))), ("Made", found.get("created")), ("Seed", found.get("seed")),
        ("Training time", duration(seconds["train"]) if seconds.get("train") is not None else None),
        ("Trainable parameters", f"{parameters['trainable']} of {parameters['total']}" if parameters else None),
        ("Peak memory in MB", found.get("memory_peak_mb")),
        ("Energy in Wh (estimate)", found.get("energy_wh")),
        ("Opens in", found.get("ecosystem")), ("sha256 of the weights", found.get("weights_sha256")),
        ("Reload proof", "held" if found.get("proof") else "not stored"),
        *sorted((found.get("versions") or {}).items()),
    ]  # fmt: skip
    return ["## How it was made", "\n".join(f"- {plain(k)}: {plain(v)}" for k, v in pairs if v is not None)]
