"""Preference tuning: learn which of two answers people prefer, or which answers they want, from comparisons.

    question, chosen, rejected -> log p of both answers -> a loss that pulls them apart
    dpo    -ln sigmoid(beta ((ln p - ln p0)(chosen) - (ln p - ln p0)(rejected)))       p0: the model before training
    ipo    (the same difference, of means over tokens, - 1 / (2 beta))^2
    simpo  -ln sigmoid(beta (mean ln p(chosen) - mean ln p(rejected)) - gamma)         needs no p0
    orpo   -mean ln p(chosen) - beta ln sigmoid(ln odds(chosen) - ln odds(rejected))   needs no p0
    kto    1 - sigmoid(+-beta ((ln p - ln p0)(answer) - z))                            one answer a row, wanted or not

DPO: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290. IPO: Azar et al. 2023, https://arxiv.org/abs/2310.12036.
SimPO: Meng et al. 2024, https://arxiv.org/abs/2405.14734. ORPO: Hong et al. 2024, https://arxiv.org/abs/2403.07691.
KTO: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306; z is the divergence from p0, estimated in each step on
its questions with answers of other rows, 0 at least. Which loss when: docs/preferences.md.

The outputs of a row are six numbers (`READ`), of which everything that is judged is computed.
Shape letters: N rows, B rows of a piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from tunesmith.bases.family import Family, Purpose
from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Cell
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.dialogue.formats import Columns, detect
from tunesmith.dialogue.rewriting import rewritten
from tunesmith.dialogue.templates import find_template
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Rows, Task, Tick, _pairs, _preferences, no_tick
from tunesmith.tasks._language import ANSWER, PROMPT, end_of, met, refuse_unlearnable, spoiling, told_format
from tunesmith.tasks._preferences import PER_TOKEN, WITH_REFERENCE, Loss, Two

if TYPE_CHECKING:
    from torch import Tensor

READ = ("first", "second", "first_tokens", "second_tokens", "first_reference", "second_reference")
"""Outputs of a row, (N, 6): log-probabilities of both answers, their tokens, and the former before training."""
_USED_BY: dict[str, tuple[Loss, ...]] = {
    "label_smoothing": ("dpo", "simpo"), "gamma": ("simpo",), "sft_weight": ("dpo", "ipo", "simpo"),
    "desirable": ("kto",), "undesirable": ("kto",),
}  # fmt: skip


class Prefer(Task):
    """Answers that people prefer: pairs of a better and a worse answer, or single answers that are wanted or not."""

    name: Literal["prefer"] = "prefer"
    metrics: tuple[str, ...] = ("reward_accuracy", "reward_margin", "kl", "nll_chosen")
    loss: Loss = "dpo"
    """What pulls answers apart; see the top of this page. kto takes rows of one answer, the others pairs."""
    beta: PositiveFloat = 0.1
    """How strongly a difference of log-probabilities counts; a smaller one lets the model move further from where it
    began. ipo: 1 / (2 beta) is the difference aimed at; orpo: weight of the odds; simpo's paper has 2 to 2.5."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """dpo, simpo: share of pairs taken to be labelled the wrong way round (conservative DPO)."""
    gamma: Annotated[float, Field(ge=0)] = 0.5
    """simpo: margin of rewards aimed at; the paper has 0.3 to 1.6."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """dpo, ipo, simpo: adds so many times the mean loss of a token of the chosen answer, against its getting less
    likely, too (orpo has that with weight 1)."""
    desirable: PositiveFloat = 1.0
    """kto: weight of wanted answers."""
    undesirable: PositiveFloat = 1.0
    """kto: weight of unwanted answers; with the other chosen so that both kinds weigh about alike."""
    mapping: Columns | None = None
    """Which columns mean what; detected unless given."""
    template: str = "auto"
    """How a conversation is written for the base: the tokenizer's own template, or one by name (chatml, llama3 …)."""
    special_tokens: Literal["text", "control"] = "text"
    """What special tokens of the tokenizer become in the texts of a row (<|im_end|> in a question): text like any
    other, or (control) what they are in the template, for texts that bring their own marks."""
    max_tokens: PositiveInt = 512
    """Longest conversation in tokens, each of the two; what is cut off beyond is counted in the ledger."""

    kind: ClassVar[Literal["pairs"]] = "pairs"
    talks: ClassVar[bool] = True
    problem_type: ClassVar[str | None] = None
    usual_steps: ClassVar[tuple[str, ...]] = ("dedup",)
    usual_baselines: ClassVar[tuple[str, ...]] = ("untuned",)
    prefer: ClassVar[str] = "people compared answers: after generate, to make good answers likelier than bad ones"
    source: ClassVar[str] = "Rafailov et al. 2023, https://arxiv.org/abs/2305.18290"

    def purpose(self, model_type: str) -> Purpose:
        return "language"

    def base_objection(self, family: Family) -> str | None:
        if family.purpose == "seq2seq":
            return f"prefer compares what causal language models continue with, and {family.name} is an encoder-decoder"
        return None

    def objection(self, plan: Any) -> str | None:
        for field, losses in _USED_BY.items():
            if self.differs(field) and self.loss not in losses:
                return f"{field} has no effect with loss: {self.loss} (it belongs to {' and '.join(losses)}). Remove it"
        if fault := spoiling(plan):
            return fault
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; a language model reads every token"
        if self.loss == "kto" and "win_rate" in plan.metric_names:
            return "win_rate compares two answers, and rows of kto have one. Take it out of the metrics"
        return None

    @property
    def pairs(self) -> bool:
        """Whether a row has two answers."""
        return self.loss != "kto"

    # rows

    def resolved(self, table: Table) -> "Prefer":
        """With the columns of the file known."""
        some = [cells for _, cells in table.rows[:200]]
        found = self.mapping or detect(table.columns, some, table.source)
        if self.pairs and not (found.chosen and found.rejected):
            cure = "This file says of single answers whether they are wanted: task.loss=kto" if found.label else (
                "Name them in task.mapping"
            )  # fmt: skip
            raise TunesmithError(f"{table.source}: loss {self.loss} needs the columns chosen and rejected. {cure}")
        if not self.pairs and not found.label:
            cure = "This file has pairs: task.loss=dpo" if found.chosen else "Name it in task.mapping (label)"
            raise TunesmithError(f"{table.source}: kto needs a column that says true or false of each answer. {cure}")
        return self.model_copy(update={"mapping": found})

    def roles(self, *, labelled: bool = True) -> Roles:
        """The columns that `taken_in` makes."""
        return Roles((PROMPT,), ANSWER if labelled else None)

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows with both their sequences in columns of our own."""
        assert self.mapping is not None, "the task is not resolved"
        if self.pairs:
            columns = self.mapping
            return stored.records(_pairs.pair_taken(record, columns) for record in records)
        return stored.records(_pairs.opinions_taken(records, self.mapping, labelled=labelled))

    def rewritten(self, record: Record, roles: Roles, put: Callable[[str], str]) -> dict[str, Cell]:
        assert self.mapping is not None, "the task is not resolved"
        return rewritten(record.cells, self.mapping, (), put)

    def reread(self, records: Sequence[Record], roles: Roles) -> Sequence[Record]:
        return self.taken_in(records, labelled=roles.label is not None)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        return Facts(notes=told_format(self.mapping))

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """With the template that rows are written with, in training and ever after."""
        template = find_template(self.template, tokenizer, control=self.special_tokens == "control")
        return met(facts, template, end_of(template, tokenizer))

    def outputs(self, facts: Facts) -> int:
        return len(READ)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        assert facts.template is not None, "the task has met its tokenizer"
        limit = self.max_tokens + facts.template.num_virtual
        inner = _pairs.laid_out(records, facts.template, tokenizer, limit, tick, pairs=self.pairs)
        refuse_unlearnable(inner, [r for r in records for _ in range(2)], self.max_tokens)
        wanted = [self.pairs or bool(r.cells[_pairs.WANTED]) for r in records]
        return replace(_pairs.of_rows(inner, records), targets=np.array(wanted, dtype=np.int64))

    # losses

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Sum of the rows' weights: the loss of a step is a mean over rows."""
        return float(encoded.weights[rows].sum())

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """kto: with the divergence from the reference over all rows of the step, however it is cut."""
        if self.pairs:
            return encoded
        import torch

        assert encoded.inner is not None and encoded.reference is not None, "rows were referred (reference.refer)"
        others, moved = [2 * int(r) + 1 for r in rows], 0.0
        with torch.no_grad():
            for part in way.pieces(encoded.inner, others, max_tokens):
                now, _ = _pairs.log_probabilities(way, encoded.inner, part)
                moved += float(now.sum()) - float(encoded.reference[[s // 2 for s in part], 1].sum())
        return replace(encoded, drift=max(0.0, moved / len(others)))

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        import torch

        assert encoded.inner is not None and encoded.targets is not None
        which = _pairs.sequences(rows, second=self.pairs)
        logps, tokens = _pairs.log_probabilities(way, encoded.inner, which)
        weights_B = torch.from_numpy(encoded.weights[list(rows)]).to(logps)
        if self.pairs:
            losses_B = self.losses(_pairs.halves(logps), _pairs.halves(tokens), self._reference(encoded, rows, logps))
        else:
            wanted_B = torch.from_numpy(encoded.targets[list(rows)]).to(logps.device) == 1
            if encoded.drift is None:  # single rows that a method wants to see before the first step
                encoded = self.faced(way, encoded, rows, _pairs.WHOLE)
            assert encoded.drift is not None
            ratio_B = logps - self._reference(encoded, rows, logps).first
            losses_B = self.opinion_losses(ratio_B, wanted_B, encoded.drift)
        return (losses_B * weights_B).sum().float()

    def _reference(self, encoded: Encoded, rows: Sequence[int], like: "Tensor") -> Two:
        """Log-probabilities before training; zeros for losses that do not ask."""
        import torch

        if self.loss not in WITH_REFERENCE:
            return Two(*torch.zeros(2, len(rows), dtype=like.dtype, device=like.device))
        assert encoded.reference is not None, "rows were referred (reference.refer)"
        return Two(*torch.from_numpy(encoded.reference[list(rows)].T.copy()).to(like))

    def losses(self, logps: Two, tokens: Two, reference: Two) -> "Tensor":
        """Loss of each pair, (B,), from the log-probabilities of both answers, their tokens, and the reference's."""
        means = Two(logps.first / tokens.first, logps.second / tokens.second)
        ratios = Two(logps.first - reference.first, logps.second - reference.second)
        if self.loss == "orpo":
            return _preferences.orpo(means, self.beta)
        if self.loss == "ipo":
            ratios = Two(ratios.first / tokens.first, ratios.second / tokens.second)
            found = _preferences.ipo(ratios, self.beta)
        elif self.loss == "simpo":
            found = _preferences.smoothed(self.beta * means.difference() - self.gamma, self.label_smoothing)
        else:
            found = _preferences.smoothed(self.beta * ratios.difference(), self.label_smoothing)
        return found - self.sft_weight * means.first

    def opinion_losses(self, ratio_B: "Tensor", wanted_B: "Tensor", drift: float) -> "Tensor":
        """kto: loss of each answer, (B,), from its log-ratio to the reference."""
        return _preferences.kto(ratio_B, wanted_B, drift, self.beta, (self.desirable, self.undesirable))

    # what is read and answered

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """`READ` of each row."""
        import torch

        assert encoded.inner is not None and encoded.reference is not None, "rows were referred (reference.refer)"
        logps, tokens = _pairs.log_probabilities(way, encoded.inner, _pairs.sequences(rows))
        reference = torch.from_numpy(encoded.reference[list(rows)])
        return torch.cat([logps.cpu().reshape(-1, 2), tokens.cpu().reshape(-1, 2), reference], 1).float()

    def before(self, encoded: Encoded) -> Array | None:
        """The reference is what the model said before it was trained: nothing has to be run for that."""
        if encoded.reference is None or encoded.inner is None:
            return None
        tokens = np.array([np.count_nonzero(labels >= 0) for labels in encoded.inner.labels or ()]).reshape(-1, 2)
        return np.column_stack([encoded.reference, tokens, encoded.reference]).astype(np.float32)

    def as_plain(self, readings_SK: Array, golden_NC: Array) -> Array:
        """The reference is data of a row."""
        logps, tokens = -readings_SK[:, 0].reshape(-1, 2), readings_SK[:, 1].reshape(-1, 2)
        return np.column_stack([logps, tokens, golden_NC[:, 4:]])

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Mean over rows; of kto with the divergence over all of them."""
        import torch

        assert encoded.targets is not None
        columns = torch.from_numpy(np.asarray(outputs_NC, dtype=np.float64)).T
        logps, tokens, reference = Two(*columns[0:2]), Two(*columns[2:4]), Two(*columns[4:6])
        if self.pairs:
            return float(self.losses(logps, tokens, reference).mean())
        wanted = torch.from_numpy(encoded.targets) == 1
        return float(self.opinion_losses(logps.first - reference.first, wanted, _drift(outputs_NC)).mean())

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """(which answer has the higher reward: 1 the first, 0 the second, 0.5 both; scores of `metrics.Answers`)."""
        found = np.asarray(outputs_NC, dtype=np.float64)
        rewards = self.rewards(found)
        if not self.pairs:  # one answer, and as the second the point of reference, which was fixed on validation rows
            rewards[:, 1] = facts.thresholds[0] if facts.thresholds else self.beta * _drift(found)
            found = found.copy()
            found[:, [1, 3, 5]] = 0.0
        return (np.sign(rewards[:, 0] - rewards[:, 1]) + 1) / 2, np.column_stack([found, rewards])

    def rewards(self, outputs_NC: Array) -> Array:
        """Implicit rewards of both answers, (N, 2): beta times the log-ratio to the reference (Rafailov et al. 2023),
        or beta times the mean log-probability of a token for losses without one."""
        if self.loss in WITH_REFERENCE:
            found = outputs_NC[:, 0:2] - outputs_NC[:, 4:6]
            return np.asarray(self.beta * (found / outputs_NC[:, 2:4] if self.loss in PER_TOKEN else found))
        return np.asarray(self.beta * outputs_NC[:, 0:2] / outputs_NC[:, 2:4])

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        """1 where the first answer should win: in every pair, and of opinions where the answer is wanted."""
        assert encoded.targets is not None
        return encoded.targets

    def tuned(self, scores_NC: Array, truth: Array, facts: Facts, choose: Any) -> Facts:
        """kto: the reward from which on an answer counts as wanted is the divergence on the validation rows."""
        return facts if self.pairs else facts.model_copy(update={"thresholds": (float(scores_NC[0, 7]),)})

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None
        if not self.pairs:
            written = np.where(predicted > 0.5, "wanted", "unwanted")
            return {"prediction": written.tolist(), "reward": scores[:, 6].tolist()}
        written = np.select([predicted > 0.5, predicted < 0.5], ["chosen", "rejected"], "neither")
        return {"prediction": written.tolist(), "margin": (scores[:, 6] - scores[:, 7]).tolist()}


def _drift(outputs_NC: Array) -> float:
    """Divergence from the reference: mean log-ratio of answers to other questions, 0 at least."""
    return max(0.0, float((outputs_NC[:, 1] - outputs_NC[:, 5]).mean(dtype=np.float64))) if len(outputs_NC) else 0.0
