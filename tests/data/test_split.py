"""Splits: disjoint, complete, stratified, group-pure, repeatable, and clear about what cannot be split."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data import Record, Roles
from tunesmith.data.split import rarest, split
from tunesmith.errors import TunesmithError

ROLES = Roles(("text",), "label")
GROUPED = Roles(("text",), "label", group="who")


def rows(labels: Any, who: Any = None) -> list[Record]:
    groups = who or labels
    cells = [{"text": f"t{i}", "label": v, "who": g} for i, (v, g) in enumerate(zip(labels, groups, strict=True))]
    return [Record(i, "t.csv", i + 1, i + 2, dict(c)) for i, c in enumerate(cells)]


def ids(parts: dict[Any, list[Record]]) -> dict[str, list[int]]:
    return {name: [r.id for r in records] for name, records in parts.items()}


def per_class(records: list[Record]) -> Counter[str]:
    return Counter(str(r.cells["label"]) for r in records)


@settings(max_examples=80, deadline=None, database=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=20, max_size=120), st.integers(0, 99), st.booleans())
def test_properties(labels: list[str], seed: int, grouped: bool) -> None:
    if len(set(labels)) < 2:
        return
    records = rows(labels, [f"g{i % 17}" for i in range(len(labels))])
    parts = split(records, GROUPED if grouped else ROLES, 0.2, 0.2, seed)
    assert list(parts) == ["train", "test", "validation"]
    assert sorted(i for part in ids(parts).values() for i in part) == list(range(len(labels)))
    assert all(part == sorted(part) and part for part in ids(parts).values())
    assert ids(parts) == ids(split(records, GROUPED if grouped else ROLES, 0.2, 0.2, seed))
    assert set(per_class(parts["train"])) == set(labels) or grouped
    if grouped:
        who = [{r.cells["who"] for r in part} for part in parts.values()]
        assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])
        return
    assert len(parts["test"]) == len(parts["validation"]) == round(0.2 * len(labels))
    for label, count in Counter(labels).items():
        held = [per_class(parts[name])[label] for name in ("test", "validation")]
        if len(labels) * 0.2 >= 6:  # room for one row of each of six classes
            assert held[0] >= (count >= 2) and held[1] >= (count >= 3)


def test_shares_within_classes() -> None:
    parts = split(rows("a" * 700 + "b" * 200 + "c" * 100), ROLES, 0.1, 0.2, 0)
    assert per_class(parts["train"]) == {"a": 490, "b": 140, "c": 70}
    assert per_class(parts["test"]) == {"a": 140, "b": 40, "c": 20}
    assert per_class(parts["validation"]) == {"a": 70, "b": 20, "c": 10}


def test_rare_classes_go_to_train_first() -> None:
    parts = split(rows("a" * 94 + "bccddd"), ROLES, 0.1, 0.1, 0)
    assert {name: (per_class(p)["b"], per_class(p)["c"], per_class(p)["d"]) for name, p in parts.items()} == {
        "train": (1, 1, 1), "test": (0, 1, 1), "validation": (0, 0, 1),
    }  # fmt: skip


def test_seed_matters_and_order_of_the_set_does_not() -> None:
    records = rows("ab" * 50)
    assert ids(split(records, ROLES, 0.1, 0.1, 0)) != ids(split(records, ROLES, 0.1, 0.1, 1))
    assert ids(split(records, ROLES, None, 0.1, 3)).keys() == {"train", "test"}
    assert ids(split(records, ROLES, None, None, 3)) == {"train": list(range(100))}


def test_only_the_positions_of_labels_count() -> None:
    """Labels renamed consistently in the same order give the same rows."""
    one, other = rows("ab" * 50), rows("cd" * 50)
    assert ids(split(one, ROLES, 0.1, 0.2, 5)) == ids(split(other, ROLES, 0.1, 0.2, 5))


def test_groups_are_stratified() -> None:
    labels = [("a" if i % 3 else "b") for i in range(600)]
    parts = split(rows(labels, [f"user{i // 5}" for i in range(600)]), GROUPED, 0.2, 0.2, 0)
    for name, share in (("train", 0.6), ("test", 0.2), ("validation", 0.2)):
        assert len(parts[name]) == pytest.approx(600 * share, abs=6)
        assert per_class(parts[name])["a"] / len(parts[name]) == pytest.approx(2 / 3, abs=0.05)


def test_numbers_are_split_by_quantiles() -> None:
    roles = Roles(("text",), "label", numeric_label=True)
    parts = split(rows([float(i * i) for i in range(200)]), roles, 0.1, 0.1, 0)
    for name in ("test", "validation"):
        assert sorted(r.id // 20 for r in parts[name]) == [bin for bin in range(10) for _ in range(2)]
    assert split(rows([1.0] * 30), roles, 0.1, 0.1, 0)["test"]


def test_without_labels() -> None:
    parts = split(rows([None] * 50), Roles(("text",)), 0.1, 0.2, 0)
    assert [len(p) for p in parts.values()] == [35, 10, 5]


def test_label_sets_are_strata_by_their_rarest() -> None:
    assert rarest([("a", "b"), ("a",), (), ("b", "a"), ("a", "c")]) == ["b", "a", "", "b", "c"]


@pytest.mark.parametrize(
    ("records", "roles", "shares", "match"),
    [
        (rows("a" * 20), ROLES, (0.1, 0.1), r"t\.csv: column 'label': only one class: 'a' \(20\)\. Give rows"),
        (
            rows([f"c{i}" for i in range(1000)]),
            ROLES,
            (0.1, 0.1),
            r"1000 classes with one row each: 'c0' \(1\).* and 992 more",
        ),
        (rows("ab"), ROLES, (0.1, 0.1), r"2 classes with one row each"),
        (rows("aab"), ROLES, (0.1, None), r"data\.validation: 3 rows are too few for the shares validation 0\.1"),
        (rows("aab"), ROLES, (0.5, 0.4), r"3 rows are too few"),
        (rows("aabb"), ROLES, (0.5, 0.5), r"leave no rows to train on"),
        (rows("aabb"), ROLES, (1.5, None), r"data\.validation: a share is between 0 and 1, got 1\.5"),
        (rows(["a", "a", "", "b"]), ROLES, (0.3, None), r"t\.csv:4: column 'label': the label is empty"),
        (rows("aabb" * 9, ["g1", "g2"] * 18), GROUPED, (0.2, 0.2), r"2 groups cannot fill 3 sets"),
        (
            rows("aabb" * 9, ["g1"] * 33 + ["g2", "g3", None]),
            GROUPED,
            (0.2, 0.2),
            r"t\.csv:37: column 'who': the group is missing",
        ),
        (
            rows("aabb" * 9),
            Roles(("text",), "label", group="whom"),
            (0.2, 0.2),
            r"data\.group: t\.csv: no column named 'whom'\. Did you mean 'who'\?",
        ),
        ([], ROLES, (0.2, 0.2), r"only one class: no rows"),
    ],
)
def test_refused(records: list[Record], roles: Roles, shares: tuple[Any, Any], match: str) -> None:
    with pytest.raises(TunesmithError, match=match):
        split(records, roles, *shares, seed=0)
