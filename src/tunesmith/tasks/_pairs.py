"""Rows of two sequences, for tasks that compare answers: how they are read, laid out and shown.

    pair     question, chosen, rejected                  ->  question chosen   | question rejected
    opinion  question, answer, whether it is wanted      ->  question answer   | question answer of another row

Shape letters: N rows, B rows of a piece.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith import scratch
from tunesmith.data import Record
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.formats import Columns, dialogue_of, opinion_of, preference_of
from tunesmith.dialogue.laying import lay
from tunesmith.dialogue.pairs import answering, lay_pair, said, shared
from tunesmith.dialogue.templates import Template
from tunesmith.tasks import Encoded, Tick
from tunesmith.tasks._language import ANSWER, Making, cells_of, dialogue_from, dialogue_in
from tunesmith.tasks._preferences import Two

if TYPE_CHECKING:
    from torch import Tensor

SECOND, WANTED = "tunesmith:second", "tunesmith:wanted"
"""Columns that are added: the second conversation of a row, and for opinions whether the answer is wanted."""
WHOLE = 1 << 40
"""More tokens than any piece has."""


def pair_taken(record: Record, columns: Columns) -> Record:
    """A row with its chosen and its rejected conversation."""
    chosen, rejected = preference_of(record, columns)
    count = shared(chosen, rejected)
    answers = json.dumps([said(chosen, count), said(rejected, count)], ensure_ascii=False)
    return replace(record, cells=record.cells | cells_of(chosen) | {SECOND: _text(rejected), ANSWER: answers})


def opinions_taken(records: Sequence[Record], columns: Columns, *, labelled: bool) -> Iterator[Record]:
    """Rows with their conversation, and with the question answered as the last row before them that asks something
    else does (the first rows: as the last row of all). TRL shifts answers by one in the same way."""

    def taken(record: Record) -> tuple[Dialogue, bool | None]:
        if labelled:
            return opinion_of(record, columns)
        return dialogue_of(record, columns), None

    before = taken(records[-1])[0] if len(records) else None
    other: Message | None = None
    for record in records:
        dialogue, wanted = taken(record)
        assert before is not None, "there is a row"
        if other is None or dialogue.asked() != before.asked():
            other = before.messages[-1]
        before = dialogue
        answer = json.dumps([asdict(dialogue.messages[-1]), wanted], ensure_ascii=False)
        added = {SECOND: _text(answering(dialogue, other)), ANSWER: answer, WANTED: wanted}
        yield replace(record, cells=record.cells | cells_of(dialogue) | added)


def _text(dialogue: Dialogue) -> str:
    return json.dumps(asdict(dialogue), ensure_ascii=False)


def laid_out(
    records: Sequence[Record], template: Template, tokenizer: Any, limit: int, tick: Tick, *, pairs: bool
) -> Encoded:
    """Both sequences of each row, 2 N; of pairs with the same question in both."""
    making = Making()
    for record in records:
        if pairs:
            made = list(lay_pair(*both(record), template, tokenizer, limit))
        else:
            made = [lay(each, template, tokenizer, learn="last", limit=limit) for each in both(record)]
        for one in made:
            making.add(one, 0)
        tick(1)
    found = making.done([1.0] * (2 * len(records)), [])
    return replace(found, token_weights=None, references=None, sizes=None)


def of_rows(inner: Encoded, records: Sequence[Record]) -> Encoded:
    """N rows around their 2 N sequences, without targets."""
    return Encoded(
        ids=inner.ids.by_twos(), types=None, lost=_by_twos(inner.lost), targets=None, side=None,
        weights=scratch.filled((r.weight for r in records), len(records), np.float32),
        lost_labels=None if inner.lost_labels is None else _by_twos(inner.lost_labels), inner=inner,
    )  # fmt: skip


def _by_twos(counts_S: Any) -> Any:
    return counts_S.reshape(-1, 2).sum(1, dtype=counts_S.dtype)


def both(record: Record) -> tuple[Dialogue, Dialogue]:
    """Both conversations of a row."""
    return dialogue_in(record), dialogue_from(str(record.cells[SECOND]))


def sequences(rows: Sequence[int], *, second: bool = True) -> list[int]:
    """Numbers of both sequences of some rows, or of the first of each."""
    return [2 * int(r) + side for r in rows for side in ((0, 1) if second else (0,))]


def log_probabilities(way: Any, inner: Encoded, which: Sequence[int]) -> tuple["Tensor", "Tensor"]:
    """Log-probability of what is learnt of some sequences, and the number of its tokens: float64, in their order."""
    import torch

    place = {number: i for i, number in enumerate(which)}
    total, tokens = (torch.zeros(len(which), dtype=torch.float64) for _ in range(2))
    for part in way.pieces(inner, which, WHOLE):  # one piece, unless the method wants rows of one length together
        outcome = way.losses(inner, part)
        losses_S = outcome.losses_S.double()
        index_S = torch.tensor([place[s] for s in part])[outcome.asked.index_S].to(losses_S.device)
        total = total.to(losses_S.device).index_add(0, index_S, -losses_S)
        tokens = tokens.to(losses_S.device).index_add(0, index_S, torch.ones_like(losses_S))
    return total, tokens


def scores(way: Any, inner: Encoded, which: Sequence[int]) -> "Tensor":
    """The one output of some sequences, in their order."""
    import torch

    found, order = [], []
    for part in way.pieces(inner, which, WHOLE):  # as in `log_probabilities`
        found.append(way.logits(inner, part)[:, 0])
        order += part
    places = {number: i for i, number in enumerate(order)}
    joined = torch.cat(found)
    return joined[torch.tensor([places[int(s)] for s in which], device=joined.device)]


def halves(values_S: "Tensor") -> Two:
    """Numbers of both sequences of rows, taken apart."""
    return Two(values_S[0::2], values_S[1::2])


def answers_in(record: Record) -> tuple[str, str]:
    """What both sequences of a row say in answer, as text to show."""
    first, second = both(record)
    return first.answer(), second.answer()
