"""Look at data: `tunesmith data check FILE` says what is wrong with a file, `data preview` what steps would add."""

import argparse
from typing import Any

from tunesmith.cli import _data_preview, say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data`."""
    parser.add_argument("action", choices=["check", "preview"], help="what to do")
    parser.add_argument("file", help="data file; for preview a plan file, too")
    parser.add_argument("plan", nargs="*", metavar="path=value", help="settings of a plan, such as task.label=failure")
    parser.add_argument("--base", default=None, help="base whose tokenizer is tried on the text, such as minilm")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")
    _data_preview.arguments(parser)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Check a file, or show what steps make of it."""
    if asked.action != "check":
        return getattr(_data_preview, asked.action)(asked)  # type: ignore[no-any-return]
    from tunesmith.flows import check

    plan = None
    if asked.plan:
        from tunesmith.plan_text import read_plan

        words = [f"data={asked.file}", f"base={asked.base or 'minilm'}", *asked.plan]
        plan = read_plan(None, words if any(w.startswith("task") for w in asked.plan) else ["task=classify", *words])
    reply = check(asked.file, plan=plan, base=asked.base, online=asked.online)
    say(asked, _told(reply))
    return reply


def _told(reply: dict[str, Any]) -> str:
    roles = reply["roles"]
    places = f"text in {', '.join(roles['texts'])}, label in {roles['label'] or '(none)'}"
    lines = [f"{reply['file']}: {reply['rows']} rows, {places}"]
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
    return "\n".join(lines)
