"""Time and memory as people write them."""

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.search.amounts import megabytes, seconds, told


def test_amounts_are_read_and_told() -> None:
    assert [seconds(t, "x") for t in ("90s", "20m", "2h", "1.5 min")] == [90, 1200, 7200, 90]
    assert [megabytes(t, "x") for t in ("900MB", "8GB", "1 GiB")] == [900, 8000, pytest.approx(1073.741824)]
    assert [told(t) for t in (0.34, 5, 59.4, 61, 3600, 7500)] == [
        "0.3 s",
        "5 s",
        "59 s",
        "1 min 1 s",
        "1 h",
        "2 h 5 min",
    ]


@pytest.mark.parametrize("text", ["20", "m", "-3m", "0s", "1 week"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(TunesmithError, match=f"--budget: '{text}' is no amount of time. Write it as 90s, 20m or 2h"):
        seconds(text, "--budget")
    with pytest.raises(TunesmithError, match="no amount of memory"):
        megabytes(text, "--memory")
