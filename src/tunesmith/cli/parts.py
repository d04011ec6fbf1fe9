"""List what a plan can be made of: tasks, methods, penalties, steps, metrics, with settings and when to prefer what."""

import argparse
from typing import Any

from tunesmith.cli import say, table

KINDS = ["tasks", "methods", "penalties", "steps", "metrics"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `parts`."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="one kind; all without it")
    parser.add_argument("--base", default=None, help="count each method's parameters exactly on this base")
    parser.add_argument("--labels", type=int, default=2, help="outputs of the head for the count")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """List parts."""
    from tunesmith.listing import counted, listed

    reply = {kind: listed(kind) for kind in ([asked.kind] if asked.kind else KINDS)}
    if asked.base and "methods" in reply:
        counts = counted(asked.base, asked.labels)
        for each in reply["methods"]:
            each["parameters"] = counts.get(each["name"])
    for kind, parts in reply.items():
        say(asked, f"\n{kind}\n{_table(kind, parts)}")
    return reply


def _table(kind: str, parts: list[dict[str, Any]]) -> str:
    if kind != "methods":
        return table(["name", "prefer when"], [[p["name"], p["prefer"]] for p in parts])
    header = ["name", "trained", "stored", "added at inference", "head", "merges", "opens in", "prefer when"]
    rows = []
    for p in parts:
        counts = p.get("parameters") or {}
        numbers = [_number(counts, k) for k in ("trained", "stored", "added", "head")]
        rows.append([p["name"], *numbers, "yes" if p["mergeable"] else "no", p["ecosystem"], p["prefer"]])
    return table(header, rows)


def _number(counts: dict[str, Any], name: str) -> str:
    if "refused" in counts:
        return "refused"
    if not counts:
        return "(--base)"
    share = f" ({counts[name] / counts['base']:.3%})" if name == "trained" else ""
    return f"{counts[name]:,}{share}"
