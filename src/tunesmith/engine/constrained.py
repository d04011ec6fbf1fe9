"""Writing what conforms to a JSON schema: at each step, only tokens with which the text can still become such a text.

Each row has a matcher of its own (llguidance: an Earley parser over the bytes of tokens), so rows of a batch may stand
at different places. The probabilities of what is left keep their proportions.

A row whose tokens are spent before its text is complete is closed, without asking the model: strings and brackets end,
what the schema requires is written as short as it goes. How many were is told in `Account`.

Koo, Liu and He 2024, Automata-based constraints for language model decoding, https://arxiv.org/abs/2407.08103.
Shape letters: B rows, T tokens, V vocabulary.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tunesmith.conforming import grammar
from tunesmith.errors import TunesmithError

CLOSING = 1024
"""Most tokens with which a row is closed."""
OUTSIDE = b'}]",:0123456789ntf[{-'
"""What ends a text soonest, outside of strings: brackets that close before anything that opens."""


@dataclass
class Account:
    """What became of constrained rows."""

    rows: int = 0
    closed: int = 0
    """Rows whose tokens were spent, and which were completed as short as the schema allows."""
    open: int = 0
    """Rows that could not be completed within `CLOSING` tokens: they do not conform."""


class Shape:
    """A schema for a tokenizer."""

    def __init__(self, schema: Mapping[str, Any], tokenizer: Any, stops: Sequence[int]) -> None:
        from llguidance import LLMatcher, LLTokenizer

        if not stops:
            raise TunesmithError(
                "decode.schema: the tokenizer has no token that ends an answer, so none could be complete"
            )
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or not hasattr(backend, "to_str"):
            raise TunesmithError("decode.schema: needs a fast tokenizer (tokenizer.json); convert the base's tokenizer")
        backend = copy.copy(backend)
        backend.no_padding()
        backend.no_truncation()
        self.stops = tuple(stops)
        self.tokens = LLTokenizer(backend.to_str(), eos_token=list(stops))
        self.size = int(self.tokens.vocab_size)
        self.start = LLMatcher(self.tokens, grammar(schema))
        _refuse_error(self.start)

    def rows(self, count: int) -> "Rows":
        """What constrains so many rows that are written together."""
        return Rows(self, [self.start.deep_copy() for _ in range(count)])

    def text(self, ids: Sequence[int], account: Account) -> str:
        """The text of a row's new tokens, the stop left out; completed where it is not complete."""
        matcher, written = self.start.deep_copy(), list(ids)
        assert matcher.try_consume_tokens(written) == len(written), "only what conforms was written"
        account.rows += 1
        if not matcher.is_accepting():
            account.closed += 1
            account.open += not self._close(matcher, written)
        return str(self.tokens.decode_bytes(written).decode("utf-8", errors="replace"))

    def _close(self, matcher: Any, written: list[int]) -> bool:
        """Whether the text could be completed, in at most `CLOSING` tokens."""
        for step in range(CLOSING):
            if matcher.is_accepting():
                return True
            token = self._shortest(self.allowed(matcher), self.tokens.decode_bytes(written), step)
            if not matcher.consume_token(token):
                raise TunesmithError(f"decode.schema: {matcher.get_error()}")
            written.append(token)
        return bool(matcher.is_accepting())

    def _shortest(self, allowed_V: np.ndarray, text: bytes, step: int) -> int:
        """The token that brings a text nearest to its end."""
        inside = in_string(text)
        for byte in b'"' if inside else OUTSIDE:
            if token := next((t for t in self._single.get(byte, ()) if allowed_V[t]), None):
                return token
        plain = [t for byte in sorted(self._single) if byte not in b" \n\\" for t in self._single[byte] if allowed_V[t]]
        # Any letter may be as good as another, but for a pattern that ends with a certain one: so take turns.
        options = plain or np.flatnonzero(allowed_V).tolist()
        return int(options[step % len(options)])

    def allowed(self, matcher: Any) -> np.ndarray:
        """(V,) bool: which tokens may come next."""
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        _refuse_error(matcher)
        return np.unpackbits(bits, bitorder="little")[: self.size].astype(bool)

    @cached_property
    def _single(self) -> dict[int, list[int]]:
        """Tokens of one byte, by that byte."""
        found: dict[int, list[int]] = {}
        for token in range(self.size):
            text = self.tokens.decode_bytes([token])
            if len(text) == 1 and not self.tokens.is_special_token(token):
                found.setdefault(text[0], []).append(token)
        return found


class Rows:
    """The constraint on B rows, as transformers calls it at each step: (ids (B, T), scores (B, V)) -> scores."""

    def __init__(self, shape: Shape, matchers: list[Any]) -> None:
        self.shape, self.matchers, self.begun = shape, matchers, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.begun:
            for matcher, token in zip(self.matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self.begun = True
        allowed_BV = np.zeros(scores.shape, dtype=bool)
        width = min(self.shape.size, scores.shape[1])
        for row, matcher in enumerate(self.matchers):
            if matcher.is_stopped():
                _refuse_error(matcher)
                allowed_BV[row, list(self.shape.stops)] = True
            else:
                allowed_BV[row, :width] = self.shape.allowed(matcher)[:width]
        if not allowed_BV.any(1).all():
            raise TunesmithError("decode.schema: the base has no token with which its answer could go on")
        return scores.masked_fill(~torch.from_numpy(allowed_BV).to(scores.device), -torch.inf)


def _refuse_error(matcher: Any) -> None:
    if matcher.is_error():
        raise TunesmithError(f"decode.schema: {matcher.get_error()}")


def in_string(text: bytes) -> bool:
    """Whether a JSON text that is cut off here ends inside a string."""
    inside = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            escaped = inside
        elif byte == ord('"'):
            inside = not inside
    return inside
