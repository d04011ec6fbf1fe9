"""The network run packed: from tokens or from the trunk cache, up to the logits.

    tokens -> embeddings -> blocks 0 .. n-2 -> last block where the head reads -> head

Everything trained is called through the modules that hold it, so what PEFT put around them is in effect. Virtual
tokens (prompt and P-tuning) are put in front of each packed row here, because PEFT's own forward pass would pad.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from tunesmith.bases.family import Family, plain
from tunesmith.engine.checkpointing import rerun
from tunesmith.engine.dropout import make_cheap
from tunesmith.engine.layout import Layout
from tunesmith.engine.packing import Pack, pack, packed
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

Virtual = Callable[[Any], torch.Tensor]
"""Network -> the virtual tokens (P, E) it puts in front of each row."""


class Fast:
    """Packed execution of one network."""

    def __init__(
        self, net: "Network", family: Family, layout: Layout, *, reads: bool, virtual: Virtual | None = None
    ) -> None:
        self.net, self.family, self.layout = net, family, layout
        self.reads = reads and not net.mean  # a mean reads every position
        self.virtual = virtual
        make_cheap(net.auto)

    @property
    def auto(self) -> Any:
        """The Auto class without wrappers."""
        return plain(self.net.auto)

    @property
    def trunk(self) -> Any:
        """The headless model."""
        return self.auto.get_submodule(self.family.trunk)

    def depth(self) -> int:
        """Number of blocks."""
        return len(self.family.block_list(self.net.auto))

    def by_row(self, cut: int) -> bool:
        """Whether what is kept above `cut` blocks is one vector a row: with every block below, what the head reads."""
        return cut == self.depth()

    def width(self, encoded: Encoded, cut: int) -> int:
        """Numbers of each position."""
        return int(self.trunk.config.hidden_size)

    def lower(self, encoded: Encoded, rows: Sequence[int], cut: int) -> tuple[list[int], torch.Tensor]:
        """Some rows in the order in which they ran, and their states above `cut` blocks, end to end."""
        packed_rows = pack(encoded, rows, self.family.reads).to(next(self.net.parameters()).device)
        return packed_rows.rows, self.below(packed_rows, cut)

    def below(self, pack: Pack, cut: int) -> torch.Tensor:
        """States (T, H) above the embeddings and the lowest `cut` blocks; with every block below the cut, what the
        head reads (B, H)."""
        words = None
        if self.virtual is not None:
            words = self.layout.words(self.trunk, pack, self.virtual(self.net.auto))
        states = self.layout.embed(self.trunk, pack, words)
        return self._blocks(states, pack, 0, cut)[0]

    def above(self, states: torch.Tensor, pack: Pack, cut: int, form: int = 0) -> torch.Tensor:
        """Logits (B, C) without the side path, or scores of words (B, W), from what `below` gave."""
        depth = len(self.family.block_list(self.net.auto))
        return self.head(states if cut == depth else self.read(states, pack, cut), form)

    def head(self, read_QH: torch.Tensor, form: int = 0) -> torch.Tensor:
        """Logits (B, C) without the side path, or scores of words (B, W), from the states that the head reads."""
        words = self.net.words
        if self.family.purpose == "masked" and words is None:  # every word of the vocabulary
            said = self.layout.before_words(self.auto, read_QH)
            return cast("torch.Tensor", self.layout.language_head(self.auto)(said))
        if self.net.reads is not None:  # a headless model says what it read
            return read_QH
        if self.family.purpose == "tag":  # one linear layer in every architecture, behind a dropout
            head = self.auto.get_submodule(self.family.head[0])
            return cast("torch.Tensor", head(self.auto.dropout(read_QH)))
        if words is None:
            return self.layout.head(self.auto, self.trunk, read_QH, mean=self.net.mean)
        states_BnH = read_QH.reshape(-1, words.wording.reads(form), read_QH.shape[-1])
        table = self.layout.language_head(self.auto)
        return words.scores(form, states_BnH, lambda states: self.layout.before_words(self.auto, states), table)

    def read(self, states: torch.Tensor, pack: Pack, cut: int) -> torch.Tensor:
        """What the head reads, (Q, H), from what `below` gave for a cut under the last block."""
        return self._blocks(states.unsqueeze(0), pack, cut, len(self.family.block_list(self.net.auto)))[0]

    def _blocks(self, states: torch.Tensor, pack: Pack, first: int, end: int) -> torch.Tensor:
        blocks = self.family.block_list(self.net.auto)
        inputs = self.layout.inputs(self.trunk, states, pack)
        last = end == len(blocks)
        whole = blocks[first : end - 1] if last and self.reads else blocks[first:end]
        with packed(self.auto.config, pack):
            for block in whole:
                states = block(states, attention_mask=None, **inputs)
        if not last:
            return states
        if self.reads:
            return self.layout.finish(self.trunk, self._tail(blocks[-1], states, pack, inputs))
        states = self.layout.finish(self.trunk, states)
        return pack.means(states[0]).unsqueeze(0) if self.net.mean else states[:, pack.reads_Q]

    def _tail(self, block: Any, states: torch.Tensor, pack: Pack, inputs: dict[str, Any]) -> torch.Tensor:
        if self.net.checkpointing and block.training:
            return cast("torch.Tensor", rerun(lambda kept: self.layout.tail(block, kept, pack, inputs), states))
        return self.layout.tail(block, states, pack, inputs)
