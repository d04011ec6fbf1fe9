"""Which shortcuts a run takes: decided before the first step, proven on a few rows, and told to the user.

A shortcut leaves out work that cannot change the result: padding, frozen blocks that ran before, positions of the
last block that nobody reads. Each has an off switch in the plan's `engine` section; none changes which rows a step
sees. Where one cannot be used or does not agree with the library's own forward pass, the run says so and goes without.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from tunesmith.bases.family import Family
from tunesmith.engine import trunk_cache
from tunesmith.engine.batches import Batches
from tunesmith.engine.fast import Fast
from tunesmith.engine.language import LanguageWay, PackedLanguage
from tunesmith.engine.layouts import beyond_window, layout_of
from tunesmith.engine.proof import TOLERANCE, disagreement, probe
from tunesmith.engine.ways import Packed, Plain, Way
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, LogitsTask

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

CACHE_MEMORY = 0.25
"""Share of the free memory that a trunk cache in memory may take."""
LAST_BLOCK = 1 / 6
"""Share of a block's work that keys and values are (2 of 12 width x width products a token)."""


W = TypeVar("W", Way, LanguageWay)
PackedWay = Packed | PackedLanguage


class Shortcuts(ABC, Generic[W]):
    """The way a network is run in this process, and why."""

    def __init__(self, net: "Network", family: Family, plan: Plan, plain: W) -> None:
        self.net, self.family, self.plan, self.asked = net, family, plan, plan.engine
        self.plain: W = plain
        self.way: W = plain
        self.taken: list[str] = []
        self.refused: list[str] = []
        self.said: list[str] = []
        """What `explain` told the user, for the provenance."""
        self.notes: list[str] = []
        """What else there is to tell of how the network is run."""
        self.proven = False
        self.whole = True
        """Whether the last block still runs at every position."""

    @abstractmethod
    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Choose the fastest way that agrees with the plain one on a few of these rows, once.

        Before training (`learning`) gradients must agree, too.
        """

    @abstractmethod
    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets, or find that it was done before."""

    @abstractmethod
    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """A line for each shortcut taken: what it does, and at the end what all are forecast to save."""

    def way_for(self, rows: Encoded) -> W:
        """The way for these rows: the chosen one, unless they are longer than what was proven with may be packed."""
        rows = rows.inner or rows
        return self.plain if len(rows) and beyond_window(self.net, rows) else self.way

    def explain(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """The plan of the engine: what it does, what it is forecast to save, what was refused and why."""
        lines = self.told(train, batches, epochs) if self.way is not self.plain else []
        if self.plan.train.neftune is not None:
            lines.append(f"noise on word embeddings: alpha {self.plan.train.neftune:g}, in training alone (NEFTune); "
                         "what depends on it is not shared between rows or kept")  # fmt: skip
        self.said = lines + [f"without {line}" for line in self.refused] + self.notes
        return [f"engine: {line}" for line in self.said]

    # the trunk cache

    def keep_trunk(self, way: PackedWay, sets: dict[str, Encoded], cut: int, progress: Progress) -> None:
        """Give the way a cache of the lowest `cut` blocks over these sets, or say why not."""
        if self.asked.cache == "off":
            self.refused.append("trunk cache: switched off (engine.cache)")
            return
        if self.plan.train.neftune is not None:
            self.refused.append("trunk cache: train.neftune draws new noise below the lowest block in every step")
            return
        if not self._below_is_frozen():
            self.refused.append("trunk cache: something below the blocks moves")
            return
        depth, kept = len(self.family.block_list(self.net.auto)), self.asked.cache_dtype
        width = int(way.fast.trunk.config.hidden_size)
        sets = {name: e for name, e in sets.items() if self.way_for(e) is self.way}
        needs = {name: trunk_cache.forecast(e, width, kept, pooled=cut == depth) for name, e in sets.items()}
        mean = self.net.mean and cut == depth
        keys = {n: trunk_cache.key(self.net.auto, self.family, e, cut, kept, mean=mean) for n, e in sets.items()}
        have = {f.name for f in trunk_cache.kept_caches()} & set(keys.values())
        need = sum(needs.values())
        missing = sum(n for name, n in needs.items() if keys[name] not in have)
        if (where := self._place(need, missing, sorted(have))) is None:
            return
        folders = {n: trunk_cache.root() / key for n, key in keys.items()} if where == "disk" else {}
        found = self._build(way, sets, cut, folders, progress)
        source = "found from an earlier run" if found else "run once"
        place = "on disk" if where == "disk" else "in memory"
        self.taken.append(
            f"trunk cache: {cut} of {depth} blocks never move and are {source} ({need / 1e6:.1f} MB {place}, {kept})"
        )

    def _build(
        self,
        way: Packed | PackedLanguage,
        sets: dict[str, Encoded],
        cut: int,
        folders: dict[str, Path],
        progress: Progress,
    ) -> bool:
        """Give the way a cache of each set, in its folder or in memory; returns whether all were there already."""
        kept, found = self.asked.cache_dtype, []
        with progress.bar("trunk cache", sum(map(len, sets.values())), "rows"):
            for name, encoded in sets.items():
                folder = folders.get(name)
                made = trunk_cache.build(way.fast, encoded, cut, kept, folder=folder, tick=progress.advance)
                way.caches[id(encoded)] = made
                found.append(made.found)
        return all(found)

    def _below_is_frozen(self) -> bool:
        moving = (n for n, p in self.net.auto.named_parameters() if p.requires_grad)
        return not any(self.family.is_embedding(n) for n in moving)

    def _place(self, need: int, missing: int, have: Sequence[str]) -> str | None:
        """disk or memory by choice and room; None, with the reason said, where neither will do.

        On disk only the `missing` bytes want room, and the caches this run `have` make none.
        """
        import psutil

        budget = int(self.asked.cache_gb * 2**30)
        asked = self.asked.cache
        if asked in ("auto", "disk") and trunk_cache.make_room(missing, budget, have):
            return "disk"
        free = int(psutil.virtual_memory().available * CACHE_MEMORY)
        if asked in ("auto", "memory") and need <= free:
            return "memory"
        limits = f"{need / 2**30:.1f} GB, budget {self.asked.cache_gb:g} GB on disk, {free / 2**30:.1f} GB in memory"
        self.refused.append(f"trunk cache: it would take {limits}. Raise engine.cache_gb or free some room")
        return None


class HeadShortcuts(Shortcuts[Way]):
    """For networks with a head on one state of each row."""

    def __init__(self, net: "Network", family: Family, plan: Plan, pad_id: int, *, equal: bool) -> None:
        super().__init__(net, family, plan, Plain(net, pad_id, equal=equal))

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Choose the fastest way that agrees with the plain one on a few of these rows, once.

        Before training (`learning`) gradients must agree, too.
        """
        if self.proven and not learning:
            return
        self.proven = True
        self.way, self.taken, self.refused, self.whole = self.plain, [], [], True
        if why := self._cannot_pack(rows):
            self.refused.append(f"packed rows: {why}")
            return
        few = probe(rows)
        losses = cast("LogitsTask", self.plan.task).losses if learning else None
        # of words most places are read: the last block at all of them costs a thirtieth more, and needs no own code
        for reads in (True, False) if self.asked.reads and not self.net.mean and rows.reads is None else (False,):
            candidate = self._packed(reads)
            apart = disagreement(self.net, self.plain, candidate, few, losses) if self.asked.check else 0.0
            if apart <= TOLERANCE:
                self.way, self.whole = candidate, not candidate.fast.reads
                return
            what = "last block only where it is read" if reads else "packed rows"
            self.refused.append(
                f"{what}: on {len(few)} rows it differed from the library's own forward pass by {apart:.1g} "
                f"(allowed {TOLERANCE:g}). Slower, but right; please report this base"
            )

    def _cannot_pack(self, rows: Encoded) -> str | None:
        if not self.asked.pack:
            return "switched off (engine.pack)"
        if not len(rows):
            return "no rows"
        if layout_of(self.family) is None:
            return f"the attention of {self.family.name} needs padded rows; similar lengths run together instead"
        if not type(self.plan.method).packs:
            name = getattr(self.plan.method, "name", "this method")
            return f"{name} puts keys before each row in PEFT's way; similar lengths run together instead"
        return beyond_window(self.net, rows)

    def _packed(self, reads: bool) -> Packed:
        layout = layout_of(self.family)
        assert layout is not None
        count = self.plan.method.extra_tokens()
        virtual = self.plan.method.virtual if count else None
        return Packed(Fast(self.net, self.family, layout, reads=reads, virtual=virtual), count)

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets, or find that it was done before."""
        cut = self._cut(sets)
        sets = {f"{name}.{i}": form for name, e in sets.items() for i, form in enumerate(e.forms)}
        if isinstance(self.way, Packed) and cut and not self.way.virtual:
            self.keep_trunk(self.way, sets, cut, progress)

    def _cut(self, sets: dict[str, Encoded]) -> int:
        """Blocks that never move; where several positions of a row are read, the last block stays live."""
        cut = self.plan.method.still(self.net.auto, self.family)
        several = any(f.slots is not None and f.slots.count > 1 for e in sets.values() for f in e.forms)
        return min(cut, len(self.family.block_list(self.net.auto)) - 1) if several else cut

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """Packed rows, the last block, the cache; and the forecast."""
        padding = padding_factor(batches)
        rows = len(train) / max(1, batches.per_epoch)
        lines = [f"packed rows: padding would make batches of {rows:.0f} {padding:.2f} times as long"]
        if not self.whole:
            share = sum(self._read(f) for f in train.forms) / max(1, sum(f.ids.size for f in train.forms))
            lines.append(f"last block: computed at {share:.0%} of the positions, those that the head reads")
        if train.reads is not None:
            lines.append(
                f"head: at {train.reads.size / max(1, train.ids.size):.0%} of the positions, those that are read"
            )
        if self.net.words is not None:
            several = f"; {len(train.forms)} forms of each row" if train.others else ""
            which = "whole vocabulary" if self.net.words.wording.normed else "label words alone"
            lines.append(f"language head: at the positions that are read, {which}{several}")
        saving = self._saving(train, padding, epochs)
        return [*lines, *self.taken, f"forecast: {saving:.1f} times less to compute than padded"]

    @staticmethod
    def _read(rows: Encoded) -> int:
        return len(rows) * (1 if rows.slots is None else rows.slots.count)

    def _saving(self, train: Encoded, padding: float, epochs: int) -> float:
        """Positions x blocks computed by the padded way over those computed by ours; a backward pass counts double."""
        depth = len(self.family.block_list(self.net.auto))
        cut = self.plan.method.still(self.net.auto, self.family)
        usual = padding * (depth + 2 * (depth - cut))
        cached = isinstance(self.way, Packed) and bool(self.way.caches)
        last = 1.0 if self.whole else LAST_BLOCK
        above = 3 * (max(0, depth - cut - 1) + last) if cut < depth else 0.0
        below = cut * (1 / epochs if cached else 1.0)
        return float(usual / max(above + below, 1e-3))


def padding_factor(batches: Batches, steps: int = 1000) -> float:
    """Positions of padded batches over tokens, for the batches of the first epoch (at most the first `steps`)."""
    rows = [batches.rows(s) for s in range(min(steps, batches.per_epoch))]
    lengths = [batches.ids.lengths_of(r) for r in rows]
    padded = sum(int(each.max()) * len(each) for each in lengths)
    return float(padded / max(1, sum(int(each.sum()) for each in lengths)))
