"""Labels and splits through whole jobs (FAULTS B18, L8-L10): what must not matter does not, chance is called chance."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from jobs import run_job, tree, write_tickets
from kit import TinyBases
from tunesmith import flows
from tunesmith.progress import Progress

Rows = list[dict[str, str]]


def read(path: Path) -> Rows:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def write(path: Path, rows: Rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def trained(base: Path, rows: Rows, run: Path, **more: Any) -> dict[str, Any]:
    data = write(run.with_suffix(".csv"), rows)
    return run_job(tree(base, data, run, epochs=2, save_every="1 epoch") | more)


@pytest.fixture(scope="module")
def first(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows, dict[str, Any]]:
    """(folder, rows, reply) of a run with a test file of its own."""
    folder = tmp_path_factory.mktemp("labels")
    rows = read(write_tickets(folder / "tickets.csv"))
    write_tickets(folder / "test.csv", rows=30, seed=9)
    files = {"train": str(folder / "run.csv"), "test": str(folder / "test.csv")}
    return folder, rows, trained(tiny_bases["bert"], rows, folder / "run", data=files)


def test_renamed_labels_are_the_same_task(
    first: tuple[Path, Rows, dict[str, Any]], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    """L8: the same weights to the bit, the same values, and every answer under its new name."""
    folder, rows, reply = first
    new = [{**row, "label": f"is {row['label']}"} for row in rows]
    test = write(tmp_path / "test.csv", [{**r, "label": f"is {r['label']}"} for r in read(folder / "test.csv")])
    files = {"train": str(tmp_path / "run.csv"), "test": str(test)}
    again = trained(tiny_bases["bert"], new, tmp_path / "run", data=files)
    assert again["weights_sha256"] == reply["weights_sha256"] and again["metrics"] == reply["metrics"]
    asked = [{"text": row["text"]} for row in rows[:20]]
    assert flows.ask(tmp_path / "run", asked) == [f"is {one}" for one in flows.ask(folder / "run", asked)]


def test_the_order_of_rows_is_nothing_to_a_judge(first: tuple[Path, Rows, dict[str, Any]], tmp_path: Path) -> None:
    """L8: metrics of permuted rows are those of the rows."""
    folder, *_ = first
    mixed = random.Random(1).sample(rows := read(folder / "test.csv"), len(rows))
    found = [
        flows.evaluate(folder / "run", path, progress=Progress(silent=True))["metrics"]
        for path in (folder / "test.csv", write(tmp_path / "mixed.csv", mixed))
    ]
    assert {k: v["value"] for k, v in found[0].items()} == pytest.approx({k: v["value"] for k, v in found[1].items()})


def test_labels_of_the_test_never_reach_the_weights(
    first: tuple[Path, Rows, dict[str, Any]], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    """L10: a test file with every label wrong changes what is measured, and not one bit of what was learnt."""
    folder, rows, reply = first
    turn = {"leak": "heat", "heat": "noise", "noise": "leak"}
    wrong = write(tmp_path / "test.csv", [{**r, "label": turn[r["label"]]} for r in read(folder / "test.csv")])
    files = {"train": str(tmp_path / "run.csv"), "test": str(wrong)}
    again = trained(tiny_bases["bert"], rows, tmp_path / "run", data=files)
    assert again["weights_sha256"] == reply["weights_sha256"]
    assert again["metrics"]["validation"] == reply["metrics"]["validation"]
    assert again["metrics"]["test"] != reply["metrics"]["test"]


def test_random_labels_are_called_chance(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """L9: nothing can be learnt, the interval holds chance, and the page does not call it better than guessing."""
    rows = read(write_tickets(tmp_path / "t.csv"))
    draw = random.Random(4)
    labels = draw.sample([row["label"] for row in rows], len(rows))
    evaluate = {"baselines": ["majority"], "resamples": 200, "metrics": ["mcc", "accuracy"]}
    new = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
    data = {"train": str(tmp_path / "run.csv"), "test": 0.3}
    reply = trained(tiny_bases["bert"], new, tmp_path / "run", evaluate=evaluate, data=data)
    found = reply["metrics"]["test"]
    assert found["mcc"]["low"] <= 0 <= found["mcc"]["high"]
    assert found["accuracy"]["low"] <= 1 / 3 <= found["accuracy"]["high"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Not shown to be better than guessing the most frequent answer" in page
    assert "Better than each simple alternative" not in page


def test_fewer_rows_than_a_step_holds_are_enough(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """B18: nine rows, steps of 16; each row is accounted for."""
    rows = read(write_tickets(tmp_path / "t.csv", rows=9))
    reply = trained(tiny_bases["bert"], rows, tmp_path / "run", data={"train": str(tmp_path / "run.csv"), "test": None})
    assert set(reply["metrics"]) == {"validation"}
    ledger = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))["ledger"]
    assert sum(ledger["fates"].values()) == ledger["rows"] == 9
