"""Accept a finished run into the registry as the next version of a name."""

import argparse
from typing import Any

from tunesmith.cli import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `register`."""
    parser.add_argument("model", help="run folder")
    parser.add_argument("--name", required=True, help="name of the model, such as tickets")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Register a run."""
    from tunesmith.flows import register

    version = register(asked.model, asked.name)
    say(asked, f"registered {version.name}@{version.number} (sha256:{version.digest[:12]})")
    return {"name": version.name, "number": version.number, "digest": version.digest}
