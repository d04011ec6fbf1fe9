"""SMOTE between states: its arithmetic, who stands between whom, the loss of a step, and where it is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import small
from kit import TinyBases
from tunesmith.engine.network import training_mode
from tunesmith.errors import TunesmithError
from tunesmith.model import kept
from tunesmith.penalties import Rested
from tunesmith.penalties.smote import _mixed, between, nearest
from tunesmith.training.loop import Loop

TEXTS = (*small.TEXTS, "the pump drips", "oil under the pump", "goal for the guests", "valve stuck")
LABELS = (*"aaabbaaaab", "a", "a", "c", "d")


def ready(bases: TinyBases, smote: Any = "smote", base: str = "bert", side: bool = False, **train: Any) -> Loop:
    rows = small.records(TEXTS, LABELS, hours=[i / 7 for i in range(len(TEXTS))])
    task = {"name": "classify", "side_columns": ["hours"], "side": "vector"} if side else "classify"
    penalties = [smote] if smote else []
    made = small.model(small.plan(bases[base], task=task, method="head", penalties=penalties, **train), rows)
    for module in made.net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return small.loop(made, small.encoded(made, rows, [0.5 + (i % 3) / 4 for i in range(len(rows))]))


def cloud(rows: int, seed: int = 0, width: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32))


def resting(states_NH: torch.Tensor, targets: Any) -> Rested:
    weights = np.ones(len(targets), np.float32)
    return Rested(np.asarray(targets), weights, lambda rows: states_NH[list(rows)], lambda rows: None,
                  lambda states, side: states, ("a", "b"), 0)  # fmt: skip


def test_nearest_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    states = cloud(40)
    want = NearestNeighbors(n_neighbors=6).fit(states.numpy()).kneighbors(states.numpy(), return_distance=False)
    assert np.array_equal(nearest(states, states, 6), want)


def test_the_arithmetic_is_that_of_imbalanced_learn() -> None:
    over = pytest.importorskip("imblearn.over_sampling", reason="imbalanced-learn is not installed")
    states, targets = cloud(30, 2).double(), np.r_[np.zeros(20, np.int64), np.ones(10, np.int64)]
    own, at = np.flatnonzero(targets == 1), resting(states, targets)
    origins, others, gaps = between(at, own, 10, 5, np.random.default_rng(3))
    smote = over.SMOTE(k_neighbors=5, random_state=0)
    _, labels = smote.fit_resample(states.numpy(), targets)
    assert labels.sum() == len(own) + len(origins), "as many as are made here"
    table = smote.nn_k_.kneighbors(states[own].numpy(), return_distance=False)[:, 1:]
    assert np.array_equal(table, nearest(states[own], states[own], 6)[:, 1:])
    rows = np.searchsorted(own, origins)
    cols = [int(np.flatnonzero(own[table[r]] == other)[0]) for r, other in zip(rows, others, strict=True)]
    want = smote._generate_samples(states[own].numpy(), states[own].numpy(), table, rows, cols, gaps[:, None])
    mixed = _mixed(states[origins], states[others], torch.from_numpy(gaps)[:, None])
    np.testing.assert_allclose(mixed.numpy(), want, rtol=1e-12)


def test_new_rows_stand_between_a_row_and_one_of_its_k_nearest_of_the_class() -> None:
    states, targets = cloud(60, 1), np.r_[np.zeros(35, np.int64), np.ones(25, np.int64)]
    own = np.flatnonzero(targets == 1)
    origins, others, gaps = between(resting(states, targets), own, 60, 3, np.random.default_rng(0))
    counts = np.bincount(origins, minlength=60)[own]
    assert counts.sum() == 60 and set(counts.tolist()) == {2, 3}, "shared out evenly"
    near = {row: set(own[nearest(states[[row]], states[own], 4)[0][1:]].tolist()) for row in own.tolist()}
    assert all(other in near[row] for row, other in zip(origins.tolist(), others.tolist(), strict=True))
    assert len({(r, o) for r, o in zip(origins.tolist(), others.tolist(), strict=True)}) > 30
    assert gaps.min() >= 0 and gaps.max() < 1 and abs(float(gaps.mean()) - 0.5) < 0.12
    again = between(resting(states, targets), own, 60, 3, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(again, (origins, others, gaps), strict=True))


def test_equal_rows_and_pairs_have_neighbours_too() -> None:
    states = torch.ones(4, 3)
    origins, others, _ = between(resting(states, [0, 0, 0, 0]), np.arange(4), 12, 5, np.random.default_rng(0))
    assert not (origins == others).any()
    origins, others, _ = between(resting(states, [1, 0, 1, 0]), np.array([0, 2]), 5, 5, np.random.default_rng(0))
    assert np.array_equal(others, 2 - origins)


def test_the_loss_of_a_step_is_that_of_rows_and_new_rows(tiny_bases: TinyBases) -> None:
    for side in (False, True):
        loop = ready(tiny_bases, side=side)
        loop._take_shortcuts()
        training_mode(loop.model.net, loop.model.plan.method, loop.model.family)
        term: Any = loop.terms.terms[0]
        data, rows = loop.job.train, [12, 3, 0, 4, 9]
        assert len(term.rows_M) == 9 - 3, "b has 3 rows of 9; c and d have one row, and no neighbour"
        assert any("smote: 6 new rows" in line and "b 3 + 6" in line and "c 1 + 0" in line
                   for line in loop.model.shortcuts.said)  # fmt: skip
        loop.optimizer.zero_grad(set_to_none=True)
        value = sum(loop._backward(rows, 7))
        found = {n: p.grad.clone() for n, p in loop.moving.items() if p.grad is not None}
        loop.optimizer.zero_grad(set_to_none=True)
        _, states_NH = _states(loop)
        new = [i for i, row in enumerate(term.rows_M.tolist()) if row in rows]
        assert len(new) == 6
        first, second, gap = term.rows_M[new], term.others_M[new], torch.from_numpy(term.gaps_M[new])[:, None]
        made = states_NH[first] + gap * (states_NH[second] - states_NH[first])
        x = torch.cat([states_NH[rows], made])
        logits = loop.model.net.auto.classifier(loop.model.net.auto.bert.pooler(x[:, None]))  # type: ignore
        if side:
            own = torch.from_numpy(data.side)  # type: ignore[arg-type]
            features = torch.cat([own[rows], own[first] + gap * (own[second] - own[first])])
            logits = logits + loop.model.net.side(features)  # type: ignore[misc]
        index = [*rows, *first.tolist()]
        weights = torch.from_numpy(data.weights[index])
        losses = cross_entropy(logits, torch.from_numpy(data.targets[index]), reduction="none")  # type: ignore[index]
        share = data.weights.sum() / (data.weights.sum() + data.weights[term.rows_M].sum())
        want = float(share) * (losses * weights).sum() / float(data.weights[rows].sum())
        want.backward()
        assert value == pytest.approx(want.item(), rel=1e-5)
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, loop.moving[name].grad, atol=1e-6, rtol=1e-4)


def _states(loop: Loop) -> tuple[Any, torch.Tensor]:
    with torch.no_grad():
        found = loop.model.shortcuts.way.rested(loop.job.train)
        assert found is not None
        return found, found[0](list(range(len(TEXTS))))


def test_an_epoch_sees_every_new_row_once_and_a_run_repeats_itself(tiny_bases: TinyBases) -> None:
    loops = [ready(tiny_bases, epochs=2, batch=4) for _ in range(2)]
    seen: list[int] = []
    for loop in loops:
        term: Any = loop.terms.terms[0]
        of = term.of_outputs
        term.of_outputs = lambda said, of=of: (seen.extend(said.rows), of(said))[1]
        loop.run()
    assert sorted(seen) == sorted(list(range(len(TEXTS))) * 4)
    for name, tensor in kept(loops[0].model).items():
        assert torch.equal(tensor, kept(loops[1].model)[name]), name
    assert loops[0].evaluations[-1]["smote_rows"] == 6
    plain = ready(tiny_bases, None, epochs=2, batch=4)
    plain.run()
    assert any(not torch.equal(t, kept(plain.model)[n]) for n, t in kept(loops[0].model).items())


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"method": "lora"}, "lora moves what states are made by.*Use method head"),
        ({"method": "full"}, "full moves what states are made by"),
        ({"task": "multilabel"}, "no one class each"),
        ({"engine": {"cache": "off"}}, "engine.cache is off"),
        ({"steps": ["balance"]}, "both even out classes"),
        ({"penalties": ["smote", "mixup"]}, "both stand in the place of the loss"),
        ({"penalties": ["smote", "smote"]}, "smote stands twice"),
    ],
)
def test_refused_where_it_would_not_be_smote(plan: dict[str, Any], message: str) -> None:
    tree = {"task": "classify", "base": "minilm", "data": "t.csv", "method": "head", "penalties": ["smote"]}
    with pytest.raises(TunesmithError, match=message):
        small.make_plan(tree | plan)


def test_refused_where_nothing_is_kept(tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=r"smote works on what the head reads.*train\.neftune"):
        ready(tiny_bases, neftune=5.0)._take_shortcuts()
