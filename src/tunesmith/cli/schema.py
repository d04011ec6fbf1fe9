"""Print the JSON schema of a plan, or of a verb's --json reply."""

import argparse
import json
from typing import Any

from tunesmith.cli import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `schema`."""
    parser.add_argument("what", nargs="?", default="plan", help="plan (default), or a verb such as train or predict")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Show a schema."""
    from tunesmith.replies import schema_of

    reply = schema_of(asked.what)
    say(asked, json.dumps(reply, indent=2, ensure_ascii=False))
    return reply
