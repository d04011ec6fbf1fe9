"""Edit similarity: the share of characters that need not be changed to turn the answer into a reference.

mean over rows of max over references 1 - Levenshtein(answer, reference) / max(their lengths); 1 for two empty texts.
Texts are compared as they are, case, spaces and line breaks included. Characters are Unicode code points, so it is one
measure for all languages. The distance is found with one whole number for each row of the table (Hyyrö 2003, after
Myers 1999).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import best_mean


class EditSimilarity(Metric):
    """Edit similarity: the share of characters that need not be changed to turn the answer into a reference."""

    name: Literal["edit_similarity"] = "edit_similarity"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer edit_similarity for code, corrections and copied spans, where each character counts"
    source: ClassVar[str] = "Levenshtein 1966, Binary codes capable of correcting deletions, insertions, and reversals"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return best_mean(answers, weight_RN, self.name, _similar)


def _similar(said: str, references: Sequence[str]) -> list[float]:
    return [1 - distance(said, each) / max(len(said), len(each), 1) for each in references]


def distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance: fewest characters (or words) to insert, delete or replace."""
    if not first or not second:
        return len(first) + len(second)
    full, last = (1 << len(first)) - 1, 1 << len(first) - 1
    match: dict[str, int] = {}
    for place, char in enumerate(first):
        match[char] = match.get(char, 0) | 1 << place
    # Bits of a column of the table: where it is one more, or one less, than in the place above.
    more, less, result = full, 0, len(first)
    for char in second:
        same = match.get(char, 0)
        flat = (((same & more) + more) ^ more) | same | less
        up, down = less | (full & ~(flat | more)), flat & more
        result += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & full, down << 1 & full
        more, less = down | (full & ~(flat | up)), flat & up
    return result
