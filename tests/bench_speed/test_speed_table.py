"""Lines become ratios: paired by repetition, of one state of the code, and said to be missing where they are."""

from pathlib import Path
from typing import Any

import picture
import pytest
import table
from floors import FLOORS
from standing import Measured, Spread, read, read_all, standings


def line(job: str, arm: str, rep: int, cpu: float, **more: Any) -> dict[str, Any]:
    return {
        "job": job, "arm": arm, "rep": rep, "cpu": cpu, "user": cpu, "wall": cpu * 1.1, "peak_mb": 100 * cpu,
        "accuracy": 0.5,        "kind": "train", "epochs": 3, "rows": 640, "test": 800, "digest": "d", "source": "s",
        "date": "2026-11-01T00:00", "extrapolated": False, "laps": {}, "data": "texts", **more,
    }  # fmt: skip


def test_ratios_are_paired_by_repetition() -> None:
    lines = [line("full-3", "ours", r, 1.0 + r) for r in range(3)]
    lines += [line("full-3", "trainer", r, 3.0 * (1.0 + r)) for r in range(2)]
    (found,) = standings(lines)
    assert found.ratio("trainer") == Spread(3.0, 3.0, 3.0, 2)
    assert found.ratio("trainer best") is None


def test_only_the_newest_code_counts_and_the_last_of_equal_lines() -> None:
    old = line("full-3", "ours", 0, 9.0)
    new = [line("full-3", "ours", 0, cpu, source="t", date="2026-11-02T00:00") for cpu in (5.0, 4.0)]
    (found,) = standings([*new, old])
    assert [each["cpu"] for each in found.lines("ours")] == [4.0]


def test_torn_line_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full.jsonl").write_text('{"job": "full-3"}\n{"job": "fu', encoding="utf-8")
    assert read(tmp_path / "full.jsonl") == [{"job": "full-3"}]
    assert "torn" in capsys.readouterr().out
    assert read_all(tmp_path / "nowhere") == []


def page_row(text: str, start: str) -> str:
    return next(each for each in text.splitlines() if each.startswith(f"| {start}"))


def test_floor_is_met_missed_or_not_measured_and_the_most_rows_count() -> None:
    def pair(rows: int, ratio: float, **more: Any) -> list[dict[str, Any]]:
        same = {"rows": rows, "digest": f"d{rows}", **more}
        return [line("head-3", "ours", 0, 1.0, **same), line("head-3", "trainer", 0, ratio, **same)]

    text = table.floors(standings([*pair(64, 50.0), *pair(640, 10.0)]))
    assert "10x" in page_row(text, "head only, 3") and "missed" in page_row(text, "head only, 3")
    assert "met" in page_row(table.floors(standings(pair(64, 11.0))), "head only, 3")
    assert "not measured" in page_row(text, "head only, 10")
    assert "(extrapolated)" in page_row(table.floors(standings(pair(64, 11.0, extrapolated=True))), "head only, 3")


def test_every_floor_names_a_job_and_an_arm_of_it() -> None:
    import contest

    arms = {job.name: {arm.name for arm in job.arms} for job in contest.JOBS}
    assert all(floor.arm in arms[floor.job] for floor in FLOORS)


def test_training_row_and_picture_show_the_ratio() -> None:
    found = standings([line("full-3", arm, r, cpu) for r in (0, 1) for arm, cpu in (("ours", 2.0), ("trainer", 7.0))])
    (row,) = table.training_row(found[0])
    assert "| 3.5x (3.5 to 3.5) |" in row and "not measured" in row and row.endswith("| 2 |")
    drawn = picture.bars(found)
    assert drawn.startswith("<svg") and "3.5x" in drawn and "#c0392b" in drawn
    assert picture.bars([]) == ""


def test_answers_are_compared_with_ours() -> None:
    more = {"kind": "predict", "texts": 4}
    arms: dict[str, dict[int, Any]] = {
        "ours": {0: line("predict", "ours", 0, 1.0, predicted=[0, 1, 1, 0], **more)},
        "pipeline 1": {0: line("predict", "pipeline 1", 0, 2.0, predicted=[0, 1, 1, 1], **more)},
    }
    ours, theirs = table.prediction_row(Measured("predict", arms))
    assert "75.0%" in theirs and "| 2x |" in theirs
    assert "%" not in ours
