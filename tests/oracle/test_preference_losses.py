"""Preference losses and their gradients equal TRL's own code on the same log-probabilities, and their papers' formulas.

TRL's trainers are made without their constructors: what is called is the method that computes the loss. Importing
them takes ten seconds, so that these tests run under the mark `peers`; the papers' formulas are compared always.
"""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.tasks import TASKS
from tunesmith.tasks._preferences import Two
from tunesmith.tasks.prefer import Prefer

ROWS = 9
EXACT = 1e-5


def task(**settings: Any) -> Prefer:
    made = TASKS.find("prefer").model_validate({"name": "prefer", **settings})
    assert isinstance(made, Prefer)
    return made


def numbers(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities (2, B) of policy and reference, and tokens (2, B)."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, 30, (2, ROWS), generator=draw).float()
    policy = -tokens * torch.rand(2, ROWS, generator=draw) * 3 - 0.1
    return policy, policy + torch.randn(2, ROWS, generator=draw) * 4, tokens


def ours(asked: Prefer, policy: Tensor, reference: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss and its gradient by the log-probabilities."""
    own = policy.clone().requires_grad_()
    loss = asked.losses(Two(*own), Two(*tokens), Two(*reference)).mean()
    torch.autograd.backward(loss)
    assert own.grad is not None
    return loss.detach(), own.grad


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).abs().max() <= EXACT * max(1.0, float(theirs.abs().max()))


def gradient(loss: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    return loss.detach(), torch.autograd.grad(loss, by)[0]


# the papers


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_dpo_is_equation_7_of_rafailov_2023(smoothing: float) -> None:
    policy, reference, tokens = (n.double() for n in numbers())
    own = policy.clone().requires_grad_()
    h = 0.3 * ((own[0] - reference[0]) - (own[1] - reference[1]))
    expected = (-(1 - smoothing) * sigmoid(h).log() - smoothing * sigmoid(-h).log()).mean()
    same(ours(task(beta=0.3, label_smoothing=smoothing), policy, reference, tokens), gradient(expected, own))


def test_ipo_is_equation_17_of_azar_2023_with_means_over_tokens() -> None:
    policy, reference, tokens = (n.double() for n in numbers(1))
    own = policy.clone().requires_grad_()
    h = (own[0] - reference[0]) / tokens[0] - (own[1] - reference[1]) / tokens[1]
    same(ours(task(loss="ipo", beta=0.2), policy, reference, tokens), gradient(((h - 2.5) ** 2).mean(), own))


def test_simpo_is_equation_6_of_meng_2024_and_ignores_the_reference() -> None:
    policy, reference, tokens = (n.double() for n in numbers(2))
    own = policy.clone().requires_grad_()
    h = 2.0 * own[0] / tokens[0] - 2.0 * own[1] / tokens[1] - 1.6
    asked = task(loss="simpo", beta=2.0, gamma=1.6)
    same(ours(asked, policy, reference, tokens), gradient(-sigmoid(h).log().mean(), own))
    same(ours(asked, policy, reference * 0, tokens), ours(asked, policy, reference, tokens))


def test_orpo_is_equation_6_of_hong_2024() -> None:
    policy, reference, tokens = (n.double() for n in numbers(3))
    own = policy.clone().requires_grad_()
    p = torch.exp(own / tokens)
    odds = p / (1 - p)
    expected = (-p[0].log() - 0.5 * sigmoid((odds[0] / odds[1]).log()).log()).mean()
    same(ours(task(loss="orpo", beta=0.5), policy, reference, tokens), gradient(expected, own))


def test_orpo_has_a_gradient_where_an_answer_is_almost_certain() -> None:
    policy = torch.tensor([[-1e-7, -50.0], [-50.0, -1e-7]], dtype=torch.float64)
    loss, slope = ours(task(loss="orpo"), policy, policy, torch.ones(2, 2, dtype=torch.float64))
    assert loss.isfinite() and slope.isfinite().all()


def test_kto_is_equation_8_of_ethayarajh_2024() -> None:
    ratio = torch.randn(ROWS, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 5
    wanted = torch.arange(ROWS) % 3 > 0
    value = torch.where(wanted, 1.5 * sigmoid(0.2 * (ratio - 0.7)), 0.5 * sigmoid(0.2 * (0.7 - ratio)))
    expected = torch.where(wanted, 1.5, 0.5) - value
    asked = task(loss="kto", beta=0.2, desirable=1.5, undesirable=0.5)
    assert torch.allclose(asked.opinion_losses(ratio, wanted, 0.7), expected, atol=1e-12)


@pytest.mark.parametrize("loss", ("dpo", "ipo", "simpo"))
def test_sft_weight_adds_the_mean_loss_of_a_token_of_the_chosen_answer(loss: str) -> None:
    policy, reference, tokens = numbers(5)
    with_it, _ = ours(task(loss=loss, sft_weight=0.7), policy, reference, tokens)
    without, _ = ours(task(loss=loss), policy, reference, tokens)
    assert torch.isclose(with_it - without, 0.7 * (-policy[0] / tokens[0]).mean(), atol=1e-5)


# TRL


class Told(torch.nn.Module):
    """Stands for a network: says log-probabilities of tokens (rows, T) that add up to those of the answers."""

    def __init__(self, policy: Tensor, tokens: Tensor) -> None:
        super().__init__()
        self.mask = torch.arange(32)[None] < tokens.flatten()[:, None]
        self.each = policy.flatten()[:, None] / tokens.flatten()[:, None] * self.mask

    def forward(self, **inputs: Any) -> Any:
        beside = {name: torch.zeros_like(self.each) for name in ("entropy", "mean_logits")}
        return SimpleNamespace(log_probs=self.each, is_top1=self.mask, **beside)


def completion(tokens: Tensor) -> Tensor:
    """(rows, T + 1): where answers stand; TRL shifts by one."""
    mask = torch.arange(32)[None] < tokens.flatten()[:, None]
    return torch.cat([torch.zeros(len(mask), 1, dtype=torch.bool), mask], 1).long()


def trainer(module: str, name: str, **about: Any) -> Any:
    """A trainer of TRL without a network, data or arguments."""
    made = getattr(pytest.importorskip(module, reason="trl is not installed (the extra dev has it)"), name)
    theirs = made.__new__(made)
    here = SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=lambda x: x, gather=lambda x: x)
    counted = {"train": defaultdict(list), "eval": defaultdict(list)}
    common = {"accelerator": here, "model": torch.nn.Linear(1, 1),
              "args": SimpleNamespace(device="cpu"), "_metrics": counted,
              "_total_train_tokens": 0, "_tp_size": 1,
              "aux_loss_enabled": False, "precompute_ref_logps": True}  # fmt: skip
    for key, value in (common | about).items():
        object.__setattr__(theirs, key, value)
    return theirs


WARNS = pytest.mark.filterwarnings("ignore")  # what TRL's own imports say


@WARNS
@pytest.mark.peers
@pytest.mark.parametrize("beta", (0.1, 0.5))
@pytest.mark.parametrize(("loss", "kind"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_dpo_and_ipo_are_trls(loss: str, kind: str, beta: float) -> None:
    theirs = trainer("trl.trainer.dpo_trainer", "DPOTrainer", ld_alpha=None, f_divergence_type="reverse_kl",
                     loss_types=[kind], loss_weights=[1.0], beta=beta, label_smoothing=0.0,
                     use_weighting=False)  # fmt: skip
    policy, reference, tokens = numbers(6)
    own, mask = policy.clone().requires_grad_(), completion(tokens)
    inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask,
              "ref_chosen_logps": reference[0], "ref_rejected_logps": reference[1]}  # fmt: skip
    found = theirs._compute_loss(Told(own, tokens), inputs, return_outputs=False)
    same(ours(task(loss=loss, beta=beta), policy, reference, tokens), gradient(found, own))


@WARNS
@pytest.mark.peers
@pytest.mark.parametrize("smoothing", (0.0, 0.3))
@pytest.mark.parametrize("loss", ("dpo", "simpo"))
def test_simpo_and_conservative_dpo_are_trls(loss: str, smoothing: float) -> None:
    """TRL's CPO has both: conservative DPO is its sigmoid loss of log-ratios."""
    theirs = trainer("trl.experimental.cpo.cpo_trainer", "CPOTrainer", alpha=0.0, beta=2.0, simpo_gamma=0.9,
                     loss_type="simpo" if loss == "simpo" else "sigmoid", label_smoothing=smoothing)  # fmt: skip
    policy, reference, tokens = numbers(7)
    own = policy.clone().requires_grad_()
    read = own / tokens if loss == "simpo" else own - reference
    found = theirs.cpo_loss(read[0], read[1])[0].mean()
    settings = {"gamma": 0.9} if loss == "simpo" else {}
    asked = task(loss=loss, beta=2.0, label_smoothing=smoothing, **settings)
    same(ours(asked, policy, reference, tokens), gradient(found, own))


@WARNS
@pytest.mark.peers
def test_orpo_is_trls_with_the_loss_of_the_chosen_answer() -> None:
    """TRL takes the likelihood of question and answer as the second term; ours is the paper's, of the answer."""
    theirs = trainer("trl.experimental.orpo.orpo_trainer", "ORPOTrainer", beta=0.3)
    policy, reference, tokens = numbers(8)
    own = policy.clone().requires_grad_()
    means = own / tokens
    found = -means[0].mean() - theirs.odds_ratio_loss(means[0], means[1])[0].mean()
    same(ours(task(loss="orpo", beta=0.3), policy, reference, tokens), gradient(found, own))


@WARNS
@pytest.mark.peers
def test_kto_is_trls_with_its_estimate_of_the_divergence() -> None:
    theirs = trainer("trl.trainer.kto_trainer", "KTOTrainer", beta=0.2, desirable_weight=1.5, undesirable_weight=0.5,
                     loss_type="kto", calculate_KL=True)  # fmt: skip
    policy, reference, tokens = numbers(9)
    own, mask, wanted = policy[0].clone().requires_grad_(), completion(tokens[0]), torch.arange(ROWS) % 3 > 0
    theirs._compute_kl_logps = lambda model, batch: policy[1]
    inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask, "label": wanted,
              "ref_logps": reference[0], "ref_KL_logps": reference[1] - 2}  # fmt: skip
    found = theirs._compute_loss(Told(own, tokens[0]), inputs, return_outputs=False)
    drift = max(0.0, float((policy[1] - reference[1] + 2).mean()))
    assert drift > 0, "an estimate that is cut off at 0 proves nothing"
    mine = policy[0].clone().requires_grad_()
    asked = task(loss="kto", beta=0.2, desirable=1.5, undesirable=0.5)
    loss = asked.opinion_losses(mine - reference[0], wanted, drift).mean()
    same(gradient(loss, mine), gradient(found, own))
