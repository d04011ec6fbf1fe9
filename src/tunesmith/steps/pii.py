"""Mask personal data and secrets that have a shape: e-mail, telephone, card, IBAN, IP, national id, key, password."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from tunesmith.data import stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.personal import KINDS, spans
from tunesmith.data.record import Cell, Record, Roles
from tunesmith.data.roles import text_of
from tunesmith.steps import Scope, Step

Kind = Literal["key", "password", "email", "iban", "cn_id", "card", "us_ssn", "ip", "phone"]
assert set(Kind.__args__) == set(KINDS)  # type: ignore[attr-defined]


class Pii(Step):
    """Text columns only. Names, addresses and organisations have no shape, and stay."""

    name: Literal["pii"] = "pii"
    kinds: tuple[Kind, ...] = tuple(Kind.__args__)  # type: ignore[attr-defined]
    """What is masked."""
    numbered: bool = True
    """[EMAIL_1], [EMAIL_2]: within a row the same value gets the same number. false: [EMAIL] for each."""

    scope: ClassVar[Scope] = "every_row"
    prefer: ClassVar[str] = (
        "Texts of people: what a model has learnt it can say again. It runs at prediction time, too."
    )

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        return stored.records(self._row(record, roles, ledger) for record in records)

    def _row(self, record: Record, roles: Roles, ledger: Ledger) -> Record:
        known: dict[tuple[str, str], int] = {}
        changed: dict[str, Cell] = {}
        for column in roles.texts if not roles.wordless else ():
            before = text_of(record, column)
            after = self._masked(before, known, ledger)
            if after != before:
                changed[column] = after
        if not changed:
            return record
        ledger.changed(self.name, "rows")
        return replace(record, cells=record.cells | changed)

    def _masked(self, text: str, known: dict[tuple[str, str], int], ledger: Ledger) -> str:
        """A text with placeholders; `known` numbers the values of its row, {(kind, value): number within its kind}."""
        parts, end = list[str](), 0
        for span in spans(text, self.kinds):
            value = span.kind, "".join(text[span.start : span.end].split()).casefold()
            number = known.setdefault(value, 1 + sum(kind == span.kind for kind, _ in known))
            placeholder = f"[{span.kind.upper()}_{number}]" if self.numbered else f"[{span.kind.upper()}]"
            parts += [text[end : span.start], placeholder]
            end = span.end
            ledger.changed(self.name, f"{span.kind} masked")
        return "".join(parts) + text[end:]
