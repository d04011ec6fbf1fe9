"""Which of several tasks to train together: a proposal from how their gradients went along, and from who was hurt.

Groups grow from single tasks: the two groups with the highest mean cosine between their tasks become one, as long as
that mean is above 0 (average linkage). A task that was shown to be hurt beyond chance stands alone. It is a proposal to
be tried: gradients say where a step leads, not where training ends (Standley et al. 2020, arXiv 1905.07553; Fifty et
al. 2021, arXiv 2109.04617).

Shape letters: P tasks.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from tunesmith.metrics import METRICS, Floats


def mean_cosines(history: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """{names, cosines (P, P), looks}: means over all looks of a run's journal; None where nothing was seen."""
    seen = [line for line in history if line.get("kind") == "conflict"]
    if not seen:
        return None
    cosines_PP = np.mean([line["cosines"] for line in seen], axis=0)
    return {"names": seen[-1]["names"], "cosines": cosines_PP.tolist(), "looks": len(seen)}


def grouped(names: Sequence[str], cosines_PP: Floats, hurt: Collection[str] = ()) -> list[list[str]]:
    """Tasks that may be trained together, each in one group, in the order given."""
    groups = [[i] for i in range(len(names))]

    def mean(pair: tuple[int, int]) -> float:
        one, other = groups[pair[0]], groups[pair[1]]
        return float(np.mean([cosines_PP[i, j] for i in one for j in other]))

    def open_(pair: tuple[int, int]) -> bool:
        return not any(names[i] in hurt for which in pair for i in groups[which])

    while pairs := [pair for pair in combinations(range(len(groups)), 2) if open_(pair)]:
        best = max(pairs, key=mean)
        if mean(best) <= 0:
            break
        groups[best[0]] = sorted(groups[best[0]] + groups.pop(best[1]))
    return [[names[i] for i in group] for group in sorted(groups)]


def gain(metric: str, difference: float) -> float:
    """A difference of values, positive where the first is better."""
    return difference if METRICS.find(metric).better == "higher" else -difference
