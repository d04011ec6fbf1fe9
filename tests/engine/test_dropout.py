"""Cheap dropout is dropout: the asked share, independent draws, exact expectation, the right gradient, seeded."""

import pytest
import torch
from torch import nn

from tunesmith.engine.dropout import drop, dropped, make_cheap

SHAPE = torch.Size((403, 1001))


@pytest.mark.parametrize("share", (0.01, 0.1, 0.5, 0.9))
def test_the_share_is_what_was_asked(share: float) -> None:
    torch.manual_seed(3)
    mask, factor = dropped(SHAPE, share)
    spread = (share * (1 - share) / SHAPE.numel()) ** 0.5
    assert abs(mask.double().mean().item() - share) < 5 * spread
    assert factor == pytest.approx(1 / (1 - share), rel=1e-3)


def test_draws_are_independent_of_place_and_neighbour() -> None:
    torch.manual_seed(4)
    mask = dropped(torch.Size((400_000,)), 0.1)[0].double() - 0.1
    bound = 5 * 0.09 / 400_000**0.5
    for lag in (1, 2, 3, 4, 5, 8, 64, 1001):
        assert abs((mask[lag:] * mask[:-lag]).mean().item()) < bound, f"neighbours at distance {lag}"
    lanes = mask.view(-1, 4).mean(0)  # four elements share 64 bits
    assert lanes.abs().max() < 5 * 0.3 / 100_000**0.5


def test_what_is_kept_is_scaled_so_that_the_expected_value_is_exact() -> None:
    torch.manual_seed(5)
    out = drop(torch.ones(SHAPE, dtype=torch.float64), 0.1)
    assert set(out.unique().tolist()) == {0.0, 65536 / (65536 - round(6553.6))}
    assert out.mean().item() == pytest.approx(1.0, abs=5e-3)


def test_the_gradient_flows_where_the_value_did() -> None:
    torch.manual_seed(6)
    states = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    out = drop(states, 0.3)
    out.sum().backward()
    assert torch.allclose(states.grad * states.detach(), out.detach())

    def again(values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(6)
        return drop(values, 0.3)

    assert torch.autograd.gradcheck(again, (states.detach().requires_grad_(),))


def test_the_seed_decides_and_only_the_seed() -> None:
    out = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        out.append(drop(torch.ones(1000), 0.5))
    assert torch.equal(out[0], out[1])
    assert not torch.equal(out[0], out[2])


@pytest.mark.parametrize("share", (0.0, 1.0))
def test_all_or_nothing_is_left_to_torch(share: float) -> None:
    assert torch.equal(drop(torch.ones(9), share), torch.ones(9) * (1 - share))


def test_modules_draw_in_training_alone() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.0)))
    assert make_cheap(net) == 2
    assert make_cheap(net) == 2
    states = torch.ones(20, 5)
    assert 0 < int(net(states).eq(0).sum()) < 100
    net.eval()
    assert torch.equal(net(states), states)
