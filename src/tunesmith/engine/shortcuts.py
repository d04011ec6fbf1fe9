"""Which shortcuts a run takes: decided before the first step, proven on a few rows, and told to the user.

A shortcut leaves out work that cannot change the result: padding, frozen blocks that ran before, positions of the
last block that nobody reads. Each has an off switch in the plan's `engine` section; none changes which rows a step
sees. Where one cannot be used or does not agree with the library's own forward pass, the run says so and goes without.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from torch.nn.functional import softplus

from tunesmith.bases.family import Family
from tunesmith.engine import savings, trunk_cache
from tunesmith.engine.batches import Batches
from tunesmith.engine.fast import Fast
from tunesmith.engine.language import LanguageWay
from tunesmith.engine.layouts import beyond_window, layout_of
from tunesmith.engine.proof import TOLERANCE, disagreement, probe
from tunesmith.engine.ways import Packed, Plain, Way
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, LogitsTask

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.engine.network import Network

CACHE_MEMORY = 0.25
"""Share of the free memory that a trunk cache in memory may take."""

W = TypeVar("W", Way, LanguageWay)


class Keeping(Protocol):
    """A way that can go on from what a trunk cache holds."""

    @property
    def fast(self) -> trunk_cache.Lower:
        """What runs the blocks below the cut."""

    @property
    def caches(self) -> dict[int, trunk_cache.Cache]:
        """By id of the encoded rows."""


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
        self.saved: dict[str, int] = {}
        """Bytes at the peak of a step that packed rows (pack), the head (head) and the last block (reads) save; told by
        `fitting.fit`."""
        self.found = False
        """Whether the trunk cache was there before this run."""

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
        """A line for each shortcut taken: what it does and is forecast to save, and at the end what all do."""

    def sampled(self, rows: Encoded, row: int) -> "Tensor":
        """What the network says of a row, with a graph, to measure what that keeps."""
        way: Any = self.way
        said: Tensor = way.logits(rows, [row])
        return said

    def resting(self) -> int:
        """Lowest blocks that no gradient reaches."""
        return self.plan.method.still(self.net.auto, self.family)

    def with_cache(self, work: savings.Work, epochs: int) -> list[savings.Taken]:
        """What the trunk cache, where there is one, leaves of some work. It saves no memory: what rests keeps nothing
        for a backward pass."""
        return [(line, replace(work, still=0.0 if self.found else 1 / epochs), 0) for line in self.taken]

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
        if self.plan.train.dropout and (still := self.resting()):
            lines.append(
                f"dropout: {self.plan.train.dropout:g} in what learns; the lowest {still} blocks rest and draw none"
            )
        seen = [] if self.net.tower is None else self.net.tower.told()
        self.said = lines + [f"without {line}" for line in self.refused] + seen + self.notes
        return [f"engine: {line}" for line in self.said]

    # the trunk cache

    def keep_trunk(self, way: Keeping, sets: dict[str, Encoded], cut: int, progress: Progress) -> None:
        """Give the way a cache of the lowest `cut` blocks over these sets, or say why not."""
        if self.asked.cache == "off":
            self.refused.append("trunk cache: switched off (engine.cache)")
            return
        if self.plan.train.neftune is not None:
            self.refused.append("trunk cache: train.neftune draws new noise below the lowest block in every step")
            return
        if shades := [p.name for p in self.plan.penalties if p.disturbs_words]:
            self.refused.append(f"trunk cache: {shades[0]} changes embeddings below the lowest block in every step")
            return
        if any(encoded.redrawn for encoded in sets.values()):
            self.refused.append(f"trunk cache: task {self.plan.task.name} shows rows otherwise in every step")
            return
        if not self._below_is_frozen():
            self.refused.append("trunk cache: something below the blocks moves")
            return
        depth, kept = len(self.family.block_list(self.net.auto)), self.asked.cache_dtype
        lower = way.fast
        sets = {name: e for name, e in sets.items() if self.way_for(e) is self.way}
        needs = {
            name: trunk_cache.forecast(e, lower.width(e, cut), kept, pooled=lower.by_row(cut))
            for name, e in sets.items()
        }
        mean = self.net.mean and cut == depth
        keys = {n: trunk_cache.key(self.net.auto, self.family, e, cut, kept, mean=mean) for n, e in sets.items()}
        have = {f.name for f in trunk_cache.kept_caches()} & set(keys.values())
        need = sum(needs.values())
        missing = sum(n for name, n in needs.items() if keys[name] not in have)
        if (where := self._place(need, missing, sorted(have))) is None:
            return
        folders = {n: trunk_cache.root() / key for n, key in keys.items()} if where == "disk" else {}
        size = f"{need / 1e6:.1f} MB {'on disk' if where == 'disk' else 'in memory'}, {kept}"
        if missing or not folders:
            progress.say(f"engine: trunk cache: running {cut} of {depth} blocks once over all rows, for {size}")
        self.found = self._build(way, sets, cut, folders, progress)
        source = "found from an earlier run" if self.found else "run once"
        self.taken.append(f"trunk cache: {cut} of {depth} blocks never move and are {source} ({size})")

    def _build(
        self,
        way: Keeping,
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
        super().__init__(net, family, plan, Plain(net, family, pad_id, equal=equal))

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Choose the fastest way that agrees with the plain one on a few of these rows, once.

        Before training (`learning`) gradients must agree, too.
        """
        if self.proven and not learning:
            return
        task, self.proven = self.plan.task, True
        self.way, self.taken, self.refused, self.whole = self.plain, [], [], True
        losses = task.losses if isinstance(task, LogitsTask) and rows.inner is None else _evenly
        rows = rows.inner or rows
        if why := self._cannot_pack(rows):
            self.refused.append(f"packed rows: {why}")
            return
        few = probe(rows)
        # of words most places are read: the last block at all of them costs a thirtieth more, and needs no own code
        for reads in (True, False) if self.asked.reads and not self.net.mean and rows.reads is None else (False,):
            candidate = self._packed(reads)
            loss = losses if learning else None
            apart = disagreement(self.net, self.plain, candidate, few, loss) if self.asked.check else 0.0
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
        count = self.plan.method.num_front()
        virtual = self.plan.method.virtual if count else None
        return Packed(Fast(self.net, self.family, layout, reads=reads, virtual=virtual), count)

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets, or find that it was done before."""
        if self.net.tower is not None:
            self.net.tower.cache(sets, progress)
        corpora = {f"{n} corpus": e.relations.corpus for n, e in sets.items() if e.relations is not None}
        sets = {name: e.inner or e for name, e in sets.items()} | {n: e for n, e in corpora.items() if e is not None}
        cut = self._cut(sets)
        sets = {f"{name}.{i}": form for name, e in sets.items() for i, form in enumerate((e.inner or e).forms)}
        if isinstance(self.way, Packed) and cut and not self.way.virtual:
            self.keep_trunk(self.way, sets, cut, progress)

    def _cut(self, sets: dict[str, Encoded]) -> int:
        """Blocks that never move; where several positions of a row are read, the last block stays live."""
        cut = self.plan.method.still(self.net.auto, self.family)
        several = any(f.slots is not None and f.slots.count > 1 for e in sets.values() for f in e.forms)
        return min(cut, len(self.family.block_list(self.net.auto)) - 1) if several else cut

    def ways(self, train: Encoded, batches: Batches, epochs: int) -> tuple[list[savings.Taken], savings.Work]:
        """What is computed in the first steps with one shortcut after the other, and without any."""
        lengths = savings.lengths_of_steps(batches, self.plan.method.extra_tokens())
        each = (2 if train.inner is not None else 1) if train.slots is None else train.slots.count
        plain = savings.padded_work(lengths, each)
        work = savings.packed_work(lengths, plain)
        found = [(savings.packed_words(lengths, plain, work), work, self.saved.get("pack", 0))]
        if not self.whole:
            work = replace(work, last=(work.heads, each * work.tokens))
            share = work.heads / max(1.0, work.tokens)
            words = f"last block: computed at {share:.0%} of the positions, those that the head reads"
            found.append((words, work, self.saved.get("reads", 0)))
        return found + self.with_cache(work, epochs), plain

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """Packed rows, the last block, the cache, each with what it saves; and all together."""
        taken, plain = self.ways(train, batches, epochs)
        found = savings.savings(savings.sizes_of(self.net.auto, self.family, self.resting()), taken, plain)
        return [*(line.told() for line in found), *self._words(train), savings.summed(found)]

    def _words(self, train: Encoded) -> list[str]:
        if self.net.words is None:
            return []
        several = f"; {len(train.forms)} forms of each row" if train.others else ""
        which = "whole vocabulary" if self.net.words.wording.normed else "label words alone"
        return [f"language head: at the positions that are read, {which}{several}"]


def _evenly(scores_BC: "Tensor", targets: "Tensor | None") -> "Tensor":
    """A loss of sequences one by one, (B,), where a task's own compares several: each output against 0."""
    return softplus(-scores_BC).sum(-1)
