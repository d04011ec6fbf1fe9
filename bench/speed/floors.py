"""What we aim at, as numbers that were agreed on before anything was measured, and whether it is reached."""

from collections.abc import Sequence
from dataclasses import dataclass

from standing import Measured, Spread


@dataclass(frozen=True)
class Floor:
    """A ratio that must be reached."""

    job: str
    arm: str
    """Whom ours is set against."""
    least: float
    words: str

    def reached(self, found: Sequence[Measured]) -> tuple[Measured, Spread] | None:
        """The measurement on the most rows; None where there is none."""
        fitting = [(each, ratio) for each in found if each.job == self.job and (ratio := each.ratio(self.arm))]
        return max(fitting, key=lambda pair: pair[0].some["rows"], default=None)


def _every_length(name: str, arm: str, least: float, words: str) -> list[Floor]:
    return [Floor(f"{name}-{epochs}", arm, least, f"{words}, {_epochs(epochs)}") for epochs in (1, 3, 10)]


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"


FLOORS = (
    Floor("head-1", "trainer", 4, "head only, 1 epoch"),
    Floor("head-3", "trainer", 11, "head only, 3 epochs"),
    Floor("head-10", "trainer", 35, "head only, 10 epochs"),
    Floor("layers1-10", "trainer", 16, "top 1 of 6 layers, 10 epochs"),
    Floor("layers2-10", "trainer", 5.5, "top 2 of 6 layers, 10 epochs"),
    Floor("lora2-10", "trainer", 6, "LoRA on the top 2 layers, 10 epochs"),
    *_every_length("lora", "trainer", 2.7, "LoRA on all layers"),
    *_every_length("full", "trainer", 3.0, "full"),
    *_every_length("lora", "trainer best", 1.8, "LoRA on all layers, peer's best options"),
    *_every_length("full", "trainer best", 1.8, "full, peer's best options"),
    Floor("search_heads", "trainer", 100, "8 heads in one search"),
    Floor("search_lora2", "trainer", 10, "8 LoRA configurations on the top 2 layers"),
    Floor("sft-152k-70", "trainer", 2.5, "SFT, LoRA, 70 % prompt, vocabulary 152k"),
    Floor("sft-32k-70", "trainer", 2.0, "SFT, LoRA, 70 % prompt, vocabulary 32k"),
    Floor("sft-32k-shared", "ours, prefix off", 2.9, "8 rows of 130 tokens behind one of 500, against ours without it"),
    Floor("predict", "pipeline 1", 1.9, "batch prediction, against pipeline at batch 1"),
    Floor("predict", "pipeline 32", 6, "batch prediction, against pipeline at batch 32"),
)
