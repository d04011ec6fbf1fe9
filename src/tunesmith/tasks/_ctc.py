"""Connectionist temporal classification: alphabets, the loss, the most probable text. Graves et al. 2006.

Shape letters: B rows, T steps in time, C characters.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.data import Record
from tunesmith.data.overlap import rows_shown
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded

if TYPE_CHECKING:
    from torch import Tensor

BLANK, UNKNOWN = 0, 1
SPACE = "|"
FIRST = ("<pad>", "<unk>", SPACE)
"""The names that transformers' tokenizer of this kind has for them: blank, unknown, space."""


def alphabet(texts: Iterable[str]) -> tuple[str, ...]:
    """Every character of the texts, behind blank, unknown and space."""
    found = set().union(*map(set, texts)) - {" "}
    if SPACE in found:
        raise TunesmithError(f"task.text: some texts hold '{SPACE}', which stands for a space here. Replace it")
    if not found:
        raise TunesmithError("task.text: no text holds a character")
    return (*FIRST, *sorted(found))


def numbers(text: str, labels: Sequence[str]) -> list[int]:
    """Numbers of the characters; UNKNOWN for those that no training text has."""
    at = {name: number for number, name in enumerate(labels)}
    return [at.get(SPACE if char == " " else char, UNKNOWN) for char in text]


def spelt(record: Record, text: str, steps: int, labels: Sequence[str]) -> list[int]:
    """Numbers of the characters of a row. Raises TunesmithError where its clip is too short for them."""
    found = numbers(text, labels)
    if (need := least_steps(found)) > steps:
        raise TunesmithError(
            f"{rows_shown([record])}: a text of {len(text)} characters needs {need} steps in time, and its clip has "
            f"{steps}. Is it the right text? Take the row out"
        )
    return found


def text(heard: Sequence[int], labels: Sequence[str]) -> str:
    """What these characters say; the unknown one says nothing."""
    said = "".join(" " if n == FIRST.index(SPACE) else labels[n] for n in heard if n != UNKNOWN)
    return " ".join(said.split())


def least_steps(wanted: Sequence[int]) -> int:
    """Steps in time that a text needs: one a character, and a blank between equal neighbours."""
    return len(wanted) + sum(a == b for a, b in pairwise(wanted))


def losses(logits_BTC: "Tensor", encoded: Encoded, rows: Sequence[int]) -> "Tensor":
    """-ln of the probability of each row's text, (B,), with a graph."""
    import torch

    assert encoded.labels is not None, "rows to learn from have texts"
    steps = torch.from_numpy(np.asarray(encoded.ids.lengths_of(rows), np.int64))
    sizes = torch.from_numpy(np.asarray(encoded.labels.lengths_of(rows), np.int64))
    wanted = torch.from_numpy(encoded.labels.joined(rows).astype(np.int64))
    return of_texts(logits_BTC, wanted, steps, sizes)


def of_texts(logits_BTC: "Tensor", wanted: "Tensor", steps: "Tensor", sizes: "Tensor") -> "Tensor":
    """The same of texts that lie end to end."""
    import torch
    from torch.nn import functional

    with torch.backends.cudnn.flags(enabled=False):
        return functional.ctc_loss(
            logits_BTC.log_softmax(-1).transpose(0, 1), wanted.to(logits_BTC.device), steps, sizes, blank=BLANK,
            reduction="none",
        )  # fmt: skip


def greedy(logits_BTC: "Tensor", steps: Sequence[int]) -> list[list[int]]:
    """The most probable character of each step, repeats and blanks left out."""
    best_BT = logits_BTC.argmax(-1).cpu().numpy()
    out = []
    for path, length in zip(best_BT, steps, strict=True):
        own = path[:length]
        kept = own[np.concatenate([[True], own[1:] != own[:-1]])] if length else own
        out.append([int(n) for n in kept if n != BLANK])
    return out


def right(heard: Sequence[int], wanted: Sequence[int]) -> int:
    """Characters of the text that no edit touches: its length less the Levenshtein distance, at least 0."""
    before = list(range(len(wanted) + 1))
    for i, char in enumerate(heard, 1):
        now = [i]
        for j, other in enumerate(wanted, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (char != other)))
        before = now
    return max(0, len(wanted) - before[-1])


def as_read(logits: Sequence["Tensor"], labels_NL: "Tensor", golden_NC: Array) -> Array:
    """What `Transcribe.read` says, from the logits (1, T, C) of one golden row after the other; how long a text is in
    bytes has nothing to do with the network."""
    import torch

    out = np.full(golden_NC.shape, -1.0, np.float32)
    for row, logits_1TC in enumerate(logits):
        wanted = labels_NL[row][labels_NL[row] >= 0]
        steps = logits_1TC.shape[1]
        heard = greedy(logits_1TC, [steps])[0]
        loss = of_texts(logits_1TC, wanted, torch.tensor([steps]), torch.tensor([len(wanted)]))
        out[row, :4] = float(loss), len(wanted), right(heard, wanted.tolist()), golden_NC[row, 3]
        out[row, 4 : 4 + len(heard)] = heard
    return out


def save_tokenizer(labels: Sequence[str], folder: Path) -> None:
    """vocab.json, and what AutoTokenizer opens."""
    from transformers import Wav2Vec2CTCTokenizer

    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({name: n for n, name in enumerate(labels)}, ensure_ascii=False), encoding="utf-8")
    made = Wav2Vec2CTCTokenizer(  # type: ignore[no-untyped-call]
        str(vocabulary), bos_token=None, eos_token=None, unk_token=FIRST[UNKNOWN], pad_token=FIRST[BLANK],
        word_delimiter_token=SPACE,
    )  # fmt: skip
    made.save_pretrained(folder)
