"""How images are run: the library's own forward pass, from pixels or from what frozen blocks made of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from tunesmith.bases.family import VisionFamily
from tunesmith.engine.batches import Batches, collate
from tunesmith.engine.proof import TOLERANCE, disagreement
from tunesmith.engine.shortcuts import Shortcuts
from tunesmith.engine.skipping import Skipping
from tunesmith.engine.trunk_cache import Cache
from tunesmith.engine.ways import Plain, Way
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, LogitsTask

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

PROBED = 3
"""Rows on which a shortcut is compared with the library."""


class Kept(Plain):
    """Images; those of a set that has a cache go on from it."""

    def __init__(self, net: "Network", family: VisionFamily) -> None:
        super().__init__(net, family, 0, equal=False)
        self.fast = Skipping(net, family)
        self.caches: dict[int, Cache] = {}
        """By id of the encoded rows, which each cache holds."""

    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        if (cache := self.caches.get(id(encoded))) is None:
            return super().logits(encoded, rows)
        states_BK = cache.states(rows).to(next(self.net.parameters()).device)
        with self.fast.above(encoded, states_BK, cache.cut):
            return self.net(collate(encoded, rows[:1], 0)).float()  # type: ignore[no-any-return]


class VisionShortcuts(Shortcuts[Way]):
    """For networks that see. Nothing is padded, so there is one shortcut: frozen blocks run once a row."""

    def __init__(self, net: "Network", family: VisionFamily, plan: Plan) -> None:
        self.kept = Kept(net, family)
        super().__init__(net, family, plan, Plain(net, family, 0, equal=False))

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """There is nothing to choose before the cache is there; it is proven in `cache`."""
        self.proven = True

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets; go without where it is not exact."""
        cut = self.plan.method.still(self.net.auto, self.family)
        if not cut:
            return
        train = sets["train"].pixels
        if train is not None and train.augment:
            self.refused.append("trunk cache: task.augment shows other pixels in every epoch")
            return
        self.way = self.kept
        self.keep_trunk(self.kept, sets, cut, progress)
        if not self.kept.caches:
            self.way = self.plain
            return
        apart = self._apart(sets["train"]) if self.asked.check else 0.0
        if apart > TOLERANCE:
            self.way, self.taken = self.plain, []
            self.refused.append(
                f"trunk cache: on {PROBED} rows it differed from the library's own forward pass by {apart:.1g} "
                f"(allowed {TOLERANCE:g}). Slower, but right; please report this base"
            )

    def _apart(self, train: Encoded) -> float:
        """Largest relative difference of logits, losses and gradients on a few rows with a known label."""
        assert train.targets is not None, "rows to learn from have targets"
        known = [int(r) for r in (train.targets >= 0).nonzero()[0][:PROBED]]
        cache = self.kept.caches[id(train)]
        few = _few(train, known)
        self.kept.caches[id(few)] = Cache(few, cache.cut, cache.pooled, cache.starts[: len(known) + 1],
                                          cache.states_TH[known])  # fmt: skip
        losses = cast("LogitsTask", self.plan.task).losses
        try:
            return disagreement(self.net, self.plain, self.kept, few, losses)
        finally:
            del self.kept.caches[id(few)]

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """The cache, and what it is forecast to save."""
        depth = len(self.family.block_list(self.net.auto))
        cut = self.plan.method.still(self.net.auto, self.family)
        usual = depth + 2 * (depth - cut)
        saving = usual / max(3 * (depth - cut) + cut / epochs, 1e-3)
        return [*self.taken, f"forecast: {saving:.1f} times less to compute, if every block costs the same"]


def _few(encoded: Encoded, rows: list[int]) -> Encoded:
    from dataclasses import replace

    assert encoded.pixels is not None and encoded.targets is not None, "images with targets"
    return replace(
        encoded, ids=encoded.ids.pick(rows), lost=encoded.lost[rows], targets=encoded.targets[rows],
        weights=encoded.weights[rows], pixels=encoded.pixels.pick(rows),
    )  # fmt: skip
