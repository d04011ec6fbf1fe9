"""Section on confidence: ROC, precision-recall and calibration pictures.

Shape letters: N rows, C classes, G grid points.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tunesmith.evaluation.curves import precision_recall, reliability, roc
from tunesmith.evaluation.plots import Bars, Frame, Series, columns, lines
from tunesmith.evaluation.report_blocks import Figure, Figures, Note, Section, fixed
from tunesmith.evaluation.report_read import Results
from tunesmith.metrics import Answers, Floats

FEW = 20
"""Classes whose own curves are drawn behind their mean."""
GRID_G = np.linspace(0, 1, 101)
UNIT = (0.0, 1.0)
Ones = NDArray[np.bool_]
Curve = tuple[Floats, Floats]


def confidence(results: Results) -> Section:
    """How well the probabilities rank, and whether they can be believed."""
    part = results.part
    title = "Can its confidence be believed?"
    if part is None or part.answers.scores is None or not len(part) or results.kind in ("text", "pairs", "vectors"):
        return Section("confidence", title)
    names, sides = _sides(part.answers)
    figures = [_roc(names, sides), _precision_recall(names, sides), _calibration(part.answers), _how_sure(part.answers)]
    found = [figure for figure in figures if figure]
    told = (
        "The model answers with a probability. These pictures ask two questions: do right answers get higher "
        "probabilities than wrong ones, and does “90 %” mean right nine times out of ten?"
    )
    return Section("confidence", title, [Note(told), Figures(found)] if found else [])


def _sides(answers: Answers) -> tuple[list[str], list[tuple[Floats, Ones]]]:
    """(score, is it so) of the positive class, or of every class against the rest; those with both kinds of rows."""
    assert answers.scores is not None
    num = answers.scores.shape[1]
    picked: Sequence[int] = range(num)
    if answers.kind == "classes" and num == 2:
        picked = [1 if answers.positive is None else answers.positive]
    truth_NC = answers.truth if answers.kind == "multilabel" else answers.truth[:, None] == np.arange(num)
    sides = {c: (answers.scores[:, c], truth_NC[:, c].astype(bool)) for c in picked}
    good = {c: side for c, side in sides.items() if 0 < side[1].sum() < len(side[1])}
    return [answers.labels[c] for c in good], list(good.values())


def _thin(x: Floats, y: Floats, num: int) -> tuple[list[float], list[float | None]]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), num)).round().astype(int))
    return x[keep].tolist(), y[keep].tolist()


def _drawn(names: list[str], curves: list[Curve], on_grid: Callable[[Floats, Floats], Floats]) -> list[Series]:
    if len(curves) == 1:
        return [Series(names[0], *_thin(*curves[0], 200))]
    x_G = GRID_G.tolist()
    found = [on_grid(*curve) for curve in curves]
    behind = [Series(name, x_G, y_G.tolist(), "s3") for name, y_G in zip(names, found, strict=True)]
    mean = Series("mean of the classes", x_G, np.mean(found, axis=0).tolist())
    return [*(behind if len(curves) <= FEW else []), mean]


def _legend(names: list[str]) -> tuple[tuple[str, str], ...]:
    if len(names) == 1:
        return ()
    return (("s1", "mean of the classes"), *((("s3", "each class"),) if len(names) <= FEW else ()))


def _worst(names: list[str], areas: list[float]) -> str:
    if len(names) == 1:
        return f"Area: {fixed(areas[0])}."
    low = int(np.argmin(areas))
    mean = fixed(float(np.mean(areas)))
    return f"Area, mean of the classes: {mean}; the lowest is “{names[low]}” ({fixed(areas[low])})."


def _roc(names: list[str], sides: list[tuple[Floats, Ones]]) -> Figure | None:
    if not sides:
        return None
    found = [roc(*side) for side in sides]
    curves = [(one.fpr, one.tpr) for one in found]
    series = _drawn(names, curves, lambda x, y: np.interp(GRID_G, *_highest(x, y)))
    areas = [float(np.trapezoid(y, x)) for x, y in curves]
    against = f"“{names[0]}”" if len(names) == 1 else "each class against the rest"
    frame = Frame("false alarms", "found", UNIT, UNIT, diagonal=True)
    how = (
        f"For {against}: accept more answers and more is found (up), but more false alarms come too (right). A good "
        f"curve hugs the upper left corner; the dashed line is guessing. {_worst(names, areas)}"
    )
    return Figure("ROC curve", lines(series, frame, f"ROC curve. {_worst(names, areas)}"), how, _legend(names))


def _highest(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    # At a jump the curve takes its upper end, but starts at (0, 0).
    last = np.r_[x[1:] != x[:-1], True]
    return np.r_[0.0, x[last]], np.r_[0.0, y[last]]


def _precision_recall(names: list[str], sides: list[tuple[Floats, Ones]]) -> Figure | None:
    if not sides:
        return None
    found = [precision_recall(*side) for side in sides]
    curves = [_until_all_found(one.recall[::-1], one.precision[::-1]) for one in found]
    series = _drawn(names, curves, _best_beyond)
    areas = [float(np.sum(np.diff(x) * y[1:])) for x, y in curves]
    base = float(np.mean([side[1].mean() for side in sides]))
    series.append(Series("guessing", [0.0, 1.0], [base, base], "s4"))
    how = (
        "The more of a class is to be found (right), the more of what is accepted is wrong (the curve falls). A good "
        f"curve stays high up to the right; the dashed line is guessing. {_worst(names, areas)}"
    )
    frame = Frame("found (recall)", "right (precision)", UNIT, UNIT)
    return Figure("Precision and recall", lines(series, frame, f"Precision-recall curve. {_worst(names, areas)}"), how,
                  _legend(names))  # fmt: skip


def _until_all_found(recall: Floats, precision: Floats) -> tuple[Floats, Floats]:
    end = int(np.argmax(recall >= 1)) + 1
    return recall[:end], precision[:end]


def _best_beyond(recall: Floats, precision: Floats) -> Floats:
    """The best precision at each recall of the grid or beyond it (the interpolation of Manning et al. 2008, 8.4)."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return best[np.minimum(np.searchsorted(recall, GRID_G - 1e-12), len(best) - 1)]


def _calibration(answers: Answers) -> Figure | None:
    bins = reliability(_decisions(answers), 10)
    if not len(bins.rows):
        return None
    area = np.sqrt(bins.rows / bins.rows.max())
    sure, right = bins.confidence.tolist(), bins.accuracy.tolist()
    series = Series("bins of rows", sure, right, "s1", True, (2 + 5 * area).tolist())
    gap = float(np.average(bins.confidence - bins.accuracy, weights=bins.rows))
    lean = "is about as sure as it is right" if abs(gap) < 0.02 else (
        "is too sure of itself" if gap > 0 else "is more often right than it claims")  # fmt: skip
    how = (
        "Dots on the dashed line mean that the stated confidence is the true chance of being right. Below it the model "
        f"is too sure of itself. Large dots hold many rows. Over all rows it {lean} (by {abs(gap) * 100:.1f} points)."
    )
    frame = Frame("how sure it was", "how often it was right", UNIT, UNIT, diagonal=True)
    return Figure("Calibration", lines([series], frame, f"Calibration: over all rows the model {lean}"), how)


def _how_sure(answers: Answers) -> Figure | None:
    decided = _decisions(answers)
    assert decided.scores is not None
    said = decided.predicted.astype(np.int64)
    sure = decided.scores[np.arange(len(said)), said]
    edges = np.linspace(min(float(sure.min()) // 0.05 * 0.05, 0.95), 1, 16)
    wrong = sure[said != decided.truth]
    bars = Bars(edges.tolist(), np.histogram(sure, edges)[0].tolist(), np.histogram(wrong, edges)[0].tolist())
    what = "decisions" if answers.kind == "multilabel" else "rows"
    how = (
        f"How many {what} were answered with how much confidence; the wrong ones in orange. Where orange gathers on "
        "the left, a person can check the unsure answers and leave the rest to the model."
    )
    picture = columns(bars, Frame("how sure it was", what), f"Number of {what} by confidence")
    return Figure("How sure it was", picture, how, (("s1", "all"), ("wrong", "wrong")))


def _decisions(answers: Answers) -> Answers:
    """Of label sets, every single yes or no as a row of two classes."""
    if answers.kind != "multilabel":
        return answers
    assert answers.scores is not None
    yes = answers.scores.ravel()
    said = answers.predicted.astype(np.int64).ravel()
    return Answers("classes", answers.truth.astype(np.int64).ravel(), said, np.stack([1 - yes, yes], 1), ("no", "yes"))
