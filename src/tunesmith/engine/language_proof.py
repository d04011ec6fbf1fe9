"""Which shortcuts of a language model are taken: each proven on three rows first, as `proof` does for classifiers.

The rows are the shortest, the median and the longest that have something to learn, cut to 512 tokens in all around
their first label, and given a common beginning of tokens, so that sharing is proven, too. Where losses or gradients
differ from the library's, shortcuts are given up one after the other: sharing, the last block, packing.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from tunesmith.bases.family import Family
from tunesmith.data.ragged import Ragged
from tunesmith.engine.fast import Fast, Virtual
from tunesmith.engine.language import LanguageWay, PackedLanguage, PlainLanguage
from tunesmith.engine.layouts import beyond_window, layout_of
from tunesmith.engine.lessons import LEAST, UNREAD, Levers
from tunesmith.engine.proof import TOKENS, TOLERANCE, apart, gradients_of, relative
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


class Front(NamedTuple):
    """What the method puts in front of each row."""

    virtual: Virtual | None = None
    """The virtual tokens."""
    num_virtual: int = 0
    keys: bool = False
    """Whether it puts keys there in PEFT's way, which cannot be packed."""


NOTHING = Front()


class Chosen(NamedTuple):
    """A way to run, and what was refused, in words for the user."""

    way: LanguageWay
    refused: list[str]


def packed_way(net: "Network", family: Family, levers: Levers, front: Front = NOTHING) -> PackedLanguage:
    """The packed way, for a family that has a layout."""
    layout = layout_of(family)
    assert layout is not None, "asked before"
    return PackedLanguage(
        Fast(net, family, layout, reads=levers.reads, virtual=front.virtual), levers, front.num_virtual
    )


def choose(
    plain: PlainLanguage, family: Family, levers: Levers, rows: Encoded, front: Front = NOTHING, *, check: bool = True
) -> Chosen:
    """The fastest way that agrees with the plain one on a few of these rows, in loss and gradient. Without `check`
    nothing is compared."""
    if why := _cannot_pack(plain, family, levers, rows, front):
        return Chosen(plain, [f"packed rows: {why}"])
    if not check:
        return Chosen(packed_way(plain.net, family, levers, front), [])
    few = probe(rows)
    refused: list[str] = []
    wanted = differentiated(plain, few, each=True)
    for what, candidate in _fewer(levers):
        way = packed_way(plain.net, family, candidate, front)
        found = differentiated(way, few, each=False)
        far = max(relative(wanted[0], found[0]), apart(wanted[1], found[1]))
        if far <= TOLERANCE:
            return Chosen(way, refused)
        refused.append(
            f"{what}: on {len(few)} rows it differed from the library's own forward pass by {far:.1g} (allowed "
            f"{TOLERANCE:g}). Slower, but right; please report this base"
        )
    return Chosen(plain, refused)


def _cannot_pack(plain: PlainLanguage, family: Family, levers: Levers, rows: Encoded, front: Front) -> str | None:
    if not levers.pack:
        return "switched off (engine.pack)"
    if not len(rows) or not len(_learning(rows)):
        return "no rows with something to learn"
    if layout_of(family) is None or not family.decoder:
        return f"{family.name} is run by its library alone"
    if front.keys:
        return "the method puts keys before each row in PEFT's way"
    return beyond_window(plain.net, rows)


def _fewer(levers: Levers) -> Iterator[tuple[str, Levers]]:
    """Fewer and fewer levers, each with what is lost if it does not agree."""
    if levers.prefix:
        yield "shared beginnings", levers
        levers = replace(levers, prefix=False)
    if levers.reads:
        yield "last block only where it is read", levers
        levers = replace(levers, reads=False)
    if levers.head:
        yield "loss and language head at learnt positions", levers
        levers = replace(levers, head=False, budget=0)
    yield "packed rows", levers


def _learning(rows: Encoded) -> np.ndarray:
    """Rows with a label behind their first place."""
    assert rows.labels is not None, "rows to learn from have labels"
    return np.array([i for i, labels in enumerate(rows.labels) if (labels[1:] != UNREAD).any()], dtype=np.int64)


def probe(rows: Encoded) -> Encoded:
    """Shortest, median and longest row that learns, cut and with a common beginning."""
    assert rows.labels is not None, "rows to learn from have labels"
    known = _learning(rows)
    by_length = known[np.argsort(rows.lengths[known], kind="stable")]
    picked = [
        int(by_length[i]) for i in (0, len(by_length) // 2, -1)
    ]  # of one row three times: sharing is proven still
    room = TOKENS // len(picked) - LEAST
    start = np.resize(rows.ids[picked[-1]], LEAST)
    ids, labels = [], []
    for row in picked:
        tokens, wanted = rows.ids[row], rows.labels[row]
        first = 1 + int(np.flatnonzero(wanted[1:] != UNREAD)[0])
        begin = max(0, first - room // 2) if len(tokens) > room else 0
        part = slice(begin, begin + room)
        ids.append([*start.tolist(), *tokens[part].tolist()])
        labels.append([UNREAD] * LEAST + wanted[part].tolist())
    return Encoded(
        ids=Ragged.of(ids), types=None, lost=np.zeros(len(ids), dtype=np.int32), targets=None, side=None,
        weights=np.ones(len(ids), dtype=np.float32), labels=Ragged.of(labels),
    )  # fmt: skip


def differentiated(way: LanguageWay, rows: Encoded, *, each: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses (S,) and gradients of their sum, where anything has one, dropout off; the plain way one row at a time
    (`each`), so that nothing is padded and the logits of a single row are held.

    The network is left in evaluation mode, without gradients.
    """
    net = way.net
    net.eval()
    net.zero_grad(set_to_none=True)
    every, found_S = list(range(len(rows))), list[torch.Tensor]()
    for part in [[r] for r in every] if each else [every]:
        losses_S = way.losses(rows, part).losses_S
        if losses_S.requires_grad:
            torch.autograd.backward(losses_S.sum())
        found_S.append(losses_S.detach())
    found = torch.cat(found_S), gradients_of(net)
    net.zero_grad(set_to_none=True)
    return found
