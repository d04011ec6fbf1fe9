"""Penalties between several tasks, each against its formula: PCGrad, GradNorm, learnt uncertainty; and resuming."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small
from kit import TinyBases
from tunesmith.data import Record
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.model import kept
from tunesmith.penalties.gradnorm import weights as balanced
from tunesmith.penalties.pcgrad import projected
from tunesmith.penalties.uncertainty import weighed
from tunesmith.plan_text import make_plan
from tunesmith.training import conflict, terms
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

TASKS = {
    "kind": {"name": "classify", "text": "text", "label": "kind", "max_tokens": 32},
    "hours": {"name": "regress", "text": "text", "label": "hours", "max_tokens": 32},
}


def ready(bases: TinyBases, penalties: Any = (), method: Any = "full", **train: Any) -> tuple[Any, Any]:
    settings = {"epochs": 2, "batch": 8, "warmup": 0.0, "keep": "last", "lr": 1e-3, **train}
    plan = make_plan(
        {"task": {"name": "multi", "tasks": TASKS}, "base": str(bases["bert"]), "data": "unused.csv", "method": method,
         "penalties": list(penalties), "train": settings}
    )  # fmt: skip
    rows = [
        Record(i, "t", i + 1, i + 1, {"text": text, "kind": "abc"[i % 3], "hours": float(i % 4)})
        for i, text in enumerate(small.TEXTS)
    ]
    records = list(plan.task.taken_in(rows))
    model = small.model(plan, records)
    return model, small.encoded(model, records)


def loop(bases: TinyBases, penalties: Any = (), method: Any = "full", **train: Any) -> Loop:
    return small.loop(*ready(bases, penalties, method, **train))


def gradients(at: Loop, rows: Any, seed: int = 5) -> dict[str, torch.Tensor]:
    at.model.shortcuts.prove(at.job.train, learning=True)
    at.model.net.eval()  # one dropout mask a pass would differ with the number of passes
    at._backward(rows, seed)
    found = {n: p.grad.clone() for n, p in at.moving.items() if p.grad is not None}
    at.optimizer.zero_grad(set_to_none=True)
    return found


def flat(found: dict[str, torch.Tensor], names: Any) -> torch.Tensor:
    return torch.cat([found[n].flatten() for n in names]).double()


def test_projection_is_the_papers() -> None:
    """Worked by hand for two tasks: each loses its part along the other, taken from the other as it was."""
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    out, met, opposed = projected([{"w": one}, {"w": other}], np.random.default_rng(0))
    along = float(one @ other)
    assert torch.allclose(out[0]["w"], one - along / float(other @ other) * other)
    assert torch.allclose(out[1]["w"], other - along / float(one @ one) * one)
    assert (met, opposed) == ([1, 1], [1, 1])
    assert float(out[0]["w"] @ other) == pytest.approx(0) and float(out[1]["w"] @ one) == pytest.approx(0)
    same, _, none = projected([{"w": one}, {"w": one * 2}], np.random.default_rng(0))
    assert torch.equal(same[0]["w"], one) and none == [0, 0]


def test_projection_of_several_goes_one_by_one_in_a_drawn_order() -> None:
    drawn = np.random.default_rng(3)
    given = [torch.from_numpy(drawn.normal(size=6)) for _ in range(4)]
    out, _, _ = projected([{"a": g[:2], "b": g[2:]} for g in given], np.random.default_rng(9))
    order = np.random.default_rng(9)
    for i, own in enumerate(given):
        wanted = own
        for j in order.permutation([j for j in range(4) if j != i]).tolist():
            if float(wanted @ given[j]) < 0:
                wanted = wanted - (wanted @ given[j]) / (given[j] @ given[j]) * given[j]
        assert torch.allclose(torch.cat([out[i]["a"], out[i]["b"]]), wanted)


def test_a_step_of_pcgrad_is_the_projection_of_what_each_task_asks(tiny_bases: TinyBases) -> None:
    plain, surgery = loop(tiny_bases), loop(tiny_bases, ["pcgrad"])
    rows = np.arange(len(plain.job.train))
    whole, made = gradients(plain, rows), gradients(surgery, rows)
    at = surgery.terms.at
    assert at is not None
    task = at.task_of(rows)
    own = []
    for number in (0, 1):
        mine = rows[task == number]
        plain._gradients(mine, float(len(rows)), 0)
        own.append({n: p.grad.clone() for n, p in plain.moving.items() if p.grad is not None})
        plain.optimizer.zero_grad(set_to_none=True)
    shared = [n for n in whole if at.is_shared(n)]
    heads = [n for n in whole if not at.is_shared(n)]
    assert sorted(n.rpartition(".")[0] for n in heads) == ["auto.classifier", "auto.classifier"]
    assert torch.allclose(flat(whole, shared), sum(flat(each, shared) for each in own), atol=1e-6)
    assert torch.allclose(flat(made, heads), flat(whole, heads), atol=1e-6)
    g = [flat(each, shared) for each in own]
    along = float(g[0] @ g[1])
    wanted = g[0] + g[1]
    if along < 0:
        wanted = wanted - along / float(g[1] @ g[1]) * g[1] - along / float(g[0] @ g[0]) * g[0]
    assert torch.allclose(flat(made, shared), wanted, atol=1e-6)


def test_uncertainty_is_kendalls_loss(tiny_bases: TinyBases) -> None:
    at = loop(tiny_bases, ["uncertainty"])
    term: Any = at.terms.terms[0]
    with torch.no_grad():
        term.log_variance_P.copy_(torch.tensor([0.7, -0.4]))
    at.model.net.eval()
    rows = list(range(len(at.job.train)))
    loss, more = at.terms.loss(at.model.shortcuts.plain, at.job.train, rows)
    assert more is not None
    targets, weights_B = at.job.train.aims(rows, torch.device("cpu"))
    task: Any = at.model.plan.task
    losses = task.losses(at.model.shortcuts.plain.logits(at.job.train, rows), targets)
    s_B = torch.where(targets[:, 0] == 0, 0.7, -0.4)
    factor_B = torch.where(targets[:, 0] == 0, 1.0, 0.5)  # 1 / sigma^2 for classes, 1 / (2 sigma^2) for numbers
    wanted = ((factor_B / s_B.exp() * losses + s_B.exp().sqrt().log()) * weights_B).sum()
    assert float((loss + more).detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    assert term.told() == pytest.approx({"weight.kind": np.exp(-0.7), "weight.hours": np.exp(0.4) / 2})


def test_uncertainty_settles_where_the_formula_says() -> None:
    """d/ds (c exp(-s) L + s / 2) = 0 at exp(s) = 2 c L."""
    for half, loss in ((0.5, 3.0), (1.0, 0.2)):
        s = torch.tensor([np.log(2 * half * loss)], requires_grad=True)
        weighed(torch.tensor([loss]), s, torch.tensor([half])).sum().backward()
        assert s.grad is not None and abs(float(s.grad)) < 1e-6


def test_gradnorm_weighs_norms_and_what_is_left_to_learn() -> None:
    seen = torch.tensor([[2.0, 0.5, 1.0], [0.5, 2.0, 1.0], [1.0, 2.0, 1.0]], dtype=torch.float64)
    even = balanced(seen, 0.0)
    assert torch.allclose(even * seen[0], (even * seen[0]).mean().expand(3)), "gradients of equal size"
    assert float(even.sum()) == pytest.approx(3)
    left = seen[1] / seen[2]
    wanted = (left / left.mean()) ** 1.5
    found = balanced(seen, 1.5) * seen[0]
    assert torch.allclose(found / found[1], wanted / wanted[1])
    assert torch.equal(balanced(torch.zeros(3, 2, dtype=torch.float64), 1.0), torch.ones(2, dtype=torch.float64))


def test_gradnorm_makes_gradients_of_a_step_equal(tiny_bases: TinyBases) -> None:
    at = loop(tiny_bases, [{"name": "gradnorm", "alpha": 0.0}])
    gradients(at, np.arange(len(at.job.train)))
    term: Any = at.terms.terms[0]
    weights_P = balanced(term.seen_3P, 0.0)
    assert float((weights_P * term.seen_3P[0]).std()) < 1e-9 and float(weights_P.sum()) == pytest.approx(2)


def test_cosines_are_those_of_what_is_shared(tiny_bases: TinyBases) -> None:
    at = loop(tiny_bases)
    found = conflict.seen(at.model, at.moving, at.job.train)
    assert found is not None and found["names"] == ["kind", "hours"]
    matrix = np.array(found["cosines"])
    assert np.allclose(np.diag(matrix), 1) and np.allclose(matrix, matrix.T) and (np.abs(matrix) <= 1 + 1e-9).all()
    assert all(p.grad is None for p in at.moving.values())
    only_head = loop(tiny_bases, method="head")
    assert conflict.seen(only_head.model, only_head.moving, only_head.job.train) is None or not all(
        "classifier" in n for n in only_head.moving
    )


@pytest.mark.parametrize("name", ["pcgrad", "gradnorm", "uncertainty"])
def test_what_stands_between_tasks_is_refused_where_there_is_one(name: str, tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=f"{name} stands between several tasks, and classify is one"):
        small.plan(tiny_bases["bert"], penalties=[name])


@pytest.mark.parametrize("penalties", [["uncertainty"], ["gradnorm", "pcgrad"]])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    penalties: list[str], tiny_bases: TinyBases, tmp_path: Path
) -> None:
    def run(folder: Path, stop_after: int | None) -> Loop:
        folder.mkdir(exist_ok=True)
        model, rows = ready(tiny_bases, penalties, save_every="1 steps", evaluate_every="2 steps")
        made = Loop(Job(model, rows, rows, lambda outputs: {"joint": 0.0}, folder))
        step = made._step

        def counted() -> None:
            step()
            if made.state.step == stop_after:
                made.job.stop.signal = 15

        made._step = counted  # type: ignore[method-assign]
        if stop_after is None:
            made.run()
        else:
            with pytest.raises(Interrupted):
                made.run()
        return made

    whole = run(tmp_path / "whole", None)
    run(tmp_path / "cut", 3)
    again = run(tmp_path / "cut", None)
    for name, tensor in kept(whole.model).items():
        assert torch.equal(tensor, kept(again.model)[name]), name
    for name, tensor in whole.terms.state().items():
        assert torch.equal(tensor, again.terms.state()[name]), name
    histories = [(tmp_path / f / "history.jsonl").read_text(encoding="utf-8") for f in ("whole", "cut")]
    cleaned = [
        "\n".join(line for line in text.splitlines() if '"step"' not in line.split(",")[1]) for text in histories
    ]
    assert cleaned[0] == cleaned[1] and '"conflict"' in cleaned[0]
    if penalties == ["uncertainty"]:
        assert any(float(t.abs().max()) > 0 for t in whole.terms.state().values()), "log variances moved"


@pytest.mark.parametrize("method", ("full", "lora"))
def test_all_but_the_output_layer_is_shared(method: str, tiny_bases: TinyBases) -> None:
    """RoBERTa's head has a layer below the outputs, and PEFT keeps the head in a module of its own."""
    rows = small.records(small.TEXTS[:6], ["a", "b"] * 3)
    model = small.model(small.plan(tiny_bases["roberta"], method=method), rows)
    is_shared = terms.is_shared(model)
    own = {name for name, p in model.net.named_parameters() if p.requires_grad and not is_shared(name)}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in own} == {"out_proj"}
    assert any("dense" in name and "classifier" in name for name, p in model.net.named_parameters() if p.requires_grad)
