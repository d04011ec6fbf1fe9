"""List the labels of a file that are probably wrong.

A model that never saw a row says what it takes its label for; the least believed come first. Decide in the column
`decision` (keep, drop, or a label) and train with `steps: [clean, {name: relabel, file: suspects.csv}, dedup]`.
"""

import argparse
from pathlib import Path
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data labels`."""
    parser.add_argument("file", help="data file")
    parser.add_argument("plan", nargs="*", metavar="path=value", help="settings of a plan, such as task.label=failure")
    parser.add_argument("--base", default=None, help="base whose frozen vectors judge, such as minilm; without: words")
    parser.add_argument("--out", type=Path, required=True, help="file for the list, such as suspects.csv")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """List them."""
    from tunesmith.flows import doubts
    from tunesmith.progress import Progress

    reply = doubts(
        asked.file, asked.out, words=asked.plan, base=asked.base, online=asked.online,
        progress=Progress(silent=asked.json),
    )  # fmt: skip
    say(asked, _told(reply))
    return reply


def _told(reply: dict[str, Any]) -> str:
    rows = [[f"{r['source']}, row {r['row']}", r["given"], r["suggested"], f"{r['score']:.3f}", r["text"][:60]]
            for r in reply["first"]]  # fmt: skip
    lines = [
        f"{reply['file']}: {reply['judged']} of {reply['rows']} labels judged by {reply['by']}, which agrees with "
        f"{reply['agreed']:.1%} of them",
        f"{reply['suspects']} have a likelier label; confident learning counts {reply['counted_wrong']} as wrong",
    ]
    if alone := reply["unjudged_labels"]:
        lines.append(f"not judged, because nothing else has their label: {', '.join(alone)}")
    if rows:
        lines += ["", table(["where", "label", "suggested", "p(label)", "text"], rows), ""]
    lines.append(f"all of them: {reply['out']}. Fill its column decision, then train with the step relabel")
    return "\n".join(lines)
