"""Step `sample`: so many training rows, classes in proportion, each row that leaves in the ledger."""

from collections import Counter

import augmenting
from tunesmith.steps.sample import Sample


def test_classes_keep_their_proportions_and_their_last_row() -> None:
    labels = ("a",) * 60 + ("b",) * 30 + ("c",) * 2
    given = augmenting.rows(tuple(f"text {i}" for i in range(92)), labels)
    ledger, out = augmenting.made(Sample(rows=31), given=given)
    assert Counter(r.cells["label"] for r in out) == {"a": 20, "b": 10, "c": 1}
    assert [r.id for r in out] == sorted(r.id for r in out)
    assert ledger.counts()["dropped"] == 61
    again = augmenting.made(Sample(rows=31), given=augmenting.rows(tuple(f"text {i}" for i in range(92)), labels))[1]
    assert [r.id for r in again] == [r.id for r in out]
    other = augmenting.made(Sample(rows=31), seed=1, given=augmenting.rows(tuple(f"t {i}" for i in range(92)), labels))[
        1
    ]
    assert [r.id for r in other] != [r.id for r in out]
    assert len(augmenting.made(Sample(rows=92))[1]) == 10, "all where there are no more"


def test_it_stands_before_steps_that_make_rows() -> None:
    from tunesmith.steps.noise import Noise

    sample = Sample(rows=5)
    assert sample.objection(augmenting.plan(sample, Noise())) is None
    assert "stands behind noise" in str(sample.objection(augmenting.plan(Noise(), sample)))
