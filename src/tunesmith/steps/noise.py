"""New training rows with the mistakes of people and machines: typing, scanning, letters of the wrong case, homophones.

A word gets one mistake, a Chinese character another character: of the same sound, as typists choose it, or of a similar
shape, as a scanner reads it.
"""

from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal

from tunesmith.data.ledger import Ledger
from tunesmith.data.segment import is_wide
from tunesmith.errors import TunesmithError
from tunesmith.steps._augmenting import Augmentation, Maker, each, some_of
from tunesmith.steps._making import Share
from tunesmith.steps._passage import Passage

Way = Literal["keyboard", "slip", "ocr", "case", "sound", "shape"]
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_OCR = {
    "l": ("1", "I"), "I": ("l", "1"), "O": ("0",), "o": ("0",), "S": ("5",), "B": ("8",), "Z": ("2",), "g": ("9",),
    "rn": ("m",), "m": ("rn",), "cl": ("d",), "d": ("cl",), "vv": ("w",), "w": ("vv",), "h": ("b",), "e": ("c",),
}  # fmt: skip
Table = dict[str, dict[str, str]]


class Noise(Augmentation):
    """So that a model meets in training what it will meet in use."""

    name: Literal["noise"] = "noise"
    ways: tuple[Way, ...] = ("keyboard", "slip", "ocr", "case", "sound", "shape")
    """keyboard: a letter beside the right one on QWERTY. slip: a letter left out, doubled, or two in the wrong order.
    ocr: what scanners confuse (O and 0, l and 1, rn and m). case: upper, lower or mixed. sound, shape: Chinese
    characters that sound or look alike, from a small table of ours or from `resource`."""
    rate: Share = 0.1
    """Share of the words, or Chinese characters, that get a mistake."""
    resource: str | None = None
    """A text file in the place of our table of Chinese characters, a line each: sound or shape, a blank, characters."""

    file_settings: ClassVar[tuple[str, ...]] = ("resource",)
    prefer: ClassVar[str] = "Texts that people type in a hurry, or that were scanned."

    def own_objection(self, plan: Any) -> str | None:
        if not self.ways:
            return "ways is empty: nothing would change. Name some, or remove noise"
        if self.resource is not None and not {"sound", "shape"} & set(self.ways):
            return "resource has no effect without sound or shape in ways. Add one of them, or remove it"
        return None

    def files(self) -> tuple[Path, ...]:
        if self.resource is None:
            return ()
        path = Path(self.resource).expanduser()
        if not path.is_file():
            raise TunesmithError(f"steps: noise: no file {path}. Name a table of characters, or remove resource")
        return (path,)

    def maker(self, ledger: Ledger, plan: Any) -> Maker:
        mine = files("tunesmith.steps").joinpath("_alike_zh.txt")
        text = self.files()[0].read_text("utf-8-sig") if self.resource else mine.read_text("utf-8")
        table = alike_in(text, self.resource or "our own table")

        def make(passage: Passage, draw: Random) -> Passage:
            places = passage.open(lambda word: bool(self._fitting(word, table)))
            some = some_of(places, self.rate, draw)
            return passage.changed({i: self._wrong(passage.units[i].text, table, draw) for i in some}, one=True)

        return each(make)

    def _fitting(self, word: str, table: Table) -> list[Way]:
        """Which mistakes a word can have."""
        if is_wide(word):
            return [way for way in self.ways if word in table.get(way, {})]
        if not word.isascii():
            return ["case"] if "case" in self.ways and word.upper() != word.lower() else []
        scanned = any(part in word for part in _OCR)
        fits = {"keyboard": True, "slip": len(word) > 2, "ocr": scanned, "case": True, "sound": False, "shape": False}
        return [way for way in self.ways if fits[way]]

    def _wrong(self, word: str, table: Table, draw: Random) -> str:
        way = draw.choice(self._fitting(word, table))
        if way in ("sound", "shape"):
            return draw.choice(table[way][word])
        return {"keyboard": _beside, "slip": _slipped, "ocr": _scanned, "case": _cased}[way](word, draw)


def alike_in(text: str, name: str) -> Table:
    """{sound or shape: {character: those like it}} of a table. Raises TunesmithError with the line at fault."""
    found: dict[str, dict[str, set[str]]] = {"sound": {}, "shape": {}}
    for number, line in enumerate(text.splitlines(), 1):
        kind, _, letters = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if kind not in found or len(set(letters.strip())) < 2 or not all(map(is_wide, letters.strip())):
            raise TunesmithError(f"{name}:{number}: '{line[:40]}' is not sound or shape, a blank, and two or more "
                                 "Chinese characters, such as: sound 在再载")  # fmt: skip
        for letter in letters.strip():
            found[kind].setdefault(letter, set()).update(set(letters.strip()) - {letter})
    return {kind: {c: "".join(sorted(others)) for c, others in table.items()} for kind, table in found.items()}


def _beside(word: str, draw: Random) -> str:
    at = draw.choice([i for i, c in enumerate(word) if c.isalpha()])
    row = next(row for row in _ROWS if word[at].lower() in row)
    y, x = _ROWS.index(row), row.index(word[at].lower())
    near = [_ROWS[b][a] for b, a in ((y, x - 1), (y, x + 1), (y - 1, x), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x))
            if 0 <= b < 3 and 0 <= a < len(_ROWS[b])]  # fmt: skip
    other = draw.choice(near)
    return word[:at] + (other.upper() if word[at].isupper() else other) + word[at + 1 :]


def _slipped(word: str, draw: Random) -> str:
    at, how = draw.randrange(len(word) - 1), draw.choice(("out", "double", "order"))
    if how == "order" and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + (word[at + 1 :] if how == "out" else word[at] + word[at:])


def _scanned(word: str, draw: Random) -> str:
    part = draw.choice([part for part in _OCR if part in word])
    at = draw.choice([i for i in range(len(word)) if word.startswith(part, i)])
    return word[:at] + draw.choice(_OCR[part]) + word[at + len(part) :]


def _cased(word: str, draw: Random) -> str:
    forms = {word.upper(), word.lower(), word.capitalize(), word.swapcase()} - {word}
    return draw.choice(sorted(forms)) if forms else word
