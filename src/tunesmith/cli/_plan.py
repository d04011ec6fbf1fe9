"""Shared by verbs that take a plan: a YAML file, `path=value` words, or both."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.plan import Plan


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of a plan."""
    parser.add_argument(
        "plan", nargs="*", metavar="PLAN|path=value",
        help="a plan file and settings, such as: plan.yaml train.epochs=5   or: task=classify base=minilm data=x.csv",
    )  # fmt: skip
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def parted(words: list[str]) -> tuple[str | None, list[str]]:
    """The plan file among a command's words, the first one without '=', and the others."""
    files = [w for w in words if "=" not in w]
    if len(files) > 1:
        from tunesmith.errors import TunesmithError

        raise TunesmithError(f"one plan file at most; got {', '.join(files)}. Settings are written path=value")
    return files[0] if files else None, [w for w in words if "=" in w]


def plan_of(words: list[str]) -> "Plan":
    """The plan of a command's words."""
    from tunesmith.plan_text import read_plan  # here, so that --help costs nothing

    file, settings = parted(words)
    return read_plan(Path(file) if file else None, settings)
