"""Several tasks on one backbone: rows, slices, losses, sampling, answers and metrics, each against the task alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from kit import TinyBases
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.data.drawing import apportioned
from tunesmith.data.table import Table
from tunesmith.engine.batches import Batches
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.grouping import grouped, mean_cosines
from tunesmith.evaluation.judge import Judge, answers_of
from tunesmith.metrics import METRICS
from tunesmith.model import Model, build
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare
from tunesmith.tasks import Encoded
from tunesmith.tasks._blend import Blend

WORDS = ("pump", "belt", "motor", "valve", "fan", "oil", "heat", "noise")
TASKS: dict[str, Any] = {
    "kind": {"name": "classify", "text": "text", "label": "kind", "label_smoothing": 0.1},
    "parts": {"name": "multilabel", "text": "text", "label": "parts", "separator": ";"},
    "hours": {"name": "regress", "text": "text", "label": "hours", "loss": "huber"},
}


def write(path: Path, count: int, *, start: int = 0, columns: tuple[str, ...] = ("kind", "parts", "hours")) -> Path:
    """Rows whose answers follow from their text."""
    values = {
        "kind": lambda i: "ab"[i % 2], "parts": lambda i: ";".join(("x", "y")[: i % 3]),
        "hours": lambda i: str(round(0.5 + i % 7, 1)),
    }  # fmt: skip
    lines = [",".join(("text", *columns))]
    for i in range(start, start + count):
        lines.append(",".join((f"the {WORDS[i % 8]} number {i} is worn", *(values[c](i) for c in columns))))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plan(data: Any = None, tasks: Any = None, **more: Any) -> Plan:
    asked = {
        "task": {"name": "multi", "tasks": tasks or TASKS, **more.pop("task", {})},
        "base": str(tiny.folder("bert")),
    }
    return make_plan({**asked, **({} if data is None else {"data": data}), **more})


def made(prepared: Prepared) -> Model:
    found = find(prepared.plan.base.name)
    facts = prepared.plan.task.study(prepared.splits["train"], prepared.roles)
    return build(prepared.plan, facts, found, load_tokenizer(found))


def encoded(model: Model, prepared: Prepared, split: str = "train") -> Encoded:
    return model.encode(prepared.splits[split], prepared.roles)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Model, Encoded]:
    """60 rows, three tasks."""
    prepared = prepare(plan(str(write(tmp_path_factory.mktemp("multi") / "all.csv", 60))))
    model = made(prepared)
    return prepared, model, encoded(model, prepared)


# rows


def test_a_row_of_one_file_is_a_row_of_each_task_and_all_stand_in_one_split(ready: Any) -> None:
    prepared, _, _ = ready
    assert len(prepared.ledger) == 3 * 60 == sum(map(len, prepared.splits.values()))
    assert prepared.ledger.summary()["sources"] == {
        f"{prepared.files[0]['name'].split(' [')[0]} [{n}]": 60 for n in TASKS
    }
    where: dict[str, set[str]] = {}
    for split, rows in prepared.splits.items():
        for row in rows:
            where.setdefault(str(row.cells["text"]), set()).add(split)
    assert len(where) == 60 and all(len(splits) == 1 for splits in where.values())
    for split, rows in prepared.splits.items():
        counts = [len(each.rows) for each in prepared.plan.task.strands(rows, prepared.roles)]
        assert len(set(counts)) == 1, (split, counts)


def test_a_text_that_one_task_is_judged_on_is_learnt_by_none(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.csv", 30, columns=("kind",)), write(tmp_path / "two.csv", 40, columns=("hours",))
    held = write(tmp_path / "held.csv", 6, start=30, columns=("hours",))  # these six stand in two.csv, too
    tasks = {
        "kind": {"name": "classify", "file": str(one), "text": "text", "label": "kind"},
        "hours": {"name": "regress", "file": str(other), "test": str(held), "text": "text", "label": "hours"},
    }
    prepared = prepare(plan({"validation": 0.2}, tasks))
    assert [source.file for source in prepared.plan.data.train] == [str(one), str(other)]
    texts = {split: {str(row.cells["text"]) for row in rows} for split, rows in prepared.splits.items()}
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    names = [
        each.name for each in prepared.plan.task.strands(prepared.splits["test"], prepared.roles) if len(each.rows)
    ]
    assert names == ["kind", "hours"], "kind holds out a share, hours its file"
    counts = prepared.ledger.counts()
    assert counts["dropped"] >= 6 and counts["unplaced"] == 0
    assert sum(counts.values()) == len(prepared.ledger) == 76


def test_a_repetition_is_one_within_a_task_only(tmp_path: Path) -> None:
    file = write(tmp_path / "all.csv", 24)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines, lines[-1].replace(",1.", ",2."), lines[1]]) + "\n", encoding="utf-8")
    prepared = prepare(plan(str(file)))
    duplicates = prepared.ledger.counts()["duplicate"]
    again = lines[-1].split(",")[-1] == lines[-1].replace(",1.", ",2.").split(",")[-1]
    assert duplicates == (6 if again else 5), "three of the copy; two or three of the row with another number"


# slices, losses, answers


def test_each_task_loses_on_its_slice_what_it_loses_alone(ready: Any) -> None:
    prepared, model, rows = ready
    task, logits = model.plan.task, torch.from_numpy(model.outputs(rows))
    targets, _ = rows.aims(range(len(rows)), torch.device("cpu"))
    losses = task.losses(logits, targets)
    total = 0.0
    for part, alone in zip(task.parts(model.facts), prepared.apart().values(), strict=True):
        own = part.rows(rows)
        single = alone.plan.task
        apart = single.encode(alone.splits["train"], alone.roles, model.tokenizer, single.study(
            alone.splits["train"], alone.roles))  # fmt: skip
        wanted = single.losses(logits[own][:, part.outputs], torch.from_numpy(np.asarray(apart.targets)))
        assert float((losses[own] - wanted).abs().max()) <= 1e-6
        assert [list(ids) for ids in apart.ids] == [list(rows.ids[int(r)]) for r in own]
        total += float(wanted.double().mean())
    assert task.mean_loss(logits.numpy(), rows) == pytest.approx(total / 3, abs=1e-6)


def test_weights_multiply_the_loss_of_a_task(ready: Any) -> None:
    _, model, rows = ready
    logits = torch.from_numpy(model.outputs(rows))
    targets, _ = rows.aims(range(len(rows)), torch.device("cpu"))
    heavy = model.plan.task.model_copy(update={"weights": {"hours": 3.0}})
    ratio = heavy.losses(logits, targets) / model.plan.task.losses(logits, targets)
    for part in model.plan.task.parts(model.facts):
        assert torch.allclose(ratio[part.rows(rows)], torch.tensor(3.0 if part.name == "hours" else 1.0))


def test_metrics_are_those_of_each_task_and_joint_is_their_mean(ready: Any) -> None:
    _, model, rows = ready
    outputs = model.outputs(rows)
    values = Judge(model.plan, model.facts).quick(outputs, rows)
    firsts = []
    for part in model.plan.task.parts(model.facts):
        own = part.rows(rows)
        alone = answers_of(part.task, outputs[own][:, part.outputs], part.own(rows), part.facts)
        for name in part.task.metrics:
            found = float(METRICS.make(name).measure(alone, np.ones((1, alone.rows)))[0])
            assert values[f"{part.name}.{name}"] == pytest.approx(found, nan_ok=True)
        firsts.append(values[f"{part.name}.{part.task.metrics[0]}"])
    assert values["joint"] == pytest.approx(np.mean(firsts))
    answers = answers_of(model.plan.task, outputs, rows, model.facts)
    half = answers.take(np.arange(0, len(rows), 2))
    for name, own in half.parts.items():
        mine = answers.parts[name]
        kept = np.isin(mine.rows, np.arange(0, len(rows), 2))
        assert np.array_equal(own.answers.truth, mine.answers.truth[kept])
    one = METRICS.make("joint").measure(answers, np.ones((1, answers.rows)))
    assert float(one[0]) == pytest.approx(values["joint"])


def test_an_error_counts_as_what_is_left_of_one() -> None:
    from tunesmith.metrics.joint import turned

    assert turned("mae", np.array([0.0, 1.0, 3.0])).tolist() == [1.0, 0.5, 0.25]
    assert turned("macro_f1", np.array([0.3])).tolist() == [0.3]


def test_to_predict_every_task_answers_each_row_from_the_columns_it_reads(ready: Any) -> None:
    _, model, _ = ready
    inner = model.plan.task.tasks["hours"].task.model_copy(update={"text": "note", "max_tokens": 6})
    tasks = {**model.plan.task.tasks, "hours": model.plan.task.tasks["hours"].model_copy(update={"task": inner})}
    task = model.plan.task.model_copy(update={"tasks": tasks})
    mixed = Model(model.plan.model_copy(update={"task": task}), model.facts, model.base, model.net, model.tokenizer)
    rows = [Record(i, "t", i + 1, i + 1, {"text": f"the pump {i}", "note": f"oil on the floor {i}"}) for i in range(3)]
    outputs = mixed.outputs(mixed.encode(task.taken_in(rows, labelled=False), task.roles(labelled=False)))
    swapped = [Record(r.id, "t", r.row, r.line, {"text": r.cells["note"]}) for r in rows]
    texts = model.outputs(model.encode(rows, model.plan.task.roles(labelled=False)))
    short = model.plan.task.model_copy(update={"tasks": {
        n: one.model_copy(update={"task": one.task.model_copy(update={"max_tokens": 6})})
        for n, one in model.plan.task.tasks.items()}})  # fmt: skip
    notes = model.outputs(short.encode(swapped, short.roles(labelled=False), model.tokenizer, model.facts))
    hours = task.parts(model.facts)[2].outputs
    assert np.allclose(outputs[:, : hours.start], texts[:, : hours.start], atol=1e-5)
    assert np.allclose(outputs[:, hours], notes[:, hours], atol=1e-5)
    columns = task.columns(*task.answer(outputs, model.facts), model.facts)
    assert set(columns["prediction"][0]) == {"kind", "parts", "hours"}
    assert columns["hours.prediction"] == [row["hours"] for row in columns["prediction"]]
    lacking = task.taken_in([Record(0, "t", 1, 1, {"text": "belt"})], labelled=False)
    assert lacking[0].cells["note"] == "belt", "a file with one text is read by all"


def test_a_labelled_file_says_which_task_its_rows_are_for(ready: Any) -> None:
    _, model, _ = ready
    task = model.plan.task
    cells = {"text": "the pump", "kind": "a", "parts": "x", "hours": "2"}
    assert [r.cells["tunesmith:task"] for r in task.taken_in([Record(0, "t", 1, 1, cells)])] == list(TASKS)
    named = task.taken_in([Record(0, "t", 1, 1, cells | {"task": "hours"})])
    assert [r.cells["tunesmith:task"] for r in named] == ["hours"]
    with pytest.raises(TunesmithError, match=r"t:1: no task named 'hour'.*hours"):
        task.taken_in([Record(0, "t", 1, 1, cells | {"task": "hour"})])
    with pytest.raises(TunesmithError, match="cannot tell which task its rows are for. Add a column 'task'"):
        task.taken_in([Record(0, "t", 1, 1, {"text": "the pump", "price": "2"})])


# sampling


def test_shares_are_whole_and_add_up() -> None:
    assert apportioned(10, [1, 1, 1]) == (4, 3, 3)
    assert apportioned(7, [900, 90, 10]) == (6, 1, 0)


def test_an_epoch_shows_tasks_as_asked_and_over_epochs_every_row_alike_often() -> None:
    part = np.array([0] * 50 + [1] * 8 + [2] * 2, dtype=np.int16)
    counts = apportioned(60, (np.array([50, 8, 2]) ** 0.5).tolist())
    shown = Blend(tuple(np.flatnonzero(part == number) for number in range(3)), counts, even=False)
    epochs = [shown.order(3, epoch) for epoch in range(12)]
    for rows in epochs:
        assert np.bincount(part[rows], minlength=3).tolist() == list(shown.counts)
    assert np.array_equal(epochs[5], shown.order(3, 5)), "a function of seed and epoch: resuming needs no state"
    assert not np.array_equal(epochs[0], shown.order(4, 0))
    seen = np.bincount(np.concatenate(epochs), minlength=60)
    for number in range(3):
        own = seen[part == number]
        assert own.max() - own.min() <= 1


def test_batches_follow_and_keep_their_number(ready: Any) -> None:
    prepared, model, rows = ready
    task = model.plan.task.model_copy(
        update={"sampling": "weights", "shares": {"kind": 2.0, "parts": 1.0, "hours": 1.0}}
    )
    weighted = task.encode(prepared.splits["train"], prepared.roles, model.tokenizer, model.facts)
    for tokens in (None, 200):
        batches = Batches(weighted.extents, 16, tokens, 0, weighted.blend)
        drawn = np.concatenate([batches.rows(step) for step in range(batches.per_epoch)])
        assert len(drawn) == len(rows)
        assert np.bincount(weighted.part[drawn]).tolist() == list(apportioned(len(rows), [2, 1, 1]))
    assert rows.blend is None


# plans


@pytest.mark.parametrize(("tasks", "more", "words"), [
    ({"kind": TASKS["kind"]}, {}, "task.tasks"),
    ({**TASKS, "kind": {"name": "tag"}}, {}, r"tasks\.kind: tag has no outputs that could stand beside others'"),
    ({**TASKS, "kind": {"name": "classify", "readout": "verbalizer"}}, {}, r"tasks\.kind: .*Take readout: head"),
    ({**TASKS, "kind": {"name": "classify", "pool": "mean"}}, {}, r"Set task\.pool"),
    ({**TASKS, "a.b": TASKS["kind"]}, {}, r"tasks: 'a\.b' names columns"),
    ({**TASKS, "kind": {"name": "classify", "focal": 2, "label_smoothing": 0.1}}, {}, r"tasks\.kind: focal and"),
    (TASKS, {"task": {"temperature": 3}}, "temperature has no effect unless sampling: temperature"),
    (TASKS, {"task": {"sampling": "weights", "shares": {"kind": 1}}}, "shares of every task; missing: parts, hours"),
    (TASKS, {"task": {"weights": {"kin": 1}}}, r"weights: no task named 'kin'.*kind"),
    (TASKS, {"evaluate": {"metrics": ["kind.rmse"]}}, r"kind\.rmse does not fit that task. Fitting: kind\.accuracy"),
    (TASKS, {"evaluate": {"metrics": ["kid.accuracy"]}}, "no task named 'kid'"),
    (TASKS, {"penalties": ["rdrop"]}, "rdrop compares answers of one kind, and multi has several"),
    (TASKS, {"penalties": ["pcgrad", {"name": "adversarial", "where": "weights"}]}, "Keep one of the two"),
    (TASKS, {"task": {"weights": {"kind": 2}}, "penalties": ["uncertainty"]}, r"task\.weights sets them"),
    ({n: {**t, "file": "a.csv"} for n, t in TASKS.items()}, {}, "data.train has all.csv, which none reads"),
])  # fmt: skip
def test_what_cannot_work_is_refused_with_what_to_change(tasks: Any, more: Any, words: str) -> None:
    with pytest.raises(TunesmithError, match=words):
        plan("all.csv", tasks, **more)


def test_a_plan_without_data_names_the_file_of_every_task() -> None:
    own = {n: {**t, "file": f"{n}.csv"} for n, t in TASKS.items()}
    assert [s.file for s in plan(None, own).data.train] == ["kind.csv", "parts.csv", "hours.csv"]
    with pytest.raises(TunesmithError, match="data: is asked for and not given"):
        plan(None, TASKS)
    again = make_plan(plan(None, own).anchored().model_dump(mode="json"))
    assert again.task.tasks["kind"].file == str(Path("kind.csv").absolute())  # type: ignore[attr-defined]


def test_mistakes_in_rows_name_the_task_and_its_column(tmp_path: Path) -> None:
    file = write(tmp_path / "all.csv", 20)
    text = file.read_text(encoding="utf-8").replace(",0.5", ",many")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TunesmithError, match=r"all\.csv \[hours\]:2: column '.*': not a finite number: 'many'"):
        prepare(plan(str(file)))


def test_one_class_is_told_with_the_task(tmp_path: Path) -> None:
    prepared = prepare(plan(str(write(tmp_path / "all.csv", 20))))
    rows = [r for r in prepared.splits["train"] if r.cells["kind"] == "a"]
    with pytest.raises(TunesmithError, match=r"task\.tasks\.kind: label: column 'kind' needs at least 2 classes"):
        prepared.plan.task.study(rows, prepared.roles)


def test_a_resolved_table_is_enough_for_a_data_check() -> None:
    rows: Any = [(2, {"text": f"the pump {i}", "kind": "ab"[i % 2], "parts": "", "hours": "1"}) for i in range(4)]
    table = Table("t.csv", ("text", "kind", "parts", "hours"), rows, (), "")
    tasks = {n: {k: v for k, v in t.items() if k != "text"} for n, t in TASKS.items()}
    task: Any = plan("all.csv", tasks).task.resolved(table)
    assert {one.task.text for one in task.tasks.values()} == {"text"}


# who goes with whom


def test_groups_grow_while_gradients_go_along() -> None:
    cosines = np.array([[1, 0.4, -0.2, 0.1], [0.4, 1, -0.3, 0.1], [-0.2, -0.3, 1, -0.4], [0.1, 0.1, -0.4, 1]])
    assert grouped("abcd", cosines) == [["a", "b", "d"], ["c"]]
    assert grouped("abcd", cosines, hurt=["b"]) == [["a", "d"], ["b"], ["c"]]
    assert grouped("ab", np.array([[1, -0.1], [-0.1, 1]])) == [["a"], ["b"]]


def test_cosines_are_means_over_looks() -> None:
    lines = [{"kind": "conflict", "names": ["a", "b"], "cosines": [[1, c], [c, 1]]} for c in (0.2, 0.4)]
    found = mean_cosines([{"kind": "step"}, *lines])
    assert found is not None and found["looks"] == 2
    assert np.allclose(found["cosines"], [[1, 0.3], [0.3, 1]])
    assert mean_cosines([{"kind": "step"}]) is None


def test_instalments_keep_outputs_in_their_places(ready: Any, tiny_bases: TinyBases) -> None:
    prepared, model, _ = ready
    parts = dict(model.facts.parts)
    parts["kind"] = parts["kind"].model_copy(update={"labels": ("c", "a", "b"), "counts": {}})
    earlier = model.facts.model_copy(update={"parts": parts})
    grown = prepared.plan.task.grown(model.facts, earlier)
    assert grown.labels == ("kind.c", "kind.a", "kind.b", "parts.x", "parts.y", "hours")
    with pytest.raises(TunesmithError, match="asks the same tasks in the same order"):
        prepared.plan.task.grown(model.facts, earlier.model_copy(update={"parts": {"kind": parts["kind"]}}))
