"""A method may start from another run's weights: same method, same shapes; a head for other labels stays fresh."""

from pathlib import Path

import pytest

from jobs import run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.errors import TunesmithError


@pytest.fixture(scope="module")
def first(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("start")
    data = write_tickets(folder / "tickets.csv")
    run_job(tree(tiny_bases["bert"], data, folder / "first", epochs=6, save_every="2 epochs", patience=None))
    return folder / "first", data


def second(first: tuple[Path, Path], base: Path, run: Path, data: Path | None = None, **method: object) -> dict:
    plan = tree(base, data or first[1], run, epochs=1, lr=1e-9, save_every="1 epoch", keep="last")
    return run_job(plan | {"method": {"name": "lora", "start": str(first[0]), **method}})


def test_a_second_run_starts_where_the_first_ended(
    first: tuple[Path, Path], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    from tunesmith.run import Run

    reply = second(first, tiny_bases["bert"], tmp_path / "second")
    before = Run(first[0]).metrics["metrics"]["validation"]["log_loss"]["value"]
    assert reply["metrics"]["validation"]["log_loss"]["value"] == pytest.approx(before, rel=1e-4)


def test_a_head_for_other_labels_stays_fresh(first: tuple[Path, Path], tiny_bases: TinyBases, tmp_path: Path) -> None:
    other = tmp_path / "two.csv"
    lines = [line for line in first[1].read_text(encoding="utf-8").splitlines() if ",noise," not in line]
    other.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert second(first, tiny_bases["bert"], tmp_path / "run", other)["status"] == "done"


def test_as_many_labels_under_other_names_are_other_labels(
    first: tuple[Path, Path], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    import torch

    from tunesmith.model import load

    other = tmp_path / "other.csv"
    other.write_text(first[1].read_text(encoding="utf-8").replace(",noise,", ",rattle,"), encoding="utf-8")
    second(first, tiny_bases["bert"], tmp_path / "renamed", other)
    second(first, tiny_bases["bert"], tmp_path / "same")
    own, renamed, same = (
        [
            p
            for n, p in load(path / "model").net.auto.named_parameters()
            if n.endswith("classifier.modules_to_save.default.weight")
        ]
        for path in (first[0], tmp_path / "renamed", tmp_path / "same")
    )
    assert len(own) == 1 and torch.allclose(own[0], same[0], atol=1e-5)
    assert not torch.allclose(own[0], renamed[0], atol=1e-2), "outputs were taken over for labels of other names"


def test_another_shape_is_refused(first: tuple[Path, Path], tiny_bases: TinyBases, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"method\.start: .*shape"):
        second(first, tiny_bases["bert"], tmp_path / "run", r=4)


def test_a_run_on_another_base_of_the_same_shape_is_refused(first: tuple[Path, Path], tmp_path: Path) -> None:
    import tiny

    with pytest.raises(TunesmithError, match=r"method\.start: .* learnt on another base"):
        second(first, tiny.make("bert", tmp_path / "other", seed=1), tmp_path / "run")


def test_a_folder_without_checkpoints_is_refused(tiny_bases: TinyBases, tmp_path: Path) -> None:
    data = write_tickets(tmp_path / "tickets.csv")
    with pytest.raises(TunesmithError, match=r"holds no checkpoint of a run"):
        second((tmp_path, data), tiny_bases["bert"], tmp_path / "run")


def test_other_weights_under_the_same_start_are_another_run(
    first: tuple[Path, Path], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    import json
    import shutil

    shutil.copytree(first[0], tmp_path / "copy")
    second((tmp_path / "copy", first[1]), tiny_bases["bert"], tmp_path / "run")
    file = tmp_path / "copy" / "reply.json"
    changed = json.loads(file.read_text(encoding="utf-8")) | {"weights_sha256": "other"}
    file.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"holds another run[\s\S]*start: "):
        second((tmp_path / "copy", first[1]), tiny_bases["bert"], tmp_path / "run")
