"""An attempt in pieces is the run that was never cut; what attempts share is made once; a failed plan is no error."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
from kit import TinyBases
from tunesmith import job
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import SAID, advance, answered, higher_is_better
from tunesmith.search.ground import Ground

METHODS = ("lora", "gradual", "head")


@pytest.fixture(name="ground")
def _ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    return Ground(Progress(silent=True), Stop())


def plan_of(base: Path, data: Path, folder: Path, **more: Any) -> Plan:
    tree = jobs.tree(base, data, folder, epochs=6, lr=5e-3, save_every="1 epoch", log_every="1 epoch")
    return make_plan(tree | {"run": None} | more)


def said(folder: Path) -> dict[str, Any]:
    with np.load(folder / SAID) as found:
        return {name: found[name] for name in found.files}


@pytest.mark.parametrize("method", METHODS)
def test_an_attempt_in_pieces_is_the_whole_one(
    tiny_bases: TinyBases, tmp_path: Path, ground: Ground, method: str
) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    plan = plan_of(tiny_bases["bert"], data, tmp_path, method=method)
    whole = advance(ground, plan, tmp_path / "whole")
    assert whole.finished and whole.failed is None and whole.step <= whole.total
    first = advance(ground, plan, tmp_path / "cut", 0.1)
    assert not first.finished and first.step == whole.total // 6, "paused at the first evaluation"
    assert advance(ground, plan, tmp_path / "cut", 0.1) == first, "far enough already"
    second = advance(ground, plan, tmp_path / "cut", 0.5)
    assert second.step == whole.total // 2 and second.cpu_seconds > first.cpu_seconds
    last = advance(ground, plan, tmp_path / "cut")
    assert (last.step, last.value, last.step_of_value) == (whole.step, whole.value, whole.step_of_value)
    one, other = said(tmp_path / "whole"), said(tmp_path / "cut")
    assert sorted(one) == ["test", "validation"]
    assert all(np.array_equal(one[split], other[split]) for split in one), "the same bits"
    assert not (tmp_path / "cut" / "checkpoints").exists()
    answers = answered(ground, plan, tmp_path / "cut", "test")
    assert answers.rows == len(one["test"]) and last.answer_ms and last.answer_ms > 0
    assert 0 < last.learning <= last.parameters


def test_the_run_of_the_same_plan_says_the_same(tiny_bases: TinyBases, tmp_path: Path, ground: Ground) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    plan = plan_of(tiny_bases["bert"], data, tmp_path, method="lora")
    found = advance(ground, plan, tmp_path / "attempt")
    jobs.run_job(plan.model_dump(mode="json") | {"run": str(tmp_path / "run")})
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    values = [line[plan.best_metric] for line in lines if line["kind"] == "evaluation"]
    assert higher_is_better(plan) and found.value == max(values)


def test_rows_and_tokens_are_made_once(
    tiny_bases: TinyBases, tmp_path: Path, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    real = job.encode

    def counted(*asked: Any) -> Any:
        made.append(asked[0])
        return real(*asked)

    monkeypatch.setattr(job, "encode", counted)
    data = jobs.write_tickets(tmp_path / "t.csv", 40)
    for number, method in enumerate(("lora", "full", "head")):
        advance(ground, plan_of(tiny_bases["bert"], data, tmp_path, method=method), tmp_path / str(number), 0.1)
    assert len(made) == 1
    other = plan_of(tiny_bases["bert"], data, tmp_path, train={"seed": 5, "epochs": 1})
    advance(ground, other, tmp_path / "seed")
    assert len(made) == 2, "another seed divides the rows anew"


def test_a_plan_that_fails_is_an_attempt_that_failed(tiny_bases: TinyBases, tmp_path: Path, ground: Ground) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 40)
    plan = plan_of(tiny_bases["bert"], data, tmp_path, method="full", train={"lr": 1e30, "epochs": 3, "clip": None})
    found = advance(ground, plan, tmp_path / "wild")
    assert found.finished and found.failed and found.value is None
    with pytest.raises(TunesmithError, match="not finished, or it failed"):
        answered(ground, plan, tmp_path / "wild", "test")
    tame = plan.model_copy(update={"train": plan.train.model_copy(update={"lr": 1e-3})})
    with pytest.raises(TunesmithError, match="another plan"):
        advance(ground, tame, tmp_path / "wild")


def test_a_wish_to_stop_leaves_what_can_go_on(tiny_bases: TinyBases, tmp_path: Path, ground: Ground) -> None:
    data = jobs.write_tickets(tmp_path / "t.csv", 60)
    plan = plan_of(tiny_bases["bert"], data, tmp_path, method="lora")
    whole = advance(ground, plan, tmp_path / "whole")
    ground.stop.signal = 15
    with pytest.raises(Interrupted):
        advance(ground, plan, tmp_path / "cut")
    ground.stop.signal = None
    found = advance(ground, plan, tmp_path / "cut")
    kept = ("step", "value", "step_of_value")
    assert [dataclasses.asdict(found)[k] for k in kept] == [dataclasses.asdict(whole)[k] for k in kept]
    assert np.array_equal(said(tmp_path / "cut")["test"], said(tmp_path / "whole")["test"])
