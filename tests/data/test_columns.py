"""What columns hold, told from their values."""

import pytest

from tunesmith.data import Record
from tunesmith.data.columns import MOST_DISTINCT, Column, columns_of
from tunesmith.data.record import Cell


def column(values: list[Cell]) -> Column:
    (found,) = columns_of(["x"], (Record(i, "t.csv", i + 1, i + 2, {"x": v}) for i, v in enumerate(values)))
    return found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([str(i % 7) for i in range(40)], "whole number"),
        ([1, 2.5, -3] * 5, "number"),
        (["1e3", ".5", "-2"] * 5, "number"),
        (["2024-01-02", "2024/1/2 10:00", "2024年1月2日"] * 9, "date"),
        (["red", "green", "blue"] * 9, "category"),
        ([f"A-{i}" for i in range(40)], "identifier"),
        ([str(i) for i in range(40)], "identifier"),
        ([f"the pump {i} leaks" for i in range(40)], "text"),
        ([True, False], "yes/no"),
        ([["a"], {"b": 1}], "list"),
        (["", " ", None], "empty"),
        ([*"123", "2024-01-01", True] * 3, "mixed"),
        ([f"泵{i}漏油 严重" for i in range(30)], "text"),
    ],
)
def test_kinds(values: list[Cell], kind: str) -> None:
    assert column(values).kind == kind


def test_counts_are_exact_up_to_their_limit_and_say_so_beyond() -> None:
    few = column(["a", "b", "", "a", None]).as_json()
    assert (few["rows"], few["empty"], few["distinct"], few["distinct_counted"]) == (5, 2, 2, True)
    many = column([f"v{i}" for i in range(MOST_DISTINCT + 5)] * 2).as_json()
    assert (many["distinct"], many["distinct_counted"]) == (MOST_DISTINCT, False)
