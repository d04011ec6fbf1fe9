"""Mask personal data and secrets that have a shape: e-mail, telephone, card, IBAN, IP, national id, key, password."""

from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Literal

from tunesmith.data.personal import KINDS, spans
from tunesmith.steps._rewriting import Rewriting

Kind = Literal["key", "password", "email", "iban", "cn_id", "card", "us_ssn", "ip", "phone"]
assert set(Kind.__args__) == set(KINDS)  # type: ignore[attr-defined]


class Pii(Rewriting):
    """Text columns only. Names, addresses and organisations have no shape, and stay."""

    name: Literal["pii"] = "pii"
    kinds: tuple[Kind, ...] = tuple(Kind.__args__)  # type: ignore[attr-defined]
    """What is masked."""
    numbered: bool = True
    """[EMAIL_1], [EMAIL_2]: within a row the same value gets the same number. false: [EMAIL] for each."""

    prefer: ClassVar[str] = (
        "Texts of people: what a model has learnt it can say again. It runs at prediction time, too."
    )

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        return self.for_row()(text)

    def for_row(self) -> Callable[[str], tuple[str, Counter[str]]]:
        known: dict[tuple[str, str], int] = {}
        return lambda text: self._masked(text, known)

    def _masked(self, text: str, known: dict[tuple[str, str], int]) -> tuple[str, Counter[str]]:
        """A text with placeholders; `known` numbers the values of its row, {(kind, value): number within its kind}."""
        parts, end, counts = list[str](), 0, Counter[str]()
        for span in spans(text, self.kinds):
            value = span.kind, "".join(text[span.start : span.end].split()).casefold()
            number = known.setdefault(value, 1 + sum(kind == span.kind for kind, _ in known))
            placeholder = f"[{span.kind.upper()}_{number}]" if self.numbered else f"[{span.kind.upper()}]"
            parts += [text[end : span.start], placeholder]
            end = span.end
            counts[f"{span.kind} masked"] += 1
        return "".join(parts) + text[end:], counts
