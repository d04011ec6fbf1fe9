"""The table of types of spans: how many there are, were found and are right, with Wilson's intervals."""

from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.evaluation.curves import wilson
from tunesmith.evaluation.report_blocks import Table, percent
from tunesmith.evaluation.report_spans import by_type


def span(start: int, end: int, label: str) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def test_a_line_for_each_type_is_what_is_counted_by_hand() -> None:
    marked = [
        ([span(0, 4, "part"), span(5, 9, "part"), span(10, 12, "fault")], [span(0, 4, "part"), span(10, 13, "fault")]),
        ([span(0, 4, "part")], [span(0, 4, "part"), span(6, 8, "date")]),
    ]
    results: Any = SimpleNamespace(measured={"level": 0.9}, percent="90 %", split="test")
    _, table = by_type(results, SimpleNamespace(marked=marked))  # type: ignore[arg-type]
    assert isinstance(table, Table)
    told = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert list(told) == ["fault", "date", "part"], "hardest first, the more of them before the fewer"
    assert told["part"][:3] == ["3", percent(2 / 3), percent(1)]
    assert float(told["part"][3]) == pytest.approx(2 * 2 / (3 + 2), abs=1e-3)
    assert told["fault"][0] == "1" and float(told["fault"][3]) == 0, "one end is off"
    assert told["date"][:2] == ["0", "–"], "nothing to be found"
    low, high = wilson(2, 3, 0.9) or (0, 0)
    part = next(row for row in table.rows if row[0].text == "part")
    assert part[2].note == f"{percent(low)[:-2]} to {percent(high)}"
