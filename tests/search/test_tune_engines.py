"""Engines with trials that cost nothing: what they find, what they leave early, and that a killed one goes on."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.errors import TunesmithError
from tunesmith.evaluation.parallel import Axis, Thread, parallel
from tunesmith.evaluation.tune_page import sections
from tunesmith.files import read_json, write_json
from tunesmith.metrics import METRICS, Answers
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import STANDING, Standing, digest_of, standing
from tunesmith.search.ground import Ground
from tunesmith.search.tuning import embedded, population
from tunesmith.search.tuning.asked import Search
from tunesmith.search.tuning.bench import Bench
from tunesmith.search.tuning.clock import Deadline
from tunesmith.search.tuning.crew import Crew
from tunesmith.search.tuning.importance import importance
from tunesmith.search.tuning.space import Space
from tunesmith.search.tuning.tried import Tried, counted, ranked
from tunesmith.search.tuning.winner import corrected

pytest.importorskip("optuna", reason="needs the extra [tune]")
SILENT = Progress(silent=True)
LORA = {
    "name": "lora",
    "r": {"choice": [2, 4, 8, 16]},
    "alpha": {"times": [2, "method.r"]},
    "dropout": {"uniform": [0.0, 0.5]},
}
PLAN = {"task": "classify", "base": "minilm", "data": "x.csv", "method": LORA, "train": {"lr": {"log": [1e-5, 1e-1]}}}


def planted(plan: Plan, share: float) -> float:
    """Best at lr = 1e-3, r = 8, whatever the dropout; what is good shows early."""
    off = (math.log10(plan.learning_rate) + 3) ** 2 + 0.3 * abs(math.log2(getattr(plan.method, "r", 8)) - 3)
    return (0.5 + 0.5 * share) / (1 + off)


class Free(Crew):
    """Workers that train nothing: the value of an attempt is a function of its plan. Of several, the last that was
    begun comes first."""

    def __init__(
        self, room: int = 1, value: Callable[[Plan, float], float | None] = planted, last: int = 10**6
    ) -> None:
        super().__init__()
        self.room, self.value, self.last = room, value, last
        self.asked: list[tuple[Any, Plan, Path, float]] = []
        self.pieces: list[tuple[str, float]] = []

    def start(self, key: Any, plan: Plan, folder: Path, until: float) -> None:
        self.working.add(key)
        self.asked.append((key, plan, folder, until))

    def done(self) -> tuple[Any, Standing | None]:
        if len(self.pieces) == self.last:
            raise KeyboardInterrupt
        key, plan, folder, until = self.asked.pop()
        self.working.discard(key)
        self.pieces.append((folder.name, until))
        folder.mkdir(parents=True, exist_ok=True)
        value = self.value(plan, until)
        with (folder / "history.jsonl").open("a") as stream:
            stream.write(json.dumps({"kind": "evaluation", plan.best_metric: value}) + "\n")
        step = round(90 * until)
        found = Standing(digest_of(plan), step, 90, value, step, until == 1, "all steps done" * (until == 1), 1.0, 1.0,
                         None, 1, 2)  # fmt: skip
        write_json(folder / STANDING, asdict(found))
        return key, found

    def close(self) -> None:
        self.asked.clear()


def bench(folder: Path, crew: Crew | None = None, plan: dict[str, Any] = PLAN, **asked: Any) -> Bench:
    folder.mkdir(exist_ok=True)
    search = Search.model_validate(asked)
    clock = Deadline(folder, search.seconds, Stop())
    ground = Ground(SILENT, clock)
    return Bench(Space(plan), search, folder, 0, True, lambda tree, ground: make_plan(tree), ground, crew or Free(),
                 clock, SILENT)  # fmt: skip


def best(tried: list[Tried]) -> Tried:
    return ranked(tried, higher=True)[0]


@pytest.fixture(name="in_memory")
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of one call: writing them down takes ten times as long as everything else here."""
    from optuna.storages import InMemoryStorage

    monkeypatch.setattr(embedded, "storage_in", lambda folder: InMemoryStorage())


@pytest.fixture(name="grid", scope="module")
def _grid() -> float:
    """The best of a grid of 100 points: 5 rates, 4 ranks, 5 dropouts; four times the budget of the searches here."""
    space, found = Space(PLAN), []
    for lr in np.logspace(-5, -1, 5) * 1.8:  # a grid that hits the optimum would be luck
        for r in (2, 4, 8, 16):
            values = {"train.lr": float(lr), "method.r": r, "method.dropout": 0.1}
            found += [planted(make_plan(space.filled(values)), 1)] * 5
    assert len(found) == 100
    return max(found)


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("pruner", ["asha", "hyperband", "none"])
def test_a_planted_optimum_is_found_better_than_by_a_grid_of_four_times_the_budget(
    tmp_path: Path, pruner: str, grid: float
) -> None:
    crew = Free()
    tried = embedded.search(bench(tmp_path / "s", crew, trials=25, pruner=pruner))
    found = best(tried)
    assert found.value is not None and found.value >= grid
    assert found.values["method.r"] == 8 and len(tried) == 25
    states = counted(tried)
    if pruner == "none":
        assert states["done"] == 25 and len(crew.pieces) == 25
        shares = importance(Space(PLAN).ranges(), tried, higher=True)
        assert shares is not None and next(iter(shares)) == "train.lr" and math.isclose(sum(shares.values()), 1)
        assert importance(Space(PLAN).ranges(), tried[:7], higher=True) is None
    else:
        assert states["stopped"] >= (15 if pruner == "asha" else 8) and states["done"] >= 2
        assert sum(b - a for _, _, a, b in _spans(crew.pieces)) < 18, "of 25 runs' steps"


def _spans(pieces: list[tuple[str, float]]) -> Iterator[tuple[int, str, float, float]]:
    before: dict[str, float] = {}
    for number, (name, until) in enumerate(pieces):
        yield number, name, before.get(name, 0.0), until
        before[name] = until


def test_a_killed_search_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STARTING", 2)
    whole = embedded.search(bench(tmp_path / "whole", trials=4))
    crew = Free(last=4)
    with pytest.raises(KeyboardInterrupt):
        embedded.search(bench(tmp_path / "cut", crew, trials=4))
    again = Free()
    assert embedded.search(bench(tmp_path / "cut", again, trials=4)) == whole, "a function of the seed"
    assert again.pieces[0][0] == crew.asked[0][2].name, "what was running is taken up"
    assert embedded.search(bench(tmp_path / "cut", Free(last=0), trials=4)) == whole, "nothing is left to do"


@pytest.mark.usefixtures("in_memory")
def test_random_trials(tmp_path: Path) -> None:
    random = embedded.search(bench(tmp_path, trials=15, sampler="random", pruner="none"))
    lr = [t.values["train.lr"] for t in random]
    assert len(set(lr)) == 15 and min(lr) < 1e-4 and max(lr) > 1e-2, "by orders of magnitude"
    tpe = embedded.search(bench(tmp_path, trials=15, pruner="none"))
    assert [t.values for t in tpe][:10] == [t.values for t in random][:10], "tpe begins with random ones"
    assert [t.values for t in tpe][10:] != [t.values for t in random][10:]


@pytest.mark.usefixtures("in_memory")
def test_trials_side_by_side(tmp_path: Path) -> None:
    crew = Free(3)
    tried = embedded.search(bench(tmp_path, crew, trials=12, pruner="none"))
    assert counted(tried)["done"] == 12 and len({name for name, _ in crew.pieces}) == 12
    assert crew.pieces[0][0] == "0002", "three were begun, and the last came in first"


@pytest.mark.usefixtures("in_memory")
def test_what_is_no_plan_fails_at_no_cost_and_branches_are_apart(tmp_path: Path) -> None:
    lora = {"name": "lora", "variant": {"choice": ["lora", "vera"]}, "alpha": {"choice": [16, 32]}}
    crew = Free()
    plan = PLAN | {"method": {"choice": ["head", lora, {"name": "layers", "top": {"integer": [1, 4]}}]}}
    tried = embedded.search(bench(tmp_path, crew, plan, trials=30, pruner="none"))
    failed = [each for each in tried if each.state == "failed"]
    assert failed and all("vera has no alpha" in each.reason for each in failed)
    assert len(crew.pieces) == 30 - len(failed)
    for each in tried:
        assert ("method.layers.top" in each.values) == (each.values["method"] == "layers")
    shares = importance(Space(plan).ranges(), tried, higher=True)
    assert shares is not None and "train.lr" in shares


@pytest.mark.usefixtures("in_memory")
def test_trials_without_a_value_fail_and_are_told(tmp_path: Path) -> None:
    tried = embedded.search(bench(tmp_path, Free(value=lambda plan, share: None), trials=2))
    assert {(t.state, t.reason) for t in tried} == {("failed", "its metric is undefined on the validation rows")}


@pytest.mark.usefixtures("in_memory")
def test_a_budget_counts_all_calls_and_can_be_raised(tmp_path: Path) -> None:
    write_json(tmp_path / "spent.json", {"seconds": 50.0})
    crew = Free()
    assert embedded.search(bench(tmp_path, crew, trials=5, budget="50s")) == [] and not crew.pieces
    made = bench(tmp_path, crew, trials=5, budget="9h")
    assert len(embedded.search(made)) == 5 and not made.clock.over
    assert read_json(tmp_path / "spent.json")["seconds"] > 50


def test_a_population_improves_goes_on_from_better_ones_and_resumes(tmp_path: Path) -> None:
    asked = {"sampler": "pbt", "population": 8, "generations": 4}
    crew = Free()
    whole = population.search(bench(tmp_path / "whole", crew, **asked))
    members, last = whole[:-1], whole[-1]
    assert [t.state for t in members] == ["member"] * 8 and last.state == "done" and last.folder == "trials/last"
    moved = [t for t in members if t.changed]
    assert 2 <= len(moved) <= 6 and crew.pieces[-1] == ("last", 1.0)
    for each in moved:
        change = each.changed[-1]
        assert change["values"] == each.values and each.folder == f"trials/{each.number:02d}-{change['generation'] + 1}"
        assert standing(tmp_path / "whole" / each.folder, make_plan(Space(PLAN).filled(each.values))) is not None
    top = max(members, key=lambda t: t.value or 0)
    assert last.values == top.values, "the settings that the best ended with, from the start"
    with pytest.raises(KeyboardInterrupt):
        population.search(bench(tmp_path / "cut", Free(last=19), **asked))
    assert population.search(bench(tmp_path / "cut", Free(3), **asked)) == whole, "the same end, with any workers"
    rates = {"method": LORA, "train": {"lr": 1e-3}}
    with pytest.raises(TunesmithError, match="none of those in the space can: method.r, method.dropout"):
        population.search(bench(tmp_path / "none", plan=PLAN | rates, **asked))


def test_the_best_of_many_that_know_nothing_is_seen_through() -> None:
    """Forty coins on a hundred rows: the best looks far better than a coin, and the corrected value does not."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 100)
    sides = [Answers("classes", truth, draw.integers(0, 2, 100), None, ("a", "b")) for _ in range(40)]
    accuracy = METRICS.make("accuracy")
    seen = max(float(accuracy.measure(each, np.ones((1, 100)))[0]) for each in sides)
    found = corrected(accuracy, sides, seed=0)
    assert found is not None and seen >= 0.6
    assert abs(found["value"] - 0.5) < 0.05 and found["low"] < 0.5 < found["high"] and found["trials"] == 40
    knows = Answers("classes", truth, np.where(np.arange(100) < 90, truth, 1 - truth), None, ("a", "b"))
    sure = corrected(accuracy, [*sides, knows], seed=0)
    assert sure is not None and abs(sure["value"] - 0.9) < 0.01, "one that is really better stays so"
    assert corrected(accuracy, [sides[0], sides[1].take(np.arange(50))], seed=0) is None


def test_the_page_of_a_search_that_found_nothing_to_compare() -> None:
    value = {"value": 0.5, "low": None, "high": None}
    worth = {"metric": "accuracy", "better": "higher", "level": 0.95, "corrected": None, "optimism": None,
             "against": None, "seen": value, "test": value | {"value": None}}  # fmt: skip
    one = asdict(Tried(0, {"train.lr": 0.1}, "done", 0.5)) | {"changed": []}
    best = {"trial": 0, "settings": {"train.lr": 0.1}, "plan": "best.yaml"}
    reply = {"worth": worth, "tried": [one], "trials": {"done": 1}, "importance": None, "picked_by": "accuracy",
             "best": best, "seconds": 1.0, "cpu_seconds": 1.0, "engine": "optuna", "sampler": "tpe", "seed": 0,
             "space": {"train.lr": {"kind": "log", "of": [0.01, 1.0]}}, "pruner": "none", "notes": [],
             "corners": {"checked": 2, "every": True}}  # fmt: skip
    assert [len(each.blocks) > 0 for each in sections(reply)] == [True, True, False, True, True]


def test_a_line_passes_below_the_axis_of_a_setting_that_its_trial_lacks() -> None:
    axes = [Axis("method", None, ("head", "lora")), Axis("method.lora.r", (2, 16), (), True), Axis("f1", (0, 1))]
    other = {"method": "lora", "method.lora.r": 16, "f1": 1.0}
    drawn = parallel(axes, [Thread("a", {"method": "head", "f1": 0.0}), Thread("b", other, "s1")], "alt")
    lines = re.findall(r'<path d="M([^"]+)" class="line (s\d)"', drawn)
    ends = [[float(point.split()[1]) for point in path.split("L")] for path, _ in lines]
    assert ends == [[164.5, 224.0, 208.0], [77.5, 34.0, 34.0]] and [style for _, style in lines] == ["s3", "s1"]
