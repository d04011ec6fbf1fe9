"""Penalties on two domains against their formulas, written by hand in numpy, double precision."""

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.model import weights
from tunesmith.penalties import coral, mmd
from tunesmith.penalties.dann import rise
from tunesmith.training.terms import start_of

ROWS = small.records()
TARGET = np.array([False, True, False, False, True, False, True, False, False, True])


def two(seed: int, source: int, target: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(source, width)), rng.normal(0.5, 1.5, (target, width))


@pytest.mark.parametrize(("source", "target", "width"), [(7, 3, 4), (2, 2, 9), (5, 12, 1)])
def test_coral_is_its_formula(source: int, target: int, width: int) -> None:
    x, y = two(1, source, target, width)

    def covariance(d: np.ndarray) -> np.ndarray:
        ones = np.ones((1, len(d)))
        return (d.T @ d - (ones @ d).T @ (ones @ d) / len(d)) / (len(d) - 1)  # as the paper writes it

    want = np.sum((covariance(x) - covariance(y)) ** 2) / (4 * width**2)
    assert coral.distance(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("source", "target", "width"), [(7, 3, 4), (2, 2, 9), (1, 3, 2)])
def test_mmd_is_its_formula_pair_by_pair(source: int, target: int, width: int) -> None:
    x, y = two(2, source, target, width)
    every = np.concatenate([x, y])
    squares = [np.sum((a - b) ** 2) for i, a in enumerate(every) for j, b in enumerate(every) if i != j]
    middle = float(np.mean(squares))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.exp(-np.sum((a - b) ** 2) / (middle * 2.0**u)) for u in range(-2, 3)]))

    want = np.mean([k(a, b) for a in x for b in x]) + np.mean([k(a, b) for a in y for b in y])
    want -= 2 * np.mean([k(a, b) for a in x for b in y])
    found = mmd.distance(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert found == pytest.approx(want, abs=1e-12) and found >= 0


def test_two_samples_of_one_distribution_are_nearer_than_of_two() -> None:
    rng = np.random.default_rng(3)
    one, same, other = rng.normal(size=(60, 5)), rng.normal(size=(60, 5)), rng.normal(1.0, 2.0, (60, 5))
    for distance in (coral.distance, mmd.distance):
        near, far = (distance(torch.from_numpy(one), torch.from_numpy(b)).item() for b in (same, other))
        assert near < far / 2


def test_lambda_rises_as_in_the_paper() -> None:
    assert rise(0.0) == 0.0
    assert rise(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert rise(1.0) == pytest.approx(0.9999092)


def test_the_reversed_gradient_is_the_one_written_by_hand(tiny_bases: TinyBases) -> None:
    share, strength = 0.3, 0.7
    asked = small.plan(
        tiny_bases["bert"], task={"name": "domain", "task": {"name": "classify"}, "target": "t.csv"},
        penalties=[{"name": "dann", "strength": strength}],
    )  # fmt: skip
    made = small.model(asked, ROWS)
    term = asked.penalties[0].begin(start_of(made, weights(made)))
    critic = made.net.beside["dann"].double()
    torch.nn.init.normal_(critic.weight, generator=torch.Generator().manual_seed(1))
    x = np.random.default_rng(4).normal(size=(10, critic.in_features))
    states = torch.from_numpy(x).requires_grad_()
    loss = term.of_states(states, torch.from_numpy(TARGET), share)
    assert loss is not None
    loss.backward()
    w, b = critic.weight.detach().numpy()[0], critic.bias.detach().numpy()[0]
    p = 1 / (1 + np.exp(-(x @ w + b)))
    each = np.where(TARGET, 0.5 / TARGET.sum(), 0.5 / (~TARGET).sum())
    want = -np.sum(each * np.where(TARGET, np.log(p), np.log(1 - p)))
    pull = each * (p - TARGET)
    factor = strength * (2 / (1 + np.exp(-10 * share)) - 1)
    assert loss.item() == pytest.approx(want, rel=1e-12)
    assert np.allclose(states.grad, -factor * np.outer(pull, w), rtol=1e-10, atol=1e-15)
    assert np.allclose(critic.weight.grad, (pull @ x)[None], rtol=1e-10)  # itself learns at full weight
    assert np.allclose(critic.bias.grad, pull.sum(), rtol=1e-10, atol=1e-15)


def test_mmd_does_not_pull_all_states_to_one_point() -> None:
    """Neither value nor gradient depends on the scale of the states: along it the derivative is zero."""
    draw = torch.Generator().manual_seed(4)
    source, target = (torch.randn(n, 5, dtype=torch.float64, generator=draw) + n for n in (6, 4))
    assert mmd.distance(7 * source, 7 * target).item() == pytest.approx(mmd.distance(source, target).item(), abs=1e-12)
    both = [source.requires_grad_(), target.requires_grad_()]
    slopes = torch.autograd.grad(mmd.distance(*both), both)
    along = sum((states.detach() * slope).sum().item() for states, slope in zip(both, slopes, strict=True))
    assert along == pytest.approx(0.0, abs=1e-12)
    assert max(slope.abs().max().item() for slope in slopes) > 1e-3
