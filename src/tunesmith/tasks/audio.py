"""Audio classification: one label for each clip.

    file -> one channel at the base's rate -> features -> backbone -> mean over time -> head -> logits (B, C) -> label

Waveforms keep their own length. A base that was pretrained to be told what is padding is told; with any other, clips of
different lengths never share a forward pass, so that no answer depends on the clips beside it.

wav2vec 2.0: Baevski et al. 2020, https://arxiv.org/abs/2006.11477. HuBERT: Hsu et al. 2021,
https://arxiv.org/abs/2106.07447. AST: Gong et al. 2021, https://arxiv.org/abs/2104.01778. Whisper: Radford et al. 2022,
https://arxiv.org/abs/2212.04356.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.bases.family import Purpose
from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.names import SOUNDS
from tunesmith.data.record import SAMPLES
from tunesmith.data.roles import find_column, infer_label
from tunesmith.data.table import Table
from tunesmith.tasks import Array, Encoded, Facts, Tick, _clips, _files, no_tick
from tunesmith.tasks._classes import ClassTask, class_numbers

if TYPE_CHECKING:
    from tunesmith.bases.hearing import SoundProcessor


class Audio(ClassTask):
    """One label for each clip of sound."""

    name: Literal["audio"] = "audio"
    audio: str | None = None
    """Column with the path of the sound, from the folder of the file; found by itself when only one can be meant. A
    folder with a folder of sounds for each class is a data file, too."""
    label: str | None = None
    """Column that holds the answer; found by itself when only one can be meant."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest part of a clip that is heard, from its beginning; what is cut off is counted in the ledger. A base that
    hears spectrograms of one size (AST, Whisper) hears no more than fits in one."""

    hears: ClassVar[bool] = True
    usual_steps: ClassVar[tuple[str, ...]] = ("sounds", "dedup")
    pipeline: ClassVar[str] = "audio-classification"
    prefer: ClassVar[str] = "each row is a recording with exactly one answer out of a fixed list"
    source: ClassVar[str] = "Baevski et al. 2020, https://arxiv.org/abs/2006.11477"

    def own_objection(self, plan: Any) -> str | None:
        return _files.objection(self, plan, "sounds", "sounds")

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("majority", "probe")

    def purpose(self, model_type: str) -> Purpose:
        return "sound"

    def processor(self, base: Found, saved: Path | None = None) -> "SoundProcessor":
        from tunesmith.bases.hearing import load_hearing

        return load_hearing(base, saved)

    def resolved(self, table: Table) -> "Audio":
        known = {c: find_column(c, table.columns, table.source) for c in (self.audio, self.label) if c}
        free = [c for c in table.columns if c not in known]
        _files.require_free(table, SAMPLES)
        audio = self.audio or _files.infer_path(free, table, SOUNDS, "audio", "sounds")
        label = self.label or infer_label([c for c in free if c != audio], table)
        return self.model_copy(update={"audio": audio, "label": label})

    def roles(self, *, labelled: bool = True) -> Roles:
        return Roles((SAMPLES,), self.label if labelled else None, file=self.audio or "audio")

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        targets = None if roles.label is None else class_numbers(records, roles.label, facts)
        encoded = _clips.encode(records, roles.file or "audio", tokenizer, self.seconds, targets, tick)
        return encoded if targets is None else self.aimed(encoded, records, facts)

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]]:
        return _clips.replayed(folder, records, self.roles().shown[0], self.seconds)
