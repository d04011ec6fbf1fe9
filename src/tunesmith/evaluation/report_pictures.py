"""Sections of pictures: right and wrong answers with where the network looked, and augmented training images."""

from typing import Any

from markupsafe import Markup

from tunesmith.evaluation.report_blocks import Block, Figure, Figures, Note, Section, percent
from tunesmith.evaluation.report_read import Results


def pictures(results: Results) -> Section:
    """What was answered of which picture, and what in it spoke for the answer."""
    found = results.pictures.get("answers") or []
    blocks: list[Block] = []
    for right, title in ((False, "Wrong, the surest first"), (True, "Right, the surest first")):
        some = [each for each in found if each["right"] == right]
        if some:
            blocks += [Note(title), Figures([_answer(each) for each in some])]
    if blocks:
        told = (
            "Left the picture as the network was given it, right what in it spoke for the answer: the warmer, the more "
            "(Grad-CAM). Where the warmth lies beside the thing, the network has learnt something else than was meant."
        )
        blocks.insert(0, Note(told))
    return Section("pictures", "Pictures, and where the network looked", blocks)


def _answer(each: dict[str, Any]) -> Figure:
    name = str(each["row"]).replace("\\", "/").rsplit("/", 1)[-1]
    title = f"{each['answer']} ({percent(float(each['sure']))} sure)"
    what = name if each["right"] else f"{name}: in the file “{each['truth']}”"
    return Figure(title, _image(each["image"], name) + _image(each["map"], f"where it looked in {name}"), "", what=what)


def augmented(results: Results) -> Section:
    """What training images were turned into."""
    found = results.pictures.get("augmented") or []
    shown: list[Block] = [
        Figures([Figure(str(each["how"]), Markup("").join(_image(i, str(each["how"])) for i in each["images"]), "")])
        for each in found
    ]
    if shown:
        shown.insert(0, Note("Each way alone, on the same training pictures; in training they follow one another."))
    return Section("augmented", "Training pictures, augmented", shown)


def _image(address: str, text: str) -> Markup:
    assert address.startswith("data:image/png;base64,"), "a page loads nothing"
    return Markup('<img src="{}" alt="{}" width="112">').format(address, text)
