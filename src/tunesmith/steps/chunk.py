"""Cut long texts into rows that fit, instead of losing what stands behind the limit (continued pretraining).

document -> rows of at most task.max_tokens tokens, at paragraphs, lines, sentences or words      (dialogue/chunking.py)
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeInt

from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.steps import Scope, Step


class Chunk(Step):
    """After the split, so that all pieces of a document stay on one side; in every split, so that all is measured."""

    name: Literal["chunk"] = "chunk"
    overlap: NonNegativeInt = 0
    """Tokens with which a piece repeats the end of the one before it, so that it has something to go on from. They are
    learnt twice."""

    scope: ClassVar[Scope] = "split"
    asks_plan: ClassVar[bool] = True
    prefer: ClassVar[str] = "Plain texts longer than task.max_tokens; without it what stands behind that is not learnt."

    def objection(self, plan: Any) -> str | None:
        if not callable(getattr(plan.task, "pieces", None)):  # of tags, a setting has that name
            return (
                f"chunk cuts plain texts to learn a language from, and {plan.task.name} has none. Take it out of steps"
            )
        if 2 * self.overlap > plan.task.max_tokens:
            return f"overlap {self.overlap} is more than half of task.max_tokens ({plan.task.max_tokens}). Set it lower"
        return None

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any = None
    ) -> Sequence[Record]:
        from tunesmith.bases.load import load_tokenizer

        tokenizer = load_tokenizer(plan.base.found())

        def cut() -> Iterator[Record]:
            for record in records:
                made, before, after = plan.task.pieces(record, tokenizer, self.overlap)
                if len(made) > 1:
                    ledger.cut(record.id, len(made))
                    for what, times in (("documents cut", 1), ("rows made of them", len(made)),
                                        ("their tokens before", before), ("their tokens after", after)):  # fmt: skip
                        ledger.changed(self.name, what, times)
                yield from made

        return stored.records(cut())
