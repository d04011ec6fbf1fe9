"""The command line: one file a verb. Parses words, calls a flow, prints. `--help` imports no torch."""

import argparse
import importlib
import json
import keyword
import os
import pkgutil
import sys
from typing import Any

from tunesmith.errors import TunesmithError

DESCRIPTION = "From a data file and a pretrained model to a fine-tuned, measured, reloadable model."


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole grammar; with `verb`, only that verb's file is imported (help lists all by their first line)."""
    top = argparse.ArgumentParser(prog="tunesmith", description=DESCRIPTION)
    top.add_argument("--version", action="version", version=_version())
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in names():
        module = importlib.import_module(f"tunesmith.cli.{name}{'_' * keyword.iskeyword(name)}")
        first = (module.__doc__ or "").splitlines()[0]
        sub = verbs.add_parser(name, help=first, description=module.__doc__)
        if verb in (None, name):
            module.arguments(sub)
        flags(sub, default=False)
        sub.set_defaults(run=module.run)
    return top


def flags(sub: argparse.ArgumentParser, default: Any) -> None:
    """What every verb takes; the actions of a verb take it, too, and there `default` leaves what the verb was told."""
    sub.add_argument(
        "--json", action="store_true", default=default, help="print one JSON object on stdout, nothing else"
    )
    sub.add_argument("--debug", action="store_true", default=default, help="show tracebacks")


def names() -> list[str]:
    """All verbs: the files of this folder; a verb that is a word of Python has `_` behind its file's name."""
    return sorted(m.name.removesuffix("_") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def _version() -> str:
    from tunesmith.version import __version__

    return f"tunesmith {__version__}"


def main(argv: list[str] | None = None) -> int:
    """Entry point. Exit codes: 0 done, 1 user error, 2 wrong usage, 3 a refused gate, 130/143 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    asked = parser(next((w for w in words if not w.startswith("-")), None)).parse_args(words)
    try:
        reply = asked.run(asked)
        if asked.json and reply is not None:  # a conversation has printed a line for each turn
            print(json.dumps(reply, ensure_ascii=False, allow_nan=False))
        sys.stdout.flush()
    except TunesmithError as error:
        if asked.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted. Run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough; Python would flush once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def say(asked: argparse.Namespace, text: str) -> None:
    """A result for a person, on stdout; silent with --json."""
    if not asked.json:
        print(text)


def table(header: list[str], rows: list[list[Any]]) -> str:
    """Aligned columns of text."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
