"""A folder of pictures, or of sounds, as a table: what lies in a sub-folder has its name for a label.

photos/cat/1.png   ->   image: cat/1.png, label: cat
photos/1.png       ->   image: 1.png               (a folder without sub-folders has no labels)
calls/owl/1.wav    ->   audio: owl/1.wav, label: owl
"""

import os
from pathlib import Path
from typing import NamedTuple

from tunesmith.data import images, sounds
from tunesmith.data.format import BadRows, Format, Table
from tunesmith.data.record import Cell
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_file, digest_json

LABEL = "label"


class _Kind(NamedTuple):
    """What a folder may hold."""

    column: str
    what: str
    suffixes: tuple[str, ...]


_KINDS = (_Kind("image", "picture", images.SUFFIXES), _Kind("audio", "sound", sounds.SUFFIXES))


def read_folder(folder: Path, name: str, form: Format, on_bad: str | None) -> Table:
    """All files of a folder and of its sub-folders as rows, in the order of their names. What is no picture (or, in a
    folder of sounds, no sound) by its suffix is a malformed row; names with a dot in front are not looked at."""
    files = [p for p in _walk(folder) if not any(part.startswith(".") for part in p.parts)]
    kind = _kind(files, name)
    bad = BadRows(name, on_bad or form.on_bad)  # type: ignore[arg-type]
    labelled = any(len(p.parts) > 1 for p in files)
    rows: list[tuple[int, dict[str, Cell]]] = []
    for number, file in enumerate(files, 1):
        if file.suffix.lower() not in kind.suffixes:
            bad.meet(number, "0", f"no {kind.what} by its suffix", file.as_posix(), _REMEDY)
        elif labelled and len(file.parts) != 2:
            bad.meet(number, "0", "it lies in no class, or two folders deep", file.as_posix(), _DEPTH)
        else:
            cells: dict[str, Cell] = {kind.column: file.as_posix()}
            rows.append((0, cells | ({LABEL: file.parts[0]} if labelled else {})))
    sha256 = digest_json([[p.as_posix(), digest_file(folder / p)] for p in files])
    classes = len({p.parts[0] for p in files if len(p.parts) > 1})
    notes = (f"a folder of {len(rows)} {kind.what}s" + (f" in {classes} classes" if labelled else ", without labels"),)
    columns = (kind.column, LABEL) if labelled else (kind.column,)
    return Table(name, columns, rows, notes, sha256, tuple(bad.found))


def _kind(files: list[Path], name: str) -> _Kind:
    """What most of the files are."""
    counts = {kind: sum(p.suffix.lower() in kind.suffixes for p in files) for kind in _KINDS}
    most = max(_KINDS, key=lambda kind: counts[kind])
    if not counts[most]:
        raise TunesmithError(
            f"{name}: this is a folder, and no picture or sound lies in it. Name a regular file, or a folder with a "
            "folder of pictures or sounds for each class"
        )
    return most


_REMEDY = "Take it out of the folder, or write data.format.on_bad=drop"
_DEPTH = "Put it into the folder of its class, right below, or write data.format.on_bad=drop"


def _walk(folder: Path) -> list[Path]:
    """Paths of all regular files, relative; links are not followed out of the folder."""
    found = [
        (Path(root) / file).relative_to(folder)
        for root, _, files in os.walk(folder, followlinks=False)
        for file in files
    ]
    return sorted(found, key=lambda p: p.as_posix())
