"""Which shortcuts a language model takes: as `shortcuts` for heads, with the levers of `lessons` and its own proof."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith.bases.family import Family
from tunesmith.engine.batches import Batches
from tunesmith.engine.language import LanguageWay, PackedLanguage, PlainLanguage, drops
from tunesmith.engine.language_proof import NOTHING, Front, choose
from tunesmith.engine.lessons import UNREAD, Levers, asked, lay
from tunesmith.engine.savings import Work, packed_words, packed_work, padded_work, savings, sizes_of, summed
from tunesmith.engine.shortcuts import Shortcuts
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.batches import Ints
    from tunesmith.engine.network import Network

LAID_STEPS = 10
"""Steps of the first epoch whose rows are laid out to forecast what is saved."""


class LanguageShortcuts(Shortcuts[LanguageWay]):
    """The way a language model is run in this process, and why."""

    def __init__(self, net: "Network", family: Family, plan: Plan, pad_id: int, *, equal: bool) -> None:
        super().__init__(net, family, plan, PlainLanguage(net, pad_id, equal=equal))

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Choose the fastest way whose losses and gradients agree with the library's on a few of these rows, once."""
        if self.proven and not learning:
            return
        self.proven, self.taken = True, []
        assert isinstance(self.plain, PlainLanguage)
        if not type(self.plan.method).packs:
            front = Front(keys=True)
        elif count := self.plan.method.num_front():
            front = Front(self.plan.method.virtual, count)
        else:
            front = NOTHING
        rows = rows.inner or rows
        levers = self._levers()
        self.way, self.refused = choose(self.plain, self.family, levers, rows, front, check=self.asked.check)
        if isinstance(self.way, PackedLanguage) and not self.asked.head:
            self.refused.append("loss and language head at learnt positions: switched off (engine.head), and with it "
                                "the last block at these alone")  # fmt: skip
        self.whole = not (isinstance(self.way, PackedLanguage) and self.way.levers.reads)

    def _levers(self) -> Levers:
        """What the plan asks for. A head at every position reads the last block at every position."""
        asked = self.asked
        levers = Levers(pack=asked.pack, reads=asked.reads and asked.head, prefix=asked.prefix)
        return levers if asked.head else replace(levers, head=False, budget=0)

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets; the last block and the head stay live."""
        cut = self.resting()
        if isinstance(self.way, PackedLanguage) and cut and not self.way.virtual:
            self.keep_trunk(self.way, {name: rows.inner or rows for name, rows in sets.items()}, cut, progress)

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """Packed rows, loss and head, the last block, beginnings, the cache, each with what it saves; all together."""
        assert isinstance(self.way, PackedLanguage)
        learnt, levers = train.inner or train, self.way.levers
        steps = [self._both(train, batches.rows(s)) for s in range(min(LAID_STEPS, batches.per_epoch))]
        lengths = [learnt.ids.lengths_of(rows) + self.way.virtual for rows in steps]
        plain = padded_work(lengths)
        work = packed_work(lengths, plain)
        ways = [(packed_words(lengths, plain, work), work, self.saved.get("pack", 0))]
        alone = self._laid(train, batches, len(steps), replace(levers, prefix=False))
        if levers.head:
            work = replace(work, heads=alone.heads, slabs=bool(levers.budget))
            words = f"loss and language head: at {supervised(learnt):.0%} of the positions, those that are learnt"
            ways.append((words, work, self.saved.get("head", 0)))
        if not self.whole:
            words = "last block: computed at the same positions, and no token behind the last of them"
            work = replace(alone, slabs=work.slabs)
            ways.append((words, work, self.saved.get("reads", 0)))
        if levers.prefix and (drops(self.net, ever=True) or self.net.noise is not None):
            why = "shared beginnings: dropout or noise is drawn anew for each row (train.dropout: 0, without neftune)"
            self.refused += [why] * (why not in self.refused)
        elif levers.prefix:
            work = replace(self._laid(train, batches, len(steps), levers), slabs=work.slabs)
            whose = "shared beginnings" if train.inner is None else "two answers a row: the question of both"
            ways.append(
                (f"{whose}: run once, {1 - work.tokens / max(1.0, alone.tokens):.0%} of the tokens less", work, 0)
            )
        ways += self.with_cache(work, epochs)
        found = savings(sizes_of(self.net.auto, self.family, self.resting()), ways, plain)
        return [*(line.told() for line in found), summed(found)]

    def resting(self) -> int:
        """Blocks that never move; the last one stays live."""
        depth = len(self.family.block_list(self.net.auto))
        return min(self.plan.method.still(self.net.auto, self.family), depth - 1)

    @staticmethod
    def _both(train: Encoded, rows: "Sequence[int] | Ints") -> list[int]:
        """Rows of the language model: two for each, where a row has two answers."""
        return [int(r) for r in rows] if train.inner is None else [2 * int(r) + side for r in rows for side in (0, 1)]

    def _laid(self, train: Encoded, batches: Batches, steps: int, levers: Levers) -> Work:
        """What rows, as they will be laid out, have to compute in the first steps."""
        assert isinstance(self.way, PackedLanguage)
        tokens, pairs, reads, seen = 0, 0, 0, 0
        for step in range(steps):
            for piece in self.way.pieces(train, batches.rows(step), self.plan.train.micro_tokens):
                rows = self._both(train, piece)
                what = asked(train.inner or train, rows, self.way.virtual)
                if not len(what.labels_S):
                    continue
                pack = lay(train.inner or train, rows, what, levers, self.way.virtual).pack
                single = [run for run in pack.runs for _ in range(run.rows)]
                assert pack.asked is not None
                tokens += len(pack.ids_T)
                reads += len(pack.reads_Q)
                pairs += sum(run.length * (run.before[1] + run.length) for run in single)
                seen += sum(
                    len(places) * (run.before[1] + int(places[-1]) + 1)
                    for run, places in zip(single, pack.asked, strict=True)
                    if len(places)
                )
        return Work(tokens, pairs, reads, last=(reads, seen) if levers.reads else None)


def supervised(rows: Encoded) -> float:
    """Share of the tokens that are learnt."""
    assert rows.labels is not None, "rows to learn from have labels"
    return float((rows.labels.flat != UNREAD).mean()) if rows.labels.size else 0.0
