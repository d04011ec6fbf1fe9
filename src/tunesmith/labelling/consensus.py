"""What several annotators say together: a probability of each label for each item.

    majority      the share of the votes
    dawid_skene   p(label | votes), with how often each annotator says b where a is right, learnt from the votes alone
    mace          the same with one number an annotator: how often they answer at random

Dawid and Skene 1979, doi 10.2307/2346806: expectation and maximisation, from the shares of the votes. MACE (Hovy et al.
2013, https://aclanthology.org/N13-1132) is crowd-kit's; it suits few labels an annotator, of which a whole matrix of
confusions cannot be learnt. Shape letters: K single labels, N items, A annotators, C classes.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.labelling.annotations import Annotations, Floats

How = Literal["majority", "dawid_skene", "mace"]
HOWS: tuple[How, ...] = get_args(How)
LEAST = 1e-10
"""A confusion that was never seen is not impossible."""


def agreed(said: Annotations, how: How) -> Floats:
    """(N, C): the probability of each label; zeros for an item that nobody labelled."""
    ways: dict[How, Callable[[Annotations], Floats]] = {
        "majority": majority, "dawid_skene": dawid_skene, "mace": mace,
    }  # fmt: skip
    found = ways[how](said)
    found[said.counts_NC.sum(1) == 0] = 0
    return found


def majority(said: Annotations) -> Floats:
    """(N, C): shares of the votes."""
    return np.asarray(said.counts_NC / said.counts_NC.sum(1, keepdims=True).clip(1))


def dawid_skene(said: Annotations, rounds: int = 100, tolerance: float = 1e-5) -> Floats:
    """(N, C): posterior of Dawid and Skene's model. Ends after so many rounds, or where a round moves no probability by
    more than the tolerance."""
    from scipy import sparse

    num, classes = said.counts_NC.shape
    cell_K = said.who_K * classes + said.label_K
    votes = sparse.csr_array((np.ones(len(cell_K)), (cell_K, said.item_K)), (len(said.annotators) * classes, num))
    seen_V = np.asarray(votes.sum(1)).reshape(-1, 1) > 0
    found_NC = majority(said)
    for _ in range(rounds):
        prior_C = found_NC[said.counts_NC.sum(1) > 0].mean(0).clip(LEAST)
        times = np.where(seen_V, (votes @ found_NC).clip(LEAST), 0).reshape(-1, classes, classes)
        error = (times / times.sum(1, keepdims=True).clip(LEAST)).reshape(-1, classes)
        log_NC = np.log(prior_C) + votes.T @ np.log(np.where(seen_V, error, 1))
        made_NC = np.exp(log_NC - log_NC.max(1, keepdims=True))
        made_NC /= made_NC.sum(1, keepdims=True)
        moved = float(np.abs(made_NC - found_NC).max())
        found_NC = made_NC
        if moved < tolerance:
            break
    return found_NC


def mace(said: Annotations) -> Floats:
    """(N, C): posterior of MACE, ten restarts with the seed 0."""
    try:
        import pandas as pd
        from crowdkit.aggregation import MACE
    except ImportError as error:
        raise TunesmithError(
            "--how mace: crowd-kit is not installed. Run: pip install 'tunesmith[data]', or take --how dawid_skene"
        ) from error
    frame = pd.DataFrame({"task": said.item_K, "worker": said.who_K, "label": said.label_K})
    found = MACE(random_state=0).fit_predict_proba(frame)
    every = found.reindex(index=range(len(said.items)), columns=range(len(said.labels)), fill_value=0.0)
    return np.asarray(every.to_numpy(dtype=np.float64))
