"""Writing: a causal language model continues token rows, many at once, with its keys and values kept.

Rows of similar length run together, padded on the left, so that all of them end where writing begins. Where virtual
tokens or keys stand in front, or padding could change an answer, only rows of one length share a batch.

Shape letters: B rows, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tunesmith.bases.load import quiet
from tunesmith.data.ragged import Ragged
from tunesmith.engine.network import Network
from tunesmith.engine.streaming import Stream
from tunesmith.tasks import Array, End, no_tick

ROWS = 32
"""Most rows written at once."""
SPREAD = 1.25
"""Longest over shortest row of a batch: padding is computed at every step."""


def write(  # noqa: PLR0913 - a model, what it is asked, and how
    net: Network, tokenizer: Any, prompts: Ragged, decode: Any, end: End, seed: int, *, together: bool = True,
    tick: Callable[[int], object] = no_tick, say: Callable[[str], object] | None = None,
) -> Array:  # fmt: skip
    """Continuations of N token rows as texts, (N,) objects, without the tokens that end them.

    `decode` has max_new_tokens, temperature, top_k, top_p and repetition_penalty. What is drawn depends on the seed
    and on which rows are asked together, and on nothing else. `say` hears the pieces of a single row's text.
    """
    net.eval()
    out = np.empty(len(prompts), dtype=object)
    stream = None
    if say is not None:
        assert len(prompts) == 1, "only one text can be heard at a time"
        stream = Stream(lambda ids: _text(tokenizer, ids, end), end, say)
    with torch.random.fork_rng(devices=[]):
        for number, rows in enumerate(_batches(prompts, together=together)):
            torch.manual_seed(int(np.random.SeedSequence([seed, number, 3]).generate_state(1)[0]))
            asked = [prompts[r].tolist() for r in rows]
            for row, ids in zip(rows, _continued(net, asked, decode, end, stream), strict=True):
                out[row] = _text(tokenizer, ids, end)
            tick(len(rows))
    return out


def _batches(prompts: Ragged, *, together: bool) -> Iterator[list[int]]:
    """Rows of similar length, shortest first."""
    lengths, batch = prompts.lengths, list[int]()
    for row in np.argsort(lengths, kind="stable").tolist():
        limit = lengths[batch[0]] * (SPREAD if together else 1.0) if batch else 0
        if batch and (len(batch) == ROWS or lengths[row] > limit):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _continued(
    net: Network, rows: Sequence[list[int]], decode: Any, end: End, stream: Stream | None = None
) -> list[list[int]]:
    """New tokens of each row, the ending one left out."""
    auto: Any = net.auto
    device = next(net.parameters()).device
    width, pad = max(map(len, rows)), end.tokens[0] if end.tokens else 0
    ids_BT = torch.tensor([[pad] * (width - len(r)) + r for r in rows], device=device)
    mask_BT = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    if decode.temperature:
        drawn = {
            "do_sample": True,
            "temperature": decode.temperature,
            "top_k": decode.top_k or 0,
            "top_p": decode.top_p,
        }
    with torch.inference_mode(), quiet():
        made = auto.generate(
            input_ids=ids_BT, attention_mask=mask_BT, max_new_tokens=decode.max_new_tokens, min_length=0,
            eos_token_id=list(end.tokens) or None, pad_token_id=pad, use_cache=True,
            repetition_penalty=decode.repetition_penalty, streamer=stream, **drawn,
        )  # fmt: skip
    return [_until(row[width:], end) for row in made.tolist()]


def _until(ids: Sequence[int], end: End) -> list[int]:
    """Up to the first ending token."""
    stops = set(end.tokens)
    return list(ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))])


def _text(tokenizer: Any, ids: Sequence[int], end: End) -> str:
    """As people read it: no special tokens, nothing from the template's end mark on, no space around."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return (text.split(end.text, maxsplit=1)[0] if end.text else text).strip()
