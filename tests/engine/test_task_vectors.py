"""Merges of task vectors: by hand, against PEFT's functions where those mean the same, and by what they promise."""

import pytest
import torch
from peft.utils import merge_utils

from tunesmith.engine.task_vectors import How, combine, merged


def vectors(count: int = 3, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(13, 7, generator=generator) for _ in range(count)]


def test_by_hand() -> None:
    a, b = torch.tensor([4.0, -1.0, 2.0, 0.5]), torch.tensor([2.0, 3.0, -1.0, 0.1])
    assert merged("w", [a, b], [0.5, 0.5], "linear", 1.0, 0).tolist() == pytest.approx([3, 1, 0.5, 0.3])
    # the larger half of each stays (4, 2 and 2, 3); nobody disagrees; each place is the mean of those that are there
    assert merged("w", [a, b], [0.5, 0.5], "ties", 0.5, 0).tolist() == pytest.approx([3, 3, 2, 0])
    # all stay; place 1: 3 outvotes -1; place 2: 2 outvotes -1
    assert merged("w", [a, b], [0.5, 0.5], "ties", 1.0, 0).tolist() == pytest.approx([3, 3, 2, 0.3])


def test_equal_peft_where_peft_means_the_same() -> None:
    some = vectors()
    weights = [0.2, 0.3, 0.7]
    wanted = merge_utils.task_arithmetic(some, torch.tensor(weights))
    torch.testing.assert_close(merged("w", some, weights, "linear", 1.0, 0), wanted)
    third = [1 / 3] * 3  # PEFT divides by the number of parts beside its weights
    wanted = merge_utils.ties(some, torch.ones(3), density=31 / 91)
    torch.testing.assert_close(merged("w", some, third, "ties", 31 / 91, 0), wanted)


def test_linear_equals_the_concatenation_of_factors() -> None:
    generator = torch.Generator().manual_seed(1)
    pairs = [(torch.randn(9, r, generator=generator), torch.randn(r, 5, generator=generator)) for r in (2, 4)]
    weights = [0.4, 1.1]
    whole = merged("w", [b @ a for b, a in pairs], weights, "linear", 1.0, 0)
    rows = torch.cat([a for _, a in pairs])
    columns = torch.cat([w * b for w, (b, _) in zip(weights, pairs, strict=True)], dim=1)
    torch.testing.assert_close(whole, columns @ rows)


@pytest.mark.parametrize("how", ["dare_linear", "dare_ties"])
def test_dare_drops_by_seed_name_and_part(how: How) -> None:
    some = vectors(2)
    one = merged("w", some, [0.5, 0.5], how, 0.5, 7)
    assert torch.equal(one, merged("w", some, [0.5, 0.5], how, 0.5, 7))
    assert not torch.equal(one, merged("w", some, [0.5, 0.5], how, 0.5, 8))
    assert not torch.equal(one, merged("v", some, [0.5, 0.5], how, 0.5, 7))
    same = [torch.ones(50, 50), torch.ones(50, 50)]
    dropped = merged("w", same, [0.5, 0.5], "dare_linear", 0.5, 7)
    assert set(dropped.unique().tolist()) == {0.0, 1.0, 2.0}, "the parts are thinned apart"
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.05), "and keep their mean"


def test_density_one_drops_nothing() -> None:
    some = vectors(2)
    assert torch.equal(
        merged("w", some, [0.5, 0.5], "dare_linear", 1.0, 7), merged("w", some, [0.5, 0.5], "linear", 1.0, 0)
    )


def test_a_part_that_lacks_a_weight_has_not_changed_it() -> None:
    base = {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2)}
    made = combine(base, [{"a": torch.full((2,), 3.0)}, {"b": torch.zeros(2)}], [0.5, 0.5], "linear", 1.0, 0)
    assert {n: t.tolist() for n, t in made.items()} == {"a": [2.0, 2.0], "b": [0.5, 0.5]}
