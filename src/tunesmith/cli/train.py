"""Fine-tune, measure, save and prove a model; the same command resumes an interrupted run."""

import argparse
from typing import Any

from tunesmith.cli import _plan, say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `train`."""
    _plan.arguments(parser)
    parser.add_argument("--fork", action="store_true", help="start a new run beside an existing one")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Train as planned."""
    plan = _plan.plan_of(asked.plan)  # checked before anything heavy is imported
    from tunesmith.flows import train_plan
    from tunesmith.progress import Progress

    done = train_plan(plan, online=asked.online, fork=asked.fork, progress=Progress(silent=asked.quiet))
    say(asked, summary(done.reply))
    say(asked, f"\nreport: {done.report}")
    return done.reply


def summary(reply: dict[str, Any]) -> str:
    """The short table: metrics with intervals beside the baselines, on the last judged split."""
    split = "test" if "test" in reply["metrics"] else "validation"
    names = list(reply["metrics"][split])
    header = [split, "tuned", *reply["baselines"]]
    rows = [
        [name, told(reply["metrics"][split][name]), *(told(b[split][name]) for b in reply["baselines"].values())]
        for name in names
    ]
    seconds, parameters = reply["seconds"], reply["parameters"]
    share = parameters["trainable"] / parameters["total"]
    return (
        table(header, rows)
        + f"\n\n{parameters['trainable']:,} of {parameters['total']:,} parameters trained ({share:.2%}), "
        + f"{seconds['train']:.0f} s of training, {seconds['total']:.0f} s in all, "
        + f"{reply['memory_peak_mb']:.0f} MB at most"
    )


def told(interval: dict[str, float | None]) -> str:
    """'0.812 [0.780, 0.841]'."""
    if interval["value"] is None:
        return "undefined"
    if interval["low"] is None or interval["high"] is None:
        return f"{interval['value']:.3f}"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
