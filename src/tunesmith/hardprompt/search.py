"""The search: successive halving of instructions, then forward selection of examples, on validation rows.

    all instructions on a few rows -> the better half on twice as many -> ... -> one
    its prompt + one of some training rows -> keep the best if it is better on the same rows -> ... -> up to `shots`

Candidates are compared on the same rows, and each answer is asked for once. What the search picks looks better on its
rows than it is (it was picked for that): only rows that it never saw tell. So a share of the budget is put aside for
them before the search begins.

Jamieson and Talwalkar 2016 (successive halving), https://arxiv.org/abs/1502.07943; examples chosen greedily as in
Liu et al. 2022, https://arxiv.org/abs/2101.06804, without its embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.hardprompt.candidates import Candidate
from tunesmith.hardprompt.journal import Journal, SpentError
from tunesmith.metrics import Answers, Metric
from tunesmith.tasks._language import dialogue_in

FIRST_ROWS = 4
"""Rows on which all instructions are tried."""
CHOICES = 6
"""Training rows that are tried in each round of the forward selection."""
SHARE = 0.3
"""Most of the budget that is put aside for the held-out rows."""


@dataclass
class Trial:
    """A candidate on some rows."""

    stage: str
    candidate: Candidate
    rows: int
    value: float


@dataclass
class Search:
    """One search."""

    journal: Journal
    metric: Metric
    splits: dict[str, Sequence[Record]]
    seed: int = 0
    shots: int = 4
    trials: list[Trial] = field(default_factory=list)

    def run(self, instructions: Sequence[str]) -> tuple[Candidate, Candidate, int]:
        """(the plain candidate, the best one, held-out rows that the budget allows)."""
        plain = Candidate(instructions[0])
        held = min(len(self.splits["test"]), int(self.journal.budget * SHARE) // 2)
        if held < 2 or self.journal.budget - 2 * held < FIRST_ROWS * len(instructions):
            least = max(14, int(FIRST_ROWS * len(instructions) / (1 - SHARE)) + 1)
            raise TunesmithError(f"--budget: {self.journal.budget} calls are too few for this search; {least} would do")
        whole, self.journal.budget = self.journal.budget, self.journal.budget - 2 * held
        try:
            best = self._examples(self._halving([Candidate(text) for text in instructions]))
        finally:
            self.journal.budget = whole
        return plain, best, held

    def answers(self, candidate: Candidate, split: str, rows: Sequence[int], stage: str) -> Answers:
        """What the candidate makes the model say of some rows of a split."""
        records = [self.splits[split][row] for row in rows]
        asked = [candidate.dialogue(record, self.splits["train"]) for record in records]
        said = self.journal.ask(asked, stage)
        return Answers.of_texts([(dialogue_in(r).answer(),) for r in records], [s.text for s in said])

    def _order(self) -> list[int]:
        """Validation rows in a drawn order: the first n of it are what is tried on n rows."""
        drawn = np.random.default_rng([self.seed, 1]).permutation(len(self.splits["validation"]))
        return [int(row) for row in drawn]

    def _score(self, candidate: Candidate, rows: int, stage: str) -> float:
        """Higher is better, whichever way the metric counts."""
        answers = self.answers(candidate, "validation", self._order()[:rows], stage)
        value = float(self.metric.measure(answers, np.ones((1, len(answers.truth))))[0])
        self.trials.append(Trial(stage, candidate, len(answers.truth), value))
        value = -np.inf if np.isnan(value) else value
        return -value if self.metric.better == "lower" else value

    def _fits(self, candidate: Candidate, rows: int) -> bool:
        """Whether the model can read the whole prompt, with each row that it is tried on."""
        records = [self.splits["validation"][row] for row in self._order()[:rows]]
        return all(self.journal.speaker.fits(candidate.dialogue(r, self.splits["train"])) for r in records)

    def _halving(self, candidates: list[Candidate]) -> Candidate:
        candidates = candidates[:1] + [each for each in candidates[1:] if self._fits(each, FIRST_ROWS)]
        rows, most, half = FIRST_ROWS, len(self.splits["validation"]), self.journal.budget // 2
        while True:
            cost = (rows if rows == FIRST_ROWS else rows // 2) * len(candidates)
            if len(self.journal.used) and len(self.journal.used) + cost > half:
                return candidates[0]
            try:
                scores = [self._score(each, rows, f"instructions, {rows} rows") for each in candidates]
            except SpentError:
                return candidates[0]
            ranked = sorted(range(len(candidates)), key=lambda i: -scores[i])  # the earlier one where two are equal
            candidates = [candidates[i] for i in ranked[: (len(ranked) + 1) // 2]]
            if len(candidates) == 1 or rows >= most:
                return candidates[0]
            rows = min(2 * rows, most)

    def _examples(self, best: Candidate) -> Candidate:
        draw = np.random.default_rng([self.seed, 2])
        rows = self._affordable()
        try:
            value = self._score(best, rows, "examples, none")
            for number in range(1, self.shots + 1):
                free = [i for i in range(len(self.splits["train"])) if i not in best.shots]
                some = [int(i) for i in draw.permutation(free)[:CHOICES]]
                longer = [replace(best, shots=(*best.shots, shot)) for shot in some]
                longer = [each for each in longer if self._fits(each, rows)]
                scores = [self._score(each, rows, f"examples, {number}") for each in longer]
                if not scores or max(scores) <= value:
                    return best
                value, best = max(scores), longer[int(np.argmax(scores))]
        except SpentError:
            pass
        return best

    def _affordable(self) -> int:
        """Rows on which all rounds of the forward selection can be tried with what is left."""
        each = self.journal.left // max(1, 1 + self.shots * CHOICES)
        return max(min(FIRST_ROWS, len(self.splits["validation"])), min(each, len(self.splits["validation"])))


def shown(candidate: Candidate, train: Sequence[Record]) -> dict[str, Any]:
    """A candidate for a person: the instruction, and the examples with their place in the data."""
    shots = []
    for shot in candidate.shots:
        record = train[shot]
        dialogue = dialogue_in(record)
        asked = "\n".join(m.content for m in dialogue.asked().messages)
        shots.append({"source": record.source, "line": record.line, "asked": asked, "answer": dialogue.answer()})
    return {"instruction": candidate.instruction, "examples": shots}
