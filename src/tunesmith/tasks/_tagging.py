"""Tagged texts: rows of any format -> a text, its words, and a tag on each word in one scheme.

    {tokens, tags}   words as given, joined by blanks (by nothing between Chinese, Japanese or Korean characters)
    {text, spans}    words found in the text: runs of letters, runs of digits, single signs, single such characters

Tags become B- at the first word of a span and I- on those behind it, O elsewhere (IOB2), whichever scheme the file has.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith.data import Record
from tunesmith.data.format import excerpt
from tunesmith.data.segment import goes_on, is_wide, words_in
from tunesmith.data.words import Ints, Words, spans_of
from tunesmith.errors import TunesmithError

TEXT, WORDS, TAGS = "tunesmith:text", "tunesmith:words", "tunesmith:tags"
"""Columns that `taken_in` adds: the text, first and end character of each word in turn, the tag of each word."""
Scheme = Literal["bio", "iob1", "bioes"]
_TAG = re.compile(r"O|[BIESLUM]-\S.*")
_SAME = {"L": "E", "U": "S", "M": "I"}


def joined(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text of given words, and where they stand in it."""
    text, places = "", []
    for token in tokens:
        if text and not (is_wide(text[-1]) and is_wide(token)):
            text += " "
        places.append((len(text), len(text) + len(token)))
        text += token
    return text, places


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that tags are written in. Any E-, S-, L- or U-: bioes. Else iob1 where spans begin with I-, and with
    B- only behind another of their type; else bio."""
    inside = outside = False
    for tags in sentences:
        before = ""
        for tag in tags:
            prefix, _, kind = tag.partition("-")
            if prefix in ("E", "S", "L", "U"):
                return "bioes"
            outside |= prefix == "B" and before != kind
            inside |= prefix == "I" and before != kind
            before = kind
    return "iob1" if inside and not outside else "bio"


def as_bio(tags: Sequence[str], scheme: Scheme) -> tuple[list[str], list[int]]:
    """The same spans as B- and I- tags, and the words at which the scheme is broken: an I- or E- that continues
    nothing, a span that does not end. Read as seqeval does by default: what continues nothing begins a span."""
    out, broken, open_at = [], [], None
    before, last = "O", ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        prefix = _SAME.get(prefix, prefix)
        opens = prefix != "O" and (prefix in ("B", "S") or before in ("O", "E", "S") or kind != last)
        if opens and prefix in ("I", "E") and scheme != "iob1":
            broken.append(i)
        elif scheme == "bioes" and open_at is not None and (opens or prefix == "O"):
            broken.append(open_at)
        open_at = i if scheme == "bioes" and prefix in ("B", "I") else None
        out.append("O" if prefix == "O" else f"{'B' if opens else 'I'}-{kind}")
        before, last = prefix, kind
    return out[:-1], sorted(set(broken))


@dataclass
class Reader:
    """Reads rows; meets what is wrong with them as the task says, and counts what it alters."""

    scheme: Scheme
    malformed: Literal["repair", "refuse"]
    spans: Literal["refuse", "drop"]
    counts: Counter[str] = field(default_factory=Counter)

    def row(self, record: Record, tokens: str | None, text: str | None, label: str | None) -> dict[str, Any]:
        """The columns of a row; tags only where `label` names their column."""
        place = record.place
        if tokens is not None and tokens in record.cells:
            given = record.cells[tokens]
            if not isinstance(given, list) or not all(isinstance(t, str) and t.strip() for t in given):
                raise _wrong(place, tokens, "not a list of words", given, 'Write ["a", "b"], no word empty')
            whole, words = joined([str(t) for t in given])
        else:
            cell = record.cells.get(text or "text")
            if not isinstance(cell, str):
                raise _wrong(place, text or "text", "not a text", cell, "Write a string, or name the column: task.text")
            whole, words = cell, words_in(cell)
        cells: dict[str, Any] = {TEXT: whole, WORDS: [at for word in words for at in word]}
        if label is None:
            return cells
        said = record.cells.get(label)
        if not isinstance(said, list):
            raise _wrong(
                place, label, "not a list of tags or spans", said, "Write a list, empty where nothing is marked"
            )
        strings = bool(said) and all(isinstance(each, str) for each in said)
        tags = self._of_tags(place, [str(t) for t in said], len(words)) if strings else None
        return cells | {TAGS: self._of_spans(place, whole, words, said) if tags is None else tags}

    def _of_tags(self, place: str, tags: list[str], words: int) -> list[str]:
        if len(tags) != words:
            raise TunesmithError(f"{place}: {len(tags)} tags for {words} words. Give each word one")
        if odd := next((tag for tag in tags if not _TAG.fullmatch(tag)), None):
            raise TunesmithError(
                f"{place}: the tag '{excerpt(odd)}' is not O or a type behind B-, I-, E-, S-, L-, U- or M-"
            )
        made, broken = as_bio(tags, self.scheme)
        if broken and self.malformed == "refuse":
            at = broken[0]
            raise TunesmithError(
                f"{place}: word {at + 1} carries {tags[at]}, which breaks the scheme {self.scheme} there (before it: "
                f"{tags[at - 1] if at else 'nothing'}). Mend the file, or write task.malformed=repair"
            )
        self.counts[f"tags that break the scheme {self.scheme}, read as spans of their own"] += len(broken)
        return made

    def _of_spans(self, place: str, text: str, words: list[tuple[int, int]], said: Sequence[Any]) -> list[str]:
        tags, end = ["O"] * len(words), 0
        starts, ends = [w[0] for w in words], [w[1] for w in words]
        found = sorted({_span(place, each) for each in said}, key=lambda s: (s[0], -s[1], s[2]))
        self.counts["spans written twice"] += len(said) - len(found)
        for first, stop, kind in found:
            i, j = bisect_right(ends, first), bisect_left(starts, stop)
            fault = _fault(text, first, stop) or ("it lies over another span" if first < end else None) \
                or ("it holds no word" if i >= j else None) or ("it shares a word with another span"
                                                                if tags[i] != "O" else None)  # fmt: skip
            if fault is None:
                self.counts["spans that begin or end inside a word, widened to it"] += (
                    starts[i] < first or ends[j - 1] > stop
                )
                tags[i:j], end = [f"B-{kind}"] + [f"I-{kind}"] * (j - i - 1), stop
            elif self.spans == "drop":
                self.counts[f"spans left out: {fault.split(':')[0]}"] += 1
            else:
                shown = excerpt(text[max(0, first) : max(0, stop)])
                raise TunesmithError(
                    f"{place}: the span {first} to {stop} ({kind}: '{shown}') cannot be learnt: {fault}. Mend the "
                    "file, or leave such spans out with task.spans=drop"
                )
        return tags


def _span(place: str, said: Any) -> tuple[int, int, str]:
    """(start, end, label) as an object or a list of three."""
    if isinstance(said, dict):
        kind = next((said[k] for k in ("label", "tag", "type", "entity") if k in said), None)
        said = [said.get("start"), said.get("end"), kind]
    if isinstance(said, list) and len(said) == 3:
        start, end, kind = said
        if type(start) is int and type(end) is int and isinstance(kind, str) and kind.strip():
            return start, end, kind
    raise TunesmithError(
        f"{place}: not a span: {excerpt(json.dumps(said, ensure_ascii=False))}. "
        'Write {"start": 0, "end": 4, "label": "x"}, counting characters from 0, or give words and tags'
    )


def _fault(text: str, start: int, end: int) -> str | None:
    if not 0 <= start < end <= len(text):
        return f"it lies outside the text, or is empty: the text has {len(text)} characters"
    cut = next((at for at in (start, end) if at < len(text) and goes_on(text, at)), None)
    return None if cut is None else f"it cuts a character: at {cut}. Offsets count Unicode characters, not bytes"


def _wrong(place: str, column: str, what: str, value: Any, remedy: str) -> TunesmithError:
    return TunesmithError(f"{place}: column '{excerpt(column)}': {what}: '{excerpt(repr(value))}'. {remedy}")


def told(words: Words, tags: Ints, labels: Sequence[str], scores: Any = None) -> list[list[dict[str, Any]]]:
    """The spans of each text as {start, end, label, text}, and with scores (M, C) how sure: the mean over its words of
    the probability of their tags."""
    out: list[list[dict[str, Any]]] = [[] for _ in words.texts]
    for row, first, last, kind in zip(*(part.tolist() for part in spans_of(tags, words.offsets)), strict=True):
        start, end = int(words.starts[first]), int(words.ends[last])
        span = {"start": start, "end": end, "label": labels[2 * kind + 1][2:], "text": words.texts[row][start:end]}
        if scores is not None:
            own = range(first, last + 1)
            span["confidence"] = round(float(sum(scores[i, tags[i]] for i in own)) / len(own), 6)
        out[row].append(span)
    return out
