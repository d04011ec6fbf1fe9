"""Damaged checkpoints are noticed and the one before is used; run folders are held by one process and one plan."""

import shutil
from pathlib import Path

import pytest

from jobs import run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.run import Run, lease


@pytest.fixture(scope="module")
def half(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    """A run stopped half-way with two checkpoints, its plan, and the weights it would end with."""
    from tunesmith.progress import Stop

    folder = tmp_path_factory.mktemp("damage")
    data = write_tickets(folder / "tickets.csv")
    plan = tree(tiny_bases["bert"], data, folder / "whole")
    whole = run_job(plan)["weights_sha256"]
    plan = plan | {"run": str(folder / "half")}
    import tunesmith.training.loop as loops

    real = loops.Loop._log_step

    def stopping(self: loops.Loop, *values: float) -> None:
        real(self, *values)
        if self.state.step == 7:
            self.job.stop.signal = 2

    loops.Loop._log_step = stopping
    try:
        with pytest.raises(Interrupted):
            run_job(plan)
    finally:
        loops.Loop._log_step = real
    assert Stop is not None
    return folder / "half", plan, whole


def damage(file: Path, how: str) -> None:
    data = file.read_bytes()
    if how == "delete":
        file.unlink()
    elif how == "half":
        file.write_bytes(data[: len(data) // 2])
    elif how == "zero":
        file.write_bytes(b"")
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


FILES = ("weights.safetensors", "optimizer.safetensors", "method.safetensors", "state.json", "manifest.json")


@pytest.mark.parametrize("how", ("delete", "half", "zero", "flip"))
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    file: str, how: str, half: tuple[Path, dict, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunesmith.training.checkpoint import newest_good, steps

    folder = tmp_path / "checkpoints"
    shutil.copytree(half[0] / "checkpoints", folder)
    before, newest = steps(folder)
    damage(folder / f"step-{newest:08d}" / file, how)
    found, passed = newest_good(folder)
    assert found is not None and found.state.step == before
    assert len(passed) == 1 and f"step-{newest:08d}" in passed[0]


def test_the_run_ends_with_the_same_weights_after_the_fallback(half: tuple[Path, dict, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(half[0], run)
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    damage(newest / "weights.safetensors", "flip")
    assert run_job(half[1] | {"run": str(run)})["weights_sha256"] == half[2]


def test_another_thread_count_goes_on_and_is_marked(
    half: tuple[Path, dict, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.training import keeping

    run = tmp_path / "run"
    shutil.copytree(half[0], run)
    key = keeping.kernel_key()
    monkeypatch.setattr(keeping, "kernel_key", lambda: key | {"threads": 96})
    reply = run_job(half[1] | {"run": str(run)})
    assert reply["equality"] == "exact"
    assert any("threads differ" in w for w in reply["warnings"])


def test_all_checkpoints_damaged_stops_and_deletes_nothing(half: tuple[Path, dict, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(half[0], run)
    for folder in (run / "checkpoints").glob("step-*"):
        damage(folder / "state.json", "half")
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    with pytest.raises(TunesmithError, match=r"all checkpoints in .* are damaged\. Nothing was deleted"):
        run_job(half[1] | {"run": str(run)})
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == names


def test_a_finished_run_answers_from_what_it_stored(half: tuple[Path, dict, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(half[0].parent / "whole", run)
    assert run_job(half[1] | {"run": str(run)})["status"] == "already_done"


def test_another_plan_in_the_same_folder_is_refused_field_by_field(half: tuple[Path, dict, str]) -> None:
    plan = half[1] | {"train": half[1]["train"] | {"lr": 0.02}}
    with pytest.raises(TunesmithError, match=r"holds another run[\s\S]*plan\.train\.lr: 0\.01 -> 0\.02[\s\S]*--fork"):
        run_job(plan)


def test_other_data_in_the_same_folder_is_refused(half: tuple[Path, dict, str], tmp_path: Path) -> None:
    other = write_tickets(tmp_path / "tickets.csv", seed=4)
    with pytest.raises(TunesmithError, match=r"holds another run[\s\S]*data: "):
        run_job(half[1] | {"data": str(other)})


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    import os

    run = Run(tmp_path / "run")
    told = rf"in use: process {os.getpid()} on .* started 0 min ago"
    with lease(run), pytest.raises(TunesmithError, match=told), lease(run):
        raise AssertionError("two processes hold one run")
    with lease(run):
        pass


def test_a_folder_of_somebody_else_is_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "tickets.csv")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch", encoding="utf-8")
    with pytest.raises(TunesmithError, match="is no run of Tunesmith"):
        run_job(tree(tiny_bases["bert"], data, tmp_path / "mine"))
