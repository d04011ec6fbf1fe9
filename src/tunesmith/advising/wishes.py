"""What is asked beside the plan, as people write it; and the recommended plan as a file with its reasons."""

import re
import textwrap
from pathlib import Path
from typing import Any

from tunesmith.advising.reading import Wish
from tunesmith.errors import TunesmithError
from tunesmith.files import write_text
from tunesmith.plan import Plan
from tunesmith.plan_text import dump_plan

_SIZES = {"": 1.0, "MB": 1.0, "MIB": 1.048576, "GB": 1000.0, "GIB": 1073.741824}
_TIMES = {"s": 1 / 60, "m": 1.0, "h": 60.0, "": 1.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def wish_of(memory: str | None, budget: str | None, switch: int, *, fixed_base: bool) -> Wish:
    """The wish. Raises TunesmithError for an amount that cannot be read."""
    if switch < 1:
        raise TunesmithError(f"--switch: {switch} tasks share a base. One is the least, and means none beside it")
    megabytes = None if memory is None else _amount(memory.upper(), _SIZES, "--memory", "8GB or 900MB")
    minutes = None if budget is None else _amount(budget.lower(), _TIMES, "--budget", "20m, 2h or 90s")
    return Wish(None if megabytes is None else int(megabytes), minutes, switch, fixed_base)


def _amount(text: str, units: dict[str, float], word: str, like: str) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units or float(found[1]) <= 0:
        raise TunesmithError(f"{word}: cannot read '{text}'. Write it like {like}")
    return float(found[1]) * units[found[2]]


def written(plan: Plan, reply: dict[str, Any], out: Path) -> Path:
    """The plan in a file, reasons above it; it names its files from anywhere on this machine. A file of another content
    is refused with TunesmithError."""
    best = reply["ranking"][0]
    lines = ["Made by `tunesmith advise`.", f"{best['method']}: {best['reason']}"]
    lines += [f"{each['path']} = {each['value']}: {each['reason']} [{each['source']}]" for each in best["why"]]
    shown = [textwrap.fill(line, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
             for line in lines]  # fmt: skip
    text = textwrap.indent("\n".join(shown), "# ", lambda _: True) + "\n\n" + dump_plan(plan.anchored())
    if out.exists() and (not out.is_file() or out.read_bytes() != text.encode()):
        raise TunesmithError(f"{out} exists and holds something else. Name another file with --apply, or remove it")
    write_text(out, text)
    return out
