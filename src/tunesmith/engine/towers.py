"""How two towers are run: the library's own forward pass of each, or what a tower that rests said once of every row.

    trunk rests, head learns    what the head is given is kept
    both rest                   its vectors are kept                    (`task.towers` names the other tower)

Shape letters: B rows, P width of the vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith.bases.family import TwoTowers, plain
from tunesmith.engine.batches import collate, pieces
from tunesmith.engine.proof import TOLERANCE, relative
from tunesmith.engine.shortcuts import CACHE_MEMORY, Shortcuts
from tunesmith.engine.ways import Plain, Way
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.bases.towers import Tower
    from tunesmith.engine.batches import Batches
    from tunesmith.engine.network import Network

BUILD_TOKENS = 8192
PROBED = 3
"""Rows on which what is kept is compared with the library."""


@dataclass
class Kept:
    """What a tower that rests said of some rows."""

    rows: Encoded
    """Held, because a way finds what is kept by their identity."""
    states: np.ndarray
    """(N, …) float32: what the head is given, or the vectors."""
    vectors: bool


class TowerWay(Plain):
    """One tower or the other, by what the rows are; each distinct image and text is a row."""

    def __init__(self, net: "Network", family: TwoTowers, pad_id: int) -> None:
        super().__init__(net, family, pad_id, equal=False)
        self.two = family
        self.kept: dict[int, Kept] = {}
        """By id of the encoded rows."""

    def tower(self, encoded: Encoded) -> "Tower":
        """Which tower reads these rows."""
        return self.two.text if encoded.pixels is None else self.two.image

    def head(self, tower: "Tower") -> torch.nn.Module:
        """What makes the vectors of a tower."""
        return plain(self.net.auto).get_submodule(tower.head)

    def logits(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        """Vectors (B, P) of images or of texts; of pairs both, side by side."""
        if encoded.paired is not None:
            parts = encoded.paired.of(rows)
            return torch.cat([self.logits(part, own) for part, own in parts], 1)
        if (kept := self.kept.get(id(encoded))) is not None:
            states = torch.from_numpy(kept.states[list(rows)]).to(next(self.net.parameters()).device)
            return states if kept.vectors else self.head(self.tower(encoded))(states).float()
        return self.plainly(encoded, rows)

    def plainly(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        """The library's own forward pass."""
        device = next(self.net.parameters()).device
        inputs = {k: v.to(device) for k, v in collate(encoded, rows, self.pad_id).inputs.items()}
        base: Any = plain(self.net.auto)
        ask = base.get_text_features if encoded.pixels is None else base.get_image_features
        vectors_BP: torch.Tensor = ask(**inputs).pooler_output
        return vectors_BP if vectors_BP.dtype == torch.float64 else vectors_BP.float()

    @contextmanager
    def listening(self, tower: "Tower", found: list[torch.Tensor]) -> Iterator[None]:
        """Within the block, what the head is given is noted down."""
        hook = self.head(tower).register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].detach()))
        try:
            yield
        finally:
            hook.remove()


class TowerShortcuts(Shortcuts[Way]):
    """For two towers: what rests is run once."""

    def __init__(self, net: "Network", family: TwoTowers, plan: Plan, pad_id: int) -> None:
        self.towers = TowerWay(net, family, pad_id)
        super().__init__(net, family, plan, self.towers)

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """There is nothing to choose before rows are kept; that is proven in `cache`."""
        self.proven = True

    def way_for(self, rows: Encoded) -> Way:
        """Always the same."""
        return self.way

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Keep what towers say that never move, of every image or text of these sets."""
        pairs = [e.paired for e in sets.values() if e.paired is not None]
        every = {id(part): part for each in pairs for part in (each.images, each.texts)}.values()
        for tower in (self.towers.two.image, self.towers.two.text):
            parts = [part for part in every if self.towers.tower(part) is tower and len(part)]
            if parts and self._rests(tower):
                self._keep(tower, parts, progress)

    def told(self, train: Encoded, batches: "Batches", epochs: int) -> list[str]:
        """What is kept."""
        return self.taken

    def explain(self, train: Encoded, batches: "Batches", epochs: int) -> list[str]:
        """As of others; the plain way goes on from what is kept by itself."""
        self.said = self.taken + [f"without {line}" for line in self.refused] + self.notes
        return [f"engine: {line}" for line in self.said]

    def _moving(self) -> list[str]:
        return [self.family.bare(n) for n, p in self.net.auto.named_parameters() if p.requires_grad]

    def _rests(self, tower: "Tower") -> bool:
        """Whether nothing below the head of a tower ever moves."""
        if tower in self.towers.two.resting_towers:
            return True
        if self.plan.method.thaws():
            return False
        below = [n for n in self._moving() if n.startswith(f"{tower.trunk}.") and not n.startswith(f"{tower.head}.")]
        return not below

    def _keep(self, tower: "Tower", parts: list[Encoded], progress: Progress) -> None:
        name = f"tower cache: {tower.trunk}"
        if why := self._cannot(parts[0]):
            self.refused.append(f"{name}: {why}")
            return
        vectors = not any(n.startswith(f"{tower.head}.") for n in self._moving())
        width = self._states(tower, parts[0], [0], vectors=vectors)[0].numel()
        need, room = 4 * width * sum(map(len, parts)), self._room()
        if need > room:
            self.refused.append(
                f"{name}: it would take {need / 2**20:.0f} MB, and {room / 2**20:.0f} MB are free for it"
            )
            return
        with progress.bar("tower cache", sum(map(len, parts)), "rows"):
            for part in parts:
                self._fill(tower, part, vectors=vectors, tick=progress.advance)
        if self.asked.check and (far := self._apart(parts[0])) > TOLERANCE:
            for part in parts:
                del self.towers.kept[id(part)]
            self.refused.append(
                f"{name}: on {PROBED} rows it differed from the library's own forward pass by {far:.1g} (allowed "
                f"{TOLERANCE:g}). Slower, but right; please report this base"
            )
            return
        what = "its vectors are" if vectors else "what its head is given is"
        self.taken.append(f"{name} never moves; {what} computed once a row ({need / 1e6:.1f} MB in memory, fp32)")

    def _cannot(self, rows: Encoded) -> str | None:
        if self.asked.cache == "off":
            return "switched off (engine.cache)"
        if self.asked.cache_dtype != "fp32":
            return "states of towers are kept in fp32 alone (engine.cache_dtype)"
        return None

    def _room(self) -> int:
        import psutil

        return int(min(psutil.virtual_memory().available * CACHE_MEMORY, self.asked.cache_gb * 2**30))

    def _fill(self, tower: "Tower", part: Encoded, *, vectors: bool, tick: Callable[[int], None]) -> None:
        out: np.ndarray | None = None
        for rows in pieces(range(len(part)), part.lengths, BUILD_TOKENS):
            found = self._states(tower, part, rows, vectors=vectors).cpu().numpy()
            if out is None:
                out = np.empty((len(part), *found.shape[1:]), dtype=np.float32)
            out[rows] = found
            tick(len(rows))
        assert out is not None, "a set that is kept has rows"
        self.towers.kept[id(part)] = Kept(part, out, vectors)

    def _states(self, tower: "Tower", part: Encoded, rows: Sequence[int], *, vectors: bool) -> torch.Tensor:
        """What the head is given, or what it makes of it, (B, …)."""
        self.net.eval()
        found: list[torch.Tensor] = []
        with torch.no_grad(), self.towers.listening(tower, found):
            made = self.towers.plainly(part, rows)
        return made if vectors else found[0].float()

    def _apart(self, part: Encoded) -> float:
        """Largest relative difference of the vectors of a few rows."""
        rows = list(range(min(PROBED, len(part))))
        with torch.no_grad():
            each = torch.cat([self.towers.plainly(part, [r]) for r in rows])
            return relative(each, self.towers.logits(part, rows))
