"""Advise in seconds, without training: which method, settings and base for these rows and this machine, and why.

What is said comes from rules with their sources and from our own measurements (docs/advising.md); --apply writes it as
a plan.
"""

import argparse
from pathlib import Path
from typing import Any

from tunesmith.cli import _plan, say, table

SHOWN = 3
"""Methods whose reasons are printed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `advise`."""
    _plan.arguments(parser)
    parser.add_argument("--bases", nargs="+", default=[], metavar="BASE",
                        help="further bases to rank: aliases, folders, hub ids, versions")  # fmt: skip
    parser.add_argument(
        "--memory", metavar="SIZE", help="memory that there is, such as 8GB; without: what is free here"
    )
    parser.add_argument("--budget", metavar="TIME", help="time that there is, such as 20m or 2h")
    parser.add_argument("--switch", type=int, default=1, metavar="N", help="so many tasks are to share one loaded base")
    parser.add_argument("--fixed-base", action="store_true", help="the base's own weights cannot be changed")
    parser.add_argument("--apply", type=Path, metavar="FILE", help="write the recommended plan there")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Advise."""
    plan = _plan.plan_of(asked.plan)
    from tunesmith.flows import advise
    from tunesmith.progress import Progress

    reply = advise(
        plan, bases=asked.bases, memory=asked.memory, budget=asked.budget, switch=asked.switch,
        fixed_base=asked.fixed_base, apply=asked.apply, online=asked.online, progress=Progress(silent=True),
    )  # fmt: skip
    say(asked, told(reply))
    return reply


def told(reply: dict[str, Any]) -> str:
    """Case, methods, settings with reasons, bases, and what else to do."""
    known, best = reply["known"], reply["ranking"][0]
    lines = [
        _case(known),
        "",
        table(["method", "points", "time", "memory", "disk", "trained", "fits"], _methods(reply)),
        "",
    ]
    for each in reply["ranking"][:SHOWN]:
        lines += [f"{each['method']}: {reason['text']} [{reason['source']}]" for reason in each["reasons"]]
    lines += ["", f"settings of {best['method']}, learning rate {best['learning_rate']:.2g}:"]
    for each in best["why"]:
        was = f" (the plan has {each['was']})" if each["was"] not in (None, each["value"]) else ""
        lines.append(f"  {each['path']} = {each['value']}{was}: {each['reason']} [{each['source']}]")
    lines += ["", table(["base", "parameters", "licence", "pieces/word", "probe", "why"], _bases(reply["bases"]))]
    lines += [f"also: {each['do']} ({each['reason']}) [{each['source']}]" for each in reply["also"]]
    lines += [f"out: {name}: {why}" for name, why in reply["refused"].items()]
    lines += [f"warning: {warning}" for warning in reply["warnings"]]
    lines += [f"{reply['plan']} written. Next: tunesmith train {reply['plan']}"] if reply["plan"] else []
    return "\n".join(lines)


def _case(known: dict[str, Any]) -> str:
    shown = ("task", "rows", "classes", "imbalance", "language", "tokens_median", "tokens_p99", "pieces_per_word",
             "label_noise", "probe", "base_millions", "memory_mb", "gpu")  # fmt: skip
    return ", ".join(f"{name} {known[name]}" for name in shown if known[name] is not None)


def _methods(reply: dict[str, Any]) -> list[list[Any]]:
    return [
        [each["method"] + " *" * (each["method"] == reply["recommended"]), f"{each['points']:+.1f}",
         _time(each["forecast"]["seconds"]), _mb(each["forecast"]["memory_mb"]), _mb(each["forecast"]["disk_mb"]),
         f"{each['trainable'] / each['total']:.2%}", "yes" if each["fits"] else "no"]
        for each in reply["ranking"]
    ]  # fmt: skip


def _time(seconds: float | None) -> str:
    from tunesmith.training.pace import spoken

    return "–" if seconds is None else spoken(seconds)


def _bases(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [
        [row["base"], f"{row['parameters'] / 1e6:.1f} M" if row.get("parameters") else "–",
         row.get("licence") or "not stated", row.get("pieces_per_word") or "–",
         "–" if row["probe"] is None else f"{row['probe']:.3f}", row["reason"]]
        for row in rows
    ]  # fmt: skip


def _mb(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} MB"
