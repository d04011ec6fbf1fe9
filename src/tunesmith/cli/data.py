"""Look at data before anything is trained."""

import argparse
import importlib
import pkgutil
from typing import Any

from tunesmith.cli import _data, flags


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data`: one file of `_data` for each thing to do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name in sorted(m.name for m in pkgutil.iter_modules(_data.__path__)):
        module = importlib.import_module(f"{_data.__name__}.{name}")
        sub = actions.add_parser(name, help=(module.__doc__ or "").splitlines()[0], description=module.__doc__)
        module.arguments(sub)
        flags(sub, default=argparse.SUPPRESS)
        sub.set_defaults(act=module.run)


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Do it."""
    return dict(asked.act(asked))
