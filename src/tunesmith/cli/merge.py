"""Fold an adapter into its base, or several runs of one base into one model; the result is proven before it stays."""

import argparse
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `merge`."""
    parser.add_argument("models", nargs="+", metavar="RUN", help="run folders (or merged folders)")
    parser.add_argument("--out", required=True, help="folder to write: a whole model")
    parser.add_argument(
        "--how", choices=["linear", "ties", "dare_linear", "dare_ties", "average"], help="for several runs"
    )
    parser.add_argument("--weights", nargs="+", type=float, help="one a run; equal ones that add up to 1 unless given")
    parser.add_argument("--density", type=float, help="share of each change that ties and dare keep (0.5)")
    parser.add_argument("--seed", type=int, default=0, help="of what dare drops")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32", help="how weights are stored")
    parser.add_argument("--data", help="labelled file: judge the parts and the merge on it, with paired tests")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Merge."""
    from tunesmith.flows import merge
    from tunesmith.progress import Progress

    reply = merge(
        asked.models, asked.out, how=asked.how, weights=asked.weights, density=asked.density, seed=asked.seed,
        dtype=asked.dtype, data=asked.data, online=asked.online, progress=Progress(silent=asked.json),
    )  # fmt: skip
    say(asked, summary(reply))
    for warning in reply["warnings"]:
        say(asked, f"warning: {warning}")
    return reply


def summary(reply: dict[str, Any]) -> str:
    """What was proven, and the comparison where one was asked for."""
    proof = reply["proof"]
    lines = [f"merged: {reply['out']} ({reply['how']}, {reply['dtype']})"]
    alone = proof["plain_max_error"]
    told = "" if alone is None else f", {alone:.2g} opened with transformers alone"
    lines.append(f"proof on {proof['rows']} golden rows: outputs differ by {proof['max_error']:.2g}{told}; "
                 f"{proof['label_flips']} labels and {proof['written_changed']} of {proof['written']} written answers "
                 "changed")  # fmt: skip
    if compared := reply["compared"]:
        from tunesmith.cli.train import told as interval

        names = list(compared["metrics"]["merged"])
        models = list(compared["metrics"])
        rows = [[n, *(interval(compared["metrics"][m][n]) for m in models)] for n in names]
        lines += ["", table([f"{compared['rows']} rows", *models], rows), ""]
        for name, test in compared["paired"].items():
            p = "undefined" if test["p"] is None else f"{test['p']:.2g} (corrected {test['p_holm']:.2g})"
            lines.append(f"merged minus {name}, {test['metric']}: {interval(test['difference'])}, p {p}")
    return "\n".join(lines)
