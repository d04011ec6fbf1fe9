"""Errors that a user can act on, and nothing else."""

from collections.abc import Iterable
from difflib import get_close_matches


class TunesmithError(Exception):
    """The user's to fix: the text says what, where, what is known and what to do.

    `exit_code` is what the command line ends with: 1 a user error, 3 a refused gate.
    """

    exit_code = 1


class GateRefused(TunesmithError):
    """A proof was asked for and did not hold (parity, reload, quality, privacy)."""

    exit_code = 3


class Interrupted(TunesmithError):
    """The work was stopped by a signal after its state was saved; the same command goes on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """A sentence for a name that nobody has: the nearest known name first, then all of them."""
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"no {kind} named '{name}'.{hint} Known: {', '.join(names)}"
