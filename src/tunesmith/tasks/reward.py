"""Reward model: a score for an answer, learnt from comparisons: of two answers the better one should score higher.

    question, chosen, rejected -> backbone -> head with one output -> r(chosen), r(rejected)
    loss = -ln sigmoid(r(chosen) - r(rejected) - margin) + centering (r(chosen) + r(rejected))^2

Bradley and Terry 1952, as Ouyang et al. 2022 (https://arxiv.org/abs/2203.02155) have it; margin: Touvron et al. 2023,
https://arxiv.org/abs/2307.09288; centering: Eisenstein et al. 2023, https://arxiv.org/abs/2312.09244. The network is
transformers' Auto class with one label, which TRL's trainers take for a reward model. A decoder reads the conversation
as its template writes it and scores its last token; an encoder reads question and answer as a pair of texts.

The outputs of a row are four numbers (`READ`). Shape letters: N rows, B rows of a piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from tunesmith import scratch
from tunesmith.bases.family import Family
from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell
from tunesmith.data.roles import find_column, number_of
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.dialogue import Dialogue
from tunesmith.dialogue.controls import apart
from tunesmith.dialogue.formats import Columns, detect, dialogue_of
from tunesmith.dialogue.laying import lay
from tunesmith.dialogue.pairs import lay_pair
from tunesmith.dialogue.rewriting import rewritten
from tunesmith.dialogue.templates import Template, find_template
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, LogitsTask, Tick, _pairs, _text, no_tick
from tunesmith.tasks._language import ANSWER, DIALOGUE, PROMPT, at, cells_of, dialogue_in, met, spoiling, told_format

if TYPE_CHECKING:
    from torch import Tensor

READ = ("first", "second", "first_tokens", "second_tokens")
"""Outputs of a row, (N, 4): scores of both answers, and tokens of both conversations. A row with one answer has no
second score (NaN)."""
_METRICS = ("reward_accuracy", "reward_margin")


class Reward(LogitsTask):
    """A score for an answer, learnt from pairs of a better and a worse one."""

    name: Literal["reward"] = "reward"
    metrics: tuple[str, ...] = _METRICS
    margin: str | None = None
    """Column with how much better the chosen answer is: a number by which its score should be higher at least."""
    centering: Annotated[float, Field(ge=0)] = 0.0
    """Adds so many times the square of the sum of both scores, so that scores lie around 0 and those of several runs
    can be compared; 0.01 is usual."""
    mapping: Columns | None = None
    """Which columns mean what; detected unless given."""
    template: str = "auto"
    """How a decoder reads a conversation: the tokenizer's own template, or one by name (chatml, llama3 …)."""
    special_tokens: Literal["text", "control"] = "text"
    """What special tokens of the tokenizer become in the texts of a row (<|im_end|> in a question): text like any
    other, or (control) what they are in the template, for texts that bring their own marks."""
    max_tokens: PositiveInt = 512
    """Longest conversation in tokens, each of the two; what is cut off beyond is counted in the ledger."""

    kind: ClassVar[Literal["pairs"]] = "pairs"
    problem_type: ClassVar[str] = "regression"
    usual_steps: ClassVar[tuple[str, ...]] = ("dedup",)
    usual_baselines: ClassVar[tuple[str, ...]] = ("longer", "tfidf", "probe")
    prefer: ClassVar[str] = "people compared answers, and what is wanted is a judge of answers: to rank, filter or tune"
    source: ClassVar[str] = "Ouyang et al. 2022, https://arxiv.org/abs/2203.02155"

    def objection(self, plan: Any) -> str | None:
        if fault := spoiling(plan):
            return fault
        if odd := [name for name in plan.metric_names if name not in _METRICS]:
            return f"{odd[0]} reads what a language model writes, and this one scores. Fitting: {', '.join(_METRICS)}"
        return None

    def resolved(self, table: Table) -> "Reward":
        """With the columns of the file known."""
        found = self.mapping or detect(table.columns, [cells for _, cells in table.rows[:200]], table.source)
        if not (found.chosen and found.rejected):
            raise TunesmithError(
                f"{table.source}: reward needs the columns chosen and rejected. Name them in task.mapping; for answers "
                "that have a number each, take task regress"
            )
        if self.margin:
            find_column(self.margin, table.columns, table.source)
        return self.model_copy(update={"mapping": found})

    def roles(self, *, labelled: bool = True) -> Roles:
        """The columns that `taken_in` makes."""
        return Roles((PROMPT,), ANSWER if labelled else None)

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows with both conversations in columns of our own; rows to predict on may have one."""
        columns = self.mapping
        assert columns is not None, "the task is not resolved"
        if labelled or not len(records) or columns.chosen in records[0].cells:
            return stored.records(_pairs.pair_taken(record, columns) for record in records)
        some = records[:200]
        alone = detect(list(some[0].cells), [r.cells for r in some], some[0].source)
        if alone.kind == "text":
            raise TunesmithError(f"{some[0].source}: has texts alone. Give a question and its answer to be scored, or "
                                 f"'{columns.chosen}' and '{columns.rejected}'")  # fmt: skip
        return stored.records(replace(r, cells=r.cells | cells_of(dialogue_of(r, alone))) for r in records)

    def rewritten(self, record: Record, roles: Roles, put: Callable[[str], str]) -> dict[str, Cell]:
        assert self.mapping is not None, "the task is not resolved"
        columns = self.mapping
        if columns.chosen not in record.cells:  # one conversation, to be scored
            own = {name: cell for name, cell in record.cells.items() if name not in (DIALOGUE, PROMPT, ANSWER)}
            columns = detect(list(own), [own], record.source)
        return rewritten(record.cells, columns, (), put)

    def reread(self, records: Sequence[Record], roles: Roles) -> Sequence[Record]:
        return self.taken_in(records, labelled=roles.label is not None)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        return Facts(notes=told_format(self.mapping))

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """With the template that a decoder reads rows in."""
        if not family.decoder:
            return facts
        template = find_template(self.template, tokenizer, control=self.special_tokens == "control")
        return met(facts, template, facts.end)

    def outputs(self, facts: Facts) -> int:
        return 1

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        store, paired = _text.Tokens(), bool(records) and _pairs.SECOND in records[0].cells
        for record in records:
            dialogues = _pairs.both(record) if paired else (dialogue_in(record),)
            with at(record):
                store.extend(*self._laid(dialogues, facts.template, tokenizer))
            tick(1)
        ids, types, lost = store.done()
        weights = np.ones(len(ids), dtype=np.float32)
        inner = Encoded(ids, types, lost, None, None, weights)
        if not paired:
            return inner
        found = _pairs.of_rows(inner, records)
        margins = (number_of(r, self.margin) if self.margin and roles.label else 0.0 for r in records)
        return replace(found, targets=scratch.filled(margins, len(records), np.float32))

    def _laid(
        self, dialogues: tuple[Dialogue, ...], template: Template | None, tokenizer: Any
    ) -> tuple[list[list[int]], list[list[int]] | None, list[int]]:
        """(ids, token types, tokens lost) of the conversations of one row."""
        if template is None:
            control = self.special_tokens == "control"
            asked, said = (
                [text if control else apart(text, tokenizer) for text in texts]
                for texts in ([str(cells_of(d)[PROMPT]) for d in dialogues], [d.answer() for d in dialogues])
            )
            return _text.tokens(asked, said, tokenizer, self.max_tokens)
        if len(dialogues) > 1:
            made = list(lay_pair(dialogues[0], dialogues[1], template, tokenizer, self.max_tokens))
        else:
            made = [lay(dialogues[0], template, tokenizer, learn="last", limit=self.max_tokens)]
        return [_read_at_end(each.ids, tokenizer.pad_token_id) for each in made], None, [each.lost for each in made]

    # what is learnt, read and answered

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        """Of each pair, (B,), from its outputs (`READ`) and margins."""
        from torch.nn.functional import logsigmoid

        first_B, second_B = logits_BC[:, 0], logits_BC[:, 1]
        found = -logsigmoid(first_B - second_B - targets_B)
        return found if not self.centering else found + self.centering * (first_B + second_B) ** 2

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Each pair's loss by its weight."""
        outputs_B4 = self.read(way, encoded, rows)
        margins, weights_B = encoded.aims(rows, outputs_B4.device)
        return (self.losses(outputs_B4, margins) * weights_B).sum()

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """`READ` of each row."""
        import torch

        if encoded.inner is None:
            scores_B1 = way.logits(encoded, rows)
            tokens_B1 = torch.from_numpy(encoded.ids.lengths_of(rows)).to(scores_B1)[:, None]
            nothing = torch.full_like(scores_B1, torch.nan)
            return torch.cat([scores_B1, nothing, tokens_B1, torch.zeros_like(tokens_B1)], 1)
        which = _pairs.sequences(rows)
        scores_B2 = _pairs.scores(way, encoded.inner, which).reshape(-1, 2)
        tokens = torch.from_numpy(encoded.inner.ids.lengths_of(which)).to(scores_B2)
        return torch.cat([scores_B2, tokens.reshape(-1, 2)], 1)

    def as_plain(self, readings_SK: Array, golden_NC: Array) -> Array:
        """Lengths are no matter of the network."""
        return np.column_stack([readings_SK.reshape(-1, 2), golden_NC[:, 2:]])

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """(which answer scores higher: 1 the first, 0 the second, 0.5 both alike; scores of `metrics.Answers`, whose
        log-probabilities nobody knows here)."""
        found = np.asarray(outputs_NC, dtype=np.float64)
        unknown = np.full((len(found), 2), np.nan)
        wins = (np.sign(found[:, 0] - found[:, 1]) + 1) / 2
        return wins, np.column_stack([unknown, found[:, 2:4], unknown, found[:, :2]])

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        """The first answer should win everywhere."""
        return np.ones(len(encoded), dtype=np.int64)

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None
        first, second = scores[:, 6], scores[:, 7]
        if np.isnan(second).all():
            return {"prediction": first.tolist()}
        better = np.select([predicted > 0.5, predicted < 0.5], ["chosen", "rejected"], "neither")
        return {"prediction": better.tolist(), "margin": (first - second).tolist(), "reward_chosen": first.tolist(),
                "reward_rejected": second.tolist()}  # fmt: skip


def _read_at_end(ids: list[int], pad: int) -> list[int]:
    """Without padding tokens at the end, which a base may also end its texts with: transformers reads the last token
    that is none."""
    end = len(ids)
    while end > 1 and ids[end - 1] == pad:
        end -= 1
    return ids[:end]
