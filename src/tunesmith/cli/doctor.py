"""Say whether this machine is ready: versions, device, bases, disk."""

import argparse
from typing import Any

from tunesmith.cli import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `doctor`."""
    parser.add_argument("--cache", action="store_true", help="delete every cache, and say what that freed")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Examine the machine."""
    from tunesmith.doctor import examine

    reply = examine(clean_cache=asked.cache)
    for each in reply["checks"]:
        say(asked, f"{'ok  ' if each['ok'] else 'BAD '} {each['name']}: {each['found']}")
        if not each["ok"]:
            say(asked, f"     {each['remedy']}")
    return reply
