"""Which method? All of them on your data within one budget, with a recommendation; the same command goes on.

The smallest method wins that is not significantly worse than the best.
"""

import argparse
from typing import Any

from tunesmith.cli import _plan, say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `race`."""
    _plan.arguments(parser)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="methods that run (lora full head lora+bitfit); "
                        "all that need nothing beyond the plan unless named")  # fmt: skip
    parser.add_argument("--budget", default="20m", metavar="TIME", help="wall time, such as 90s, 20m or 2h (20m)")
    parser.add_argument("--memory", default=None, metavar="SIZE", help="stop what needs more, such as 8GB")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how often finalists are trained (3)")
    parser.add_argument("--margin", type=float, default=None, help="a loss that may be taken for a smaller method, in "
                        "the unit of the metric (0.01, one point, where it is a share)")  # fmt: skip
    parser.add_argument("--no-grid", action="store_true", help="methods as they stand, without other settings of each")
    parser.add_argument("--dry", action="store_true", help="only say what would run")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Race."""
    plan = _plan.plan_of(asked.plan)
    from tunesmith.flows import race
    from tunesmith.progress import Progress

    reply = race(
        plan, asked.methods, budget=asked.budget, memory=asked.memory, seeds=asked.seeds, margin=asked.margin,
        grid=not asked.no_grid, dry=asked.dry, online=asked.online, progress=Progress(silent=asked.quiet),
    )  # fmt: skip
    say(asked, _dry(reply) if asked.dry else _told(reply))
    return reply


def _dry(reply: dict[str, Any]) -> str:
    rows = [[line["arm"], line["reason"]] for line in reply["ranking"]]
    rungs = [f"{rung['share']:.0%} of the steps by {rung['until_seconds']:.0f} s" for rung in reply["rungs"]]
    told = [table(["arm", "why"], rows), "", f"{len(rows)} arms: {', '.join(rungs)}, then seeds of the finalists"]
    return "\n".join([*told, *(f"cannot run here: {arm}: {why}" for arm, why in reply["refused"].items())])


def _told(reply: dict[str, Any]) -> str:
    header = ["arm", f"{reply['metric']}, {reply['split']}", "seeds", "seconds", "MB", "learns", "ms", ""]
    rows = [[line["arm"], _value(line), line["seeds"] or "", _number(line["seconds"], ".1f"),
             _number(line["memory_mb"], ".0f"), _number(line["trainable_share"], ".3%"),
             _number(line["answer_ms"], ".1f"), line["reason"] or line["fate"]]
            for line in reply["ranking"]]  # fmt: skip
    told = [table(header, rows), "", *reply["said"], *(f"warning: {text}" for text in reply["warnings"])]
    told += [f"{reply['seconds']:.0f} of {reply['budget_seconds']:.0f} s; page: {reply['page']}"]
    return "\n".join(told + [f"train it: tunesmith train {reply['plan']}"] * (reply["plan"] is not None))


def _value(line: dict[str, Any]) -> str:
    """Such as 0.812 [0.780, 0.841]; of what did not finish, what validation rows said at last."""
    if line["test"] is None:
        return "" if line["validation"] is None else f"({line['validation']:.3f} at {line['share']:.0%})"
    found = line["test"]
    if found["value"] is None or found["low"] is None:
        return _number(found["value"], ".3f")
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
