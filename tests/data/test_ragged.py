"""Ragged rows are the lists they were made of, in memory and in a file."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith import scratch
from tunesmith.data.ragged import Growing, Ragged

ROWS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=9), max_size=40)


@pytest.mark.parametrize("limit", (0, 100, 1 << 20))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, pieces=st.integers(1, 7))
def test_rows_come_back_whatever_the_pieces_and_the_limit(
    limit: int, rows: list[list[int]], pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "LIMIT", limit)
    growing = Growing()
    for start in range(0, len(rows), pieces):
        growing.extend(rows[start : start + pieces])
    found = growing.done()
    assert [row.tolist() for row in found] == rows and len(found) == len(rows)
    assert found.lengths.tolist() == [len(row) for row in rows]
    chosen = list(range(len(rows)))[::-2]
    assert [row.tolist() for row in found.pick(chosen)] == [rows[i] for i in chosen]
    assert found.flat.dtype == np.int32


def test_a_row_beyond_the_last_is_an_error_and_not_another_row() -> None:
    for wrong in (2, -1):
        with pytest.raises(IndexError, match=f"row {wrong} of 2"):
            Ragged.of([[1], [2]])[wrong]


def test_what_is_large_lies_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", 800)
    small, large = scratch.Column(np.int64), scratch.Column(np.int64)
    small.extend(range(100))
    assert not isinstance(small.array().base, np.memmap)
    large.extend(range(100))
    large.extend(range(100, 300))
    found = large.array()
    assert isinstance(found.base, np.memmap) and found.tolist() == list(range(300))
    found[7] = -1  # what is written stays
    assert found[7] == -1
