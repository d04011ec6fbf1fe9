"""Sections on mistakes: confusion matrix, table of classes, scatter of numbers, the most confident errors."""

import numpy as np

from tunesmith.evaluation import report_spans
from tunesmith.evaluation.curves import UNKNOWN, ClassRow, confusion, most_confident_errors, per_class, wilson
from tunesmith.evaluation.plots import Bars, Frame, columns, number, scatter
from tunesmith.evaluation.report_blocks import (
    Block,
    Cell,
    Figure,
    Figures,
    Mistake,
    Mistakes,
    Note,
    Points,
    Section,
    Table,
    cell,
    count,
    fixed,
    percent,
)
from tunesmith.evaluation.report_heat import SHOWN, heat, most_confused
from tunesmith.evaluation.report_read import Part, Results
from tunesmith.metrics import Answers, Floats, Ints
from tunesmith.metrics._pairs import FIRST_TOKENS, SECOND_TOKENS, UNTOLD, margins

MANY = 25
LONGEST = 400
"""Letters of a text that are shown."""


def confusions(results: Results) -> Section:
    """Which class is taken for which; for numbers, answers against the truth."""
    part = results.part
    if part is None or not len(part):
        return Section("confusion", "What is mixed up")
    if results.kind == "numbers":
        return Section("confusion", "Answers against the truth", _numbers(part))
    if results.kind == "pairs":
        return Section("confusion", "By how much better answers win", _margins(part))
    if results.kind == "tags":
        return Section("confusion", "What is mixed up", report_spans.confusion(part, results.split))
    if results.kind == "multilabel" or part.answers.kind != "classes":
        return Section("confusion", "What is mixed up")
    labels, matrix = confusion(part.answers)
    how = (
        "Each line holds the rows that truly belong to one class, each column an answer; the number is how many rows. "
        "On the diagonal the answer is right. A strong colour elsewhere shows two classes that the model mixes up. "
        "Colour is the share of the line."
    )
    title = f"Confusion matrix, {results.split}"
    if len(labels) > SHOWN:
        title += f": the {SHOWN} classes of {len(labels)} with the most mistakes"
    blocks: list[Block] = [Figure(title, heat(labels, matrix), how)]
    pairs = most_confused(labels, matrix)
    if pairs:
        blocks.append(Points("Most often mixed up", [(_pair(p), _times(p)) for p in pairs]))
    else:
        blocks.append(Note("No row was answered wrongly.", "good"))
    return Section("confusion", "What is mixed up", blocks)


def _pair(pair: tuple[str, str, int, int]) -> str:
    return f"“{pair[0]}” answered as “{pair[1]}”"


def _times(pair: tuple[str, str, int, int]) -> str:
    return f"{pair[2]} of {count(pair[3], 'row')} ({percent(pair[2] / pair[3])})"


def _numbers(part: Part) -> list[Block]:
    truth_N, answer_N = (side.astype(np.float64) for side in (part.answers.truth, part.answers.predicted))
    known = np.isfinite(truth_N) & np.isfinite(answer_N)
    truth_N, answer_N = truth_N[known], answer_N[known]
    if not len(truth_N):
        return []
    error_N = answer_N - truth_N
    dots = scatter(truth_N.tolist(), answer_N.tolist(), Frame("truth", "answer"), "Answers against true values")
    how = "Each dot is a row. On the dashed line the answer equals the truth; above it the answer is too high."
    edges = np.histogram_bin_edges(error_N, bins=min(30, max(5, int(len(error_N) ** 0.5))))
    counts = np.histogram(error_N, edges)[0]
    frame = Frame("answer minus truth", "rows", mark=0.0, mark_label="exact")
    bars = columns(Bars(edges.tolist(), counts.tolist()), frame, "How far answers lie from the truth")
    lean = float(error_N.mean())
    high = "high" if lean > 0 else "low"
    how_bars = (
        f"How many rows are how far off; a narrow hill around 0 is good. On average the answers are "
        f"{number(float(f'{abs(lean):.2g}'))} too {high}; half of them lie within "
        f"{number(float(f'{np.median(np.abs(error_N)):.2g}'))} of the truth."
    )
    return [Figures([Figure("Answer and truth", dots, how), Figure("Errors", bars, how_bars)])]


def _margins(part: Part) -> list[Block]:
    """Pictures of the rewards of pairs."""
    margin_N = margins(part.answers, "margin")
    edges = np.histogram_bin_edges(margin_N, bins=min(30, max(5, int(len(margin_N) ** 0.5))))
    frame = Frame("reward of the better minus that of the worse", "rows", mark=0.0, mark_label="alike")
    bars = columns(Bars(edges.tolist(), np.histogram(margin_N, edges)[0].tolist()), frame, "Margins of the rewards")
    wins, losses = int((margin_N > 0).sum()), int((margin_N < 0).sum())
    how = (
        f"Right of 0 the better side has the higher reward ({count(wins, 'row')}), left of it the worse one "
        f"({count(losses, 'row')}). "
    )
    if scored := bool(np.isnan(part.answers.scores[:, UNTOLD]).all()):  # type: ignore[index]
        how += "A reward is what the model scores an answer with: one higher by 1 wins with odds of e to 1."
    else:
        how += (
            "A reward is beta times how much likelier than before training an answer has become (for orpo and simpo: "
            "times how likely a token of it is); where a row has one answer, it is compared with the reward that "
            "answers to other questions have on average."
        )
    return [Figure("Margins", bars, how), *([_by_length(part, margin_N)] if scored else [])]


def _by_length(part: Part, margin_N: Floats) -> Table:
    """Does a reward model only count words? Its accuracy where the better answer is the longer one, and where not."""
    assert part.answers.scores is not None
    more_N = part.answers.scores[:, FIRST_TOKENS] - part.answers.scores[:, SECOND_TOKENS]
    sides = (("longer", more_N > 0), ("as long", more_N == 0), ("shorter", more_N < 0))
    rows = []
    for name, which_N in sides:
        wins, total = int((margin_N[which_N] > 0).sum()), int(which_N.sum())
        rows.append([Cell(name), cell(total), _share(wins / total, wilson(wins, total)) if total else Cell("–")])
    header = ["The better answer is", "Rows", "Scored higher"]
    return Table("Does it only count words? By length in tokens, with 95 % intervals", header, rows)


def classes(results: Results) -> Section:
    """How well each class or label is found, the hardest first."""
    part = results.part
    if part is None or results.kind in ("numbers", "text", "pairs", "vectors") or not len(part):
        return Section("per-class", "Class by class")
    if results.kind == "tags":
        return Section("per-class", "Type by type", report_spans.by_type(results, part))
    noun = "label" if results.kind == "multilabel" else "class"
    level = float(results.measured.get("level", 0.95))
    found = sorted(per_class(part.answers, level), key=lambda row: (row.f1, -row.support))
    thresholds = results.facts.get("thresholds") or []
    labels = part.answers.labels
    limits = dict(zip(labels, thresholds, strict=True)) if len(thresholds) == len(labels) else {}
    rows = [[*_class(row), *([cell(limits.get(row.label))] if limits else [])] for row in found]
    header = [noun.capitalize(), "Rows", "Found (recall)", "Right (precision)", "F1"] + ["Threshold"] * bool(limits)
    told = (
        f"Found: of the rows that truly are of this {noun}, the share that was answered so. Right: of the rows "
        "answered so, the share that truly is. F1 joins the two. Hardest first; below each share its "
        f"{results.percent} interval."
    )
    table = Table(f"{results.split.capitalize()}, by {noun}", header, rows, folded=len(rows) > MANY)
    blocks: list[Block] = [Note(told), table]
    if thresholds and not limits:
        blocks.append(Note(f"Answered as the positive class from a probability of {fixed(thresholds[0])} on."))
    return Section("per-class", f"{noun.capitalize()} by {noun}", blocks)


def _class(row: ClassRow) -> list[Cell]:
    return [
        Cell(row.label), cell(row.support), _share(row.recall, row.recall_interval),
        _share(row.precision, row.precision_interval), Cell(fixed(row.f1), "", row.f1),
    ]  # fmt: skip


def _share(share: float, interval: tuple[float, float] | None) -> Cell:
    if interval is None:  # nothing was answered, or nothing is true
        return Cell("–", "no rows")
    return Cell(percent(share), f"{percent(interval[0])[:-2]} to {percent(interval[1])}")


def mistakes(results: Results) -> Section:
    """Wrong answers that the model was surest of: often it is the file that is wrong."""
    part = results.part
    if part is None or not len(part):
        return Section("mistakes", "Most confident errors")
    title = _TITLES.get(results.kind, "Most confident errors")
    if results.kind == "tags":
        return Section("mistakes", title, report_spans.mistakes(part))
    rows = _wrong(part)
    if not len(rows):
        return Section("mistakes", title, [Note("No row was answered wrongly.", "good")])
    told = {
        "classes": "The wrong answers that the model was surest of. Read them first: some are wrong labels in the "
        "file, not wrong answers, and correcting those is the cheapest gain there is.",
        "multilabel": "The rows with the clearest wrong label, surest first. Some are wrong labels in the file.",
        "numbers": "The answers that lie farthest from the truth. Some are typing errors in the file.",
        "text": "The rows whose true answer surprised the model most, token by token, and what it wrote instead.",
        "vectors": "Of rankings, the passages that answer a query and stand farthest down; of pairs with a score, "
        "those whose likeness is farthest from it, both counted by their order. Some are judged wrongly in the file.",
        "pairs": "The comparisons that came out most clearly the wrong way round. Some are judged wrongly in the file.",
    }[results.kind]
    if results.kind == "text" and not any(map(str, part.answers.predicted)):
        told = "The rows whose true words surprised the model most, token by token. It writes none itself."
    shown = [_mistake(part, int(row)) for row in rows]
    return Section("mistakes", title, [Note(told), Mistakes(f"{len(shown)} rows", shown)])


_TITLES = {"numbers": "Largest errors", "text": "Most surprising answers", "pairs": "Clearest wrong preferences",
           "vectors": "Farthest from where they belong"}  # fmt: skip


def _wrong(part: Part) -> Ints:
    answers = part.answers
    if answers.kind == "text":
        if answers.scores is None:
            return np.arange(min(20, len(part)))
        return np.argsort(-answers.scores[:, 0] / np.maximum(answers.scores[:, 1], 1), kind="stable")[:20]
    if answers.kind == "pairs":
        margin_N = margins(answers, "margin")
        return np.argsort(margin_N, kind="stable")[: min(20, int((margin_N < 0).sum()))]
    if answers.kind == "vectors":
        return _far(answers)
    if answers.kind == "classes" and answers.scores is None:  # how sure it was is not known: the first ones
        return np.flatnonzero(answers.truth != answers.predicted)[:20]
    return most_confident_errors(answers, 20)


def _far(answers: Answers) -> Ints:
    """Answers of rankings by their place; scored pairs by how far the order of likeness is from that of scores."""
    place_N, grade_N = answers.predicted.astype(np.float64), answers.truth[:, 0].astype(np.float64)
    if answers.scores is None or not np.array_equal(place_N, answers.scores[:, 0]):
        return np.argsort(np.where(grade_N > 0, -place_N, 0), kind="stable")[: min(20, int((place_N > 1).sum()))]
    order_N, wanted_N = (np.argsort(np.argsort(each, kind="stable"), kind="stable") for each in (place_N, grade_N))
    return np.argsort(-np.abs(order_N - wanted_N), kind="stable")[:20]


def _mistake(part: Part, row: int) -> Mistake:
    answers, text = part.answers, part.texts[row]
    text = f"{text[:LONGEST]}…" if len(text) > LONGEST else text
    truth, answer = answers.truth[row], answers.predicted[row]
    if answers.kind == "pairs":
        return _wrong_pair(part, row, text)
    if answers.kind == "text":
        return Mistake(text, str(answer)[:LONGEST] or _unwritten(part, row), str(truth[0])[:LONGEST], part.places[row])
    if answers.kind == "vectors":
        return Mistake(text, number(float(f"{answer:.3g}")), number(float(truth[0])), part.places[row])
    if answers.kind == "numbers":
        return Mistake(text, number(float(answer)), number(float(truth)), part.places[row])
    if answers.kind == "multilabel":
        return Mistake(text, _set(answers.labels, answer), _set(answers.labels, truth), part.places[row])
    sure = "" if answers.scores is None else f" ({percent(float(answers.scores[row, answer]))} sure)"
    name = UNKNOWN if truth < 0 else answers.labels[truth]
    return Mistake(text, f"{answers.labels[answer]}{sure}", name, part.places[row])


def _unwritten(part: Part, row: int) -> str:
    """In place of an answer that is empty, or of a model that writes none."""
    scores = part.answers.scores
    if scores is None or not scores[row, 1]:
        return "(not written)"
    return f"(not written; perplexity {float(np.exp(min(scores[row, 0] / scores[row, 1], 700))):.3g})"


def _wrong_pair(part: Part, row: int, text: str) -> Mistake:
    """What the model rewards more, and what the file says is better; of a single answer whether it is wanted."""
    assert part.answers.scores is not None
    first, second = (said[:LONGEST] for said in part.compared[row])
    wins, place = bool(part.answers.truth[row] == 1), part.places[row]
    if part.answers.scores[row, SECOND_TOKENS] > 0:
        return Mistake(text, second if wins else first, first if wins else second, place)
    return Mistake(f"{text} → {first}", *(("unwanted", "wanted") if wins else ("wanted", "unwanted")), place)


def _set(labels: tuple[str, ...], ones_C: Ints) -> str:
    return ", ".join(labels[i] for i in np.flatnonzero(ones_C)) or "(none)"
