"""Metrics with intervals of a model on a labelled file."""

import argparse
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `evaluate`."""
    parser.add_argument("model", help="run folder, model folder or version (name@number)")
    parser.add_argument("--data", required=True, help="labelled file")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Judge a model."""
    from tunesmith.cli.train import told
    from tunesmith.flows import evaluate

    reply = evaluate(asked.model, asked.data, online=asked.online)
    say(asked, table(["metric", f"{reply['rows']} rows"], [[n, told(v)] for n, v in reply["metrics"].items()]))
    for warning in reply["warnings"]:
        say(asked, f"warning: {warning}")
    return reply
