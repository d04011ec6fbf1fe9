"""Metrics with intervals of a model on a labelled file."""

import argparse
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `evaluate`."""
    parser.add_argument("model", help="run folder, model folder or version (name@number)")
    parser.add_argument("--data", required=True, help="labelled file")
    parser.add_argument("--robustness", nargs="?", const="true", default="false", metavar="LIST",
                        help="also judge perturbed copies of the rows: all kinds, or a list such as "
                        "'[keyboard, {name: cut, keep: 0.1}]'")  # fmt: skip
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Judge a model."""
    from tunesmith.cli.train import told
    from tunesmith.flows import evaluate
    from tunesmith.plan_text import value_of

    perturbed = value_of("robustness", asked.robustness)
    reply = evaluate(asked.model, asked.data, robustness=perturbed, online=asked.online)
    say(asked, table(["metric", f"{reply['rows']} rows"], [[n, told(v)] for n, v in reply["metrics"].items()]))
    for warning in reply["warnings"]:
        say(asked, f"warning: {warning}")
    if card := reply.get("robustness"):
        say(asked, _told(card))
    return reply


def _told(card: dict[str, Any]) -> str:
    """What perturbed texts cost, as a table and a sentence."""
    from tunesmith.cli.train import told
    from tunesmith.evaluation.robustness import sentence

    rows = [
        [label, "changes no text"] if "skipped" in each else
        [label, each["rows_changed"], told(each["metrics"][card["metric"]]), told(each["difference"])]
        for label, each in card["perturbations"].items()
    ]  # fmt: skip
    header = ["perturbation", "rows changed", card["metric"], "minus clean"]
    return f"\n{table(header, [[*row, *[''] * (4 - len(row))] for row in rows])}\n{sentence(card)}"
