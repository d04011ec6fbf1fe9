"""Which shortcuts a language model takes: as `shortcuts` for heads, with the levers of `lessons` and its own proof."""

from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import Family, plain
from tunesmith.engine.batches import Batches
from tunesmith.engine.language import LanguageWay, PackedLanguage, PlainLanguage
from tunesmith.engine.language_proof import NOTHING, Front, choose
from tunesmith.engine.lessons import UNREAD, Levers, asked, lay
from tunesmith.engine.shortcuts import Shortcuts, padding_factor
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


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
        levers = Levers(pack=self.asked.pack, reads=self.asked.reads, prefix=self.asked.prefix)
        self.way, self.refused = choose(self.plain, self.family, levers, rows, front, check=self.asked.check)
        self.whole = not (isinstance(self.way, PackedLanguage) and self.way.levers.reads)

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run the blocks that never move over all rows of these sets; the last block and the head stay live."""
        depth = len(self.family.block_list(self.net.auto))
        cut = min(self.plan.method.still(self.net.auto, self.family), depth - 1)
        if isinstance(self.way, PackedLanguage) and cut and not self.way.virtual:
            self.keep_trunk(self.way, {name: rows.inner or rows for name, rows in sets.items()}, cut, progress)

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """Packed rows, loss and head, the last block, the cache; and the forecast."""
        padding, share = padding_factor(batches), supervised(train.inner or train)
        rows = len(train) / max(1, batches.per_epoch)
        lines = [
            f"packed rows: padding would make batches of {rows:.0f} {padding:.2f} times as long",
            f"loss and language head: at {share:.0%} of the positions, those that are learnt",
        ]
        if not self.whole:
            lines.append("last block: computed at the same positions")
        if train.inner is not None:
            lines.append(f"two answers a row: {self._shared(train, batches):.0%} of their tokens need not be computed, "
                         "those of a question that both follow, and what is read by nothing")  # fmt: skip
        saving = self._forecast(padding, share, epochs)
        return [*lines, *self.taken, f"forecast: {saving:.1f} times less to compute than padded"]

    def _shared(self, train: Encoded, batches: Batches) -> float:
        """Share of the tokens of the first step that are shared or seen by nothing that counts."""
        assert train.inner is not None and isinstance(self.way, PackedLanguage)
        rows = [2 * int(r) + side for r in batches.rows(0) for side in (0, 1)]
        what = asked(train.inner, rows, self.way.virtual)
        lesson = lay(train.inner, rows, what, self.way.levers, self.way.virtual)
        return lesson.saved / max(1, int(train.inner.ids.lengths_of(rows).sum()) + self.way.virtual * len(rows))

    def _forecast(self, padding: float, share: float, epochs: int) -> float:
        """As `_saving`, with the language head counted in blocks of the network by its size."""
        blocks = self.family.block_list(self.net.auto)
        depth, block = len(blocks), sum(p.numel() for p in blocks[0].parameters())
        config: Any = plain(self.net.auto).config
        head = config.vocab_size * config.hidden_size / max(1, block)
        cut = min(self.plan.method.still(self.net.auto, self.family), depth - 1)
        usual = padding * (depth + 2 * (depth - cut) + 3 * head)
        below = cut * (1 / epochs if self.taken else 1.0)
        last = 1.0 if self.whole else share
        return float(usual / max(below + 3 * (depth - cut - 1 + last + head * share), 1e-3))


def supervised(rows: Encoded) -> float:
    """Share of the tokens that are learnt."""
    assert rows.labels is not None, "rows to learn from have labels"
    return float((rows.labels.flat != UNREAD).mean()) if rows.labels.size else 0.0
