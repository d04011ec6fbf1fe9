"""ROUGE's tokens, runs of tokens and longest common subsequences.

Tokens are those of rouge-score without stemmer (runs of a-z and 0-9 in lower case; accented Latin letters separate),
and, of what it drops, each Han character or kana and words of other writings such as Cyrillic. So every value equals
rouge-score's for texts without letters and digits beyond Latin, and is not 0 for the others.

Subsequences are found with one whole number a row of the table, bits for columns (Hyyrö 2004, Bit-parallel LCS-length
computation revisited): hundreds of tokens take a millisecond instead of a tenth of a second.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._language import HAN, KANA
from tunesmith.metrics._texts import best_mean

_LATIN = r"\x00-\u024f\u1e00-\u1eff\u2000-\u2bff\ufb00-\ufb06"
"""Latin blocks, ligatures, and the signs and raised figures that occur in Latin text."""
_TOKEN = re.compile(rf"[a-z0-9]+|[{HAN}{KANA}]|[^\W_{_LATIN}{HAN}{KANA}]+")

Tokens = list[str]
Score = Callable[[str, str], float]


def rouge(answers: Answers, weight_RN: Floats, key: str, score: Score) -> Floats:
    """Weighted mean over the rows of the best `score(answer, reference)`, as rouge-score does with several targets."""
    return best_mean(answers, weight_RN, key, lambda said, references: [score(said, each) for each in references])


def tokens(text: str) -> Tokens:
    """ROUGE's tokens of a text."""
    return _TOKEN.findall(text.lower())


def f1(hits: int, said: int, wanted: int) -> float:
    """2 P R / (P + R) of hits among so many answered and so many wanted; 0 without hits."""
    return 2 * hits / (said + wanted) if hits else 0.0


def of_runs(said: str, reference: str, length: int) -> float:
    """F1 of the runs of `length` tokens."""
    answered, wanted = (_runs(tokens(text), length) for text in (said, reference))
    return f1((answered & wanted).total(), answered.total(), wanted.total())


def _runs(found: Tokens, length: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(found[start:] for start in range(length)), strict=False))


def of_subsequence(said: str, reference: str) -> float:
    """F1 of the longest common subsequence."""
    answered, wanted = tokens(said), tokens(reference)
    if not answered or not wanted:
        return 0.0
    unset = _table(wanted, answered)[-1]
    return f1(len(answered) - unset.bit_count(), len(answered), len(wanted))


def of_lines(said: str, reference: str) -> float:
    """F1 of the union of longest common subsequences, line by line (section 3.2 of the paper)."""
    answered, wanted = ([tokens(line) for line in text.split("\n") if line] for text in (said, reference))
    found = Counter(token for line in wanted for token in _union(line, answered))
    # One word of the answer may lie in the sequences of several lines; it counts as often as it was said.
    hits = (found & Counter(token for line in answered for token in line)).total()
    return f1(hits, sum(map(len, answered)), sum(map(len, wanted)))


def _union(line: Tokens, others: Sequence[Tokens]) -> Tokens:
    """The tokens of a line that lie in its longest common subsequence with any of the others."""
    places: set[int] = set()
    for other in others:
        places.update(_places(line, other))
    return [line[place] for place in sorted(places)]


def _table(rows: Tokens, columns: Tokens) -> list[int]:
    """For each number of rows (from 0) the columns where the subsequence does not grow, as bits."""
    full = (1 << len(columns)) - 1
    match: dict[str, int] = {}
    for place, token in enumerate(columns):
        match[token] = match.get(token, 0) | 1 << place
    table = [full]
    for token in rows:
        unset = table[-1]
        grown = unset & match.get(token, 0)
        table.append(((unset + grown) | (unset - grown)) & full)
    return table


def _places(rows: Tokens, columns: Tokens) -> list[int]:
    """Places in `rows` of one longest common subsequence: the one that rouge-score takes of several."""
    table = _table(rows, columns)

    def length(row: int, column: int) -> int:
        return column - (table[row] & ((1 << column) - 1)).bit_count()

    row, column, found = len(rows), len(columns), []
    while row and column:
        if rows[row - 1] == columns[column - 1]:
            row, column = row - 1, column - 1
            found.append(row)
        elif length(row, column - 1) > length(row - 1, column):
            column -= 1
        else:
            row -= 1
    return found
