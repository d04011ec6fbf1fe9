"""One row of a data file, with the place it came from."""

from dataclasses import dataclass, field

DIGEST = "pixels"
"""Column that the step `pictures` adds: what makes two files one picture."""
SAMPLES = "samples"
"""Column that the step `sounds` adds: what makes two files one recording."""
SOFT = "tunesmith:soft"
"""Column that a distribution over labels is put into; the label's own column then has the likeliest one."""
MADE = "made by"
"""Column that a step adds to rows that it made of others for training: its name."""
Cell = str | int | float | bool | None | list["Cell"] | dict[str, "Cell"]
"""What a cell may hold. Tables of text (CSV, TSV, plain text, XLSX text cells) give `str` only: "007" stays "007"."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row on its way from file to model; `id` is its line in the ledger."""

    id: int
    source: str
    """File name as the user gave it."""
    row: int
    """Number of the row in its source, from 1, the header not counted."""
    line: int
    """Number of the line in its file on which the row starts, from 1; 0 where a format has no lines."""
    cells: dict[str, Cell] = field(repr=False)
    weight: float = 1.0
    """Weight of this row in the loss (`balance: {how: weights}`); 1 unless a step sets it."""

    @property
    def place(self) -> str:
        """Where it stands, for errors: file and line; its number where there are no lines, or several rows on one."""
        line = f":{self.line}" if self.line else ""
        return self.source + line + f": row {self.row}" * (self.row > self.line)


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns mean what. Steps and checks work by role, so that they fit every task."""

    texts: tuple[str, ...]
    """Columns that the model reads as text, in order (two for pairs)."""
    label: str | None = None
    """Column of the answer; None where a file carries none (rows to predict)."""
    numeric_label: bool = False
    """True for regression: the label is a number, and not a class to stratify by."""
    group: str | None = None
    """Column whose equal values must not be split between train and test."""
    side: tuple[str, ...] = ()
    """Further columns that the model reads."""
    file: str | None = None
    """Column with the path of a file that is opened: an image, a sound. What stands for its content, as a text does, is
    then the digest of its pixels or samples; where that is read in a text's place, it is the first of `texts`."""
    fileless: bool = False
    """Whether a row may lack its file."""

    words: str | None = None
    """Column with first character and end of each word in turn, where the label is a tag for each word of the text."""
    task: str | None = None
    """Column that says which of several tasks a row is for. One text may be a row of each of them: a repetition is one
    within a task; but no text may stand on two sides of a split, whatever it is asked there."""

    @property
    def wordless(self) -> bool:
        """Whether a file is read in a text's place, so that what is looked for in texts is not looked for."""
        return DIGEST in self.texts or SAMPLES in self.texts

    @property
    def captioned(self) -> bool:
        """Whether a text stands beside a file that is read in a text's place."""
        return self.wordless and len(self.texts) > 1

    @property
    def further(self) -> tuple[str, ...]:
        """Columns that make an input beside its texts."""
        return self.side if self.file is None or self.wordless else (*self.side, DIGEST)

    @property
    def shown(self) -> tuple[str, ...]:
        """Columns by which a person knows a row again."""
        if self.file is None or not self.wordless:
            return self.texts
        return (self.file, *(text for text in self.texts if text not in (DIGEST, SAMPLES)))
