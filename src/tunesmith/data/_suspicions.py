"""Simple signs that a text or a column is not what it seems: debris of HTML, broken encodings, scripts, leaks."""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

from tunesmith.data.markup import without_markup

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# UTF-8 read as latin-1 or cp1252 (Ã©, â€™), UTF-8 read as GBK (锟斤拷 = the replacement character), and that character
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf©¨¤¶¼]|Â[\u00a0-\u00bf]|â€[\u0080-\u00bf™œ“”]|锟斤拷|\ufffd")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_LONG = 10_000
_SCRIPTS = re.compile(
    "(?P<latin>[A-Za-z\u00c0-\u024f])|(?P<cjk>[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff])|(?P<other>[^\\W\\d_])"
)


def _has_markup(text: str) -> bool:
    counts: Counter[str] = Counter()
    without_markup(text, counts)
    return counts.total() > 0


Test = tuple[str, Literal["info", "warning", "error"], str, Callable[[str], object]]
TESTS: tuple[Test, ...] = (
    ("empty_text", "warning", "Remove them: nothing can be learnt from an empty text", lambda t: not t.strip()),
    ("html", "warning", "Tags or entities of HTML: add the step clean", _has_markup),
    ("control_characters", "warning", "Characters that do not print: add the step clean", _CONTROL.search),
    (
        "mojibake",
        "warning",
        "Signs of a wrong encoding (Ã©, â€™, 锟斤拷, U+FFFD): export the file again",
        _MOJIBAKE.search,
    ),
    (
        "bidi_marks",
        "info",
        "Marks that turn the direction of writing: what is seen is not what is stored",
        _BIDI.search,
    ),
    (
        "long_text",
        "info",
        f"More than {_LONG} characters: the model reads the beginning only",
        lambda t: len(t) > _LONG,
    ),
)


def scripts(texts: Sequence[str]) -> dict[str, float]:
    """Share of Latin, CJK and other letters among all letters."""
    counts = Counter(match.lastgroup or "" for text in texts for match in _SCRIPTS.finditer(text[:_LONG]))
    total = counts.total() or 1
    return {name: counts[name] / total for name in ("latin", "cjk", "other")}


def word(label: str) -> re.Pattern[str] | None:
    """A pattern that finds a label as a word of its own; None for numbers and single letters, which prove nothing."""
    name = re.sub(r"[\s_\-]+", " ", label.casefold()).strip()
    if len(name) < 2 or not re.search(r"[^\W\d_]{2}", name):
        return None
    inner = r"[\s_\-]+".join(map(re.escape, name.split(" ")))
    return re.compile(inner if re.search("[\u2e80-\u9fff]", name) else rf"(?<!\w){inner}(?!\w)")


def tells(values: Sequence[str], labels: Sequence[str]) -> float:
    """Share of labels that a column tells; 0 unless that is far more than guessing the largest class."""
    majority = Counter(labels).most_common(1)[0][1] / len(labels)
    if majority == 1 or len(labels) < 20:
        return 0.0
    share = max(_by_value(values, labels), _by_order(values, labels))
    return share if share - majority > 0.8 * (1 - majority) else 0.0


def _by_value(values: Sequence[str], labels: Sequence[str]) -> float:
    """Guess the most common label of each value; values seen once say nothing."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for value, label in zip(values, labels, strict=True):
        seen[value][label] += 1
    return sum(c.most_common(1)[0][1] for c in seen.values() if c.total() > 1) / len(values)


def _by_order(values: Sequence[str], labels: Sequence[str]) -> float:
    """Guess from the nearest smaller number: identifiers given class by class tell the label."""
    try:
        pairs = sorted((float(v), label) for v, label in zip(values, labels, strict=True))
    except ValueError:
        return 0.0
    numbers = [n for n, _ in pairs]
    if len(set(numbers)) < len(numbers) or numbers[-1] != numbers[-1]:
        return 0.0
    before = (pairs[bisect_right(numbers, n) - 2][1] for n in numbers[1:])
    return sum(guess == label for guess, (_, label) in zip(before, pairs[1:], strict=True)) / len(labels)
