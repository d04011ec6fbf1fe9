"""Language models that see: the library's own forward pass, with the head where a label stands, and a vision tower that
rests run once a row.

    kept: what the projector is given of an image, (P, V)         kept -> projector -> places of the image in its row

The projector runs in every step, so that it may learn. The head and its loss are one walk over the vocabulary, as of
other language models.

Shape letters: B rows, T tokens, S supervised positions, P places of an image, V width of the vision tower, H width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith import scratch
from tunesmith.bases.family import SightedLanguage, plain
from tunesmith.data.pixels import Pixels
from tunesmith.engine.batches import Batches, Ints, collate, pieces
from tunesmith.engine.headed import HeadedWay
from tunesmith.engine.language import LanguageWay
from tunesmith.engine.language_proof import differentiated
from tunesmith.engine.lessons import UNREAD, Asked, asked
from tunesmith.engine.proof import TOLERANCE, apart, relative
from tunesmith.engine.shortcuts import CACHE_MEMORY, Shortcuts
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Array, Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

BUILD_IMAGES = 8
PROBED = 3


@dataclass
class Looked:
    """What the projector is given of the images of some rows."""

    rows: Encoded
    """Held, because a way finds what is kept by their identity."""
    states_NPV: Array


class SightedWay(HeadedWay):
    """Padded rows of similar length with their images. `head`: the head only where a label stands."""

    def __init__(self, net: "Network", family: SightedLanguage, pad_id: int, *, head: bool) -> None:
        self.net, self.family, self.pad_id, self.head = net, family, pad_id, head
        self.kept: dict[int, Looked] = {}
        """By id of the encoded rows."""

    def pieces(self, encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int) -> Iterator[list[int]]:
        lengths = dict(zip(map(int, rows), encoded.ids.lengths_of(rows).tolist(), strict=True))
        return pieces(rows, lengths, max_tokens)

    def _projector(self) -> torch.nn.Module:
        return plain(self.net.auto).get_submodule(self.family.projector)

    def _read(self, encoded: Encoded, rows: Sequence[int]) -> tuple[Asked, torch.Tensor, torch.Tensor]:
        what, inputs = asked(encoded, rows), self._inputs(encoded, rows)
        auto: Any = self.net.auto
        labels_S = torch.from_numpy(what.labels_S).to(inputs["input_ids"].device)
        if self.head:
            seen: list[torch.Tensor] = []
            with _before(self._head(), seen):
                auto(**inputs)
            return what, seen[0][what.index_S, what.places_S - 1], labels_S
        logits_SV = auto(**inputs).logits[what.index_S, what.places_S - 1]
        return what, logits_SV if logits_SV.dtype == torch.float64 else logits_SV.float(), labels_S

    def _inputs(self, encoded: Encoded, rows: Sequence[int]) -> dict[str, Any]:
        device = next(self.net.parameters()).device
        given: dict[str, Any] = {k: v.to(device) for k, v in collate(encoded, rows, self.pad_id).inputs.items()}
        if encoded.beside is None:  # general text, of which is asked what was forgotten
            return given
        kept = self.kept.get(id(encoded))
        if kept is None:
            return given | {"pixel_values": images_of(encoded).values(rows).to(device)}
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        features_BPH = self._projector()(torch.from_numpy(kept.states_NPV[list(rows)]).to(device))
        handed: Any = self.family.handed(features_BPH)
        return given | {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=handed)}}

    def look(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """What the projector is given of some images, (B, P, V), in the library's own way to it."""
        seen: list[torch.Tensor] = []
        base: Any = plain(self.net.auto)
        with torch.no_grad(), _before(self._projector(), seen, stop=False):
            base.get_image_features(pixel_values=pixels_BCHW.to(next(self.net.parameters()).device))
        return seen[0].float()


def images_of(encoded: Encoded) -> Pixels:
    """The images of rows."""
    assert encoded.beside is not None and encoded.beside.pixels is not None, "rows of this task bring images"
    return encoded.beside.pixels


@contextmanager
def _before(module: torch.nn.Module, seen: list[torch.Tensor], *, stop: bool = True) -> Iterator[None]:
    """Catch what a module is given; with `stop`, leave it nothing to compute."""

    def catch(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        seen.append(given[0])
        return (given[0][:0],) if stop else None

    hook = module.register_forward_pre_hook(catch)
    try:
        yield
    finally:
        hook.remove()


class SightedShortcuts(Shortcuts[LanguageWay]):
    """The way a language model that sees is run in this process, and why."""

    def __init__(self, net: "Network", family: SightedLanguage, plan: Plan, pad_id: int) -> None:
        super().__init__(net, family, plan, SightedWay(net, family, pad_id, head=False))
        self.seeing, self.pad_id = family, pad_id

    def sampled(self, rows: Encoded, row: int) -> torch.Tensor:
        return self.way.losses(rows, [row]).losses_S

    def way_for(self, rows: Encoded) -> LanguageWay:
        """Always the same."""
        return self.way

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Take the head only where a label stands, if losses and gradients agree with the library's on three rows."""
        if (self.proven and not learning) or rows.labels is None or not len(rows):
            return
        self.proven, self.way, self.taken, self.refused = True, self.plain, [], []
        if not self.asked.head:
            self.refused.append("head only at labels: switched off (engine.head)")
            return
        way = SightedWay(self.net, self.seeing, self.pad_id, head=True)
        if self.asked.check and (far := self._apart(way, few_of(rows))) > TOLERANCE:
            self._refuse("head only at labels", far)
            return
        self.way = way

    def _apart(self, way: LanguageWay, few: Encoded) -> float:
        """Largest relative difference of losses and gradients."""
        wanted, found = differentiated(self.plain, few, each=True), differentiated(way, few, each=False)
        return max(relative(wanted[0], found[0]), apart(wanted[1], found[1]))

    def _refuse(self, what: str, far: float) -> None:
        self.refused.append(
            f"{what}: on {PROBED} rows it differed from the library's own forward pass by {far:.1g} (allowed "
            f"{TOLERANCE:g}). Slower, but right; please report this base"
        )

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run a vision tower that rests over all images of these sets, and keep what the projector is given."""
        way = self.way
        if not self._rests() or not isinstance(way, SightedWay):
            return
        if (why := self._cannot_keep(way, sets)) is not None:
            self.refused.append(f"vision cache: {why}")
            return
        with progress.bar("vision cache", sum(map(len, sets.values())), "rows"):
            for rows in sets.values():
                self._keep(way, rows, progress)
        few = few_of(next(iter(sets.values())))
        if self.asked.check and self._changed(way, few) > TOLERANCE:
            self._refuse("vision cache", self._changed(way, few))
            way.kept.clear()
            return
        need = sum(each.states_NPV.nbytes for each in way.kept.values())
        self.taken.append(f"vision tower: it never moves and is run once a row ({need / 1e6:.1f} MB kept, fp32)")

    def _rests(self) -> bool:
        """Whether no weight of the vision tower ever moves. Raises TunesmithError where one was asked to, and none
        can."""
        moving = [self.family.bare(n) for n, p in self.net.auto.named_parameters() if p.requires_grad]
        moves = self.plan.method.thaws() or any(n.startswith(f"{self.seeing.vision}.") for n in moving)
        if self.seeing.vision_rests:
            return True
        if not moves:
            raise TunesmithError(
                f"task.vision: learn has no effect: {self.plan.method.name} moves nothing of the vision tower. Use "
                "method full, or vision: rest"
            )
        return False

    def _cannot_keep(self, way: SightedWay, sets: dict[str, Encoded]) -> str | None:
        import psutil

        if self.asked.cache == "off":
            return "switched off (engine.cache)"
        if self.asked.cache_dtype != "fp32":
            return "states of a vision tower are kept in fp32 alone (engine.cache_dtype)"
        one = way.look(images_of(next(iter(sets.values()))).values([0]))
        need = one.nbytes * sum(map(len, sets.values()))
        room = int(min(psutil.virtual_memory().available * CACHE_MEMORY, self.asked.cache_gb * 2**30))
        return None if need <= room else f"it would take {need / 2**20:.0f} MB, and {room / 2**20:.0f} MB are free"

    def _keep(self, way: SightedWay, rows: Encoded, progress: Progress) -> None:
        self.net.eval()
        out: Array | None = None
        for start in range(0, len(rows), BUILD_IMAGES):
            part = range(start, min(start + BUILD_IMAGES, len(rows)))
            found = way.look(images_of(rows).values(list(part))).cpu().numpy()
            if out is None:
                out = scratch.room(len(rows) * found[0].size, np.float32).reshape(len(rows), *found.shape[1:])
            out[part.start : part.stop] = found
            progress.advance(len(part))
        assert out is not None, "a set that is kept has rows"
        way.kept[id(rows)] = Looked(rows, out)

    def _changed(self, way: SightedWay, few: Encoded) -> float:
        """How far the way from what is kept differs from the library's on a few rows."""
        states = way.look(images_of(few).values(range(len(few)))).cpu().numpy()
        way.kept[id(few)] = Looked(few, states)
        try:
            return self._apart(way, few)
        finally:
            del way.kept[id(few)]

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """The head, padding, the cache."""
        assert train.labels is not None, "rows to learn from have labels"
        share = float((train.labels.flat != UNREAD).mean())
        head = f"loss and language head: at labels alone ({share:.0%} of the tokens), in slabs of the vocabulary"
        return [head, "padded rows: similar lengths run together", *self.taken]


def few_of(rows: Encoded) -> Encoded:
    """Shortest, median and longest row."""
    assert rows.labels is not None, "rows to learn from have labels"
    order = np.argsort(rows.lengths, kind="stable")
    picked = [int(order[i]) for i in dict.fromkeys((0, len(order) // 2, len(order) - 1))]
    return Encoded(
        ids=rows.ids.pick(picked), types=None if rows.types is None else rows.types.pick(picked),
        lost=np.zeros(len(picked), dtype=np.int32), targets=None, side=None,
        weights=np.ones(len(picked), dtype=np.float32), labels=rows.labels.pick(picked),
        beside=None if rows.beside is None else rows.beside.few(picked),
    )  # fmt: skip
