"""Median place of the best text of an image, from 1."""

from typing import Any, ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric, _crossed


class ImageToTextMedianRank(Metric):
    """Image to text, median rank: the middle one of the places of the best text of an image."""

    name: Literal["image_to_text_median_rank"] = "image_to_text_median_rank"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = "prefer image_to_text_median_rank when few answers stand near the top"
    source: ClassVar[str] = "Karpathy & Fei-Fei 2015, https://arxiv.org/abs/1412.2306"

    def objection(self, plan: Any) -> str | None:
        return _crossed.objection(self.name, plan)

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return _crossed.median(*_crossed.images(answers, weight_RN))
