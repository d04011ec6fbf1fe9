"""The network: transformers' own Auto class, wrapped by the method, and a linear path for side features, if any.

    logits = head(pooled state) + side W        side: (B, S)    W: (S, C), zero at the start

which is what concatenating the side vector to the pooled state before the last linear layer computes, without
changing a module that other tools know.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn

from tunesmith.bases.family import Family, plain
from tunesmith.bases.quant import numel
from tunesmith.engine import statistics
from tunesmith.engine.pooling import state_at
from tunesmith.engine.words import LabelWords

if TYPE_CHECKING:
    from tunesmith.engine.batches import Batch
    from tunesmith.engine.noise import Noise
    from tunesmith.engine.tower import Tower
    from tunesmith.methods import Method
    from tunesmith.tasks import Encoded


BESIDE = "beside."
"""How the names of what training alone needs begin."""


class Network(nn.Module):
    """Auto class (maybe inside PEFT wrappers) + side path. A language model answers with its label words."""

    def __init__(
        self, auto: nn.Module, side_width: int, outputs: int, *, mean: bool = False, words: LabelWords | None = None,
        reads: Literal["first", "last"] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.auto, self.mean, self.words = auto, mean, words
        self.statistics_move = False
        """Whether batch norms follow the batches they see (`statistics`)."""
        self.reads = reads
        """Of a headless model: which position is what it says of a row."""
        self.noise: Noise | None = None
        """On the embeddings of words, in training alone."""
        self.checkpointing = False
        """Whether blocks run again in the backward pass (`checkpointing`)."""
        self.kept_keys: bool | None = None
        """Whether the base kept keys of earlier tokens before that."""
        self.tower: Tower | None = None
        """A second network, for the images beside rows (`tower`)."""
        self.beside = nn.ModuleDict()
        """What training alone needs, by name: it learns and is checkpointed, and is no part of the saved model."""
        self.side = nn.Linear(side_width, outputs, bias=False) if side_width else None
        if self.side is not None:
            nn.init.zeros_(self.side.weight)

    def forward(self, batch: "Batch") -> torch.Tensor:
        """Logits (B, C) in float32, of rows in their one form."""
        assert self.tower is None, "two towers are run by a way"
        return self.with_side(self.joined([self.part(batch)]), batch.side)

    def part(self, batch: "Batch", form: int = 0) -> torch.Tensor:
        """What the library's own forward pass says of rows in one form: logits (B, C), or those of the places that are
        read (Q, C), or scores of words (B, W)."""
        device = next(self.parameters()).device
        inputs = {k: v.to(device) for k, v in batch.inputs.items()}
        if self.reads is not None:
            return state_at(self.auto(**inputs).last_hidden_state, inputs["attention_mask"], self.reads)
        if self.words is None:
            logits = cast("torch.Tensor", self.auto(**inputs).logits)
            if batch.reads is None:
                return logits
            rows, places = (index.to(device) for index in batch.reads)
            return logits[rows, places + logits.shape[1] - inputs["input_ids"].shape[1]]  # behind virtual tokens
        assert batch.places is not None, "label words are read somewhere"
        with self.words.reading(self.auto, batch.places, inputs["input_ids"].shape[1]):
            return self.words.of_logits(form, self.auto(**inputs).logits)

    def joined(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (B, C), side path left out, from what was said of each form."""
        return parts[0] if self.words is None else self.words.labels(parts)

    def with_side(self, logits_BC: torch.Tensor, side_BS: torch.Tensor | None) -> torch.Tensor:
        """The logits, side path added, in float32 (or float64, where that is computed to compare with)."""
        if self.side is not None:
            assert side_BS is not None, "the network wants side features"
            logits_BC = logits_BC + self.side(side_BS.to(self.side.weight))
        return logits_BC if logits_BC.dtype == torch.float64 else logits_BC.float()

    def whole(self, logits_BC: torch.Tensor, encoded: "Encoded", rows: Sequence[int]) -> torch.Tensor:
        """Logits of rows with all that joins them: side path and second tower."""
        logits_BC = self.with_side(logits_BC, encoded.side_of(rows))
        return logits_BC if self.tower is None else logits_BC + cast("torch.Tensor", self.tower(encoded, rows))


def trainable(net: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that may move now, by name."""
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def training_mode(net: Network, method: "Method", family: Family) -> None:
    """Train mode, except for what never moves: frozen bottom blocks and the embeddings below them run as they will
    at prediction time. This is our meaning of "frozen", and what makes their output cacheable."""
    net.train()
    still = method.still(net.auto, family)
    for path in family.resting(still):
        plain(net.auto).get_submodule(path).eval()
    for block in family.block_list(net.auto)[:still]:
        block.eval()
    if still and not any(p.requires_grad for n, p in net.auto.named_parameters() if family.is_embedding(n)):
        for path in family.embeddings:
            plain(net.auto).get_submodule(path).eval()
    statistics.rest(net)
    if net.tower is not None:
        training_mode(net.tower.net, net.tower.method, net.tower.family)


def override_dropout(net: nn.Module, share: float) -> int:
    """Set every dropout of the base; returns how many there were."""
    # a method's own dropout (lora_dropout, vera_dropout) is its setting, and stays
    own = [n for n, m in net.named_modules() if isinstance(m, nn.ModuleDict) and n.endswith("_dropout")]
    found = [m for n, m in net.named_modules() if isinstance(m, nn.Dropout) and not n.startswith(tuple(own) or "\0")]
    for module in found:
        module.p = share
    for other in net.modules():  # fused attention keeps its own number
        for name in ("dropout_prob", "attention_dropout"):
            if isinstance(getattr(other, name, None), float):
                setattr(other, name, share)
    return len(found)


def count(net: nn.Module) -> dict[str, int]:
    """{trainable, total, head}: parameters of the network as it is trained."""
    own = {name: p for name, p in net.named_parameters() if not name.startswith(BESIDE)}
    trained = sum(p.numel() for p in own.values() if p.requires_grad)
    return {"trainable": trained, "total": sum(numel(p) for p in own.values())}
