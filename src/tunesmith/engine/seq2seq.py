"""Encoder-decoders: the loss at the tokens of targets, with the head only there.

    source -> encoder -> states                                            padded on the right, similar lengths together
    start, target without its last -> decoder, cross-attention -> head and loss, in slabs, where a label stands

Targets are shifted by the library's own `prepare_decoder_input_ids_from_labels`, and the network runs through the
library's own forward pass; a hook before the language head takes the states that are read, as the head would see them,
and leaves it nothing to compute. `Sources` keeps what an encoder that never moves says of each row.

Shape letters: B rows, T tokens of a target, S supervised positions, H width, V vocabulary.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tunesmith import scratch
from tunesmith.bases.family import EncoderDecoder, plain
from tunesmith.dialogue.pairing import front_of, target_of
from tunesmith.engine.batches import Ints, collate, pieces
from tunesmith.engine.headed import HeadedWay
from tunesmith.engine.lessons import UNREAD, Asked, asked
from tunesmith.tasks import Array, Encoded

if TYPE_CHECKING:
    from tunesmith.engine.network import Network

BUILD_TOKENS = 8192


@dataclass
class Sources:
    """What the encoder says of every row."""

    encoded: Encoded
    states_MH: Array
    """Beside `encoded.ids.flat`."""

    def padded(self, rows: Sequence[int]) -> torch.Tensor:
        """(B, T, H) of some rows; zeros, which nothing attends to, behind short ones."""
        offsets, lengths = self.encoded.ids.offsets, self.encoded.ids.lengths_of(rows)
        out = np.zeros((len(rows), int(lengths.max()), self.states_MH.shape[1]), dtype=np.float32)
        for place, row in enumerate(rows):
            out[place, : lengths[place]] = self.states_MH[offsets[row] : offsets[row + 1]]
        return torch.from_numpy(out)


class Seq2SeqWay(HeadedWay):
    """The library's forward pass on padded pairs. `head`: the head only where a label stands, its loss in slabs;
    without it every logit is held."""

    def __init__(self, net: "Network", family: EncoderDecoder, pad_id: int, *, head: bool = True) -> None:
        self.net, self.family, self.pad_id, self.head = net, family, pad_id, head
        self.caches: dict[int, Sources] = {}
        """By id of the encoded rows, which each cache holds."""

    def pieces(self, encoded: Encoded, rows: Sequence[int] | Ints, max_tokens: int) -> Iterator[list[int]]:
        lengths = encoded.extents.lengths_of(rows)
        return pieces(rows, dict(zip(map(int, rows), lengths.tolist(), strict=True)), max_tokens)

    def _read(self, encoded: Encoded, rows: Sequence[int]) -> tuple[Asked, torch.Tensor, torch.Tensor]:
        what, inputs = asked(encoded, rows), self._inputs(encoded, rows)
        auto: Any = self.net.auto
        labels_S = torch.from_numpy(what.labels_S).to(inputs["decoder_input_ids"].device)
        if self.head:
            with _before(self._head(), what) as seen:
                auto(**inputs, use_cache=False)
            return what, seen[0], labels_S
        logits_SV = auto(**inputs, use_cache=False).logits[what.index_S, what.places_S]
        return what, logits_SV if logits_SV.dtype == torch.float64 else logits_SV.float(), labels_S

    def _inputs(self, encoded: Encoded, rows: Sequence[int]) -> dict[str, Any]:
        device = next(self.net.parameters()).device
        given: dict[str, Any] = {k: v.to(device) for k, v in collate(encoded, rows, self.pad_id).inputs.items()}
        given["decoder_input_ids"] = shifted(self.net.auto, targets(encoded, rows)).to(device)
        if (sources := self.caches.get(id(encoded))) is not None:
            from transformers.modeling_outputs import BaseModelOutput

            states: Any = sources.padded(rows).to(device)
            given["encoder_outputs"] = BaseModelOutput(last_hidden_state=states)
        return given


@contextmanager
def _before(head: torch.nn.Module, what: Asked) -> Iterator[list[torch.Tensor]]:
    """Catch the states (S, H) that are read, and let the head compute nothing."""
    seen: list[torch.Tensor] = []

    def catch(_: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        seen.append(given[0][what.index_S, what.places_S])
        return (given[0][0, :0],)

    hook = head.register_forward_pre_hook(catch)
    try:
        yield seen
    finally:
        hook.remove()


def targets(encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
    """Labels (B, T), UNREAD behind short ones."""
    assert encoded.labels is not None, "rows to learn from have labels"
    out = np.full((len(rows), int(encoded.labels.lengths_of(rows).max())), UNREAD, dtype=np.int64)
    for place, row in enumerate(rows):
        own = encoded.labels[row]
        out[place, : len(own)] = own
    return torch.from_numpy(out)


def shifted(auto: torch.nn.Module, labels_BT: torch.Tensor) -> torch.Tensor:
    """What the decoder reads to predict these labels, (B, T), as the library itself does when it is given labels."""
    base: Any = plain(auto)
    made: torch.Tensor
    if hasattr(base, "prepare_decoder_input_ids_from_labels"):
        made = base.prepare_decoder_input_ids_from_labels(labels=labels_BT)
    else:  # Whisper's forward pass calls a function beside it
        shift: Any = vars(sys.modules[type(base).__module__])["shift_tokens_right"]
        made = shift(labels_BT, base.config.pad_token_id, base.config.decoder_start_token_id)
    return made


def first_tokens(auto: torch.nn.Module, tokenizer: Any) -> list[int]:
    """What a decoder reads before the first word that it writes, exactly as it did in training: its start, and the
    special tokens that targets begin with."""
    start = shifted(auto, torch.tensor([target_of("a", tokenizer)]))[0, 0]
    return [int(start), *front_of(tokenizer)]


def read_sources(way: Seq2SeqWay, encoded: Encoded, tick: Callable[[int], object]) -> Sources:
    """Run the encoder once over every row, in evaluation mode. `tick` is told how many rows are done."""
    encoder: Any = plain(way.net.auto).get_submodule(way.family.encoder)
    width = int(encoder.config.hidden_size)
    states_MH = scratch.room(encoded.ids.size * width, np.float32).reshape(-1, width)
    offsets, every = encoded.ids.offsets, range(len(encoded))
    device = next(way.net.parameters()).device
    way.net.eval()
    with torch.no_grad():
        for rows in pieces(every, encoded.ids.lengths, BUILD_TOKENS):
            inputs = {k: v.to(device) for k, v in collate(encoded, rows, way.pad_id).inputs.items()}
            states_BTH = encoder(**inputs).last_hidden_state.float().cpu().numpy()
            for place, row in enumerate(rows):
                own = offsets[row + 1] - offsets[row]
                states_MH[offsets[row] : offsets[row + 1]] = states_BTH[place, :own]
            tick(len(rows))
    return Sources(encoded, states_MH)
