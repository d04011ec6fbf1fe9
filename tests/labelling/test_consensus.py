"""Consensus: equal to a second library, better than votes where annotators differ, and indifferent to names."""

from collections.abc import Callable

import numpy as np
import pytest

from tunesmith.labelling.annotations import Annotations, Floats, Ints
from tunesmith.labelling.consensus import HOWS, agreed, dawid_skene, majority, one_coin


def crowd(
    seed: int, items: int = 200, skills: tuple[float, ...] = (0.9, 0.85, 0.5, 0.45, 0.4), missing: float = 0.1
) -> tuple[Annotations, Ints]:
    """(what annotators of these skills say of items of 3 classes, the truth)."""
    order = np.random.default_rng(seed)
    truth = order.integers(0, 3, items)
    rows = []
    for who, skill in enumerate(skills):
        for item in range(items):
            if order.random() >= missing:
                rows.append((item, who, int(truth[item] if order.random() < skill else order.integers(0, 3))))
    item_K, who_K, label_K = np.array(rows).T
    names = tuple(str(i) for i in range(items))
    return Annotations(names, tuple("abcde"), ("x", "y", "z"), None, item_K, who_K, label_K), truth


@pytest.mark.parametrize(("ours", "theirs"), [(dawid_skene, "DawidSkene"), (one_coin, "OneCoinDawidSkene")])
def test_of_crowd_kit(ours: Callable[..., Floats], theirs: str) -> None:
    """The same as crowd-kit's after as many rounds."""
    pandas, aggregation = pytest.importorskip("pandas"), pytest.importorskip("crowdkit.aggregation")
    said, _ = crowd(0, 40)
    frame = pandas.DataFrame({"task": said.item_K, "worker": said.who_K, "label": said.label_K})
    found = getattr(aggregation, theirs)(n_iter=8, tol=-1.0).fit_predict_proba(frame).sort_index()
    np.testing.assert_allclose(ours(said, 8, 0.0)[found.index.to_numpy()], found[[0, 1, 2]].to_numpy(), atol=1e-6)


@pytest.mark.parametrize("how", [dawid_skene, one_coin])
def test_better_than_votes(how: Callable[..., Floats]) -> None:
    """Two who know and three who guess: the votes of those who know should count more."""
    right = []
    for seed in range(5):
        said, truth = crowd(seed)
        right.append([(found(said).argmax(1) == truth).mean() for found in (majority, how)])
    votes, model = np.mean(right, axis=0)
    assert model > votes + 0.01


def test_shares_and_sums() -> None:
    said, _ = crowd(0)
    for found in (majority(said), dawid_skene(said), one_coin(said)):
        np.testing.assert_allclose(found.sum(1), 1)
    item = said.item_K == 0
    np.testing.assert_allclose(majority(said)[0], np.bincount(said.label_K[item], minlength=3) / item.sum())


def test_nobody_said_anything() -> None:
    said = Annotations(("1", "2"), ("a", "b"), ("x", "y"), None, np.array([0, 0]), np.array([0, 1]), np.array([1, 1]))
    for how in HOWS:
        found = agreed(said, how)
        assert found[0].argmax() == 1
        assert found[1].tolist() == [0, 0]


def test_renaming_changes_nothing() -> None:
    said, _ = crowd(1)
    turned = np.array([2, 0, 1])
    other = Annotations(
        said.items, said.annotators, said.labels, None, said.item_K, 4 - said.who_K, turned[said.label_K]
    )
    np.testing.assert_allclose(dawid_skene(other)[:, turned], dawid_skene(said), atol=1e-9)
