"""Schedules: equal to transformers' where both have one, warm-up in every unit, floors, drops."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import optimization as theirs

from tunesmith.settings import Train
from tunesmith.training.schedule import factor, warmup_steps

TOTAL, PER_EPOCH, WARM = 60, 20, 12
SCHEDULES = ("linear", "cosine", "restarts", "polynomial", "step", "constant", "inverse_sqrt", "plateau")


def curve(schedule: str, warm: int = WARM, total: int = TOTAL, drops: int = 0, **more: Any) -> list[float]:
    train = Train(schedule=schedule, warmup=f"{warm} steps" if warm else 0.0, **more)
    return [factor(train, step, total, PER_EPOCH, drops) for step in range(total)]


def their_factors(make: Any, count: int, **more: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer, num_warmup_steps=WARM, **more)
    return [schedule.lr_lambdas[0](step) for step in range(count)]


SHARED: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "linear": (theirs.get_linear_schedule_with_warmup, {"num_training_steps": TOTAL}, {}),
    "cosine": (theirs.get_cosine_schedule_with_warmup, {"num_training_steps": TOTAL}, {}),
    "restarts": (
        theirs.get_cosine_with_hard_restarts_schedule_with_warmup,
        {"num_training_steps": TOTAL, "num_cycles": 4},
        {"cycles": 4},
    ),
    "polynomial": (
        theirs.get_polynomial_decay_schedule_with_warmup,
        {"num_training_steps": TOTAL, "power": 3.0, "lr_end": 0.0},
        {"power": 3.0},
    ),
    "constant": (theirs.get_constant_schedule_with_warmup, {}, {}),
}


@pytest.mark.parametrize("schedule", SHARED)
def test_after_the_warm_up_they_equal_transformers(schedule: str) -> None:
    make, asked, ours = SHARED[schedule]
    assert curve(schedule, **ours)[WARM:] == pytest.approx(their_factors(make, TOTAL, **asked)[WARM:], abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_is_that_of_transformers_one_step_ahead(schedule: str) -> None:
    expected = their_factors(theirs.get_constant_schedule_with_warmup, WARM + 1)
    assert curve(schedule)[:WARM] == pytest.approx(expected[1:], abs=1e-12)
    assert curve(schedule)[0] > 0, "the first step is not thrown away"


def test_inverse_sqrt_equals_transformers_one_step_ahead() -> None:
    expected = their_factors(theirs.get_inverse_sqrt_schedule, TOTAL + 1)
    assert curve("inverse_sqrt") == pytest.approx(expected[1:], abs=1e-12)


def test_linear_reaches_almost_zero_and_never_less() -> None:
    found = curve("linear")
    assert found[WARM] == 1.0 and found[-1] == pytest.approx(1 / (TOTAL - WARM))


def test_restarts_start_anew_as_often_as_asked() -> None:
    found = curve("restarts", warm=0, cycles=3)
    assert [s for s in range(TOTAL) if found[s] == 1.0] == [0, 20, 40]
    assert all(b < a for s, (a, b) in enumerate(pairwise(found)) if (s + 1) % 20)


def test_restarts_are_not_the_cosine() -> None:
    assert curve("restarts", cycles=2) != curve("cosine")
    assert curve("restarts", cycles=1) == pytest.approx(curve("cosine"))


def test_step_multiplies_by_its_factor_in_even_parts() -> None:
    found = curve("step", warm=0, cycles=3, factor=0.1)
    assert found == pytest.approx([1.0] * 20 + [0.1] * 20 + [0.01] * 20)


def test_plateau_follows_its_drops_and_no_clock() -> None:
    assert set(curve("plateau", warm=0)) == {1.0}
    assert set(curve("plateau", warm=0, drops=3)) == {0.125}
    assert curve("plateau", warm=0, drops=2, factor=0.1) == pytest.approx([0.01] * TOTAL)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_falls_below_its_floor(schedule: str) -> None:
    found = curve(schedule, floor=0.25, drops=9)
    assert min(found[WARM:]) >= 0.25
    assert max(found) <= 1.0


def test_the_floor_lifts_the_whole_curve() -> None:
    bare, lifted = curve("cosine")[WARM:], curve("cosine", floor=0.2)[WARM:]
    assert lifted == pytest.approx([0.2 + 0.8 * value for value in bare])


@pytest.mark.parametrize(
    ("warmup", "steps"), [(0.0, 0), (0.1, 6), (0.06, 4), ("7 steps", 7), ("1 epoch", 20), ("0.5 epochs", 10)]
)
def test_warm_up_by_share_steps_and_epochs(warmup: float | str, steps: int) -> None:
    assert warmup_steps(Train(warmup=warmup), TOTAL, PER_EPOCH) == steps


def test_a_warm_up_in_epochs_climbs_step_by_step() -> None:
    train = Train(warmup="1 epoch")
    found = [factor(train, s, TOTAL, PER_EPOCH) for s in range(PER_EPOCH)]
    assert found == pytest.approx([(s + 1) / PER_EPOCH for s in range(PER_EPOCH)])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", ("1000 steps", "9 epochs", 0.999))
def test_a_warm_up_longer_than_the_run_ends_with_it(warmup: float | str, schedule: str) -> None:
    train = Train(warmup=warmup, schedule=schedule)
    found = [factor(train, s, TOTAL, PER_EPOCH) for s in range(TOTAL)]
    assert warmup_steps(train, TOTAL, PER_EPOCH) <= TOTAL
    assert found == sorted(found) and found[-1] == 1.0, "it still reaches its peak"


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.floats(0, 0.99), st.floats(0, 1), st.integers(0, 5))
def test_every_factor_is_a_share_of_the_peak(s: str, total: int, warmup: float, floor: float, drops: int) -> None:
    train = Train(schedule=s, warmup=warmup, floor=floor)
    for step in range(total):
        value = factor(train, step, total, 10, drops)
        assert math.isfinite(value) and 0 <= value <= 1 + 1e-12


def test_cyclic_is_the_triangles_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, step_size_up=10, cycle_momentum=False)
    found = []
    for _ in range(TOTAL):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert curve("cyclic", 0, cycles=3) == pytest.approx(found, abs=1e-9)


def test_one_cycle_is_the_shape_of_torch() -> None:
    total = 5000  # torch counts the last step of a phase as its end, which a long run does not show
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total, cycle_momentum=False)
    found = []
    for step in range(total):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        if step < total - 1:
            theirs.step()
    assert curve("one_cycle", 0, total) == pytest.approx(found, abs=2e-3)
    assert max(curve("one_cycle", 0)) == pytest.approx(1.0) and curve("one_cycle", 0)[0] == pytest.approx(1 / 25)


@pytest.mark.parametrize("schedule", ["cyclic", "one_cycle"])
def test_schedules_that_climb_by_themselves_take_no_warm_up(schedule: str) -> None:
    assert warmup_steps(Train(schedule=schedule), TOTAL, PER_EPOCH) == 0
