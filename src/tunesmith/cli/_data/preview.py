"""Show what steps that make training rows would add: pairs of before and after."""

import argparse
from pathlib import Path
from typing import Any

from tunesmith.cli import say

MARKS = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data preview`."""
    parser.add_argument("file", help="data file or plan file")
    parser.add_argument("plan", nargs="*", metavar="path=value", help="settings of a plan, such as steps=[dedup,eda]")
    parser.add_argument("--base", default=None, help="base of the plan, such as minilm")
    parser.add_argument("--pairs", type=int, default=20, metavar="N", help="pairs to show (20)")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Show what the plan's augmentation steps make of its training rows."""
    from tunesmith.flows import preview

    reply = preview(_plan(asked), count=asked.pairs)
    lines = [f"{reply['rows']} training rows; {', '.join(reply['steps'])}"]
    for pair in reply["pairs"]:
        text = "".join(MARKS[what].format(part) for what, part in pair["difference"])
        label = "" if pair["label"] is None else f"  ({pair['label']})"
        lines.append(f"{pair['step']}  {pair['place']}{label}\n    {text}")
    lines += [f"{step}: {what}: {times}" for step, told in reply["told"].items() for what, times in told.items()]
    say(asked, "\n".join(lines))
    return reply


def _plan(asked: argparse.Namespace) -> Any:
    """The plan of a data file and words, or of a plan file and words."""
    from tunesmith.plan_text import read_plan

    if Path(asked.file).suffix in (".yaml", ".yml"):
        return read_plan(Path(asked.file), asked.plan)
    return read_plan(None, ["task=classify", f"data={asked.file}", f"base={asked.base or 'minilm'}", *asked.plan])
