"""Importers: the configuration of another fine-tuning tool becomes a plan. One file a tool.

An importer is a module with `TITLE` (the tool's name for people), `SUFFIXES` (of its files), `marks(tree)` (how surely
this is its file: 0 no, the highest wins) and `convert(account)` (fills the account from the file's settings). Nothing
of a file is run: YAML and JSON are data, and Python files are read as a syntax tree.
"""

import importlib
import json
import pkgutil
import shlex
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tunesmith.errors import TunesmithError
from tunesmith.files import write_text
from tunesmith.importers._account import Account
from tunesmith.importers._read import Tree, read_tree


@dataclass(frozen=True)
class Imported:
    """What became of another tool's file. Each of its keys stands in exactly one of the three lists."""

    tool: str
    plan: dict[str, Any]
    """Sections of a plan; what the file does not name (`missing`) is left out."""
    carried: list[dict[str, Any]]
    """{key, value, to}: where in the plan a setting went."""
    not_carried: list[dict[str, Any]]
    """{key, value, why}: what the plan lacks."""
    without_effect: list[dict[str, Any]]
    """{key, value, why}: what changes no result here."""
    notes: list[str] = field(default_factory=list)
    """What is computed differently, which defaults of the tool were written out, which files were not found."""

    @property
    def title(self) -> str:
        """The tool's name for people."""
        return str(_module(self.tool).TITLE)

    @property
    def refused(self) -> str | None:
        """What this version of Tunesmith says against the plan as it stands; None: it is accepted."""
        from tunesmith.plan_text import make_plan

        try:
            make_plan(self.plan)
        except TunesmithError as error:
            return str(error)
        return None

    def reply(self, out: str | Path | None = None) -> dict[str, Any]:
        """What `--json` answers."""
        own = {name: getattr(self, name) for name in ("tool", "plan", "carried", "not_carried", "without_effect")}
        return own | {"notes": self.notes, "refused": self.refused, "out": None if out is None else str(out)}

    def next_command(self, out: str | Path) -> str:
        """How the plan is run, with a place for what the file does not name."""
        words = (f"{path}={'NAME' if path == 'base.name' else 'FILE'}" for path in self.missing)
        return " ".join(["tunesmith train", shlex.quote(str(out)), *words])

    @property
    def missing(self) -> list[str]:
        """Plan paths that are asked for and that the file does not name."""
        asked = (("base", "name"), ("data", "train"))
        return [f"{section}.{name}" for section, name in asked if name not in self.plan.get(section, {})]


def names() -> list[str]:
    """All tools: the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def detect(path: Path) -> str:
    """The tool whose configuration a file is. Raises TunesmithError where none or several could be meant."""
    return _detected(path, read_tree(path))


def convert(path: Path, home: Path | None = None) -> Imported:
    """The plan behind a file. `home` is the folder the plan will lie in: files that exist are named from there."""
    tree = read_tree(path)
    tool = _detected(path, tree)
    account = Account(tree, str(_module(tool).TITLE), path, (home or Path()).absolute())
    _module(tool).convert(account)
    return Imported(
        tool, account.finished(), account.carried, account.not_carried, account.without_effect, account.notes
    )


def written(made: Imported, source: Path, out: Path) -> None:
    """Write the plan with a header that says where it comes from. A file of another content is refused."""
    text = _header(made, source, out) + yaml.safe_dump(made.plan, sort_keys=False, allow_unicode=True)
    if out.exists() and (not out.is_file() or out.read_bytes() != text.encode()):
        raise TunesmithError(f"{out} exists and holds something else. Name another file with --out, or remove it")
    write_text(out, text)


def _header(made: Imported, source: Path, out: Path) -> str:
    lines = [f"Made by `tunesmith import` from {source.name}, a configuration of {made.title}."]
    if made.not_carried:
        lines.append(f"Not carried over ({len(made.not_carried)}):")
    for each in made.not_carried:
        value = json.dumps(each["value"], ensure_ascii=False)
        lines.append(f"- {each['key']} = {value if len(value) <= 60 else value[:57] + '…'}: {each['why']}")
    lines += [f"Note: {note}" for note in made.notes]
    lines.append(f"Next: {made.next_command(out.name)}")
    # one line each, whatever a key or value holds: nothing of it may end a comment
    shown = [textwrap.fill("".join(c if c.isprintable() else " " for c in line), 118, subsequent_indent="  ",
                           break_long_words=False, break_on_hyphens=False) for line in lines]  # fmt: skip
    return textwrap.indent("\n".join(shown), "# ", lambda _: True) + "\n\n"


def _module(tool: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{tool}")


def _detected(path: Path, tree: Tree) -> str:
    fitting = [n for n in names() if path.suffix.lower() in _module(n).SUFFIXES]
    marks = {n: int(_module(n).marks(tree.values)) for n in fitting}
    best = [n for n in fitting if marks[n] and marks[n] == max(marks.values())]
    if len(best) == 1:
        return best[0]
    known = ", ".join(f"{_module(n).TITLE} ({', '.join(_module(n).SUFFIXES)})" for n in names())
    found = f"could be of {' or '.join(best)}" if best else "has the keys of none of them"
    raise TunesmithError(f"{path}: which tool's configuration is this? It {found}. Known: {known}")
