"""How far annotators agree, beyond what chance alone would give: formulas, each for many resamples at once.

    agreement   P = mean over items of the share of pairs of labels that are equal
    Cohen       1 - observed / expected disagreement of two annotators, each with their own habits
    Fleiss      (P - P_e) / (1 - P_e),  P_e = sum of squares of the classes' shares
    alpha       1 - observed / expected disagreement over all pairs of labels, whoever gave them

Cohen 1960, doi 10.1177/001316446002000104, weighted: 1968, doi 10.1037/h0026256. Fleiss 1971, doi 10.1037/h0031619.
Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". Items with fewer than two labels say nothing about
agreement and have no part in any of them. What would be 0 / 0 (all labels equal) is NaN.

Shape letters: R resamples, N items, C classes. `counts_NC`: how often an item was given a label. `weight_RN`: how often
an item was drawn.
"""

import numpy as np

from tunesmith.labelling.annotations import Floats, Ints, Scale


def observed(counts_NC: Floats, weight_RN: Floats) -> Floats:
    """(R,): the mean share of equal pairs of labels of an item."""
    usable, share_N = _shares(counts_NC)
    weight_RU = weight_RN[:, usable]
    return _ratio(weight_RU @ share_N, weight_RU.sum(1))


def fleiss(counts_NC: Floats, weight_RN: Floats) -> Floats:
    """(R,): Fleiss' kappa. Where items have different numbers of labels, classes' shares are those among all labels."""
    usable, share_N = _shares(counts_NC)
    weight_RU = weight_RN[:, usable]
    total_RC = weight_RU @ counts_NC[usable]
    chance_R = _ratio((total_RC**2).sum(1), total_RC.sum(1) ** 2)
    return _ratio(_ratio(weight_RU @ share_N, weight_RU.sum(1)) - chance_R, 1 - chance_R)


def of_classes(counts_NC: Floats, weight_RN: Floats) -> tuple[Floats, Floats]:
    """(kappa, agreement) of each class, (R, C) each: Fleiss' kappa of "this class or another one", and how often a
    second annotator says the class where one says it (specific agreement)."""
    usable, _ = _shares(counts_NC)
    counts, weight_RU = counts_NC[usable], weight_RN[:, usable]
    size_N1 = counts.sum(1, keepdims=True)
    apart_RC = weight_RU @ (counts * (size_N1 - counts) / (size_N1 - 1) / size_N1)
    total_RC = weight_RU @ counts
    share_RC = _ratio(total_RC, total_RC.sum(1, keepdims=True))
    kappa_RC = 1 - _ratio(apart_RC / weight_RU.sum(1, keepdims=True), share_RC * (1 - share_RC))
    return kappa_RC, _ratio(weight_RU @ (counts * (counts - 1) / (size_N1 - 1)), total_RC)


def alpha(counts_NC: Floats, weight_RN: Floats, scale: Scale, values_C: Floats | None = None) -> Floats:
    """(R,): Krippendorff's alpha. Labels differ by 0 or 1 (nominal), or by the square of their distance: between ranks
    in the middle of their ties (ordinal), or between `values_C` (interval)."""
    usable, _ = _shares(counts_NC)
    counts, weight_RU = counts_NC[usable], weight_RN[:, usable]
    size_N, total_RC = counts.sum(1), weight_RU @ counts
    total_R = total_RC.sum(1)
    if scale == "nominal":
        apart_R = weight_RU @ ((counts * (size_N[:, None] - counts)).sum(1) / (size_N - 1))
        chance_R = total_R**2 - (total_RC**2).sum(1)
        return np.asarray(1 - (total_R - 1) * _ratio(apart_R, chance_R))
    if scale == "ordinal":  # n_c / 2 + all below: the sum between two ranks of Krippendorff's formula is their distance
        place_RC = total_RC.cumsum(1) - total_RC / 2
    else:
        assert values_C is not None, "an interval scale has values"
        place_RC = np.tile(values_C, (len(weight_RU), 1))
    place_RC = place_RC - _ratio((place_RC * total_RC).sum(1), total_R)[:, None]  # so that squares stay small
    # sum over pairs of (p - q)^2 = 2 m sum p^2 - 2 (sum p)^2
    apart_RN = size_N * (place_RC**2 @ counts.T) - (place_RC @ counts.T) ** 2
    apart_R = (weight_RU * apart_RN / (size_N - 1)).sum(1)
    chance_R = total_R * (total_RC * place_RC**2).sum(1) - (total_RC * place_RC).sum(1) ** 2
    return np.asarray(1 - (total_R - 1) * _ratio(apart_R, chance_R))


def cohen(first_N: Ints, second_N: Ints, weight_RN: Floats, distance_CC: Floats) -> Floats:
    """(R,): Cohen's kappa of two annotators over the items that both labelled; -1 is no label. `distance_CC` weighs
    disagreements; 0 on the diagonal and 1 elsewhere is the unweighted kappa."""
    both = (first_N >= 0) & (second_N >= 0)
    one, other, weight_RB = first_N[both], second_N[both], weight_RN[:, both]
    every = np.eye(len(distance_CC))
    margin_RC, margin_RD = weight_RB @ every[one], weight_RB @ every[other]
    chance_R = ((margin_RC @ distance_CC) * margin_RD).sum(1)
    return 1 - _ratio((weight_RB @ distance_CC[one, other]) * weight_RB.sum(1), chance_R)


def distances(labels: int, scale: Scale, values_C: Floats | None = None) -> Floats:
    """(C, C): how far labels are apart for Cohen's kappa: unweighted for nominal ones, linear in ranks for ordinal
    ones, quadratic in values for those with values."""
    if scale == "nominal":
        return 1.0 - np.eye(labels)
    place_C = np.arange(labels, dtype=np.float64) if values_C is None else values_C
    apart_CC = np.abs(place_C[:, None] - place_C[None])
    return apart_CC if scale == "ordinal" else apart_CC**2


def with_rest(given_N: Ints, counts_NC: Floats, weight_RN: Floats) -> Floats:
    """(R,): how often another annotator of the same item says what this one says."""
    own = np.flatnonzero((given_N >= 0) & (counts_NC.sum(1) > 1))
    counts = counts_NC[own]
    share_N = (counts[np.arange(len(own)), given_N[own]] - 1) / (counts.sum(1) - 1)
    return _ratio(weight_RN[:, own] @ share_N, weight_RN[:, own].sum(1))


def _shares(counts_NC: Floats) -> tuple[Ints, Floats]:
    """(items with two labels or more, the share of equal pairs of each)."""
    size_N = counts_NC.sum(1)
    usable = np.flatnonzero(size_N > 1)
    counts, size = counts_NC[usable], size_N[usable]
    return usable, (counts * (counts - 1)).sum(1) / (size * (size - 1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotient; NaN where nothing could be divided."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(below) > 1e-12, above / below, np.nan)
