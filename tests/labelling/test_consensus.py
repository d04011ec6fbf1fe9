"""Consensus: equal to a second library, better than votes where annotators differ, and indifferent to names."""

import numpy as np
import pytest

from tunesmith.labelling.annotations import Annotations
from tunesmith.labelling.consensus import agreed, dawid_skene, majority


def crowd(seed: int, items: int = 200, skills: tuple[float, ...] = (0.9, 0.85, 0.5, 0.45, 0.4), missing: float = 0.1):
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


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_of_crowd_kit(seed: int) -> None:
    """The same fixed point as crowd-kit's, both run to the end."""
    pandas, aggregation = pytest.importorskip("pandas"), pytest.importorskip("crowdkit.aggregation")
    said, _ = crowd(seed, 80)
    frame = pandas.DataFrame({"task": said.item_K, "worker": said.who_K, "label": said.label_K})
    theirs = aggregation.DawidSkene(n_iter=60, tol=-1.0).fit_predict_proba(frame).sort_index()
    ours = dawid_skene(said, rounds=60, tolerance=0.0)[theirs.index.to_numpy()]
    np.testing.assert_allclose(ours, theirs[[0, 1, 2]].to_numpy(), atol=1e-6)


@pytest.mark.parametrize("how", ["dawid_skene", "mace"])
def test_better_than_votes(how: str) -> None:
    """Two who know and three who guess: the votes of those who know should count more."""
    if how == "mace":
        pytest.importorskip("crowdkit")
    right = []
    for seed in range(2 if how == "mace" else 5):
        said, truth = crowd(seed, 120 if how == "mace" else 200)
        right.append([(agreed(said, name).argmax(1) == truth).mean() for name in ("majority", how)])  # type: ignore[arg-type]
    votes, model = np.mean(right, axis=0)
    assert model > votes + 0.02


def test_shares_and_sums() -> None:
    said, _ = crowd(0)
    for found in (majority(said), dawid_skene(said)):
        np.testing.assert_allclose(found.sum(1), 1)
    item = said.item_K == 0
    np.testing.assert_allclose(majority(said)[0], np.bincount(said.label_K[item], minlength=3) / item.sum())


def test_nobody_said_anything() -> None:
    said = Annotations(("1", "2"), ("a", "b"), ("x", "y"), None, np.array([0, 0]), np.array([0, 1]), np.array([1, 1]))
    for how in ("majority", "dawid_skene"):
        found = agreed(said, how)  # type: ignore[arg-type]
        assert found[0].argmax() == 1
        assert found[1].tolist() == [0, 0]


def test_renaming_changes_nothing() -> None:
    said, _ = crowd(1)
    turned = np.array([2, 0, 1])
    other = Annotations(said.items, said.annotators, said.labels, None, said.item_K, 4 - said.who_K, turned[said.label_K])
    np.testing.assert_allclose(dawid_skene(other)[:, turned], dawid_skene(said), atol=1e-9)
