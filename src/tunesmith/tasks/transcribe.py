"""Speech recognition: what is said in each clip, by connectionist temporal classification (CTC), or with a decoder.

    file -> one channel at the base's rate -> backbone -> head at each step in time -> logits (B, T, C)
    most probable character of each step -> repeats and blanks out -> text                  a a _ b b -> a b

Loss: -ln of the probability of all alignments of the text with the steps, by the characters of the text. The alphabet
is that of the training texts: a blank, an unknown, "|" for a space, and each character.

Graves et al. 2006, https://doi.org/10.1145/1143844.1143891.

    file -> log-mel spectrogram -> encoder -> decoder, from the language's mark on -> next token, until the text ends

Loss: cross-entropy of the tokens of the text, a mean over tokens, as Whisper was trained: Radford et al. 2022,
https://arxiv.org/abs/2212.04356. The base decides which of the two (`_ctc`, `_dictated`).

Shape letters: N rows, B rows of a piece, T steps in time, C characters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tunesmith.bases.family import Family, Purpose, family_of, plain
from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.names import SOUNDS
from tunesmith.data.overlap import rows_shown
from tunesmith.data.ragged import Growing
from tunesmith.data.record import SAMPLES
from tunesmith.data.roles import find_column, infer_label
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Rows, Task, Tick, _clips, _ctc, _dictated, _files, no_tick

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.bases.hearing import SoundProcessor


class Transcribe(Task):
    """What is said in each clip, in writing."""

    name: Literal["transcribe"] = "transcribe"
    metrics: tuple[str, ...] = ("cer", "wer", "nll", "exact_match")
    audio: str | None = None
    """Column with the path of the sound, from the folder of the file; found by itself when only one can be meant."""
    text: str | None = None
    """Column that holds what is said; found by itself when only one can be meant."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest clip; a longer one is refused, because its text would go on where nothing is heard."""
    case: Literal["keep", "lower", "upper"] = "keep"
    """What letters become, in the texts that are learnt and in those that are compared with."""

    language: str | None = None
    """Language of the texts (en, zh, …), for bases that mark it (Whisper)."""
    translate: bool = False
    """The texts are English whatever is spoken: Whisper's second task."""

    kind: ClassVar[Literal["text"]] = "text"
    problem_type: ClassVar[str | None] = None
    hears: ClassVar[bool] = True
    best: ClassVar[str | None] = "loss"
    """A network that learns by CTC says nothing but blanks for long, and its error rates stand still meanwhile."""
    usual_steps: ClassVar[tuple[str, ...]] = ("sounds", "dedup")
    aim: ClassVar[str] = "to write down what is said"
    pipeline: ClassVar[str] = "automatic-speech-recognition"
    prefer: ClassVar[str] = "each row is a recording of speech, and the answer is what was said"
    source: ClassVar[str] = (
        "Graves et al. 2006, https://doi.org/10.1145/1143844.1143891; Radford et al. 2022, "
        "https://arxiv.org/abs/2212.04356"
    )

    def objection(self, plan: Any) -> str | None:
        return _files.objection(self, plan, "sounds", "sounds")

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("untuned",)

    def answers_before(self, facts: Facts) -> bool:
        """A decoder has learnt to write; characters are told by a head that is new."""
        return bool(facts.encoder_decoder)

    def purpose(self, model_type: str) -> Purpose:
        return "ctc"

    def base_objection(self, family: Family) -> str | None:
        if family.decodes:
            return None
        odd = {"language": self.language, "translate": self.translate}
        named = next((name for name, value in odd.items() if value), None)
        return named and f"{named}: a {family.name} writes characters, and has no marks of languages. Remove it"

    def processor(self, base: Found, saved: Path | None = None) -> "SoundProcessor":
        from tunesmith.bases.dictating import load_dictating
        from tunesmith.bases.hearing import load_hearing

        if family_of(base.model_type, "ctc").decodes:
            return load_dictating(base, saved, self.language, translate=self.translate)
        return load_hearing(base, saved)

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """A decoder writes with its own tokens, and needs no alphabet."""
        return facts.model_copy(update={"labels": ()}) if family.decodes else facts

    def resolved(self, table: Table) -> "Transcribe":
        known = {c: find_column(c, table.columns, table.source) for c in (self.audio, self.text) if c}
        free = [c for c in table.columns if c not in known]
        _files.require_free(table, SAMPLES)
        audio = self.audio or _files.infer_path(free, table, SOUNDS, "audio", "sounds")
        left = [c for c in free if c != audio]
        text = self.text or (left[0] if len(left) == 1 else infer_label(left, table))
        return self.model_copy(update={"audio": audio, "text": text})

    def roles(self, *, labelled: bool = True) -> Roles:
        return Roles((SAMPLES,), self.text if labelled else None, file=self.audio or "audio")

    def said(self, record: Record, column: str) -> str:
        """The text of a row as it is learnt: one space between words."""
        text = " ".join(str(record.cells.get(column) or "").split())
        if not text:
            raise TunesmithError(f"{rows_shown([record])}: column '{column}' holds no text. Take the row out")
        return {"keep": text, "lower": text.lower(), "upper": text.upper()}[self.case]

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        assert roles.label is not None, "rows to learn from have texts"
        return Facts(labels=_ctc.alphabet(self.said(record, roles.label) for record in records))

    def outputs(self, facts: Facts) -> int:
        return len(facts.labels)

    def config(self, facts: Facts) -> dict[str, Any]:
        return {} if facts.encoder_decoder else {"vocab_size": len(facts.labels), "pad_token_id": _ctc.BLANK}

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        encoded = _clips.encode(records, roles.file or "audio", tokenizer, self.seconds, None, tick)
        if roles.label is None:
            return encoded
        if len(cut := np.flatnonzero(encoded.lost)):
            some = [records[int(row)] for row in cut[:5]]
            raise TunesmithError(f"{rows_shown(some, count=len(cut))}: longer than task.seconds: {self.seconds:g}. Cut "
                                 "the clip and its text, or raise task.seconds")  # fmt: skip
        labels, texts = Growing(), [self.said(record, roles.label) for record in records]
        for record, text, steps in zip(records, texts, encoded.ids.lengths.tolist(), strict=True):
            if facts.encoder_decoder:
                labels.extend([_dictated.labels(record, text, tokenizer)])
            else:
                labels.extend([_ctc.spelt(record, text, steps, facts.labels)])
        encoded.labels, encoded.apart, encoded.references = labels.done(), True, [(text,) for text in texts]
        encoded.sizes = np.array([len(text.encode()) for text in texts], np.int64)
        return encoded

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Characters, or tokens of a decoder, by the weights of their rows."""
        assert encoded.labels is not None, "rows to learn from have texts"
        return float((encoded.weights[rows] * encoded.labels.lengths_of(rows)).sum())

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        import torch

        if way.dictates:
            return _dictated.step_loss(way, encoded, rows)
        losses_B = _ctc.losses(way.logits(encoded, rows), encoded, rows)
        return (losses_B * torch.from_numpy(encoded.weights[list(rows)]).to(losses_B.device)).sum()

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """(B, 4 + F): negative log-likelihood of the text, its characters, those that are right, its bytes; then the
        characters that are heard, behind them -1, up to the steps F of the longest row. Of a decoder: `_dictated`."""
        import torch

        if way.dictates:
            return _dictated.read(way, encoded, rows)
        logits_BTC = way.logits(encoded, rows)
        out = torch.full((len(rows), 4 + int(encoded.ids.lengths.max())), -1.0)
        out[:, :4] = 0
        heard = _ctc.greedy(logits_BTC, encoded.ids.lengths_of(rows).tolist())
        for place, numbers in enumerate(heard):
            out[place, 4 : 4 + len(numbers)] = torch.tensor(numbers, dtype=torch.float32)
        if encoded.labels is not None:
            out[:, 0] = _ctc.losses(logits_BTC, encoded, rows).detach().cpu()
            for place, (row, numbers) in enumerate(zip(rows, heard, strict=True)):
                wanted = encoded.labels[row].tolist()
                out[place, 1], out[place, 2] = len(wanted), _ctc.right(numbers, wanted)
                out[place, 3] = 0 if encoded.sizes is None else int(encoded.sizes[row])
        return out

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Negative log-likelihood of a character, or of a token."""
        return float(outputs_NC[:, 0].sum(dtype=np.float64) / max(1.0, outputs_NC[:, 1].sum(dtype=np.float64)))

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        if facts.encoder_decoder:
            texts = [_dictated.text(row) for row in outputs_NC[:, 4:]]
        else:
            texts = [_ctc.text([int(n) for n in row if n >= 0], facts.labels) for row in outputs_NC[:, 4:]]
        return np.fromiter(texts, object, len(texts)), np.asarray(outputs_NC[:, :4], dtype=np.float64)

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.references is not None
        return np.fromiter(encoded.references, object, len(encoded.references))

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        return {"prediction": [str(text) for text in predicted]}

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]]:
        return _clips.replayed(folder, records, self.roles().shown[0], self.seconds)

    def plainly(self, logits: Sequence["Tensor"], tensors: dict[str, Any]) -> Array:
        as_read = _dictated.as_read if "input_features" in tensors else _ctc.as_read
        return as_read(logits, tensors["labels"], tensors["logits"].numpy())

    def lay_beside(self, net: Any, folder: Path, facts: Facts) -> None:
        """vocab.json and the tokenizer that transformers writes texts with; a decoder's stands with its processor."""
        if facts.encoder_decoder:
            return
        base: Any = plain(net)
        known: dict[int, str] = base.config.id2label
        _ctc.save_tokenizer([known[n] for n in sorted(known)], folder)
