"""Where the file of a row (an image, a sound) lies, and what opening it can end with."""

from pathlib import Path

from tunesmith.data.overlap import rows_shown
from tunesmith.data.record import Record
from tunesmith.errors import TunesmithError


class Unreadable(Exception):
    """Why a file cannot be taken; the caller knows the row."""


def require_file(path: Path) -> None:
    """Raises Unreadable where there is no regular file."""
    if not path.is_file():
        raise Unreadable("there is no such file" if not path.exists() else "this is no regular file")


def path_of(record: Record, column: str) -> Path:
    """Where the file of a row lies: a relative path counts from the folder of the table (or the folder) it stands in.
    Addresses are not followed."""
    cell = record.cells.get(column)
    if not isinstance(cell, str) or not cell.strip():
        raise TunesmithError(f"{rows_shown([record])}: column '{column}': no path of a file: '{cell}'. Write one; of "
                             "rows that need none beside their text, set task.no_image: learn")  # fmt: skip
    if "://" in cell:
        raise TunesmithError(f"{rows_shown([record])}: '{cell[:80]}' is an address; files are read from disk alone")
    source = Path(record.source).expanduser()
    return ((source if source.is_dir() else source.parent) / Path(cell).expanduser()).absolute()
