"""A method on a network without weights: whether it can work there, what moves, and how much memory a step takes.

forecast     engine/forecast.py: bytes of weights, gradients, optimizer and activations of the largest piece of a step
seconds      not forecast here
disk         what a finished run keeps: the model, and the best and the newest checkpoint (weights and optimizer)
"""

from dataclasses import dataclass
from typing import Any

from tunesmith.advising.case import Case
from tunesmith.advising.reading import Look
from tunesmith.bases.family import Family
from tunesmith.bases.load import auto_class, quiet
from tunesmith.engine.forecast import OPTIMIZER_BYTES, Held, Step, forecast, shape_of
from tunesmith.errors import TunesmithError
from tunesmith.model import family_for, fitted_rate
from tunesmith.plan import Plan

NONE: dict[str, Any] = {"memory_mb": None, "seconds": None, "disk_mb": None}


@dataclass(frozen=True)
class Tried:
    """What was found."""

    trainable: int
    total: int
    rate: float
    """Peak learning rate."""
    forecast: dict[str, Any]
    """{memory_mb, seconds, disk_mb, note}; null where nothing is forecast."""


def tried(plan: Plan, seen: Look, case: Case) -> Tried:
    """The method of the plan on an empty network of this base. Raises TunesmithError where it cannot work there."""
    import torch
    import transformers

    family = family_for(plan, seen.found)
    if text := plan.method.base_objection(family):
        raise TunesmithError(f"method: {text}")
    config = transformers.AutoConfig.from_pretrained(seen.found.folder, local_files_only=True)
    if family.headed:
        config.num_labels = max(1, plan.task.outputs(seen.facts))
    with quiet(), torch.device("meta"):
        auto = getattr(transformers, auto_class(family.purpose)).from_config(config)
        total = sum(p.numel() for p in auto.parameters())
        auto.name_or_path = str(seen.found.folder)
        net = plan.method.apply(auto, family)
    thaws = plan.method.thaws()
    trainable = sum(p.numel() for p in net.parameters() if p.requires_grad or thaws)
    rate = plan.learning_rate
    if plan.train.lr == "auto":
        rate = fitted_rate(plan.method, family, seen.found, net)
    return Tried(trainable, total, rate, _forecast(plan, family, net, case, (trainable, total)))


def _forecast(plan: Plan, family: Family, net: Any, case: Case, counts: tuple[int, int]) -> dict[str, Any]:
    """Memory and disk in MB (10^6 bytes)."""
    trainable, total = counts
    state = OPTIMIZER_BYTES[plan.train.optimizer] + 4
    disk = 4 * (total if type(plan.method).whole else trainable) + 2 * state * trainable
    found = NONE | {"disk_mb": round(disk / 1e6, 1)}
    if family.sense != "text" or family.decodes or case.tokens_median is None:
        return found | {"note": "no forecast of memory: it is measured when the run begins"}
    depth = len(family.block_list(net))
    still = 0 if plan.method.thaws() else plan.method.still(net, family)
    language = family.purpose in ("language", "masked")
    longest = min(case.tokens_p99 or 1, case.max_tokens or 10**9)
    tokens = min(plan.train.micro_tokens, max(longest, plan.train.batch * case.tokens_median))
    step = Step(
        tokens=tokens, longest=longest, reads=tokens if language else max(1, tokens // max(1, case.tokens_median)),
        above=depth - still, packed=type(plan.method).packs, language=family.purpose == "language",
        masked=family.purpose == "masked", norms_learn=plan.method.moves_base(), last_at_reads=not language,
    )  # fmt: skip
    held = Held(4 * total, total, trainable, plan.train.optimizer)
    peak = forecast(shape_of(net.config, family, depth), step, held).total
    return found | {"memory_mb": round(peak / 1e6, 1), "note": "tensors at the peak of a step; time is not forecast"}
