"""Will a run fit into memory here? The forecast of its largest step, and gradient checkpointing where it would not."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from tunesmith.bases.family import plain
from tunesmith.bases.quant import is_quantised, num_bytes, numel
from tunesmith.engine import memory
from tunesmith.engine.answers import MAX_TOKENS
from tunesmith.engine.checkpointing import switch
from tunesmith.engine.forecast import BUFFERS, HOLES, Forecast, Held, Shape, Step, check_bytes, forecast, shape_of, size
from tunesmith.engine.language import PackedLanguage, PlainLanguage
from tunesmith.engine.lessons import UNREAD
from tunesmith.engine.measured import measured
from tunesmith.engine.ways import Packed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunesmith.engine.batches import Batches
    from tunesmith.engine.language import LanguageWay
    from tunesmith.engine.shortcuts import Shortcuts
    from tunesmith.engine.ways import Way
    from tunesmith.tasks import Encoded

FILL = 0.9
"""Share of what is free that a forecast may take."""
STEPS = 50
"""Steps whose pieces are looked at for the largest."""


class Fitted(NamedTuple):
    """What was found and done."""

    forecast: Forecast
    room: int
    """Bytes free here, with those that the weights take already."""
    lines: list[str]
    """For the user."""


def fit(
    shortcuts: "Shortcuts[Any]", train: "Encoded", batches: "Batches", moving: "Mapping[str, torch.Tensor]",
    device: torch.device, *, narrow: bool,
) -> Fitted:  # fmt: skip
    """Forecast the largest step, and switch checkpointing as the plan asks, or as memory needs."""
    net, family, plan = shortcuts.net, shortcuts.family, shortcuts.plan
    if family.sense != "text":
        seen, room = measured(shortcuts, train, batches, moving, device)
        seen = replace(
            seen, holes=int(holes(device) * seen.activations), process=process(device, num_bytes(net)["held"])
        )
        return Fitted(seen, room, _told(seen, seen, room, on=False, asked="off"))
    blocks = family.block_list(net.auto)
    base: Any = plain(net.auto)
    shape = shape_of(base.config, family, len(blocks))
    step = _largest(shortcuts, train, batches)
    step = step._replace(narrow=narrow, holes=holes(device), **dropouts(base.config, plan.train.dropout))
    held = _held(net, blocks, moving, plan.train)
    whole = forecast(shape, step, held)
    if shortcuts.way is not shortcuts.plain:
        shortcuts.saved = _saved(shape, step, held, _padded(train, batches, plan.method.extra_tokens()))
    check = check_bytes(shape, step, held) if plan.engine.check and shortcuts.way is not shortcuts.plain else 0
    room = memory.room(device) + num_bytes(net)["held"]
    able = bool(step.above) and all(type(p).packs for p in getattr(plan.method, "parts", (plan.method,)))
    asked = plan.train.checkpointing
    on = able and (asked == "on" or (asked == "auto" and whole.step > FILL * room))
    switch(net, family, on=on)
    found = forecast(shape, step._replace(checkpointing=True), held) if on else whole
    found = replace(found, check=check, process=process(device, held.weights))
    lines = _told(found, whole, room, on=on, asked=asked) + _about_quant(net, plan.base.quant)
    return Fitted(found, room, lines)


def holes(device: torch.device) -> float:
    """The share of what comes and goes that a heap needs besides."""
    return HOLES if device.type == "cpu" else 0.0


def process(device: torch.device, weights: int) -> int:
    """Bytes that this process holds, on a CPU, besides its weights and what a step needs."""
    return memory.resident() + memory.untouched() + BUFFERS - weights if device.type == "cpu" else 0


def _told(found: Forecast, whole: Forecast, room: int, *, on: bool, asked: str) -> list[str]:
    lines = [found.told(room)]
    if on:
        why = "asked for" if asked == "on" else f"without it {size(whole.step)} would be needed"
        lines.append(f"gradient checkpointing: blocks run again in the backward pass ({why})")
    if found.step > FILL * room:
        lines.append(
            "this may not fit. Cures: a smaller train.micro_tokens (the result stays the same), base.quant: nf4, a "
            "method that moves less, or task.max_tokens"
        )
    return lines


def _about_quant(net: torch.nn.Module, kind: str | None) -> list[str]:
    if kind is None:
        return []
    held = num_bytes(net)
    return [f"base: {kind}, {size(held['quantised'])} for layers that take {size(held['whole'])} in fp32"]


def _held(net: Any, blocks: list[torch.nn.Module], moving: "Mapping[str, torch.Tensor]", train: Any) -> Held:
    quantised = [numel(m.weight) for m in net.modules() if is_quantised(m)]
    return Held(
        weights=num_bytes(net)["held"],
        whole=sum(p.numel() for b in blocks for p in b.parameters() if p.ndim == 2 and p.is_floating_point()),
        learning=sum(p.numel() for p in moving.values()), widest=max((p.numel() for p in moving.values()), default=0),
        optimizer=train.optimizer, largest=max(quantised, default=0), average=train.ema is not None,
    )  # fmt: skip


def dropouts(config: Any, asked: float | None) -> dict[str, bool]:
    """Where a network draws dropout while it trains."""
    attention = [getattr(config, n, 0) for n in ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")]
    hidden = [getattr(config, n, 0) for n in ("hidden_dropout_prob", "dropout", "resid_pdrop", "hidden_dropout")]
    shares = [max(map(float, found)) if asked is None else asked for found in (attention, hidden)]
    return {"attention_dropout": shares[0] > 0, "hidden_dropout": shares[1] > 0}


def _largest(shortcuts: "Shortcuts[Any]", train: "Encoded", batches: "Batches") -> Step:
    """The largest piece of the first steps."""
    way, plan = shortcuts.way, shortcuts.plan
    packed = isinstance(way, (Packed, PackedLanguage))
    slabs = way.levers.budget > 0 if isinstance(way, PackedLanguage) else packed
    depth = len(shortcuts.family.block_list(shortcuts.net.auto))
    still = 0 if plan.method.thaws() else plan.method.still(shortcuts.net.auto, shortcuts.family)
    cut = [
        list(way.pieces(train, batches.rows(n), plan.train.micro_tokens)) for n in range(min(STEPS, batches.per_epoch))
    ]
    pieces = [(_places(way, train, p, plan.method.num_front(), packed=packed), p) for step in cut for p in step]
    tokens, rows = max(pieces, key=lambda each: each[0])
    return Step(
        tokens=tokens, longest=int(train.ids.lengths_of(rows).max()), reads=_reads(train, rows), above=depth - still,
        packed=slabs, language=isinstance(way, (PlainLanguage, PackedLanguage)),
        masked=train.masking is not None, norms_learn=plan.method.moves_base(), last_at_reads=not shortcuts.whole,
        answered=min(MAX_TOKENS, train.ids.size), alone=max(map(len, cut)) == 1,
    )  # fmt: skip


def _padded(train: "Encoded", batches: "Batches", virtual: int) -> tuple[int, int]:
    """Places and read positions of the largest batch of the first steps, as one padded pass."""
    steps = [batches.rows(number).tolist() for number in range(min(STEPS, batches.per_epoch))]
    rows = max(steps, key=lambda each: int(train.ids.lengths_of(each).max()) * len(each))
    return (int(train.ids.lengths_of(rows).max()) + virtual) * len(rows), _reads(train, rows)


def _saved(shape: Shape, step: Step, held: Held, padded: tuple[int, int]) -> dict[str, int]:
    """Bytes of a step's peak that packed rows, the head at read positions alone and the last block there save."""
    plainly = step._replace(packed=False, last_at_reads=False)
    whole = plainly._replace(tokens=padded[0], reads=padded[1])
    chain = {"": whole, "pack": plainly, "head": plainly._replace(packed=True), "reads": step}
    peaks = {name: forecast(shape, each, held).step for name, each in chain.items()}
    return {name: peaks[before] - peaks[name] for before, name in pairwise(chain)}


def _places(way: "Way | LanguageWay", train: "Encoded", rows: list[int], virtual: int, *, packed: bool) -> int:
    lengths = train.ids.lengths_of(rows) + virtual
    return int(lengths.sum()) if packed else int(lengths.max()) * len(rows)


def _reads(train: "Encoded", rows: list[int]) -> int:
    if train.reads is not None:
        return int(train.reads.lengths_of(rows).sum())
    return len(rows) if train.labels is None else int((train.labels.joined(rows) != UNREAD).sum())
