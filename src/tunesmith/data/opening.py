"""What opening a file of a row (an image, a sound) can end with."""

from pathlib import Path


class Unreadable(Exception):
    """Why a file cannot be taken; the caller knows the row."""


def require_file(path: Path) -> None:
    """Raises Unreadable where there is no regular file."""
    if not path.is_file():
        raise Unreadable("there is no such file" if not path.exists() else "this is no regular file")
