"""Sections on spans: which type is taken for which, how well each is found, the surest mistakes as marked texts."""

from collections import Counter
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from tunesmith.evaluation.curves import wilson
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Figure,
    Mistake,
    Mistakes,
    Note,
    Points,
    Table,
    fixed,
    percent,
)
from tunesmith.evaluation.report_heat import heat, most_confused
from tunesmith.evaluation.report_read import Part, Results

NOTHING = "(nothing)"
LONGEST = 400
SHOWN = 20
Span = dict[str, Any]


def confusion(part: Part, split: str) -> list[Block]:
    """Each true span by the type of the answer that lies most over it, and answers that lie over nothing."""
    pairs: Counter[tuple[str, str]] = Counter()
    for truth, answers in part.marked:
        met = set()
        for span in truth:
            over = [(_shared(span, one), -i) for i, one in enumerate(answers)]
            most, place = max(over, default=(0, 0))
            met |= {-i for shared, i in over if shared}
            pairs[span["label"], answers[-place]["label"] if most else NOTHING] += 1
        pairs.update((NOTHING, one["label"]) for i, one in enumerate(answers) if i not in met)
    if not pairs:
        return []
    labels = [*sorted({name for pair in pairs for name in pair} - {NOTHING}), NOTHING]
    matrix = np.array([[pairs[a, b] for b in labels] for a in labels], dtype=np.int64)
    how = (
        "Each line holds the spans that truly are of one type, each column what was marked there; the number is how "
        f"many. On the diagonal the type is right, even if an end is off. The line “{NOTHING}” holds answers where the "
        f"file marks nothing, the column “{NOTHING}” spans that were missed. Colour is the share of the line."
    )
    blocks: list[Block] = [Figure(f"Types of spans, {split}", heat(labels, matrix), how)]
    if worst := most_confused(labels, matrix):
        blocks.append(Points("Most often mixed up", [(_mixed(a, b), f"{n} of {all_} spans ({percent(n / all_)})")
                                                     for a, b, n, all_ in worst]))  # fmt: skip
    return blocks


def _shared(a: Span, b: Span) -> int:
    """Characters that two spans have in common."""
    return max(0, int(min(a["end"], b["end"]) - max(a["start"], b["start"])))


def _mixed(truth: str, answer: str) -> str:
    if truth == NOTHING:
        return f"“{answer}” marked where there is nothing"
    return f"“{truth}” missed" if answer == NOTHING else f"“{truth}” marked as “{answer}”"


def by_type(results: Results, part: Part) -> list[Block]:
    """A line for each type: how many there are, how many were found, how many answers are right; hardest first."""
    true, answered, right = Counter[str](), Counter[str](), Counter[str]()
    for truth, answers in part.marked:
        true.update(span["label"] for span in truth)
        answered.update(span["label"] for span in answers)
        right.update(kind for _, _, kind in _keys(truth) & _keys(answers))
    level = float(results.measured.get("level", 0.95))
    rows = []
    for kind in set(true) | set(answered):
        f1 = 2 * right[kind] / (true[kind] + answered[kind])
        shares = [_share(right[kind], count, level) for count in (true[kind], answered[kind])]
        rows.append((f1, -true[kind], kind, [Cell(kind), Cell(str(true[kind])), *shares, Cell(fixed(f1), "", f1)]))
    header = ["Type", "Spans", "Found (recall)", "Right (precision)", "F1"]
    told = (
        "A span is right where its first word, its last word and its type are. Found: of the spans that truly are of "
        "this type, the share that was marked so. Right: of the spans marked so, the share that truly is. F1 joins "
        f"the two. Hardest first; below each share its {results.percent} interval, as if spans were independent."
    )
    return [Note(told), Table(f"{results.split.capitalize()}, by type", header, [row[-1] for row in sorted(rows)])]


def _keys(spans: list[Span]) -> set[tuple[int, int, str]]:
    return {(span["start"], span["end"], span["label"]) for span in spans}


def _share(hits: int, num: int, level: float) -> Cell:
    interval = wilson(hits, num, level)
    if interval is None:
        return Cell("–", "none")
    return Cell(percent(hits / num), f"{percent(interval[0])[:-2]} to {percent(interval[1])}")


def mistakes(part: Part) -> list[Block]:
    """Texts with what was marked wrongly, surest first, then texts in which a span was missed."""
    wrong = []
    for row, (truth, answers) in enumerate(part.marked):
        false = [span for span in answers if (span["start"], span["end"], span["label"]) not in _keys(truth)]
        if false or _keys(truth) - _keys(answers):
            wrong.append((-max((span.get("confidence", 0.0) for span in false), default=-1.0), row))
    if not wrong:
        return [Note("Every span was found, and nothing else was marked.", "good")]
    told = (
        "Texts with the wrong marks that the model was surest of, its own marks highlighted; below them what the file "
        "marks. Read them first: some are gaps in the file, not wrong answers, and filling those is the cheapest gain."
    )
    rows = [_mistake(part, row) for _, row in sorted(wrong)[:SHOWN]]
    return [Note(told), Mistakes(f"{len(rows)} texts", rows)]


def _mistake(part: Part, row: int) -> Mistake:
    truth, answers = part.marked[row]
    return Mistake(_marked(part.texts[row], answers), _listed(answers), _listed(truth), part.places[row])


def _marked(text: str, spans: list[Span]) -> Markup:
    """The text around the first span, spans highlighted with their type."""
    begin = max(0, spans[0]["start"] - LONGEST // 2) if spans and spans[0]["start"] > LONGEST else 0
    end, at = begin + LONGEST, begin
    made = escape("…" if begin else "")
    for span in spans:
        if span["end"] <= end:
            made += escape(text[at : span["start"]])
            made += Markup("<mark>{}<small> {}</small></mark>").format(text[span["start"] : span["end"]], span["label"])
            at = span["end"]
    return made + escape(text[at:end]) + ("…" if len(text) > end else "")


def _listed(spans: list[Span]) -> str:
    def one(span: Span) -> str:
        sure = f" ({percent(span['confidence'])} sure)" if "confidence" in span else ""
        return f"{span['label']}: {span['text'][:60]}{sure}"

    return "; ".join(map(one, spans)) or NOTHING
