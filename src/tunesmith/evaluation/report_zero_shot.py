"""Section on classes told by their names: accuracy before and after."""

from tunesmith.evaluation.report_blocks import Block, Cell, Note, Section, Table, count, measured, percent
from tunesmith.evaluation.report_read import Results, base_name

TITLE = "Classes by their names"


def zero_shot(results: Results) -> Section:
    """Nothing where the plan asks for none."""
    found = results.measured.get("zero_shot")
    if not found:
        return Section("zero-shot", TITLE, [])
    what = f"images of {base_name(found['file'])}" if found["file"] else "the images that the result is judged on"
    rows = [
        [Cell(what, count(found["rows"], "image")), *(measured(found[k]) for k in ("before", "after", "difference"))]
    ]
    caption = f"Accuracy among {len(found['classes'])} classes, with {results.percent} intervals"
    told = (
        f"Each image was put into the class whose name, in a sentence, lies nearest to it. Nobody taught these "
        f"classes. The commonest of them alone would be right for {percent(found['commonest'])}. "
        f"{_verdict(found['difference'])}"
    )
    blocks: list[Block] = [Table(caption, ["Images", "Before", "After", "Difference"], rows), Note(told)]
    return Section("zero-shot", TITLE, blocks)


def _verdict(difference: dict[str, float]) -> str:
    if difference["high"] < 0:
        return "This model classifies them worse than its base: it forgot."
    return (
        "This model classifies them better than its base." if difference["low"] > 0 else "No difference beyond chance."
    )
