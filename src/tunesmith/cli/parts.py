"""List what a plan can be made of, with settings and when to prefer what, and what `data check` looks for."""

import argparse
from typing import Any

from tunesmith.cli import say, table

USUAL = "minilm"
"""Base whose numbers are shown where nobody names one."""
KINDS = ["tasks", "methods", "penalties", "steps", "metrics", "checks"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `parts`."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="one kind; all without it")
    parser.add_argument("--base", default=None, help="count each method's parameters exactly on this base; for "
                        f"`parts methods` {USUAL} where it is installed")  # fmt: skip
    parser.add_argument("--labels", type=int, default=2, help="outputs of the head for the count")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """List parts."""
    from tunesmith.listing import listed

    reply = {kind: listed(kind) for kind in ([asked.kind] if asked.kind else KINDS)}
    base, counts = _counts(asked) if "methods" in reply else (None, {})
    for each in reply.get("methods", []) if base else []:
        each["parameters"] = counts.get(each["name"])
    for kind, parts in reply.items():
        say(asked, f"\n{kind}\n{_table(kind, parts)}")
    if base:
        say(asked, f"\nnumbers: {base}, default settings, {asked.labels} labels (--base, --labels)")
    return reply | ({"counted_on": base} if base else {})


def _counts(asked: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """(the base that methods are counted on, the counts by method)."""
    from tunesmith.errors import TunesmithError
    from tunesmith.listing import counted

    if asked.base or not asked.kind:
        return asked.base, counted(asked.base, asked.labels) if asked.base else {}
    try:
        return USUAL, counted(USUAL, asked.labels)
    except TunesmithError:  # nobody asked for that base
        return None, {}


def _table(kind: str, parts: list[dict[str, Any]]) -> str:
    if kind == "checks":
        return table(["name", "looks for"], [[p["name"], p["summary"]] for p in parts])
    if kind == "steps":
        return table(["name", "memory", "prefer when"], [[p["name"], p["memory"], p["prefer"]] for p in parts])
    if kind != "methods":
        return table(["name", "prefer when"], [[p["name"], p["prefer"]] for p in parts])
    header = ["name", "trained", "stored", "added at inference", "head", "merges", "opens in", "prefer when"]
    rows = []
    for p in parts:
        counts = p.get("parameters")
        numbers = [_number(counts, k) for k in ("trained", "stored", "added", "head")]
        rows.append([p["name"], *numbers, "yes" if p["mergeable"] else "no", p["ecosystem"], p["prefer"]])
    return table(header, rows)


def _number(counts: dict[str, Any] | None, name: str) -> str:
    if counts is None:
        return "-"
    if "refused" in counts:
        return "refused"
    share = f" ({counts[name] / counts['base']:.3%})" if name == "trained" else ""
    return f"{counts[name]:,}{share}"
