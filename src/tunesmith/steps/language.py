"""Learn from rows of certain languages alone."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith import scratch
from tunesmith.data.languages import BY_SCRIPT, LANGUAGES, chances
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import Record, Roles
from tunesmith.data.roles import text_of
from tunesmith.data.rows import chosen, ids
from tunesmith.errors import unknown
from tunesmith.steps import Scope, Step


class Language(Step):
    """Training rows only: held-out rows in any language are judged, because rows in any language will be asked. A row
    whose language cannot be told stays, and is counted."""

    name: Literal["language"] = "language"
    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    """Languages whose rows stay, as ISO 639-1 writes them: [en, zh]."""
    certainty: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """How sure it must be that a text is in none of them before its row leaves."""

    scope: ClassVar[Scope] = "train"
    asks_plan: ClassVar[bool] = True
    source: ClassVar[str] = "Lui and Baldwin 2011, https://aclanthology.org/I11-1062; py3langid"
    prefer: ClassVar[str] = (
        "Crawled or collected texts with rows in languages that nobody asks in. Chinese, Japanese, Korean, Thai and "
        "Greek are told by their script; for others it needs the extra [language]."
    )

    def objection(self, plan: Any) -> str | None:
        if odd := next((name for name in self.languages if name not in LANGUAGES), None):
            return unknown("language", odd, LANGUAGES)
        if plan.task.sees or plan.task.hears:
            return f"language reads texts, and rows of task {plan.task.name} may have none. Take it out of steps"
        return None

    def run(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any = None
    ) -> Sequence[Record]:
        stays, known, reasons = scratch.room(len(records), "?", 1), ids(records), Counter[str]()
        columns = (*roles.texts, *([roles.label] if plan.task.kind == "text" and roles.label else []))
        for place, record in enumerate(records):
            found = self._strange(" ".join(text_of(record, c) for c in columns))
            if found in ("", "?"):
                reasons["rows whose language cannot be told, kept"] += found == "?"
                continue
            stays[place] = False
            ledger.mark(int(known[place]), "dropped", f"language: {found}")
        for what, times in (+reasons).items():
            ledger.changed(self.name, what, times)
        return chosen(records, scratch.where(stays))

    def _strange(self, text: str) -> str:
        """The language of a text that is in none of those named; "?" where that cannot be told, "" where it is."""
        found = chances(text, by_words=not set(self.languages) <= set(BY_SCRIPT))
        likely = max(found, key=lambda name: found[name], default="?")
        if found and sum(found.get(name, 0.0) for name in self.languages) <= 1 - self.certainty:
            return likely
        return "" if likely in self.languages else "?"
