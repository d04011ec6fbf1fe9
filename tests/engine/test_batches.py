"""Batches: every row once, by seed and epoch alone, in pieces that fit, padded on the right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.ragged import Ragged
from tunesmith.engine.batches import Batches, collate, order, pieces, step_rows, steps_per_epoch
from tunesmith.tasks import Encoded

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def encoded(*rows: list[int], **more: object) -> Encoded:
    count = len(rows)
    fields = {"types": None, "targets": None, "side": None} | more
    if fields["types"] is not None:
        fields["types"] = Ragged.of(fields["types"])
    lost = np.zeros(count, dtype=np.int32)
    return Encoded(ids=Ragged.of(rows), lost=lost, weights=np.arange(1, count + 1, dtype=np.float32), **fields)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_pieces_hold_every_row_once_and_fit(lengths: list[int], limit: int, equal: bool) -> None:
    sizes = np.array(lengths)
    rows = np.random.default_rng(0).permutation(len(lengths))
    found = list(pieces(rows, sizes, limit, equal=equal))
    assert sorted(r for piece in found for r in piece) == list(range(len(lengths)))
    for piece in found:
        assert piece, "an empty piece"
        assert len(piece) == 1 or len(piece) * sizes[piece].max() <= limit
        assert not equal or len(set(sizes[piece].tolist())) == 1


def test_pieces_of_a_part_hold_that_part_only() -> None:
    found = [r for piece in pieces([7, 3, 5], np.arange(1, 11), 8) for r in piece]
    assert sorted(found) == [3, 5, 7]


def test_a_row_longer_than_the_limit_goes_alone() -> None:
    assert list(pieces([0, 1, 2], np.array([2, 500, 2]), 10)) == [[0, 2], [1]]


def test_short_rows_do_not_wait_for_a_long_one() -> None:
    lengths = np.array([4] * 20 + [400])
    assert [20] in [sorted(piece) for piece in pieces(range(21), lengths, 10**6)]


@pytest.mark.parametrize(("rows", "batch"), [(10, 3), (12, 4), (5, 8), (1, 1)])
def test_each_epoch_visits_each_row_once(rows: int, batch: int) -> None:
    steps = steps_per_epoch(rows, batch)
    for epoch in range(3):
        seen = np.concatenate([step_rows(rows, batch, 7, epoch * steps + s) for s in range(steps)])
        assert sorted(seen) == list(range(rows))


@pytest.mark.parametrize("tokens", (1, 7, 50, 400, 10**6))
@pytest.mark.parametrize("lengths", ([5], [3, 3, 3], [1, 200, 1, 1], [*range(1, 60)]))
def test_a_budget_of_tokens_makes_even_steps_and_leaves_no_row_out(lengths: list[int], tokens: int) -> None:
    sizes = np.array(lengths)
    batches = Batches(Ragged.of([[0] * n for n in lengths]), 32, tokens, seed=3)
    for epoch in range(2):
        steps = [batches.rows(epoch * batches.per_epoch + s) for s in range(batches.per_epoch)]
        assert sorted(np.concatenate(steps)) == list(range(len(lengths)))
        assert all(len(s) for s in steps)
        if batches.per_epoch < len(lengths) // 2:
            assert all(sizes[s].sum() <= tokens + sizes.max() for s in steps)
    assert batches.per_epoch == min(len(lengths), -(-sum(lengths) // tokens))


def test_a_short_last_batch_is_kept() -> None:
    assert [len(step_rows(10, 4, 0, s)) for s in range(4)] == [4, 4, 2, 4]


def test_the_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    first = order(50, seed=1, epoch=0)
    np.random.random()  # the global generator is no part of it
    assert (order(50, seed=1, epoch=0) == first).all()
    assert (order(50, seed=1, epoch=1) != first).any()
    assert (order(50, seed=2, epoch=0) != first).any()


def test_collate_pads_right_and_masks_what_it_padded() -> None:
    batch = collate(encoded([5, 6, 7], [8]), [1, 0], pad_id=9)
    assert batch.inputs["input_ids"].tolist() == [[8, 9, 9], [5, 6, 7]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert "token_type_ids" not in batch.inputs
    assert batch.rows == [1, 0] and batch.weights.tolist() == [2.0, 1.0]
    assert batch.targets is None and batch.side is None


def test_collate_keeps_targets_side_and_types_with_their_rows() -> None:
    side = np.array([[0.5], [1.5]], dtype=np.float32)
    whole = encoded([5, 6], [8], types=[[0, 1], [0]], targets=np.array([2, 4]), side=side)
    batch = collate(whole, [1, 0], pad_id=0)
    assert batch.inputs["token_type_ids"].tolist() == [[0, 0], [0, 1]]
    assert batch.targets is not None and batch.targets.tolist() == [4, 2]
    assert batch.side is not None and batch.side.tolist() == [[1.5], [0.5]]
