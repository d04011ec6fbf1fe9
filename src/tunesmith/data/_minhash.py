"""MinHash signatures of texts over character shingles, a batch of texts at once.

    text -> shingles -> 32-bit hashes -> least value under each of 128 permutations -> its low 16 bits

The share of equal values estimates the Jaccard similarity of two shingle sets (Broder 1997); 16 bits of each are enough
(Li & König 2010). The permutations are datasketch's (`scheme="affine32"`, seed 1), value by value: tests hold the two
equal. datasketch itself is not called because leaks are looked for in every run, and it is an extra; and it hashes one
Python object a shingle, which takes about five times as long.

Shape letters: N texts, C characters with marks, S shingles.
"""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tunesmith.data._edits import WIDE

BANDS, VALUES = 32, 4
"""A signature is 32 bands of 4 values of 16 bits: a band is one whole number of 64 bits."""
_OPEN, _CLOSE, _MARKS = "\x01", "\x02", 3
_FACTOR = np.uint32(0x9E3779B1)
_IS_WIDE = re.compile(f"[{WIDE}]")

Hashes = NDArray[np.uint32]
Signatures = NDArray[np.uint64]


def signatures(texts: Sequence[str], width: int) -> Signatures:
    """(N, 32): of each text. A shingle is `width` characters (2 to 4) long; two where it begins with a Chinese,
    Japanese or Korean one. The ends of a text are marked, so that every text has a shingle."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    hashes = shingles(texts, width)
    starts = np.cumsum(sizes) - sizes
    held, least = np.empty_like(hashes), np.empty((BANDS * VALUES, len(texts)), np.uint16)
    for i, (factor, shift) in enumerate(zip(*permutations(), strict=True)):
        np.multiply(hashes, factor, out=held)
        np.add(held, shift, out=held)
        least[i] = np.minimum.reduceat(held, starts).astype(np.uint16)  # the low bits: the high ones are mostly zero
    return np.ascontiguousarray(least.T).view(np.uint64)


@cache
def permutations() -> tuple[Hashes, Hashes]:
    """(factors, shifts), (128,) each: h -> factor * h + shift, modulo 2^32."""
    made = np.random.RandomState(1)
    factors = made.randint(0, 1 << 31, BANDS * VALUES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, made.randint(0, 1 << 32, BANDS * VALUES, dtype=np.uint32)


def shingles(texts: Sequence[str], width: int) -> Hashes:
    """(S,): mixed hashes of the shingles of all texts, one after the other: a text of n characters has n + 1."""
    marked = "".join(f"{_OPEN}{text}{_CLOSE * _MARKS}" for text in texts)
    codes_C = np.frombuffer(marked.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    inside = np.ones(len(codes_C), np.bool_)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1 + _MARKS)
    for mark in range(1, _MARKS + 1):
        inside[ends - mark] = False
    more = np.concatenate([codes_C, np.zeros(_MARKS, np.uint32)])
    found = two = codes_C * _FACTOR + more[1 : len(codes_C) + 1]
    for i in range(2, width):
        found = found * _FACTOR + more[i : len(codes_C) + i]
    if not marked.isascii() and _IS_WIDE.search(marked):
        found = np.where(_wide(codes_C), two, found)
    return mixed(found[inside])


def _wide(codes: Hashes) -> NDArray[np.bool_]:
    inside = np.zeros(len(codes), np.bool_)
    for low, high in re.findall("(.)-(.)", WIDE):
        inside |= (codes >= ord(low)) & (codes <= ord(high))
    return inside


def mixed(hashes: Hashes) -> Hashes:
    """The finalizer of MurmurHash3: near numbers become far ones."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))
