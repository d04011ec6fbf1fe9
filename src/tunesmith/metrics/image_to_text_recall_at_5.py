"""Share of the images of which a text of theirs stands among the first 5."""

from typing import Any, ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric, _crossed


class ImageToTextRecallAt5(Metric):
    """Image to text, recall at 5: the share of images of which a text of theirs stands among the first 5."""

    name: Literal["image_to_text_recall_at_5"] = "image_to_text_recall_at_5"
    kinds: ClassVar[tuple[Kind, ...]] = ("vectors",)
    prefer: ClassVar[str] = (
        "prefer image_to_text_recall_at_5 when any of the texts of an image will do, and 5 are shown"
    )
    source: ClassVar[str] = "Karpathy & Fei-Fei 2015, https://arxiv.org/abs/1412.2306"

    def objection(self, plan: Any) -> str | None:
        return _crossed.objection(self.name, plan)

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        return _crossed.recall(*_crossed.images(answers, weight_RN), 5)
