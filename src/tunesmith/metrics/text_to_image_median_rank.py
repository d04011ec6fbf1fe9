"""Median place of the best image of a text, from 1."""

from typing import Any, ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric, _crossed


class TextToImageMedianRank(Metric):
    """Text to image, median rank: the middle one of the places of the best image of a text."""

    name: Literal["text_to_image_median_rank"] = "text_to_image_median_rank"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = "prefer text_to_image_median_rank when few answers stand near the top"
    source: ClassVar[str] = "Karpathy & Fei-Fei 2015, https://arxiv.org/abs/1412.2306"

    def objection(self, plan: Any) -> str | None:
        return _crossed.objection(self.name, plan)

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return _crossed.median(*_crossed.texts(answers, weight_RN))
