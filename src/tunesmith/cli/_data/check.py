"""Say what is in a file and what is wrong with it.

`tunesmith data check FILE` prints what it found and writes a page to open.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.cli import say
from tunesmith.errors import TunesmithError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data check`."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE|path=value", help="the file to learn from, then files that are held out; "
        "and settings of a plan, such as task.label=failure, or of a check, such as checks.toxic.words=mine.txt"
    )  # fmt: skip
    parser.add_argument("--page", default="data.html", help="the page to write; '' for none")
    parser.add_argument("--base", default=None, help="base whose tokenizer is tried on the text, such as minilm")
    parser.add_argument("--no-cache", action="store_true", help="look anew, even where no byte and no setting differs")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Check a file."""
    from tunesmith.flows import check, plan_around
    from tunesmith.progress import Progress

    files, settings = told_apart(asked.files)
    checks, settings = settings_of_checks(settings)
    plan = plan_around(files[0], settings, asked.base) if settings else None
    reply = check(
        *files, plan=plan, base=asked.base, page=asked.page or None, online=asked.online, again=not asked.no_cache,
        progress=Progress(silent=asked.json), checks=checks,
    )  # fmt: skip
    say(asked, _told(reply))
    return reply


def told_apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(files, settings of a plan). Raises TunesmithError where no file is named."""
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    files = [word for word in words if word not in settings]
    if not files:
        raise TunesmithError(f"no data file is named, only {', '.join(settings)}. Name the file first")
    return files, settings


def settings_of_checks(words: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """({check: {setting: value}} of the words that begin with `checks.`, the others)."""
    found: dict[str, dict[str, str]] = {}
    own = [word for word in words if word.startswith("checks.")]
    for word in own:
        path, _, value = word.partition("=")
        name, _, setting = path.removeprefix("checks.").partition(".")
        found.setdefault(name, {})[setting] = value
    return found, [word for word in words if word not in own]


def _told(reply: dict[str, Any]) -> str:
    roles = reply["roles"]
    places = f"text in {', '.join(roles['texts'])}, label in {roles['label'] or '(none)'}"
    lines = [f"{reply['file']}: {reply['rows']} rows, {places}"]
    lines += ["  from cache: no byte and no setting differs from an earlier check (--no-cache looks anew)"] * reply[
        "cached"
    ]
    lines += [f"  {note}" for note in reply["notes"]]
    if tokens := reply["tokens"]:
        lines.append(
            f"  tokens of {tokens['base']}: median {tokens['median']:.0f}, 95 % below {tokens['p95']:.0f}, longest "
            f"{tokens['max']}; {tokens['unknown_share']:.1%} unknown, {tokens['pieces_per_word']:.2f} pieces per word"
        )
    for each in reply["findings"]:
        column = f" [{each['column']}]" if each["column"] else ""
        lines.append(f"{each['severity']}: {each['kind']}{column}, {each['rows']} rows: {each['remedy']}")
    if not reply["findings"]:
        lines.append("nothing found to complain about")
    lines += [f"page: {reply['page']}"] if "page" in reply else []
    return "\n".join(lines)
