"""Answer a file: the input columns unchanged plus prediction and probabilities; resumable."""

import argparse
from typing import Any

from tunesmith.cli import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `predict`."""
    parser.add_argument("model", help="run folder, model folder or version (name@number)")
    parser.add_argument("--data", required=True, help="file to answer")
    parser.add_argument("--out", required=True, help="file to write: csv, tsv, json, jsonl or parquet")
    parser.add_argument("--prefix", default="", help="put before our column names where the input has them, too")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Predict file to file."""
    from tunesmith.flows import predict

    reply = predict(asked.model, asked.data, asked.out, prefix=asked.prefix, online=asked.online)
    say(asked, f"{reply['rows']} rows answered: {reply['out']}")
    return reply
