"""CoNLL files: a word and its tag on each line, a blank line behind each sentence.

EU      B-org          Columns stand between tabs, or between blanks where no line holds a tab. The first is the
rejects O              word and the last the tag, unless data.format.columns names them (`token` and `tag` among
                       as many names as there are columns). Left out, and told: -DOCSTART- lines; lines of one
German  B-misc         column, or without a tag, that begin with #.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tunesmith.data._content import Text
from tunesmith.data._text import Parsed
from tunesmith.data.format import BadRows, Format, listed
from tunesmith.data.stored import Line, table_rows
from tunesmith.errors import TunesmithError

TAG = re.compile(r"O|[BIESLUM]-\S.*")
_LOOKED_AT = 2000
_START = "-DOCSTART-"
_TOKEN, _TAG = ("token", "word", "form", "tokens", "words"), ("tag", "label", "ner", "tags", "labels", "ner_tag")


class _Word(NamedTuple):
    line: int
    cells: list[str]


def looks(head: str) -> bool:
    """Whether a text of unknown kind is surely such a file: every line of several columns ends with a tag, some with
    one that begins an entity."""
    lines = [line.rstrip("\r\n") for line in head.split("\n")[:_LOOKED_AT]]
    lines = lines[:-1] if len(lines) > 1 else lines  # the last one may be cut off
    tab = any("\t" in line.strip() for line in lines)
    words = [cells for line in lines if (cells := _cells(line, tab=tab)) and not _is_comment(line, cells)]
    words = [cells for cells in words if any(cells) and cells[0] != _START]
    tags = [cells[-1] for cells in words if len(cells) > 1]
    blank = any(not line.strip() for line in lines)
    return blank and bool(tags) and len(tags) == len(words) and all(map(TAG.fullmatch, tags)) and set(tags) > {"O"}


def _cells(line: str, *, tab: bool) -> list[str]:
    return [cell.strip() for cell in line.split("\t")] if tab else line.split()


def _is_comment(line: str, cells: Sequence[str]) -> bool:
    return line.startswith("#") and (len(cells) == 1 or (line[1] == " " and not TAG.fullmatch(cells[-1])))


def read(text: Text, form: Format, bad: BadRows) -> Parsed:
    """Rows {tokens, tags} of a file, the line of the first word with each. Malformed sentences are refused by line."""
    head = text.head.split("\n")[:_LOOKED_AT]
    tab = any("\t" in line.strip() for line in head)
    width = Counter(len(_cells(line, tab=tab)) for line in head if line.strip()).most_common(1)[0][0]
    word, tag = _places(form.columns, width, bad.source)
    skipped: Counter[str] = Counter()

    def rows() -> Iterator[Line]:
        for row, sentence in enumerate(_sentences(text, skipped, tab=tab), 1):
            if fault := _fault(sentence, width, word, tag):
                line, what, shown, remedy = fault
                bad.meet(row, str(line), what, shown, remedy)
                continue
            cells = [w.cells for w in sentence]
            yield sentence[0].line, {"tokens": [c[word] for c in cells], "tags": [c[tag] for c in cells]}

    stored = table_rows(rows(), bad.tick)
    told = [f"sentences of words with tags, {width} columns between {'tabs' if tab else 'blanks'}: the word is number "
            f"{word + 1}, the tag number {tag + 1}"]  # fmt: skip
    told += [f"{count} {what} left out" for what, count in skipped.items()]
    return Parsed(("tokens", "tags"), stored, told)


def _places(names: Sequence[str] | None, width: int, source: str) -> tuple[int, int]:
    """Which columns are word and tag."""
    if width < 2:
        raise TunesmithError(f"{source}: lines of one column; a CoNLL file has a word and a tag on each. Put a tab or "
                             "blanks between them")  # fmt: skip
    if names is None:
        return 0, width - 1
    word, tag = (next((i for i, n in enumerate(names) if n in usual), None) for usual in (_TOKEN, _TAG))
    if len(names) != width or word is None or tag is None:
        raise TunesmithError(
            f"data.format.columns: {listed(names)} do not name the {width} columns of {source}. Give as many names as "
            "there are columns, with `token` and `tag` among them"
        )
    return word, tag


def _sentences(text: Text, skipped: Counter[str], *, tab: bool) -> Iterator[list[_Word]]:
    lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(text.lines(), 1))
    for blank, group in groupby(lines, key=lambda one: not one[1].strip()):
        if blank:
            continue
        sentence = []
        for number, line in group:
            cells = _cells(line, tab=tab)
            if cells[0] == _START:
                skipped[f"{_START} lines"] += 1
            elif _is_comment(line, cells):
                skipped["comments"] += 1
            else:
                sentence.append(_Word(number, cells))
        if sentence:
            yield sentence


def _fault(sentence: list[_Word], width: int, word: int, tag: int) -> tuple[int, str, str, str] | None:
    """(line, what, shown, remedy) of the first malformed line."""
    for line, cells in sentence:
        shown = " | ".join(cells)
        if len(cells) != width:
            return line, f"{len(cells)} columns where other lines have {width}", shown, "Mend the line"
        if not cells[word]:
            return line, "a tag without a word", shown, "Write the word, or a blank line between sentences"
        if not TAG.fullmatch(cells[tag]):
            return line, "the tag is not O or a type behind B-, I-, E-, S-, L-, U- or M-", shown, \
                   "Name the columns with data.format.columns, or mend the tag"  # fmt: skip
    return None
