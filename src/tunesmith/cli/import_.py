"""Turn another tool's configuration into a plan: LLaMA-Factory, axolotl, AutoTrain, Firefly, XTuner, xTuring."""

import argparse
from typing import Any

from tunesmith.cli import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `import`."""
    parser.add_argument(
        "file", help="the other tool's configuration (YAML, JSON, or XTuner's Python, which is not run)"
    )
    parser.add_argument("--out", default="plan.yaml", help="where the plan is written; a file of that name is not lost")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Import a configuration."""
    from tunesmith.flows import import_plan

    made = import_plan(asked.file, asked.out)
    lines = [f"{made.title}: {len(made.carried)} settings carried over, {len(made.without_effect)} without effect here"]
    lines += [f"not carried over: {e['key']} = {e['value']}: {e['why']}" for e in made.not_carried]
    lines += [f"note: {note}" for note in made.notes]
    if made.refused:
        lines.append(f"to do before it can run: {made.refused}")
    say(asked, "\n".join([*lines, f"{asked.out} written. Next: {made.next_command(asked.out)}"]))
    return made.reply(asked.out)
