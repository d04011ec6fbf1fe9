"""What several annotators say together: a probability of each label for each item.

    majority      the share of the votes
    dawid_skene   p(label | votes), with how often each annotator says b where a is right, learnt from the votes alone
    one_coin      the same with one number an annotator: how often they are right, whatever is

Dawid and Skene 1979, doi 10.2307/2346806: expectation and maximisation, from the shares of the votes. One coin (Zhang
et al. 2014, https://arxiv.org/abs/1406.3824) suits few labels an annotator, of which a whole matrix of confusions
cannot be learnt. Shape letters: K single labels, N items, A annotators, C classes, V = A C.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from tunesmith.labelling.annotations import Annotations, Floats

How = Literal["majority", "dawid_skene", "one_coin"]
HOWS: tuple[How, ...] = get_args(How)
LEAST = 1e-10
"""A confusion that was never seen is not impossible."""


def agreed(said: Annotations, how: How) -> Floats:
    """(N, C): the probability of each label; zeros for an item that nobody labelled."""
    ways: dict[How, Callable[[Annotations], Floats]] = {
        "majority": majority, "dawid_skene": dawid_skene, "one_coin": one_coin,
    }  # fmt: skip
    found = ways[how](said)
    found[said.counts.sum(1) == 0] = 0
    return found


def majority(said: Annotations) -> Floats:
    """(N, C): shares of the votes."""
    return np.asarray(said.counts / said.counts.sum(1, keepdims=True).clip(1))


def dawid_skene(said: Annotations, rounds: int = 100, tolerance: float = 1e-5) -> Floats:
    """(N, C): posterior of Dawid and Skene's model. Ends after so many rounds, or where a round moves no probability by
    more than the tolerance."""
    classes = len(said.labels)

    def errors(times_VC: Floats, seen_V1: Any) -> Floats:
        """p(said | right) of each annotator and label: how often, among what that annotator ever says."""
        times = np.where(seen_V1, times_VC.clip(LEAST), 0).reshape(-1, classes, classes)
        return np.asarray((times / times.sum(1, keepdims=True).clip(LEAST)).reshape(-1, classes))

    return _learnt(said, errors, rounds, tolerance)


def one_coin(said: Annotations, rounds: int = 100, tolerance: float = 1e-5) -> Floats:
    """(N, C): posterior where an annotator is right with one probability, and else says any other label."""
    classes = len(said.labels)
    given_A = np.bincount(said.who_K, minlength=len(said.annotators)).clip(1)

    def errors(times_VC: Floats, seen_V1: Any) -> Floats:
        skill_A = times_VC.reshape(-1, classes, classes).trace(axis1=1, axis2=2) / given_A
        skill = np.clip(skill_A, LEAST, 1 - LEAST)[:, None, None]
        same = np.eye(classes)[None]
        return np.asarray((skill * same + (1 - skill) / max(1, classes - 1) * (1 - same)).reshape(-1, classes))

    return _learnt(said, errors, rounds, tolerance)


def _learnt(said: Annotations, errors: Callable[[Floats, Any], Floats], rounds: int, tolerance: float) -> Floats:
    """Expectation and maximisation: `errors` (V, C) from how often each annotator said each label where each is right,
    (V, C), and which labels they ever said, (V, 1)."""
    from scipy import sparse

    num, classes = said.counts.shape
    cell_K = said.who_K * classes + said.label_K
    votes = sparse.csr_array((np.ones(len(cell_K)), (cell_K, said.item_K)), (len(said.annotators) * classes, num))
    seen_V1 = np.asarray(votes.sum(1)).reshape(-1, 1) > 0
    found_NC, some = majority(said), said.counts.sum(1) > 0
    for _ in range(rounds):
        prior_C = found_NC[some].mean(0).clip(LEAST)
        error_VC = errors(votes @ found_NC, seen_V1)
        log_NC = np.log(prior_C) + votes.T @ np.log(np.where(seen_V1, error_VC, 1))
        made_NC = np.exp(log_NC - log_NC.max(1, keepdims=True))
        made_NC /= made_NC.sum(1, keepdims=True)
        moved = float(np.abs(made_NC - found_NC).max())
        found_NC = made_NC
        if moved < tolerance:
            break
    return found_NC
