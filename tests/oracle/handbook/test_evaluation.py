"""What handbook code about evaluation and serving gets wrong (HANDBOOK, part 2): here it is right, or told."""

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from jobs import WORDS, history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith import flows
from tunesmith.data.ragged import Ragged
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.judge import Judge, answers_of, metrics_of
from tunesmith.evaluation.significance import paired_bootstrap
from tunesmith.files import read_json, write_manifest
from tunesmith.metrics import METRICS, Answers
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, Facts


@pytest.fixture(scope="module")
def run(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on tickets."""
    folder = tmp_path_factory.mktemp("evaluated")
    plan = tree(tiny_bases["bert"], write_tickets(folder / "t.csv"), folder / "run", epochs=4)
    run_job(plan | {"method": "full", "task": plan["task"] | {"max_tokens": 14}})
    return folder / "run"


def labelled(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def answers(truth: np.ndarray, predicted: np.ndarray) -> Answers:
    return Answers("classes", truth, predicted, None, ("a", "b"), 1)


def test_a_comparison_is_of_what_is_right_and_not_of_class_numbers() -> None:
    """A t-test on predicted class numbers misses 0.9 against 0.6, and rings at equal accuracy with opposite bias."""
    order = np.random.default_rng(0)
    truth = order.integers(0, 2, 400)
    good, bad = (np.where(order.random(400) < share, truth, 1 - truth) for share in (0.9, 0.6))
    metric = METRICS.make("accuracy")
    found = paired_bootstrap(metric, answers(truth, good), answers(truth, bad), resamples=500, seed=0, level=0.95)
    assert found.p is not None and found.p < 0.01 and found.low > 0.2
    high, low = np.where(np.arange(400) % 5 == 0, 1, truth), np.where(np.arange(400) % 5 == 0, 0, truth)
    wrong = min((high != truth).sum(), (low != truth).sum())
    for biased in (high, low):  # as many mistakes each, to opposite sides
        miss = np.flatnonzero(biased != truth)
        biased[miss[wrong:]] = truth[miss[wrong:]]
    assert (high == truth).mean() == (low == truth).mean() and high.mean() > low.mean() + 0.15
    found = paired_bootstrap(metric, answers(truth, high), answers(truth, low), resamples=500, seed=0, level=0.95)
    assert found.p is not None and found.p > 0.5


def test_weighted_f1_never_stands_alone() -> None:
    """Weighted F1 alone hides that a rare class is never found."""
    truth = np.array([0] * 97 + [1] * 3)
    found = {n: float(METRICS.make(n).measure(answers(truth, truth * 0), np.ones((1, 100)))[0])
             for n in ("weighted_f1", "macro_f1", "balanced_accuracy")}  # fmt: skip
    assert found["weighted_f1"] > 0.95 and found["macro_f1"] < 0.5 and found["balanced_accuracy"] == 0.5
    names = make_plan({"task": "classify", "base": "minilm", "data": "t.csv"}).metric_names
    assert names[0] == "macro_f1" and {"weighted_f1", "balanced_accuracy", "mcc"} <= set(names)


def test_a_rank_correlation_of_constant_answers_is_undefined_and_breaks_nothing() -> None:
    """Spearman of constant answers is NaN: it must neither become the best value nor break the JSON."""
    plan = make_plan({"task": {"name": "regress", "text": "text", "label": "label"}, "base": "m", "data": "t.csv"})
    facts = Facts(center=1.0, scale=2.0)
    judge, truth = Judge(plan, facts), np.array([1.0, 2.0, 3.0, 4.0])
    none, ones = np.zeros(4, dtype=np.int32), np.ones(4, dtype=np.float32)
    encoded = Encoded(Ragged.of([[1]] * 4), None, none, (truth - 1) / 2, None, ones)
    values = judge.quick(np.zeros((4, 1)), encoded)
    assert math.isnan(values["spearman"]) and math.isfinite(values["mae"])
    table = judge.full(answers_of(plan.task, np.zeros((4, 1)), encoded, facts))
    assert table["spearman"] == {"value": None, "low": None, "high": None} and table["mae"]["value"] is not None


def test_curves_are_drawn_over_epochs_when_they_say_so(run: Path) -> None:
    """Steps drawn on an axis that says epochs."""
    seen = [line for line in history(run) if line["kind"] == "evaluation"]
    assert [line["epoch"] for line in seen] == [1, 2, 3, 4]
    assert [line["step"] for line in seen] == [seen[0]["step"] * i for i in (1, 2, 3, 4)]


def test_the_confusion_matrix_has_class_names(run: Path) -> None:
    """A matrix with 0, 1, 2 along its sides."""
    page = (run / "report.html").read_text(encoding="utf-8")
    part = page[page.lower().index("confus") :]
    assert all(label in part for label in WORDS)


def test_answers_are_class_names(run: Path) -> None:
    """A service that answers 2."""
    found = flows.ask(run, [{"text": "oil drips water puddle wet seal flange"}, {"text": "hot smoke burnt steam"}])
    assert set(found) <= set(WORDS)
    assert read_json(run / "model" / "config.json")["id2label"] == {str(i): n for i, n in enumerate(sorted(WORDS))}


def test_serving_cuts_where_training_cut(run: Path) -> None:
    """Another max_length in serving than in training: the model reads what it never learnt to read."""
    model = flows.load(run)
    assert model.plan.task.max_tokens == 14
    text = "oil drips at night " * 10
    tail = text + "hot smoke burnt steam glow"
    encoded = model.encode(small.records([text, tail], ["leak", "leak"]), model.plan.task.roles(labelled=False))
    assert [len(ids) for ids in encoded.ids] == [14, 14] and min(encoded.lost) > 0
    assert np.array_equal(*model.outputs(encoded))


def test_serving_cleans_as_training_did(run: Path, tmp_path: Path) -> None:
    """Preparation that runs in training alone: the service sees other texts than the model learnt."""
    rows = [("oil drips wet", "leak"), ("<b>oil   drips\u200b</b> wet", "leak")]
    out = tmp_path / "out.csv"
    flows.predict(run, labelled(tmp_path / "in.csv", rows), out, progress=Progress(silent=True))
    plain, dirty = table(out)
    assert {k: v for k, v in plain.items() if k != "text"} == {k: v for k, v in dirty.items() if k != "text"}
    assert dirty["text"] == rows[1][0], "the input columns are written back as they came"


def test_input_columns_that_are_named_like_ours_are_not_overwritten(run: Path, tmp_path: Path) -> None:
    """A column `prediction` of the input lost under the new one."""
    (tmp_path / "in.csv").write_text("text,prediction\noil drips,mine\n", encoding="utf-8")
    quiet = Progress(silent=True)
    with pytest.raises(TunesmithError, match=r"has a column 'prediction' of its own\. Pass --prefix"):
        flows.predict(run, tmp_path / "in.csv", tmp_path / "out.csv", progress=quiet)
    flows.predict(run, tmp_path / "in.csv", tmp_path / "out.csv", prefix="my_", progress=quiet)
    (row,) = table(tmp_path / "out.csv")
    assert row["prediction"] == "mine" and row["my_prediction"] in WORDS


def test_a_label_that_training_never_saw_is_counted_and_counts_as_wrong(run: Path, tmp_path: Path) -> None:
    """Evaluation that crashes on an unseen label, or drops its rows without a word."""
    known = [(" ".join(words[:4]), label) for label, words in WORDS.items()] * 4
    quiet = Progress(silent=True)
    before = flows.evaluate(run, labelled(tmp_path / "a.csv", known), progress=quiet)
    after = flows.evaluate(
        run, labelled(tmp_path / "b.csv", [*known, ("odd", "flood"), ("odd", "fire")]), progress=quiet
    )
    assert before["warnings"] == [] and after["rows"] == 14
    assert after["warnings"] == ["2 rows have a label that training never saw; they count as wrong"]
    share = before["metrics"]["accuracy"]["value"]
    assert after["metrics"]["accuracy"]["value"] == pytest.approx(share * 12 / 14)


def test_labels_of_given_files_that_training_never_saw_are_told(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """FAULTS L2: a class that stands in the validation or the test file alone is named."""
    data = write_tickets(tmp_path / "t.csv", rows=45)
    held = [(f"{' '.join(words[:4])} {i}", label) for label, words in WORDS.items() for i in range(3)]
    plan: dict[str, Any] = tree(tiny_bases["bert"], data, tmp_path / "run", epochs=1)
    plan["data"] = {
        "train": str(data), "validation": str(labelled(tmp_path / "v.csv", held)),
        "test": str(labelled(tmp_path / "x.csv", [*held[:6], ("water everywhere", "flood")])),
    }  # fmt: skip
    reply = run_job(plan)
    assert any("flood" in w and "test" in w for w in reply["warnings"]), reply["warnings"]


def test_metrics_of_two_classes_are_refused_for_more() -> None:
    """precision, recall and F1 without an average for three classes: which class is meant?"""
    with pytest.raises(TunesmithError, match=r"f1 compare a positive with a negative class; these data have 3"):
        metrics_of(["accuracy", "f1"], labels=3)
    assert metrics_of(["f1"], labels=2)


def test_the_next_version_leaves_the_one_before_as_it_was(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version file that the next version writes over, without weights or digest in it."""
    from tunesmith.model import saved

    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "registry"))
    other = Path(shutil.copytree(run, tmp_path / "other"))
    card = other / "model" / "tunesmith.json"
    card.write_text(card.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    one = flows.register(run, "tickets")
    with pytest.raises(TunesmithError, match="tunesmith.json"):
        flows.register(other, "tickets")  # not what the run wrote
    write_manifest(other / "model")
    two = flows.register(other, "tickets")
    assert (str(one), str(two)) == ("tickets@1", "tickets@2") and one.digest != two.digest
    for version, source in ((one, run), (two, other)):
        opened = saved(str(version))
        for file in sorted(p.relative_to(source / "model") for p in (source / "model").rglob("*") if p.is_file()):
            assert (opened / file).read_bytes() == (source / "model" / file).read_bytes(), file


def test_rows_go_where_the_network_is(run: Path) -> None:
    """Inputs moved to a device where the model is not: whoever asks names no device, the network's own counts."""
    model = flows.load(run)
    encoded = model.encode(small.records(), model.plan.task.roles())
    seen: list[str] = []

    def look(module: torch.nn.Module, words: Any, inputs: dict[str, Any]) -> None:
        seen.extend(each.device.type for each in inputs.values() if isinstance(each, torch.Tensor))
        raise StopIteration

    model.net.auto.register_forward_pre_hook(look, with_kwargs=True)
    for device in ("cpu", "meta"):
        model.net.to(device)
        with pytest.raises(StopIteration):
            model.shortcuts.plain.logits(encoded, [0, 1])
        assert seen and set(seen) == {device}
        seen.clear()
