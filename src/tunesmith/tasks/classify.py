"""Classification: one label for each text.

    text -> backbone -> head -> logits (B, C) -> softmax -> label
    text in a sentence with a gap -> language model -> label words in the gap -> logits (B, C)        (`_cloze.py`)

Labels, losses and how probabilities become an answer: `_classes.py`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tunesmith.bases.family import FAMILIES, Family, Purpose
from tunesmith.data import Record, Roles
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Tick, _cloze, _gap, _side, _text, no_tick
from tunesmith.tasks._classes import ClassTask, class_numbers
from tunesmith.tasks._cloze import Cloze
from tunesmith.tasks._wording import Wording


class Classify(ClassTask, _text.TextTask):
    """One label for each text or pair of texts."""

    name: Literal["classify"] = "classify"
    readout: Literal["head", "verbalizer"] = "head"
    """head: new layers on the base. verbalizer: the language head that the base was pretrained with fills a gap with
    label words; it answers before any training."""
    cloze: Cloze = Cloze()
    """The sentence with the gap, and the words (readout: verbalizer)."""

    pipeline: ClassVar[str] = "text-classification"
    prefer: ClassVar[str] = "each row has exactly one answer out of a fixed list"

    def own_objection(self, plan: Any) -> str | None:
        if fault := _side.objection(self):
            return fault
        if self.readout == "head":
            return "cloze has no effect unless readout: verbalizer" if self.differs("cloze") else None
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; a verbalizer reads the gap. Remove it"
        return self.cloze.objection(pair=self.pair is not None)

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return super().usual_baselines + ("untuned",) * self.untrained

    @property
    def untrained(self) -> bool:
        return self.readout == "verbalizer"

    def purpose(self, model_type: str) -> Purpose:
        if self.readout == "head":
            return "classify"
        return "language" if model_type in FAMILIES and FAMILIES[model_type].decoder else "masked"

    def base_objection(self, family: Family) -> str | None:
        if self.readout == "verbalizer" and family.decoder and not self.cloze.ends:
            return (
                f"cloze.template: {family.name} is causal and reads nothing behind {{mask}}. End the template with "
                "{mask}, without a full stop"
            )
        return None

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        facts = super().study(records, roles)
        if self.query is not None and len(facts.labels) != 2:
            raise TunesmithError(
                f"task.query: candidates are ranked by one of 2 labels, and these data have {len(facts.labels)}. Write "
                "relevance as numbers, for the task regress"
            )
        return _side.with_side(self, records, facts)

    def grown(self, facts: Facts, earlier: Facts) -> Facts:
        return _text.grown_labels(facts, earlier)

    def drawn(self, facts: Facts, records: Sequence[Record], roles: Roles, seed: int) -> Facts:
        if self.readout == "head":
            return facts
        shots = _cloze.drawn(self.cloze, records, roles, facts.labels, seed)
        return facts.model_copy(update={"wording": Wording(shots=shots)})

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        if self.readout == "head":
            return facts
        _gap.require_places(tokenizer)
        wording = _cloze.worded(self.cloze, facts.labels, tokenizer, causal=family.decoder)
        words = {label: each[0] for label, each in self.cloze.named(facts.labels).items()}
        drawn = () if facts.wording is None else facts.wording.shots
        shots = _gap.shown(drawn, self.cloze.template, words, tokenizer, self.max_tokens)
        return facts.model_copy(update={"wording": wording.model_copy(update={"shots": shots})})

    def blanks(self, tokenizer: Any) -> Sequence[Record]:
        if self.readout == "head" or self.cloze.calibrate == "none":
            return ()
        texts = [tokenizer.mask_token or t if t == "[MASK]" else t for t in _cloze.BLANKS]
        columns = dict.fromkeys(self.side_columns)
        rows = [columns | {c: text for c in (self.text, self.pair) if c} for text in texts]
        return [Record(i, "no content", i + 1, 0, cells) for i, cells in enumerate(rows)]

    def calibrated(self, outputs_NC: Array, facts: Facts) -> Facts:
        assert facts.wording is not None, "only words are calibrated"
        wording = facts.wording.model_copy(update={"offsets": _cloze.offsets(outputs_NC)})
        return facts.model_copy(update={"wording": wording})

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        if self.readout == "head":
            encoded = _text.encode(self, records, roles, tokenizer, facts, tick)
        else:
            encoded = _gap.encode(self, records, roles, tokenizer, facts, tick)
            encoded.queries = _text.queries_of(self, records, roles)
        if roles.label is not None:
            encoded.targets = class_numbers(records, roles.label, facts)
            return self.aimed(encoded, records, facts)
        return encoded
