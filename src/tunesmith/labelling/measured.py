"""All numbers about agreement in one, each with an interval from resampled items.

Items are drawn with replacement (`evaluation.intervals`); annotators stay who they are. Shape letters: R resamples,
N items, A annotators, C classes.
"""

from itertools import combinations
from typing import Any

import numpy as np

from tunesmith.evaluation.intervals import draws, spread
from tunesmith.labelling import agreement as of
from tunesmith.labelling.annotations import Annotations, Floats, Scale

PAIRS_OF = 12
"""Most annotators whose pairs are told one by one: 66 pairs; of a crowd each annotator is held against the rest."""


def measured(
    said: Annotations, scale: Scale, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Any]:
    """{agreement, fleiss_kappa, krippendorff_alpha: {value, low, high}, pairs, classes, annotators}; what is undefined
    is None."""
    num = len(said.items)
    values = _all(said, scale, np.ones((1, num)))
    parts: dict[str, list[Floats]] = {name: [] for name in values}
    for weight_RN in draws(num, resamples, seed):
        for name, value_R in _all(said, scale, weight_RN).items():
            parts[name].append(value_R)

    def told(name: str) -> dict[str, float | None]:
        found = spread(float(values[name][0]), np.concatenate(parts[name]), level)
        each = {"value": found.value, "low": found.low, "high": found.high}
        return {key: None if np.isnan(number) else number for key, number in each.items()}

    whole = {name: told(name) for name in ("agreement", "fleiss_kappa", "krippendorff_alpha")}
    return whole | {
        "pairs": [
            {"a": said.annotators[a], "b": said.annotators[b], "items": _together(said, a, b),
             "cohen_kappa": told(f"pair {a} {b}")} for a, b in _pairs(said)
        ],
        "classes": [
            {"label": name, "given": int(said.counts[:, c].sum()), "kappa": told(f"kappa {c}"),
             "agreement": told(f"class {c}")} for c, name in enumerate(said.labels)
        ],
        "annotators": [_annotator(said, scale, a) | {"agreement": told(f"annotator {a}")}
                       for a in range(len(said.annotators))],
    }  # fmt: skip


def _pairs(said: Annotations) -> list[tuple[int, int]]:
    many = len(said.annotators) > PAIRS_OF
    return [] if many else list(combinations(range(len(said.annotators)), 2))


def _all(said: Annotations, scale: Scale, weight_RN: Floats) -> dict[str, Floats]:
    """Every number by name, (R,)."""
    counts = said.counts
    kappa_RC, class_RC = of.of_classes(counts, weight_RN)
    apart = of.distances(len(said.labels), scale, said.values)
    given = [said.of(a) for a in range(len(said.annotators))]
    found = {
        "agreement": of.observed(counts, weight_RN), "fleiss_kappa": of.fleiss(counts, weight_RN),
        "krippendorff_alpha": of.alpha(counts, weight_RN, scale, said.values),
    }  # fmt: skip
    found |= {f"pair {a} {b}": of.cohen(given[a], given[b], weight_RN, apart) for a, b in _pairs(said)}
    for c in range(len(said.labels)):
        found |= {f"kappa {c}": kappa_RC[:, c], f"class {c}": class_RC[:, c]}
    return found | {f"annotator {a}": of.with_rest(own, counts, weight_RN) for a, own in enumerate(given)}


def _together(said: Annotations, a: int, b: int) -> int:
    return int(((said.of(a) >= 0) & (said.of(b) >= 0)).sum())


def _annotator(said: Annotations, scale: Scale, a: int) -> dict[str, Any]:
    """Who it is, how much they labelled, and alpha of all others: where that is higher, they are the odd one out."""
    given = said.of(a)
    labelled = np.flatnonzero(given >= 0)
    others = said.counts.copy()
    others[labelled, given[labelled]] -= 1
    without = float(of.alpha(others, np.ones((1, len(others))), scale, said.values)[0])
    return {"annotator": said.annotators[a], "items": len(labelled),
            "alpha_without": None if np.isnan(without) else without}  # fmt: skip
