"""The confusion matrix as a picture and in words.

Shape letter: K classes.
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from tunesmith.evaluation.plots import WIDTH, fitted, label, svg, tag, width_of
from tunesmith.metrics import Ints

SHOWN = 80
"""Classes in the picture; of more, those with the most mistakes."""
MANY = 30
"""Classes up to which a cell has room for its number."""
DARK = 0.72
"""Share from which the number in a cell is set in the colour of the paper."""


def heat(labels: Sequence[str], matrix_KK: Ints) -> Markup:
    """A heat map: true classes down, answers across; colour is the share of the line."""
    labels, matrix_KK = _worst(labels, matrix_KK)
    num, size = len(labels), 11 if len(labels) <= MANY else 9
    longest = max(width_of(name, size) for name in labels)
    room = min(longest + 8, 116.0 if num <= 12 else 150.0)
    side = float(np.clip((WIDTH - room - 2) // num, 20 if num <= MANY else 10, 44))
    top = 18.0 + (14.0 if longest < side else room)
    parts = [label("answered", room, 11.0), label("truly", 0.0, top - 6)]
    for place, name in enumerate(labels):
        parts += _names(fitted(name, room - 8, size), place, (room, top, side), flat=longest < side)
    parts.append(_grid(num, room, top, side))
    share_KK = matrix_KK / np.maximum(matrix_KK.sum(1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(matrix_KK), strict=True):
        told = f"truly {labels[row]}, answered {labels[column]}: {matrix_KK[row, column]}"
        corner = (room + column * side, top + row * side)
        count = int(matrix_KK[row, column]) if side >= 20 else None
        parts += _cell(corner, side, (float(share_KK[row, column]), count), told, row == column)
    alt = f"Confusion matrix of {num} classes; the most frequent confusions are listed in words below"
    return svg(parts, max(WIDTH, room + num * side + 2), top + num * side + 2, alt)


def _worst(labels: Sequence[str], matrix_KK: Ints) -> tuple[Sequence[str], Ints]:
    if len(labels) <= SHOWN:
        return labels, matrix_KK
    wrong_KK = matrix_KK - np.diag(np.diag(matrix_KK))
    order = np.argsort(-(wrong_KK.sum(0) + wrong_KK.sum(1)), kind="stable")
    pick = np.sort(order[:SHOWN])
    return [labels[i] for i in pick], matrix_KK[np.ix_(pick, pick)]


def _names(name: str, place: int, corner: tuple[float, float, float], *, flat: bool) -> list[Markup]:
    left, top, side = corner
    middle = (place + 0.5) * side
    style = "t" if side >= 20 else "t tiny"
    drop = 4 if side >= 20 else 3
    row = label(name, left - 6, top + middle + drop, "end", style)
    if flat:
        return [row, label(name, left + middle, top - 6, "middle", style)]
    x, y = left + middle + drop, top - 6
    return [row, tag("text", name, class_=style, transform=f"translate({x:.1f} {y:.1f}) rotate(-90)")]


def _grid(num: int, left: float, top: float, side: float) -> Markup:
    end_x, end_y = left + num * side, top + num * side
    path = [f"M{left:.1f} {top + i * side:.1f}H{end_x:.1f}" for i in range(num + 1)]
    path += [f"M{left + i * side:.1f} {top:.1f}V{end_y:.1f}" for i in range(num + 1)]
    return tag("path", d="".join(path), class_="grid")


def _cell(
    corner: tuple[float, float], side: float, value: tuple[float, int | None], told: str, right: bool
) -> list[Markup]:
    share, count = value
    style = "right" if right else "wrong"
    rect = tag(
        "rect", tag("title", told), x=corner[0], y=corner[1], width=side, height=side, class_=f"cell {style}",
        fill_opacity=f"{max(0.3 if count is None else 0.16, share):.2f}".rstrip("0").rstrip("."),
    )  # fmt: skip
    if count is None:
        return [rect]
    ink = "t num on" if share >= DARK else "t num"
    return [rect, label(str(count), corner[0] + side / 2, corner[1] + side / 2 + 4, "middle", ink)]


def most_confused(labels: Sequence[str], matrix_KK: Ints, num: int = 8) -> list[tuple[str, str, int, int]]:
    """(true class, answer, rows, rows of the true class) of the most frequent confusions."""
    wrong_KK = matrix_KK - np.diag(np.diag(matrix_KK))
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:num]
    pairs = [divmod(int(cell), len(labels)) for cell in order if wrong_KK.flat[cell] > 0]
    return [(labels[i], labels[j], int(matrix_KK[i, j]), int(matrix_KK[i].sum())) for i, j in pairs]
