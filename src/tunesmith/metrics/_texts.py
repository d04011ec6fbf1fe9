"""What metrics of text share: the checked texts, work done once for each row, and the columns of the likelihoods.

Shape letters: R resamples, N rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._counts import divide, mean

T = TypeVar("T")
Pairs = list[tuple[tuple[str, ...], str]]
"""For each row its references and the answer."""

NLL, TOKENS, HITS, BYTES = range(4)
"""Columns of the scores of kind text."""


def once(answers: Answers, key: str, make: Callable[[], T]) -> T:
    """What `make` gives, worked out at the first call for these answers and remembered with them under `key`."""
    if key not in answers.prepared:
        answers.prepared[key] = make()
    return cast("T", answers.prepared[key])


def pairs(answers: Answers) -> Pairs:
    """References and answer of each row. Raises TunesmithError where a row holds anything but strings."""
    return once(answers, "pairs", lambda: _checked(answers))


def _checked(answers: Answers) -> Pairs:
    found = list(zip(answers.truth.tolist(), answers.predicted.tolist(), strict=True))
    for row, (references, said) in enumerate(found, start=1):
        fault = _fault(references, said)
        if fault:
            raise TunesmithError(f"row {row}: {fault}. Metrics of text compare one string with one or more strings")
    return found


def _fault(references: Any, said: Any) -> str | None:
    if not isinstance(references, tuple):
        return f"truth is {type(references).__name__} and has to be a tuple of reference strings"
    if not references:
        return "truth is an empty tuple: there is no reference to compare with; leave this row out"
    if not all(isinstance(each, str) for each in references):
        return f"truth holds something that is no string: {references!r:.80}"
    return None if isinstance(said, str) else f"predicted is no string but {type(said).__name__}: {said!r:.80}"


def best_mean(
    answers: Answers, weight_RN: Floats, key: str, score: Callable[[str, Sequence[str]], Sequence[float]]
) -> Floats:
    """Weighted mean over the rows of the best of `score(answer, references)`, which gives one value a reference."""
    best_N = once(answers, key, lambda: np.array([max(score(said, refs)) for refs, said in pairs(answers)], np.float64))
    return mean(weight_RN, best_N)


def share(answers: Answers, weight_RN: Floats, key: str, accepts: Callable[[str], bool]) -> Floats:
    """Weighted share of the rows whose answer is accepted."""
    good_N = once(answers, key, lambda: np.array([accepts(said) for _, said in pairs(answers)], np.float64))
    return mean(weight_RN, good_N)


def per(answers: Answers, weight_RN: Floats, part: int, whole: int, name: str) -> Floats:
    """Sum of one column of the likelihoods by the sum of another; NaN where that is 0."""
    if answers.scores is None:
        raise TunesmithError(
            f"{name}: needs the likelihood of the reference's tokens, and these answers hold none; "
            "take a metric of the texts alone, such as chrf or rougeL, or score the references with the model"
        )
    return divide(weight_RN @ answers.scores[:, part], weight_RN @ answers.scores[:, whole])
