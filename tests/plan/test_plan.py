"""The plan checks itself: every setting documented, every rule between settings told, every setting part of a run."""

import ast
import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from tunesmith import plan as plans
from tunesmith.catalog import Part
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json
from tunesmith.methods import METHODS
from tunesmith.metrics import METRICS
from tunesmith.plan import Base, Data, Evaluate, Plan, Source
from tunesmith.plan_text import make_plan
from tunesmith.run import identity
from tunesmith.settings import Galore, Train
from tunesmith.steps import STEPS
from tunesmith.tasks import TASKS
from tunesmith.tasks.classify import Classify

SHORT: dict[str, Any] = {"task": "classify", "base": "minilm", "data": "t.csv"}
PARTS: list[type[Part]] = [c.find(n) for c in (TASKS, METHODS, STEPS, METRICS) for n in c.names()]


def refusal(**tree: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        make_plan(SHORT | tree)
    return str(caught.value)


@pytest.mark.parametrize("section", (Base, Source, Data, Train, Galore, Evaluate), ids=lambda s: s.__name__)
def test_every_setting_of_a_section_is_documented(section: type[BaseModel]) -> None:
    assert section.__doc__
    bare = [name for name, field in section.model_fields.items() if name not in section.meanings()]
    assert not bare, f"no docstring below {bare}"


def test_the_sections_of_a_plan_are_documented_or_sections() -> None:
    for name, field in Plan.model_fields.items():
        assert name in Plan.meanings() or issubclass(field.annotation, plans.Section), name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "part", PARTS, ids=lambda p: f"{p.__module__.rsplit('.', 2)[1]}-{p.model_fields['name'].default}"
)
def test_every_setting_of_a_part_is_documented(part: type[Part]) -> None:
    inherited = {"name", "metrics"}
    bare = [n for n, f in part.model_fields.items() if n not in inherited and n not in part.meanings()]
    assert not bare, f"no docstring below {bare}"


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"momentum": 0.5}, "train.momentum has no effect with train.optimizer: adamw (it belongs to sgd)"),
        (
            {"cycles": 5},
            "train.cycles has no effect with train.schedule: linear (it belongs to restarts, step and",
        ),
        ({"power": 1.0}, "train.power has no effect with train.schedule: linear (it belongs to polynomial)"),
        ({"factor": 0.1}, "train.factor has no effect with train.schedule: linear (it belongs to step and plateau)"),
        ({"warmup": 100}, "train.warmup: 100.0 is not a share of the run (0 to 1). For steps write '100 steps'"),
        ({"warmup": "10 seconds"}, "train.warmup: '10 seconds' is not a moment. Write '200 steps', '1 epoch'"),
        ({"evaluate_every": "often"}, "train.evaluate_every: 'often' is not a moment"),
        ({"save_every": "0 steps"}, "train.save_every: '0 steps' never comes"),
        ({"log_every": "-3 steps"}, "train.log_every: '-3 steps' is not a moment"),
        ({"schedule": "cyclic", "warmup": 0.2}, "train.warmup has no effect with train.schedule: cyclic"),
        ({"ema": 0.9, "swa": 0.5}, "train.swa and train.ema are two averages"),
        ({"best": "mcc2"}, "no metric named 'mcc2'. Did you mean 'mcc'?"),
        ({"best": "roc_auc"}, "train.best: roc_auc is not among the metrics that are computed: macro_f1,"),
        ({"best": "mae"}, "mae does not fit this task. Fitting: accuracy"),
    ],
)
def test_settings_that_would_be_ignored_or_mean_nothing_are_refused(train: dict[str, Any], words: str) -> None:
    assert words in refusal(train=train)


def test_a_metric_that_only_describes_answers_picks_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as the first metric nor as train.best; beside others it is welcome."""
    monkeypatch.setattr(Classify, "kind", "text")
    words = "picks no model: put another metric first, and train.best on one that may"
    for first, second, train in (("distinct_1", "nll", {}), ("nll", "length_ratio", {"best": "length_ratio"})):
        told = refusal(evaluate={"metrics": [first, second]}, train=train)
        assert f"evaluate.metrics: {train.get('best', first)} describes answers and {words}" in told
    make_plan(SHORT | {"evaluate": {"metrics": ["nll", "distinct_1"]}})


@pytest.mark.parametrize(
    "train",
    (
        {"momentum": 0.5, "optimizer": "sgd"}, {"cycles": 5, "schedule": "restarts"}, {"cycles": 2, "schedule": "step"},
        {"power": 1.0, "schedule": "polynomial"}, {"factor": 0.1, "schedule": "plateau"}, {"warmup": "2 epochs"},
        {"evaluate_every": "60 seconds"}, {"best": "loss"}, {"best": "accuracy"}, {"warmup": 0},
    ),
    ids=str,
)  # fmt: skip
def test_settings_that_belong_together_pass(train: dict[str, Any]) -> None:
    make_plan(SHORT | {"train": train})


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"task": {"name": "classify", "costs": {"a": {"b": 2.0}}}}, "task: costs have no effect unless decide: cost"),
        ({"task": {"name": "classify", "decide": "cost"}}, "task: decide: cost needs costs"),
        ({"task": {"name": "classify", "threshold_for": "mcc"}}, "task: threshold_for has no effect unless"),
        ({"task": {"name": "classify", "focal": 2, "label_smoothing": 0.1}}, "pull in opposite directions"),
        ({"task": {"name": "regress", "delta": 2.0}}, "task: delta has no effect unless loss: huber"),
        ({"task": {"name": "regress", "bounds": [5, 0]}}, "task: bounds must be [low, high] with low < high"),
        ({"task": "regress", "evaluate": {"metrics": ["f1"]}}, "f1 does not fit this task. Fitting:"),
        ({"task": "regress", "evaluate": {"metrics": ["rsme"]}}, "Did you mean 'rmse'? Known: mae, pearson, r2, rmse,"),
        ({"evaluate": {"baselines": ["parts"]}}, "evaluate.baselines: parts does not fit this task and method"),
        ({"task": "regress", "steps": ["balance"]}, "steps.0: balance needs one class a row"),
        ({"steps": ["dedup", "clean"]}, "steps.0: dedup stands before clean"),
        ({"steps": ["clean", "balance", "balance"]}, "balance stands twice"),
        ({"method": {"name": "layers", "top": 1, "freeze": 1}}, "method: layers: top and freeze choose blocks"),
    ],
)
def test_rules_of_parts_are_told_with_their_path(tree: dict[str, Any], words: str) -> None:
    assert words in refusal(**tree)


CLOZE = {"name": "classify", "readout": "verbalizer", "cloze": {"template": "{text} It was {mask}."}}


@pytest.mark.parametrize("task", ["generate", "prefer", "embed", "masked", CLOZE])
def test_the_rate_of_a_head_has_no_effect_where_there_is_no_new_head(task: Any) -> None:
    assert "train.head_lr has no effect" in refusal(task=task, train={"head_lr": 0.1})
    assert make_plan(SHORT | {"task": task}).train.head_lr is None


@pytest.mark.parametrize(
    "task",
    ["regress", "reward", "tag", "image", "audio", "transcribe", "image_text", {"name": "classify", "readout": "head"}],
)
def test_and_passes_where_there_is_one(task: Any) -> None:
    assert make_plan(SHORT | {"task": task, "train": {"head_lr": 0.1}}).train.head_lr == 0.1


def test_broken_rules_are_told_all_at_once() -> None:
    text = refusal(train={"momentum": 0.5, "warmup": 7}, steps=["dedup", "clean"], evaluate={"metrics": ["mae"]})
    assert text.startswith("the plan has ") and text.count("\n  - ") >= 4


@pytest.mark.parametrize(
    "data", ({"validation": 0.0}, {"validation": 1.0}, {"test": -0.1}, {"test": 1.5}, {"train": []}), ids=str
)
def test_shares_that_are_no_shares_are_refused(data: dict[str, Any]) -> None:
    assert "data." in refusal(data={"train": "t.csv"} | data)


@pytest.mark.parametrize("field", ("lr", "head_lr", "clip", "power", "ema", "floor", "weight_decay", "dropout"))
@pytest.mark.parametrize("value", (float("nan"), float("inf"), -1.0))
def test_numbers_that_cannot_be_trained_with_are_refused(field: str, value: float) -> None:
    assert f"train.{field}: " in refusal(train={field: value})


OTHER: dict[str, Any] = {
    "epochs": 7, "max_steps": 3, "lr": 0.123, "head_lr": 0.1, "batch": 5, "batch_tokens": 99, "micro_tokens": 77,
    "optimizer": "sgd", "weight_decay": 0.2, "momentum": 0.5, "clip": None, "schedule": "cosine", "warmup": 0.2,
    "floor": 0.1, "cycles": 4, "power": 3.0, "factor": 0.3, "dropout": 0.2, "ema": 0.9, "evaluate_every": "5 steps",
    "save_every": "5 steps",
    "log_every": "5 steps", "patience": 9, "best": "loss", "keep": "last", "precision": "fp32", "log": "mlflow",
    "seed": 5, "neftune": 5.0, "swa": 0.5, "batch_norm": "moving", "checkpointing": "on", "fit": True,
    "galore": Galore(rank=4),
}  # fmt: skip


def test_the_mutations_cover_every_setting() -> None:
    assert set(OTHER) == set(Train.model_fields), "a new setting of train wants a line here"


def who(plan: Plan) -> str:
    return digest_json(identity(plan, ["data"], "base"))


@pytest.mark.parametrize("field", OTHER)
def test_a_run_is_another_one_when_one_setting_differs(field: str) -> None:
    plan = make_plan(SHORT)
    changed = plan.model_copy(update={"train": plan.train.model_copy(update={field: OTHER[field]})})
    assert getattr(changed.train, field) != getattr(plan.train, field)
    assert who(changed) != who(plan)


@pytest.mark.parametrize(
    "tree",
    (
        {"method": "full"}, {"method": {"name": "lora", "r": 5}}, {"steps": ["clean"]}, {"base": {"layers": 2}},
        {"base": {"quant": "nf4"}}, {"base": {"rope": {"factor": 4.0}}},
        {"evaluate": {"resamples": 200}}, {"task": {"name": "classify", "max_tokens": 31}},
        {"data": {"train": [{"file": "t.csv", "weight": 2}]}}, {"data": {"train": "t.csv", "test": None}},
    ),
    ids=str,
)  # fmt: skip
def test_so_it_is_with_the_other_sections(tree: dict[str, Any]) -> None:
    tree = {"base": {"name": "minilm", **tree["base"]}} if "base" in tree else tree
    assert who(make_plan(SHORT | tree)) != who(make_plan(SHORT))


def test_a_run_is_the_same_wherever_its_files_lie() -> None:
    moved = SHORT | {"data": "/elsewhere/t.csv", "run": "/other/run", "base": "/models/minilm"}
    assert who(make_plan(moved)) == who(make_plan(SHORT))


def test_a_resolved_plan_is_the_same_run_as_a_short_one() -> None:
    plan = make_plan(SHORT)
    assert who(make_plan(plan.model_dump(mode="json"))) == who(plan)


def test_other_data_or_another_base_is_another_run() -> None:
    plan = make_plan(SHORT)
    assert len({digest_json(identity(plan, d, b)) for d in (["x"], ["y"]) for b in ("p", "q")}) == 4


def test_epochs_follow_the_number_of_rows() -> None:
    plan = make_plan(SHORT)
    assert [plan.epochs(n) for n in (0, 100, 4000, 8000, 10**6)] == [20, 20, 10, 5, 3]
    assert make_plan(SHORT | {"train": {"epochs": 2}}).epochs(100) == 2


def test_a_plan_cannot_be_changed() -> None:
    plan = make_plan(SHORT)
    for part in (plan, plan.train, plan.task, plan.method, plan.data, plan.steps[0]):
        with pytest.raises((ValueError, AttributeError)):
            part.name = "other"  # type: ignore[union-attr]


def test_a_default_is_written_once_on_its_field() -> None:
    """No `or 0.01` beside the field: the only numbers of plan.py outside Field() are those of `epochs`."""
    source = ast.parse(inspect.getsource(plans))
    calls = [n for n in ast.walk(source) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    assert not [c for c in calls if c.func.attr == "get" and len(c.args) == 2]  # type: ignore[attr-defined]
