"""Penalties against their formulas, written out; and what they leave alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss

import small
from jobs import history, run_job, tree, write_tickets
from kit import TinyBases
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.errors import TunesmithError
from tunesmith.model import Model, weights
from tunesmith.penalties import PENALTIES, Start, Term
from tunesmith.penalties.distill import apart as to_teacher
from tunesmith.penalties.rdrop import apart
from tunesmith.training.given import Aids, Job, step_seed
from tunesmith.training.loop import Loop
from tunesmith.training.terms import start_of

ROWS = small.records()


def made_with(bases: TinyBases, penalty: Any, *, dropout: float = 0.0, method: Any = "full", **train: Any) -> Loop:
    asked = small.plan(bases["bert"], method=method, penalties=[penalty] if penalty else [], lr=1e-2, **train)
    made = small.model(asked, ROWS)
    override_dropout(made.net, dropout)
    loop = small.loop(made, small.encoded(made, ROWS))
    loop.model.shortcuts.prove(loop.job.train, learning=True)
    training_mode(made.net, made.plan.method, made.family)
    return loop


def gradients(loop: Loop, rows: list[int], seed: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    loop._backward(rows, seed)
    found = {n: p.grad.clone() for n, p in loop.moving.items() if p.grad is not None}
    loop.optimizer.zero_grad(set_to_none=True)
    return found


def begun(made: Model, name: str, **settings: Any) -> tuple[Term, Start]:
    at = start_of(made, weights(made))
    return PENALTIES.find(name)(**settings).begin(at), at


def nudge(made: Model, size: float = 0.1) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in weights(made).values():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def test_l2sp_is_its_formula_and_nothing_at_the_start(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    term, at = begun(made, "l2sp", base=0.3, head=0.2)
    start = {n: p.detach().clone() for n, p in at.moving.items()}
    head = [n for n in start if at.is_head(n)]
    assert head and len(head) < len(start)
    at_start = term.of_weights()
    assert at_start is not None
    assert at_start.item() == pytest.approx(0.1 * sum(float(start[n].square().sum()) for n in head))
    nudge(made)
    want = sum(
        (0.1 * p.square() if n in head else 0.15 * (p - start[n]).square()).sum().item() for n, p in at.moving.items()
    )
    value = term.of_weights()
    assert value is not None and value.item() == pytest.approx(want, rel=1e-5)


def test_a_strong_l2sp_holds_the_base_where_it_was(tiny_bases: TinyBases) -> None:
    moved = {}
    for strength in (None, 100.0):
        loop = made_with(tiny_bases, {"name": "l2sp", "base": strength} if strength else None, epochs=6)
        before = {n: p.detach().clone() for n, p in loop.moving.items()}
        loop.run()
        base = [n for n in before if not loop.model.family.is_head(n.removeprefix("auto."))]
        moved[strength] = sum((loop.moving[n] - before[n]).square().sum().item() for n in base)
    assert moved[100.0] < moved[None] / 4


@pytest.mark.parametrize("kind", ["classes", "multilabel", "numbers"])
def test_the_distance_of_two_answers_equals_torch(kind: str) -> None:
    first, second = torch.randn(2, 5, 3, dtype=torch.float64)
    if kind == "classes":
        logs = log_softmax(first, -1), log_softmax(second, -1)
        want = sum(kl_div(logs[1 - i], logs[i], log_target=True, reduction="none").sum(-1) for i in (0, 1))
    elif kind == "numbers":
        want = 2 * mse_loss(first, second, reduction="none").sum(-1)
    else:
        coins = [torch.stack([x, torch.zeros_like(x)], -1).log_softmax(-1) for x in (first, second)]
        want = sum(kl_div(coins[1 - i], coins[i], log_target=True, reduction="none").sum((-1, -2)) for i in (0, 1))
    assert torch.allclose(apart(first, second, kind), torch.as_tensor(want), atol=1e-12)


def test_rdrop_is_the_mean_of_both_losses_and_their_distance(tiny_bases: TinyBases) -> None:
    rows = [0, 1, 2, 5]
    loop = made_with(tiny_bases, {"name": "rdrop", "strength": 0.7}, dropout=0.3)
    found = gradients(loop, rows)
    way, data = loop.model.shortcuts.way, loop.job.train
    torch.manual_seed(5)
    first, second = way.logits(data, rows), way.logits(data, rows)
    targets = torch.from_numpy(data.targets[rows])  # type: ignore[index]
    both = [log_softmax(x, -1) for x in (first, second)]
    distance = sum(kl_div(both[1 - i], both[i], log_target=True, reduction="batchmean") for i in (0, 1))
    ((cross_entropy(first, targets) + cross_entropy(second, targets)) / 2 + 0.7 / 2 * distance).backward()
    for name, gradient in found.items():
        assert torch.allclose(gradient, loop.moving[name].grad, atol=1e-6), name  # type: ignore[arg-type]


def test_rdrop_without_dropout_is_refused(tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=r"nothing that is trained has dropout.*train\.dropout"):
        gradients(made_with(tiny_bases, "rdrop"), [0, 1])


def test_mixout_is_its_formula_and_puts_the_weights_back(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    term, at = begun(made, "mixout", share=0.4)
    start = {n: p.detach().clone() for n, p in at.moving.items()}
    nudge(made)
    now = {n: p.detach().clone() for n, p in at.moving.items()}
    name = next(n for n in now if n.endswith("query.weight"))
    parameter = at.moving[name]
    with term.within(7):
        mixed = parameter.detach().clone()
        parameter.grad = torch.ones_like(parameter)
    back = (mixed * 0.6 + 0.4 * start[name] - now[name]).abs() < 1e-5
    gone = (mixed * 0.6 + 0.4 * start[name] - start[name]).abs() < 1e-5
    assert bool((back ^ gone).all()) and 0.25 < float(gone.float().mean()) < 0.55
    assert torch.equal(parameter.grad, back / 0.6)
    assert all(torch.equal(p, now[n]) for n, p in at.moving.items())
    with term.within(8):
        assert not torch.equal(parameter, mixed), "another step draws another mixture"
    others = [n for n in now if now[n].ndim < 2 or at.is_head(n) or at.is_words(n)]
    with term.within(7):
        assert all(torch.equal(at.moving[n], now[n]) for n in others)


@pytest.mark.parametrize("where", ["words", "weights"])
def test_adversarial_adds_the_gradient_from_where_the_first_one_points(where: str, tiny_bases: TinyBases) -> None:
    rows = [0, 3, 4]
    size = 0.5 if where == "words" else 0.01
    found = gradients(made_with(tiny_bases, {"name": "adversarial", "where": where, "epsilon": size}), rows)
    plain = made_with(tiny_bases, None)
    first = gradients(plain, rows)
    at = start_of(plain.model, plain.moving)
    with torch.no_grad():
        for name, parameter in plain.moving.items():
            chosen = at.is_words(name) if where == "words" else parameter.ndim >= 2 and not at.is_head(name)
            if chosen and name in first and float(first[name].norm()):
                reach = 1.0 if where == "words" else parameter.norm()
                parameter.add_(size * reach * first[name] / first[name].norm())
    second = gradients(plain, rows)
    assert any(not torch.allclose(first[n], second[n], atol=1e-5) for n in first), "nothing was disturbed"
    for name, gradient in found.items():
        assert torch.allclose(gradient, first[name] + second[name], atol=1e-5), name


def test_the_fisher_information_of_ewc_is_its_definition(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"]), ROWS)
    data = small.encoded(made, ROWS)
    at = start_of(made, weights(made), Aids(old=lambda: data))
    term: Any = PENALTIES.find("ewc")(strength=3.0, rows=4).begin(at)
    want = {n: torch.zeros_like(p) for n, p in at.moving.items()}
    for row in (0, 3, 6, 9):
        made.net.zero_grad()
        logits = made.shortcuts.plain.logits(data, [row])
        cross_entropy(logits, torch.from_numpy(data.targets[[row]])).backward()  # type: ignore[index]
        for name, parameter in at.moving.items():
            want[name] += torch.zeros_like(parameter) if parameter.grad is None else parameter.grad**2 / 4
    assert any(bool(w.any()) for w in want.values())
    for name, information in term.fisher.items():
        torch.testing.assert_close(information, want[name], atol=1e-10, rtol=1e-5)
    assert term.of_weights().item() == 0
    start = {n: p.detach().clone() for n, p in at.moving.items()}
    nudge(made)
    value = sum((want[n] * (p.detach() - start[n]) ** 2).sum().item() for n, p in at.moving.items())
    assert term.of_weights().item() == pytest.approx(3.0 / 2 * value, rel=1e-4)


def test_ewc_holds_blocks_that_thaw_later(tiny_bases: TinyBases) -> None:
    made = small.model(small.plan(tiny_bases["bert"], method="gradual"), ROWS)
    data = small.encoded(made, ROWS)
    at = start_of(made, weights(made), Aids(old=lambda: data))
    frozen = [n for n, p in at.moving.items() if not p.requires_grad]
    term: Any = PENALTIES.find("ewc")(rows=2).begin(at)
    assert frozen and any(bool(term.fisher[n].any()) for n in frozen)
    assert not any(at.moving[n].requires_grad for n in frozen), "they are as frozen as before"


@pytest.mark.parametrize("kind", ["classes", "multilabel", "numbers"])
def test_the_distance_to_a_teacher_is_the_formula(kind: str) -> None:
    student, teacher = torch.randn(2, 6, 4, dtype=torch.float64)
    if kind == "classes":
        logs = log_softmax(student / 3, -1), log_softmax(teacher / 3, -1)
        want = 9 * kl_div(*logs, log_target=True, reduction="none").sum(-1)
    elif kind == "numbers":
        want = ((student - teacher) ** 2).mean(-1)
    else:
        coins = [torch.stack([x / 3, torch.zeros_like(x)], -1).log_softmax(-1) for x in (student, teacher)]
        want = 9 * kl_div(*coins, log_target=True, reduction="none").sum(-1).mean(-1)
    torch.testing.assert_close(to_teacher(student, teacher, kind, 3.0), want, atol=1e-10, rtol=1e-8)


def test_distillation_weighs_labels_and_teacher(tiny_bases: TinyBases) -> None:
    rows = [0, 1, 4]
    taught = torch.randn(len(ROWS), 2).numpy()
    asked = small.plan(tiny_bases["bert"], penalties=[{"name": "distill", "share": 0.3, "temperature": 1.5}], lr=1e-2)
    made = small.model(asked, ROWS)
    override_dropout(made.net, 0.0)
    data = small.encoded(made, ROWS)
    job = Job(
        made, data, data, lambda _: {"macro_f1": 0.0}, Path(), save=False, aids=Aids(taught=lambda _: (taught, [2, 0]))
    )
    loop = Loop(job)
    found = gradients(loop, rows)
    logits = made.shortcuts.plain.logits(data, rows)
    labels = cross_entropy(logits, torch.from_numpy(data.targets[rows]))  # type: ignore[index]
    far = to_teacher(logits[:, [2, 0]], torch.from_numpy(taught[rows]), "classes", 1.5).mean()
    (0.7 * labels + 0.3 * far).backward()
    for name, gradient in found.items():
        assert torch.allclose(gradient, loop.moving[name].grad, atol=1e-6), name  # type: ignore[arg-type]


def test_penalties_are_no_part_of_the_reported_loss(tiny_bases: TinyBases) -> None:
    loop, plain = made_with(tiny_bases, {"name": "l2sp", "head": 5.0}), made_with(tiny_bases, None)
    seed = step_seed(0, 0)
    torch.manual_seed(seed)
    loss, penalty = loop._backward([0, 1, 2], seed)
    torch.manual_seed(seed)
    assert (loss, 0.0) == plain._backward([0, 1, 2], seed) and penalty > 0


def test_a_journal_tells_what_penalties_add(tiny_bases: TinyBases, tmp_path: Any) -> None:
    plan = tree(tiny_bases["bert"], write_tickets(tmp_path / "t.csv"), tmp_path / "run", epochs=1)
    run_job(plan | {"method": "full", "penalties": ["l2sp"]})
    steps = [line for line in history(tmp_path / "run") if line["kind"] == "step"]
    assert steps and all(line["penalty"] > 0 for line in steps)


@pytest.mark.parametrize(
    ("method", "task", "penalties", "message"),
    [
        ("lora", "classify", ["l2sp"], "penalties.0: l2sp draws the base's weights to where they started, and lora"),
        ("lora", "classify", ["mixout"], "it would have no effect"),
        ("lora", "classify", ["adversarial"], "Set where: weights, or use method full"),
        ("full", "classify", ["rdrop", "rdrop"], "rdrop stands twice"),
        ("full", "generate", ["rdrop"], "task generate has none"),
        ("full", "classify", ["rdropp"], "Did you mean 'rdrop'"),
    ],
)
def test_penalties_without_effect_are_refused(method: str, task: str, penalties: list[str], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        small.make_plan({"task": task, "base": "minilm", "data": "t.csv", "method": method, "penalties": penalties})
