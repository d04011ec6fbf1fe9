"""Which shortcuts an encoder-decoder takes: the head where a label stands, and the states of an encoder that rests."""

from typing import TYPE_CHECKING

import numpy as np

from tunesmith.bases.family import EncoderDecoder
from tunesmith.data.ragged import Ragged
from tunesmith.engine.batches import Batches
from tunesmith.engine.language import LanguageWay
from tunesmith.engine.language_proof import differentiated
from tunesmith.engine.proof import TOKENS, TOLERANCE, apart, relative
from tunesmith.engine.seq2seq import Seq2SeqWay, read_sources
from tunesmith.engine.shortcuts import Shortcuts
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network


class Seq2SeqShortcuts(Shortcuts[LanguageWay]):
    """The way an encoder-decoder is run in this process, and why."""

    def __init__(self, net: "Network", family: EncoderDecoder, plan: Plan, pad_id: int) -> None:
        super().__init__(net, family, plan, Seq2SeqWay(net, family, pad_id, head=False))
        self.stacks, self.pad_id = family, pad_id

    def prove(self, rows: Encoded, *, learning: bool = False) -> None:
        """Take the head only where a label stands, if losses and gradients agree with the library's on three rows."""
        if self.proven and not learning:
            return
        self.proven, self.way, self.taken, self.refused = True, self.plain, [], []
        if not self.asked.head:
            self.refused.append("head only at labels: switched off (engine.head)")
            return
        way = Seq2SeqWay(self.net, self.stacks, self.pad_id)
        if self.asked.check and len(rows):
            few = probe(rows)
            wanted, found = differentiated(self.plain, few, each=True), differentiated(way, few, each=False)
            if (far := max(relative(wanted[0], found[0]), apart(wanted[1], found[1]))) > TOLERANCE:
                self.refused.append(
                    f"head only at labels: on {len(few)} rows it differed from the library's own forward pass by "
                    f"{far:.1g} (allowed {TOLERANCE:g}). Slower, but right; please report this base"
                )
                return
        self.way = way

    def cache(self, sets: dict[str, Encoded], progress: Progress) -> None:
        """Run an encoder that never moves over all rows of these sets, and keep what it says of them."""
        way, lower = self.way, self.stacks.lower
        if not isinstance(way, Seq2SeqWay) or self.plan.method.extra_tokens():
            return
        if self.plan.method.still(self.net.auto, self.family) < lower:
            return
        if (why := self._cannot_keep(sets)) is not None:
            self.refused.append(f"trunk cache: {why}")
            return
        with progress.bar("trunk cache", sum(map(len, sets.values())), "rows"):
            way.caches = {id(each): read_sources(way, each, progress.advance) for each in sets.values()}
        depth, need = len(self.family.block_list(self.net.auto)), self._need(sets)
        kept = f"{need / 1e6:.1f} MB, fp32"
        self.taken.append(f"trunk cache: the encoder ({lower} of {depth} blocks) never moves and is run once ({kept})")

    def _need(self, sets: dict[str, Encoded]) -> int:
        from tunesmith.bases.family import plain

        config = plain(self.net.auto).config
        return 4 * sum(each.ids.size for each in sets.values()) * int(config.hidden_size)  # type: ignore[union-attr,arg-type]

    def _cannot_keep(self, sets: dict[str, Encoded]) -> str | None:
        if self.asked.cache == "off":
            return "switched off (engine.cache)"
        if not self._below_is_frozen():
            return "something below the blocks moves"
        if self.asked.cache_dtype != "fp32":
            return "states of an encoder are kept in fp32 alone (engine.cache_dtype)"
        if (need := self._need(sets)) > self.asked.cache_gb * 2**30:
            return f"it would take {need / 2**30:.1f} GB, more than engine.cache_gb: {self.asked.cache_gb:g}"
        return None

    def told(self, train: Encoded, batches: Batches, epochs: int) -> list[str]:
        """The head, padding, the cache."""
        assert train.labels is not None, "rows to learn from have labels"
        share = train.labels.size / max(1, train.labels.size + train.ids.size)
        return [
            f"loss and language head: at labels alone ({share:.0%} of the tokens), in slabs of the vocabulary",
            "padded pairs: similar lengths run together",
            *self.taken,
        ]


def probe(rows: Encoded) -> Encoded:
    """Shortest, median and longest pair, cut to 512 tokens in all: a target to half its room, a source to the rest."""
    assert rows.labels is not None, "rows to learn from have labels"
    order = np.argsort(rows.lengths, kind="stable")
    picked = [int(order[i]) for i in dict.fromkeys((0, len(order) // 2, len(order) - 1))]
    room = TOKENS // len(picked)
    targets = [rows.labels[i][: room // 2].tolist() for i in picked]
    sources = [rows.ids[i][: room - len(target)].tolist() for i, target in zip(picked, targets, strict=True)]
    return Encoded(
        ids=Ragged.of(sources), types=None, lost=np.zeros(len(picked), dtype=np.int32), targets=None, side=None,
        weights=np.ones(len(picked), dtype=np.float32), labels=Ragged.of(targets), apart=True,
    )  # fmt: skip
