"""Share of the texts of which an image of theirs stands among the first 10."""

from typing import Any, ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric, _crossed


class TextToImageRecallAt10(Metric):
    """Text to image, recall at 10: the share of texts of which an image of theirs stands among the first 10."""

    name: Literal["text_to_image_recall_at_10"] = "text_to_image_recall_at_10"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = "prefer text_to_image_recall_at_10 when images are searched by words, and 10 are shown"
    source: ClassVar[str] = "Karpathy & Fei-Fei 2015, https://arxiv.org/abs/1412.2306"

    def objection(self, plan: Any) -> str | None:
        return _crossed.objection(self.name, plan)

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return _crossed.recall(*_crossed.texts(answers, weight_RN), 10)
