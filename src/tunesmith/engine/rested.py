"""How images and sounds are run: the library's own forward pass, or one from what frozen blocks made."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from tunesmith.bases.family import SoundFamily, VisionFamily, plain
from tunesmith.engine.batches import Batches, collate
from tunesmith.engine.proof import TOLERANCE, disagreement
from tunesmith.engine.shortcuts import Shortcuts
from tunesmith.engine.skipping import Skipping
from tunesmith.engine.trunk_cache import Cache
from tunesmith.engine.ways import Plain, Rested, Way
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, LogitsTask

if TYPE_CHECKING:
    from tunesmith.engine.batches import Ints
    from tunesmith.engine.network import Network

Given = SoundFamily | VisionFamily
PROBED = 3
"""Rows on which a shortcut is compared with the library."""


class Kept(Plain):
    """Images or sounds; those of a set that has a cache go on from it."""

    def __init__(self, net: "Network", family: Given) -> None:
        super().__init__(net, family, 0, equal=False)
        self.fast = Skipping(net, family)
        self.caches: dict[int, Cache] = {}
        """By id of the encoded rows, which each cache holds."""

    def pieces(self, encoded: Encoded, rows: "Sequence[int] | Ints", max_tokens: int) -> Iterator[list[int]]:
        if encoded.waves is not None and id(encoded) in self.caches:
            yield sorted(int(r) for r in rows)  # one state a clip, however long: the whole step is one product
        else:
            yield from super().pieces(encoded, rows, max_tokens)

    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        if (cache := self.caches.get(id(encoded))) is None:
            return super().logits(encoded, rows)
        return self._above(encoded, cache.states(rows).to(next(self.net.parameters()).device), cache.cut, rows)

    def _above(self, encoded: Encoded, states_BK: torch.Tensor, cut: int, rows: Sequence[int]) -> torch.Tensor:
        batch = collate(encoded, rows[:1], 0)
        batch.inputs.pop("attention_mask", None)  # of time, which is no more
        with self.fast.above(encoded, states_BK, cut):
            return self.net(batch).float()  # type: ignore[no-any-return]

    def rested(self, encoded: Encoded) -> "Rested | None":
        cache, depth = self.caches.get(id(encoded)), len(self.family.block_list(self.net.auto))
        if cache is None or cache.cut < depth:
            return None
        device = next(self.net.parameters()).device
        return (lambda rows: cache.states(rows).to(device)), lambda states: self._above(encoded, states, cache.cut, [0])


class RestedShortcuts(Shortcuts[Way]):
    """For networks that see or hear. Nothing is packed, so there is one shortcut: frozen blocks run once a row."""

    def __init__(self, net: "Network", family: Given, plan: Plan) -> None:
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
        if why := self._cannot_go_on(cut):
            self.refused.append(f"trunk cache: {why}")
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

    def _cannot_go_on(self, cut: int) -> str | None:
        """Why what rests cannot be kept; of sounds it is as long as they are, until a mean over time makes it one
        state."""
        if self.family.sense != "sound" or (cut == len(self.family.block_list(self.net.auto)) and self._mean):
            return None
        return "of sounds it is kept where all blocks rest and the head reads one state (method: head)"

    @property
    def _mean(self) -> bool:
        config: Any = plain(self.net.auto).config
        return self.kept.fast.family.state != "every" and not getattr(config, "use_weighted_layer_sum", False)

    def _apart(self, train: Encoded) -> float:
        """Largest relative difference of logits, losses and gradients on a few rows with a known label."""
        assert train.targets is not None, "rows to learn from have targets"
        known = [int(r) for r in (train.targets >= 0).nonzero()[0][:PROBED]]
        cache = self.kept.caches[id(train)]
        few = train.few(known)
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
