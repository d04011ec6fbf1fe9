"""Search settings: ranges stand in the plan where values stand; the best of many is judged on rows that no trial saw.

The same command goes on where an interrupted search stopped. `trials=50` is short for `search.trials=50`.
"""

import argparse
from pathlib import Path
from typing import Any

from tunesmith.cli import _plan, say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `tune`."""
    _plan.arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Search, judge, and say."""
    from tunesmith.flows import tune
    from tunesmith.progress import Progress

    file, words = _plan.parted(asked.plan)
    reply = tune(Path(file) if file else None, words, online=asked.online, progress=Progress(silent=asked.quiet))
    say(asked, told(reply))
    return reply


def told(reply: dict[str, Any]) -> str:
    """The best settings, what they are worth, and how they were found."""
    worth, best = reply["worth"], reply["best"]
    rows = [[name, short(value), _share(reply["importance"], name)] for name, value in best["settings"].items()]
    lines = [table(["setting", "best", "importance"], rows), "", *_worth(worth), ""]
    if worth["against"]:
        lines += [worth["against"]["sentence"], ""]
    counts = ", ".join(f"{number} {state}" for state, number in reply["trials"].items() if number)
    lines.append(f"{counts}; {reply['seconds']:.0f} s")
    lines += [f"note: {note}" for note in reply["notes"]]
    return "\n".join([*lines, f"plan: {best['plan']}", f"page: {reply['page']}"])


def _worth(worth: dict[str, Any]) -> list[str]:
    named = {"seen": "on the rows that picked it", "corrected": "the same without the luck of being picked",
             "test": "on rows that no trial saw"}  # fmt: skip
    rows = [[words, short(worth[key]["value"]), f"[{short(worth[key]['low'])}, {short(worth[key]['high'])}]"]
            for key, words in named.items() if worth[key] is not None]  # fmt: skip
    return [table([worth["metric"], "value", f"{worth['level']:.0%} interval"], rows)]


def _share(importance: dict[str, float] | None, name: str) -> str:
    return "" if importance is None or name not in importance else f"{importance[name]:.0%}"


def short(value: Any) -> str:
    """A setting or a value, in four digits."""
    if value is None:
        return "undefined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
