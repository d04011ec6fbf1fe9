"""Two domains in one run: what a step holds, what counts in which loss, and what is refused."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.data import Record
from tunesmith.data.ragged import Ragged
from tunesmith.engine.batches import Batches
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.tasks import Encoded
from tunesmith.tasks._blend import Blend, stacked
from tunesmith.training.loop import Loop

ROWS = small.records()
STRANGE = small.records(("oil oil", "zz the belt", "no goal at night", "泵 motor", "hot"), ("a", "b", "c", "a", "b"))
DOMAIN: dict[str, Any] = {"name": "domain", "task": {"name": "classify"}, "target": "t.csv"}


def plan(bases: TinyBases, penalty: Any = "dann", **more: Any) -> Plan:
    task = {**DOMAIN, **more.pop("task", {})}
    return small.plan(bases["bert"], task=task, penalties=[penalty] if penalty else [], **more)


def lessons(made: Model, rows: list[Record], joined: int, bare: list[Record]) -> Encoded:
    """Rows of which the last `joined` are of the target, and target rows without a label."""
    task = made.plan.task
    encoded = made.encode(rows, task.roles())
    without = made.encode(bare, task.roles(labelled=False)) if bare else None
    seen = any(p.reads_states for p in made.plan.penalties)
    return task.lessons(encoded, np.arange(len(rows)) >= len(rows) - joined, without, looked_at=seen)


# what a step holds


@pytest.mark.parametrize(
    ("source", "own", "bare"), [(100, 40, 0), (100, 5, 300), (33, 0, 7), (700, 300, 0), (10, 1, 1)]
)
def test_every_step_has_its_share_of_both(source: int, own: int, bare: int) -> None:
    numbers = np.arange(source + own + bare)
    parts = [(numbers[source : source + own], 0.15 if own and bare else 0.3), (numbers[source + own :], 0.3)]
    if own and bare:
        parts[1] = (parts[1][0], 0.15)
    blend = Blend.of(numbers[:source], parts)
    batches = Batches(Ragged.of([[0]] * len(numbers)), 20, None, 3, blend)
    seen: Counter[int] = Counter()
    for step in range(3 * batches.per_epoch):
        rows = batches.rows(step)
        seen.update(rows.tolist())
        share = (rows >= source).mean()
        assert abs(share - 0.3) <= 2 / len(rows), (step, share)
        assert np.array_equal(rows, Batches(Ragged.of([[0]] * len(numbers)), 20, None, 3, blend).rows(step))
    assert {seen[r] for r in range(source)} == {3}, "every row of the source once an epoch"
    for rows, _ in parts:
        assert not len(rows) or max(seen[r] for r in rows) - min(seen[r] for r in rows) <= 1, "the others in turn"


def test_steps_of_tokens_have_their_share_too() -> None:
    blend = Blend.of(np.arange(70), [(np.arange(70, 80), 0.3)])
    batches = Batches(Ragged.of([[0] * (1 + i % 9) for i in range(80)]), 8, 100, 0, blend)
    steps = [batches.rows(step) for step in range(batches.per_epoch)]
    assert sum(map(len, steps)) == len(batches) == 100
    assert all(abs((rows >= 70).mean() - 0.3) < 0.1 for rows in steps)


def test_rows_without_a_label_are_stacked_behind_and_count_nothing(tiny_bases: TinyBases) -> None:
    made = small.model(plan(tiny_bases), ROWS)
    learnt = lessons(made, ROWS, 2, STRANGE)
    assert learnt.target is not None and learnt.targets is not None
    assert learnt.target.tolist() == [False] * 8 + [True] * 7
    assert learnt.weights.tolist() == [1.0] * 10 + [0.0] * 5 and learnt.targets[10:].tolist() == [-1] * 5
    together = made.encode([*ROWS, *STRANGE], made.plan.task.roles())
    assert [row.tolist() for row in learnt.ids] == [row.tolist() for row in together.ids]
    task, way, rows = made.plan.task, made.shortcuts.way, list(range(15))
    assert task.weigh(learnt, rows) == 10
    made.net.eval()
    with torch.no_grad():
        torch.testing.assert_close(task.step_loss(way, learnt, rows), task.step_loss(way, learnt, rows[:10]))


def test_types_of_pairs_are_kept_where_one_side_has_none() -> None:
    def encoded(types: Ragged | None) -> Encoded:
        ids = Ragged.of([[1, 2], [3]])
        return Encoded(ids, types, np.zeros(2, np.int32), np.zeros((2, 3), np.float32), None, np.ones(2, np.float32))

    made = stacked(encoded(None), encoded(Ragged.of([[0, 1], [0]])))
    assert made.types is not None and [r.tolist() for r in made.types] == [[0, 0], [0], [0, 1], [0]]
    assert made.targets is not None and made.targets.shape == (4, 3)


# the gradient of a whole step


def begun(bases: TinyBases, penalty: Any, **train: Any) -> Loop:
    made = small.model(plan(bases, penalty, batch=15, lr=1e-2, **train), ROWS)
    loop = small.loop(made, lessons(made, ROWS, 2, STRANGE), made.encode(ROWS, made.plan.task.roles()))
    made.shortcuts.prove(loop.job.train, learning=True)
    if "dann" in made.net.beside:
        torch.nn.init.normal_(made.net.beside["dann"].weight, generator=torch.Generator().manual_seed(2))
    training_mode(made.net, made.plan.method, made.family)
    loop.state.step = loop.total // 2
    return loop


def gradients(loop: Loop, rows: list[int]) -> tuple[dict[str, torch.Tensor], float]:
    torch.manual_seed(5)
    _, penalty = loop._backward(rows, 5)
    found = {n: p.grad.clone() for n, p in loop.moving.items() if p.grad is not None}
    loop.optimizer.zero_grad(set_to_none=True)
    return found, penalty


@pytest.mark.parametrize("penalty", ["dann", "coral", "mmd"])
def test_pieces_of_a_step_have_the_gradient_of_the_whole(penalty: str, tiny_bases: TinyBases) -> None:
    rows = [0, 11, 3, 8, 12, 5, 9, 14, 2]
    found = []
    for tokens in (2048, 20):
        loop = begun(tiny_bases, penalty, micro_tokens=tokens, epochs=4)
        override_dropout(loop.net, 0.0)
        assert (len(list(loop.model.shortcuts.way.pieces(loop.job.train, rows, tokens))) > 1) == (tokens == 20)
        found.append(gradients(loop, rows))
    (whole, value), (parts, same) = found
    assert value == pytest.approx(same, rel=1e-4) and value > 0
    assert set(whole) == set(parts) and ("beside.dann.weight" in whole) == (penalty == "dann")
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("penalty", ["dann", "coral"])
def test_pieces_draw_the_same_dropout_both_times(penalty: str, tiny_bases: TinyBases) -> None:
    loop = begun(tiny_bases, penalty, micro_tokens=20, epochs=4)
    rows = [0, 11, 3, 8, 12, 5, 9, 14, 2]
    heard: list[torch.Tensor] = []
    way = loop.model.shortcuts.way
    real = way.told
    way.told = lambda encoded, rows: (
        (heard.append(made[1].detach()), made)[1] if (made := real(encoded, rows)) else None
    )
    gradients(loop, rows)
    half = len(heard) // 2
    assert half > 1 and all(torch.equal(a, b) for a, b in zip(heard[:half], heard[half:], strict=True))


def test_the_gradient_into_the_trunk_is_the_tasks_less_lambda_times_the_discriminators(tiny_bases: TinyBases) -> None:
    """In double precision, without a reversal: both losses by hand."""
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    loop = begun(tiny_bases, "dann", epochs=4)
    override_dropout(loop.net, 0.0)
    loop.net.double()
    rows, learnt = list(range(15)), loop.job.train
    assert learnt.target is not None and learnt.targets is not None
    mixed, _ = gradients(loop, rows)
    way, critic = loop.model.shortcuts.plain, loop.model.net.beside["dann"]
    target_B = torch.from_numpy(learnt.target)
    trunk = {n: p for n, p in loop.moving.items() if not n.startswith("beside.")}
    logits_BC, states_BH = way.told(learnt, rows)
    own = cross_entropy(logits_BC[:10], torch.from_numpy(learnt.targets[:10]))
    told = binary_cross_entropy_with_logits(critic(states_BH)[:, 0], target_B.double(), reduction="none")
    apart = (told[target_B].mean() + told[~target_B].mean()) / 2
    of_task = torch.autograd.grad(own, list(trunk.values()), retain_graph=True)
    of_critic = torch.autograd.grad(apart, [*trunk.values(), critic.weight], allow_unused=True)
    (asked,) = loop.model.plan.penalties
    factor = asked.strength * (2 / (1 + np.exp(-10 * loop.state.step / loop.total)) - 1)
    assert 0.5 < factor / asked.strength < 1
    for name, a, b in zip(trunk, of_task, of_critic, strict=False):
        want = a if b is None else a - factor * b
        torch.testing.assert_close(mixed[name], want, rtol=1e-7, atol=1e-10, msg=name)
    torch.testing.assert_close(mixed["beside.dann.weight"], of_critic[-1], rtol=1e-7, atol=1e-10)


def test_the_discriminator_is_no_part_of_what_is_saved(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from safetensors import safe_open

    from tunesmith.engine.network import count
    from tunesmith.model import load, save

    made = small.model(plan(tiny_bases), ROWS)
    plain = small.model(small.plan(tiny_bases["bert"]), ROWS)
    assert count(made.net) == count(plain.net)
    save(made, tmp_path / "model")
    for file in (tmp_path / "model").glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            assert not [name for name in tensors.keys() if "beside" in name]  # noqa: SIM118
    again = load(tmp_path / "model")
    assert not list(again.net.beside) and again.plan.task.kind == "classes"
    rows = again.encode(ROWS, again.plan.task.roles())
    assert np.array_equal(again.outputs(rows), made.outputs(rows))


def test_training_repeats_itself_to_the_bit_and_the_seed_decides(tiny_bases: TinyBases) -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        made = small.model(plan(tiny_bases, batch=4, epochs=2, lr=1e-3, seed=seed), ROWS)
        loop = small.loop(made, lessons(made, ROWS, 2, STRANGE), made.encode(ROWS, made.plan.task.roles()))
        loop.run()
        return {n: p.detach().clone() for n, p in loop.moving.items()}

    one, same, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)
    assert one["beside.dann.weight"].abs().sum() > 0


# tasks inside, and what is refused


@pytest.mark.parametrize(("name", "labels"), [
    ("regress", [1.0, 2.5, -3.0, 0.5, 2.0, 1.5, 0.0, 4.0, 1.0, 2.0]),
    ("multilabel", [["a"], ["b"], [], ["a", "b"], []] * 2),
])  # fmt: skip
def test_other_tasks_with_a_head_can_be_inside(name: str, labels: list[Any], tiny_bases: TinyBases) -> None:
    rows = small.records(labels=labels)
    made = small.model(plan(tiny_bases, "mmd", task={"task": {"name": name}}, batch=10, epochs=1), rows)
    assert made.plan.task.kind == {"regress": "numbers", "multilabel": "multilabel"}[name]
    assert made.plan.metric_names == made.plan.task.task.metrics
    loop = small.loop(made, lessons(made, rows, 2, STRANGE), made.encode(rows, made.plan.task.roles()))
    assert np.isfinite(loop.run().step)


@pytest.mark.parametrize(("changes", "message"), [
    ({"task": {"name": "domain", "task": "classify"}}, "domain needs rows of the target. Name their file: task.target"),
    ({"task": {"name": "domain", "task": "generate", "target": "t.csv"}}, "learns with a head on texts .*: generate"),
    ({"task": {**DOMAIN, "task": {"name": "classify", "readout": "verbalizer"}}}, "with a head"),
    ({"data": "t.csv"}, "target: t.csv is the source"),
    ({"task": {"name": "domain", "target": "t.csv", "mix": 0.9}, "train": {"batch": 4}}, "leaves no source row"),
    ({"penalties": ["coral"], "train": {"batch": 4}}, "coral needs 2 rows of each domain"),
    ({"penalties": ["coral", "dann"]}, "one of several penalties that do the same"),
    ({"task": "classify", "penalties": ["mmd"]}, "mmd brings the rows of two domains together"),
    ({"task": {"name": "domain", "target": "t.csv", "task": {"name": "classify", "focal": 2, "label_smoothing": 0.1}}},
     "pull in opposite directions"),
])  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_loads(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        make_plan({"task": DOMAIN, "base": "minilm", "data": "s.csv", **changes})


def test_rows_that_nobody_looks_at_are_refused(tiny_bases: TinyBases) -> None:
    made = small.model(plan(tiny_bases, None), ROWS)
    with pytest.raises(TunesmithError, match=r"nothing looks at rows without one.*penalties: \[dann\]"):
        lessons(made, ROWS, 0, STRANGE)
    learnt = lessons(made, ROWS, 2, STRANGE)
    assert len(learnt) == 10 and learnt.blend is not None
    assert [len(rows) for rows in learnt.blend.rows] == [8, 2, 0][:2]


def test_metrics_and_pooling_are_those_of_the_task_inside_wherever_they_stand() -> None:
    for task in ({**DOMAIN, "metrics": ["accuracy"], "pool": "mean"},
                 {**DOMAIN, "task": {"name": "classify", "metrics": ["accuracy"], "pool": "mean"}}):  # fmt: skip
        asked = make_plan({"task": task, "base": "minilm", "data": "s.csv", "penalties": ["dann"]})
        assert asked.task.metrics == asked.task.task.metrics == ("accuracy",)
        assert asked.task.pool == asked.task.task.pool == "mean"
        again = make_plan(asked.model_dump(mode="json"))
        assert again == asked


def test_the_targets_file_is_found_from_the_plans_folder(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "task: {name: domain, target: t.csv}\nbase: minilm\ndata: s.csv\npenalties: [dann]\n", encoding="utf-8"
    )
    asked: Any = read_plan(tmp_path / "plan.yaml")
    assert asked.task.target == str(tmp_path / "t.csv")
    assert asked.anchored().task.target == str(tmp_path / "t.csv")
