"""Classes whose name stands in most of their texts and seldom in others: the answer may be in the question."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import excerpt
from tunesmith.data.roles import text_of

LEAK_SHARE, LEAK_ROWS = 0.5, 5


class LabelInText(Check):
    """Words of labels in any case, with space, _ or - between them; numbers and single letters prove nothing."""

    name: Literal["label_in_text"] = "label_in_text"

    def look(self, seen: Seen) -> Iterable[Finding]:
        labels, counts = seen.labels, Counter(seen.labels)
        texts = [" ".join(text_of(r, c) for c in seen.roles.texts).casefold() for r in seen.some] if labels else []
        for label in sorted(counts):
            if counts[label] < LEAK_ROWS or not (pattern := word(label)):
                continue
            inside = [bool(pattern.search(text)) for text in texts]
            own = sum(hit for hit, other in zip(inside, labels, strict=True) if other == label)
            others = sum(inside) - own
            if own >= LEAK_SHARE * counts[label] and others * counts[label] < 0.2 * own * (len(labels) - counts[label]):
                what = f"the word '{excerpt(label)}' stands in {own} of {counts[label]} texts of its class{seen.told}. "
                yield Finding("label_in_text", own, seen.roles.texts[0], "warning", what + "Is the answer in the text?")


def word(label: str) -> re.Pattern[str] | None:
    """A pattern that finds a label as a word of its own; None for numbers and single letters, which prove nothing."""
    name = re.sub(r"[\s_\-]+", " ", label.casefold()).strip()
    if len(name) < 2 or not re.search(r"[^\W\d_]{2}", name):
        return None
    inner = r"[\s_\-]+".join(map(re.escape, name.split(" ")))
    return re.compile(inner if re.search("[\u2e80-\u9fff]", name) else rf"(?<!\w){inner}(?!\w)")
