"""Speech to text with a decoder: losses as of other encoder-decoders, and the most probable text, token by token.

    spectrogram -> encoder -> states        start, prefix -> decoder, keys kept -> most probable token -> and so on

Shape letters: B rows, T steps in time, H width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from tunesmith.bases.family import EncoderDecoder, plain
from tunesmith.engine.batches import collate
from tunesmith.engine.seq2seq import Seq2SeqWay
from tunesmith.tasks import Encoded

if TYPE_CHECKING:
    from tunesmith.bases.dictating import DictationProcessor
    from tunesmith.engine.network import Network

LETTERS = 4
"""Letters of a text that is written, at most, for each place of the decoder: thirty seconds are read out loud at half
of that."""


class DictationWay(Seq2SeqWay):
    """Rows are clips; what is heard can be written."""

    dictates: ClassVar[bool] = True

    def __init__(
        self, net: "Network", family: EncoderDecoder, processor: "DictationProcessor", *, head: bool = True
    ) -> None:
        super().__init__(net, family, 0, head=head)
        self.processor = processor

    @property
    def letters(self) -> int:
        """Length of the longest text that is written."""
        return LETTERS * self.processor.longest_text

    def heard(self, encoded: Encoded, rows: Sequence[int]) -> list[str]:
        """The most probable text of each clip, one token after the other (greedy); a text that does not end before the
        decoder's last place is cut there."""
        ended = self.processor.end
        return [
            self.processor.text(ids[: ids.index(ended)] if ended in ids else ids)[: self.letters]
            for ids in self._written(self._states(encoded, rows)).tolist()
        ]

    def _states(self, encoded: Encoded, rows: Sequence[int]) -> torch.Tensor:
        """(B, T, H)."""
        device = next(self.net.parameters()).device
        if (sources := self.caches.get(id(encoded))) is not None:
            return sources.padded(rows).to(device)
        encoder: Any = plain(self.net.auto).get_submodule(self.family.encoder)
        inputs = {k: v.to(device) for k, v in collate(encoded, rows, self.pad_id).inputs.items()}
        states_BTH: torch.Tensor = encoder(**inputs).last_hidden_state
        return states_BTH

    @torch.no_grad()
    def _written(self, states_BTH: torch.Tensor) -> torch.Tensor:
        """Tokens behind the prefix, (B, at most the decoder's places)."""
        from transformers.modeling_outputs import BaseModelOutput

        processor, auto = self.processor, self.net.auto
        first = [processor.start, *processor.prefix]
        given = torch.tensor([first] * len(states_BTH), device=states_BTH.device)
        kept, made, done_B = None, list[torch.Tensor](), torch.zeros(len(given), dtype=torch.bool, device=given.device)
        said: Any = BaseModelOutput(last_hidden_state=states_BTH)
        for _ in range(processor.longest_text - len(first)):
            found = auto(encoder_outputs=said, decoder_input_ids=given, past_key_values=kept, use_cache=True)
            given, kept = found.logits[:, -1:].argmax(-1), found.past_key_values
            made.append(given)
            done_B |= given[:, 0] == processor.end
            if bool(done_B.all()):
                break
        return torch.cat(made, 1)
