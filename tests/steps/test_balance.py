"""Balance: weights by the formula, copies and drops that even out classes, the same for the same seed."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from sklearn.utils.class_weight import compute_class_weight

from tunesmith.data import Record, Roles
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.errors import TunesmithError
from tunesmith.steps.balance import Balance
from tunesmith.tasks import TASKS

ROLES = Roles(("text",), "label")
LABELS = "a" * 12 + "b" * 5 + "c" * 2


def run(step: Balance, seed: int = 0, roles: Roles = ROLES) -> tuple[Ledger, list[Record], list[Record]]:
    ledger = Ledger()
    rows = [(i + 2, {"text": f"t{i}", "label": v}) for i, v in enumerate(LABELS)]
    records = ledger.add(Table("t.csv", ("text", "label"), list(rows), (), ""))
    ledger.place(records, "train")
    return ledger, records, step.run(records, roles, ledger, seed)


def classes(records: list[Record]) -> Counter[Any]:
    return Counter(r.cells["label"] for r in records)


def test_effective_numbers_by_the_formula() -> None:
    _, records, out = run(Balance(how="effective", beta=0.9))
    raw = {label: 0.1 / (1 - 0.9**count) for label, count in classes(records).items()}
    mean = sum(raw[label] for label in LABELS) / len(LABELS)
    assert [r.weight for r in out] == pytest.approx([raw[str(r.cells["label"])] / mean for r in records], rel=1e-12)
    assert sum(r.weight for r in out) == pytest.approx(len(out))
    plan = SimpleNamespace(task=TASKS.make("classify"), steps=[])
    assert "beta has no effect" in (Balance(beta=0.9).objection(plan) or "")


def test_weights() -> None:
    import numpy as np

    _, records, out = run(Balance())
    expected = dict(
        zip("abc", compute_class_weight("balanced", classes=np.array(list("abc")), y=list(LABELS)), strict=True)
    )
    assert [r.weight for r in out] == pytest.approx([expected[str(r.cells["label"])] for r in records], rel=1e-12)
    assert out[0].weight == pytest.approx(19 / (3 * 12))
    half = run(Balance(strength=0.5))[2]
    assert sum(r.weight for r in half) == pytest.approx(19)
    assert half[-1].weight / half[0].weight == pytest.approx((12 / 2) ** 0.5)


def test_over() -> None:
    ledger, records, out = run(Balance(how="over"))
    assert classes(out) == {"a": 12, "b": 12, "c": 12}
    assert out[:19] == records
    assert max(Counter(r.id for r in out if r.cells["label"] == "b").values()) == 3
    assert ledger.counts()["train"] == 19
    assert ledger.changes["balance"]["copies added"] == 17
    assert classes(run(Balance(how="over", strength=0.5))[2]) == {"a": 12, "b": 9, "c": 7}


def test_under() -> None:
    ledger, _, out = run(Balance(how="under"))
    assert classes(out) == {"a": 2, "b": 2, "c": 2}
    assert ledger.counts()["dropped"] == 13 and ledger.counts()["train"] == 6
    assert classes(run(Balance(how="under", strength=0.5))[2]) == {"a": 7, "b": 3, "c": 2}


@pytest.mark.parametrize("how", ["over", "under"])
def test_seed(how: Any) -> None:
    one, same, other = ([r.id for r in run(Balance(how=how), seed)[2]] for seed in (1, 1, 2))
    assert one == same != other


def test_refused() -> None:
    with pytest.raises(TunesmithError, match="the rows carry no classes"):
        run(Balance(), roles=Roles(("text",), "label", numeric_label=True))
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Balance(strength=1.5)


def test_objections() -> None:
    def plan(task: str, *steps: Balance) -> SimpleNamespace:
        return SimpleNamespace(task=TASKS.make(task), steps=steps)

    assert Balance().objection(plan("classify", Balance())) is None
    assert "task regress has none" in str(Balance().objection(plan("regress", Balance())))
    assert "stands twice" in str(Balance().objection(plan("classify", Balance(), Balance(how="over"))))
    assert "changes nothing" in str(Balance(strength=0).objection(plan("classify", Balance(strength=0))))
