"""What a base's folder says of it without loading it: parameters, bytes, licence."""

import json
import math
import re
from pathlib import Path

from tunesmith.bases.find import Found

_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_LICENCE = re.compile(r"^licen[sc]e:[ \t]*(\S.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_NO_WEIGHTS = ("I64", "I32", "BOOL")
"""Types of buffers, such as numbers of positions."""
_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")


def parameters_of(found: Found) -> int:
    """Numbers in its *.safetensors, from their headers (packed formats count as they are stored)."""
    return sum(_numbers(file) for file in sorted(found.folder.glob("*.safetensors")))


def bytes_of(found: Found) -> int:
    """Bytes of its *.safetensors."""
    return sum(file.stat().st_size for file in found.folder.glob("*.safetensors"))


def licence_of(found: Found) -> str | None:
    """The licence as its README or config.json states it, or the first line of its LICENSE; None where none does."""
    readme = found.folder / "README.md"
    front = _FRONT.search(readme.read_text(encoding="utf-8", errors="replace")) if readme.is_file() else None
    if front is not None and (stated := _LICENCE.search(front[1])):
        return stated[1].strip("'\"[]")
    for key in ("license", "licence"):
        if told := found.config.get(key):
            return str(told)
    folders = (found.folder, found.folder.parent)
    for file in (folder / name for folder in folders for name in _FILES):
        if file.is_file():
            words = file.read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip() for line in words if line.strip()), None)
    return None


def _numbers(file: Path) -> int:
    """From the header: 8 bytes of its length, then JSON of {name: {shape}}."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    held = [each for name, each in header.items() if name != "__metadata__" and each["dtype"] not in _NO_WEIGHTS]
    return sum(math.prod(each["shape"]) for each in held)
