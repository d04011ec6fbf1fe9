"""Writing: a causal language model continues token rows, many at once, with its keys and values kept; the decoder of an
encoder-decoder writes to what its encoder reads.

Rows of similar length run together, padded on the left, so that all of them end where writing begins; sources of an
encoder on the right, because it counts places from the first. Where virtual tokens or keys stand in front, or padding
could change an answer, only rows of one length share a batch.

Shape letters: B rows, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from tunesmith.bases.family import purpose_of
from tunesmith.bases.load import quiet
from tunesmith.data.ragged import Ragged
from tunesmith.engine.constrained import Account, Rows, Shape
from tunesmith.engine.network import Network
from tunesmith.engine.seq2seq import first_tokens
from tunesmith.engine.streaming import Stream
from tunesmith.tasks import Array, Encoded, End, no_tick

ROWS = 32
"""Most rows written at once."""
SPREAD = 1.25
"""Longest over shortest row of a batch: padding is computed at every step."""


def write(  # noqa: PLR0913 - a model, what it is asked, and how
    net: Network, tokenizer: Any, prompts: Ragged | Encoded, decode: Any, end: End, seed: int, *, together: bool = True,
    tick: Callable[[int], object] = no_tick, account: Account | None = None, say: Callable[[str], object] | None = None,
) -> Array:  # fmt: skip
    """Continuations of N token rows as texts, (N,) objects, without the tokens that end them. Rows that are `Encoded`
    may bring images.

    `decode` has max_new_tokens, temperature, top_k, top_p, repetition_penalty and schema. What is drawn depends on the
    seed and on which rows are asked together, and on nothing else. With a schema `account` is kept. `say` hears the
    pieces of a single row's text.
    """
    net.eval()
    whole, prompts = (prompts, prompts.ids) if isinstance(prompts, Encoded) else (None, prompts)
    first = first_tokens(net.auto, tokenizer) if purpose_of(net.auto) == "seq2seq" else None
    out = np.empty(len(prompts), dtype=object)
    shape, stream = None, None
    if decode.schema is not None:
        end = end if end.tokens else end.model_copy(update={"tokens": _own_stop(tokenizer)})
        shape = Shape(decode.schema, tokenizer, end.tokens)
    if say is not None:
        assert len(prompts) == 1, "only one text can be heard at a time"
        stream = Stream(lambda ids: _text(tokenizer, ids, end), end, say)
    with torch.random.fork_rng(devices=[]):
        for number, rows in enumerate(_batches(prompts, together=together)):
            torch.manual_seed(int(np.random.SeedSequence([seed, number, 3]).generate_state(1)[0]))
            asked = [prompts[r].tolist() for r in rows]
            extras = Extras(first, shape.rows(len(rows)) if shape else None, stream, beside(whole, rows), typed(whole))
            for row, ids in zip(rows, _continued(net, asked, decode, end, extras), strict=True):
                out[row] = shape.text(ids, account or Account()) if shape else _text(tokenizer, ids, end)
            tick(len(rows))
    return out


def _own_stop(tokenizer: Any) -> tuple[int, ...]:
    """What ends an answer in a template that writes no token behind it: the tokenizer's own end of text."""
    return () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)


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


class Extras(NamedTuple):
    """What some ways of writing need."""

    first: list[int] | None
    """Tokens that a decoder of its own begins with."""
    constraint: Rows | None
    stream: Stream | None
    beside: dict[str, torch.Tensor]
    """What the network is given beside the tokens of rows."""
    typed: bool


def beside(whole: Encoded | None, rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """The images of some rows, where they bring any."""
    pixels = None if whole is None or whole.beside is None else whole.beside.pixels
    return {} if pixels is None else {"pixel_values": pixels.values(rows)}


def typed(whole: Encoded | None) -> bool:
    """Whether the network is told which tokens are of the question."""
    return whole is not None and whole.types is not None


def _continued(net: Network, rows: Sequence[list[int]], decode: Any, end: End, extras: "Extras") -> list[list[int]]:
    """New tokens of each row, the ending one left out."""
    first, constraint = extras.first, extras.constraint
    auto: Any = net.auto
    device = next(net.parameters()).device
    width, pad = max(map(len, rows)), end.tokens[0] if end.tokens else 0
    blanks = [width - len(r) for r in rows]
    if first is None:
        ids_BT = torch.tensor([[pad] * n + r for n, r in zip(blanks, rows, strict=True)], device=device)
        mask_BT = torch.tensor([[0] * n + [1] * (width - n) for n in blanks], device=device)
        own: dict[str, Any] = {}
    else:
        ids_BT = torch.tensor([r + [pad] * n for n, r in zip(blanks, rows, strict=True)], device=device)
        mask_BT = torch.tensor([[1] * (width - n) + [0] * n for n in blanks], device=device)
        own = {"decoder_input_ids": torch.tensor([first] * len(rows), device=device)}
    own |= {name: tensor.to(device) for name, tensor in extras.beside.items()}
    own |= {"token_type_ids": torch.zeros_like(ids_BT)} if extras.typed else {}
    read_BT = mask_BT if first is None else torch.ones_like(own["decoder_input_ids"])
    penalty = [Repetition(decode.repetition_penalty, read_BT)] if decode.repetition_penalty != 1 else []
    with torch.inference_mode(), quiet():
        made = auto.generate(
            input_ids=ids_BT, attention_mask=mask_BT, max_new_tokens=decode.max_new_tokens, min_length=0,
            eos_token_id=list(end.tokens) or None, pad_token_id=pad, use_cache=True,
            repetition_penalty=1.0, num_beams=1, no_repeat_ngram_size=0, **own, **_drawn(decode),
            logits_processor=[*penalty, *([constraint] if constraint else [])] or None, streamer=extras.stream,
        )  # fmt: skip
    return [_until(row[width if first is None else len(first) :], end) for row in made.tolist()]


class Repetition:
    """Tokens that stand already become less probable (Keskar et al. 2019), as transformers has it; but what pads a row
    and virtual tokens do not stand there: a row is written alike alone and beside longer ones."""

    def __init__(self, penalty: float, read_BT: torch.Tensor) -> None:
        """`read_BT`: which of the tokens that writing begins with are a row's own."""
        self.penalty, self.read_BT = penalty, read_BT.bool()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        words_BT = input_ids < scores.shape[1]
        words_BT[:, : self.read_BT.shape[1]] &= self.read_BT
        rows, places = words_BT.nonzero(as_tuple=True)
        stands_BV = torch.zeros_like(scores, dtype=torch.bool)
        stands_BV[rows, input_ids[rows, places]] = True
        less_BV = torch.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return torch.where(stands_BV, less_BV, scores)


def _drawn(decode: Any) -> dict[str, Any]:
    """How the next token is chosen, in transformers' words."""
    if not decode.temperature:
        return {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    choice = {"temperature": decode.temperature, "top_k": decode.top_k or 0, "top_p": decode.top_p}
    return {"do_sample": True, **choice}


def _until(ids: Sequence[int], end: End) -> list[int]:
    """Up to the first ending token."""
    stops = set(end.tokens)
    return list(ids[: next((i for i, token in enumerate(ids) if token in stops), len(ids))])


def _text(tokenizer: Any, ids: Sequence[int], end: End) -> str:
    """As people read it: no special tokens, neither the template's lead nor anything from its end mark on, no space
    around."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    text = text.strip().removeprefix(end.lead)
    return (text.split(end.text, maxsplit=1)[0] if end.text else text).strip()
