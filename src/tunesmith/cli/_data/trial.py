"""Say whether the steps that make training rows help: the plan with and without them, over several seeds.

The same command goes on where an interrupted one stopped.
"""

import argparse
from typing import Any

from tunesmith.cli import _plan, say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data trial`."""
    _plan.arguments(parser)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds, each with a split of its own (3)")
    parser.add_argument("--rows", type=int, default=None, metavar="N", help="learn from so many training rows alone")
    parser.add_argument("--method", default=None, help="another method than the plan's, such as head")
    parser.add_argument("--each", action="store_true", help="try every step alone, too")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Train, compare, and say."""
    from tunesmith.flows import trial

    words = asked.plan if asked.method is None else [*asked.plan, f"method={asked.method}"]
    reply = trial(_plan.plan_of(words), seeds=asked.seeds, rows=asked.rows, each=asked.each, online=asked.online)
    say(asked, _told(reply))
    return reply


def _told(reply: dict[str, Any]) -> str:
    seeds = [f"seed {seed}" for seed in reply["seeds"]]
    rows = [[arm, ", ".join(told["steps"]) or "none", *map(_short, told["values"]), _short(told["mean"])]
            for arm, told in reply["arms"].items()]  # fmt: skip
    lines = [table([f"{reply['metric']}, {reply['split']}", "steps", *seeds, "mean"], rows), ""]
    if reply["robustness"]:
        first = next(iter(reply["arms"]))
        further = [[what, arm, _short(by[first]["mean"]), _short(told["mean"]), _short(told["p_holm"])]
                   for what, by in reply["robustness"].items() for arm, told in by.items() if arm != first]  # fmt: skip
        lines += [table(["texts", "arm", first, "mean", "p (Holm)"], further), ""]
    lines += [*reply["said"], *(f"warning: {text}" for text in reply["warnings"]), f"kept in {reply['folder']}"]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
