"""Search an instruction and examples for a base that cannot be changed, within a budget of calls; resumable."""

import argparse
from typing import Any

from tunesmith.cli import _plan, say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `hardprompt`."""
    _plan.arguments(parser)
    parser.add_argument("--budget", type=int, required=True, help="most calls, the final measurement included")
    parser.add_argument("--out", required=True, help="folder of the journal of calls and of the report")
    parser.add_argument(
        "--instruction", action="append", default=[], help="an instruction to try; the first is the plain one"
    )
    parser.add_argument("--instructions", default=None, help="file of instructions, one a line")
    parser.add_argument("--shots", type=int, default=4, help="most examples that are shown")
    parser.add_argument(
        "--metric", default=None, help="what to search for; the plan's first that reads written answers"
    )
    parser.add_argument(
        "--endpoint", default=None, help="OpenAI-compatible address, such as https://host/v1, not a local base"
    )
    parser.add_argument("--model", default=None, help="name of the endpoint's model")
    parser.add_argument("--key-env", default=None, help="environment variable that holds the endpoint's key")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Search as asked."""
    from pathlib import Path

    plan = _plan.plan_of(asked.plan)
    from tunesmith.flows import hardprompt
    from tunesmith.hardprompt.job import Asked, own_instructions, told
    from tunesmith.progress import Progress

    own = own_instructions(asked.instruction, asked.instructions)
    what = Asked(
        asked.budget, Path(asked.out), own, asked.shots, asked.metric, asked.endpoint, asked.model, asked.key_env
    )
    reply = hardprompt(plan, what, online=asked.online, progress=Progress(silent=asked.quiet))
    say(asked, told(reply))
    return reply
