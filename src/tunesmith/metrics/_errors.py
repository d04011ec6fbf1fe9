"""What error rates of recognised speech share: fewest edits of a corpus, by the units of its references.

Each row is compared with the reference that it is nearest to, by the rate. A rate may exceed 1: more can be inserted
than there is to say.

Shape letters: R resamples, N rows.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tunesmith.metrics import Answers, Floats
from tunesmith.metrics._counts import divide
from tunesmith.metrics._texts import once, pairs
from tunesmith.metrics.edit_similarity import distance

Split = Callable[[str], Sequence[str]]


def rate(answers: Answers, weight_RN: Floats, key: str, split: Split) -> Floats:
    """Edits of all rows / units of all references, (R,); NaN without a unit."""

    def counted() -> Floats:
        found = [_best(said, references, split) for references, said in pairs(answers)]
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    counts_N2 = once(answers, key, counted)
    return divide(weight_RN @ counts_N2[:, 0], weight_RN @ counts_N2[:, 1])


def _best(said: str, references: Sequence[str], split: Split) -> tuple[int, int]:
    """(edits, units) of the nearest reference."""
    counted = [(distance(split(said), wanted), len(wanted)) for wanted in map(split, references)]
    return min(counted, key=lambda each: (each[0] / max(1, each[1]), each[1]))
