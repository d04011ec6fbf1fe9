"""Pictures: places of points, ticks, escaping, sizes."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_runs import EVIL

from tunesmith.evaluation.plots import (
    Bars,
    Frame,
    Scale,
    Series,
    Whisker,
    columns,
    fitted,
    lines,
    number,
    scatter,
    tag,
    ticks,
    whiskers,
    width_of,
)
from tunesmith.evaluation.report_heat import heat, most_confused

FRAME = Frame("epoch", "loss")


def elements(picture: str, name: str) -> list[ElementTree.Element]:
    """The picture must be well-formed XML."""
    return [e for e in ElementTree.fromstring(picture).iter() if e.tag == name]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 97, [0, 20, 40, 60, 80]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (0, 9.4e-4, [0, 2e-4, 4e-4, 6e-4, 8e-4]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("low", [-1e6, -0.3, 0.0, 1e-9, 7.0])
@pytest.mark.parametrize("span", [0.01, 1.0, 12345.0, 1e12])
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 12
    assert all(low - span * 1e-3 - 1e-9 <= v <= low + span * 1.001 + 1e-9 for v in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (-2.25, "−2.25"),
        (1234567, "1\u202f234\u202f567"),
        (2e-4, "2e−4"),
        (99.96, "100"),
        (12.345, "12.3"),
    ],
)
def test_numbers_are_short(value: float, expected: str) -> None:
    assert number(value) == expected


def test_numbers_without_a_value() -> None:
    assert [number(v) for v in (float("nan"), float("inf"), float("-inf"))] == ["–", "∞", "−∞"]


def test_tag_escapes_texts_and_attributes() -> None:
    found = tag("text", EVIL, class_='a"b', aria_label=EVIL)
    assert "<img" not in found
    assert ElementTree.fromstring(found).text == EVIL
    assert ElementTree.fromstring(found).attrib == {"class": 'a"b', "aria-label": EVIL}


def test_a_curve_stands_where_its_numbers_say() -> None:
    picture = lines([Series("a", [0, 1], [0.0, 10.0])], Frame("x", "y", (0, 2), (0, 20)), "alt")
    (path,) = elements(picture, "path")
    points = [float(v) for v in re.findall(r"[\d.]+", path.attrib["d"])]
    x, y = Scale(0, 2, 46, 346), Scale(0, 20, 196, 26)
    assert points == pytest.approx([x.at(0), y.at(0), x.at(1), y.at(10)])


def test_a_gap_interrupts_the_curve() -> None:
    picture = lines([Series("a", [0, 1, 2, 3], [1.0, None, 2.0, 3.0], dots=True)], FRAME, "alt")
    (path,) = elements(picture, "path")
    assert path.attrib["d"].count("M") == 2
    assert len(elements(picture, "circle")) == 3


@pytest.mark.parametrize("y", [[], [0.5], [3.0, 3.0], [None], [1.0, 1.0 + 2e-16], [1e-30, 0.0], [1e12, -1e12]])
def test_few_or_strange_points_do_not_crash(y: list[float | None]) -> None:
    assert elements(lines([Series("a", list(range(len(y))), y)], FRAME, "alt"), "svg")


def test_a_single_point_is_seen_and_no_two_ticks_are_called_alike() -> None:
    picture = lines([Series("rate", [4.0], [0.0011])], FRAME, "alt")
    assert len(elements(picture, "circle")) == 1
    told = [str(each.text) for each in elements(picture, "text")]
    assert len(told) == len(set(told)) and "0.0011" in told


def test_losses_never_get_a_negative_axis() -> None:
    picture = lines([Series("a", [0, 1], [0.001, 5.0])], FRAME, "alt")
    assert "−" not in "".join(picture)


def test_an_undefined_value_is_told() -> None:
    rows = [Whisker("this model", 0.5, 0.4, 0.6, "s1"), Whisker(EVIL, None, None, None), Whisker("b", 0.2, None, None)]
    picture = whiskers(rows, "alt")
    assert [t.text for t in elements(picture, "text")].count("undefined") == 1
    assert len(elements(picture, "circle")) == 2
    assert "<img" not in picture


def test_the_dot_lies_inside_its_whisker() -> None:
    picture = whiskers([Whisker("a", 0.5, 0.4, 0.6, "s1"), Whisker("b", 0.1, 0.0, 0.2)], "alt")
    spans = [
        (float(e.attrib["x1"]), float(e.attrib["x2"]))
        for e in elements(picture, "line")
        if "whisker" in e.attrib["class"]
    ]
    dots = [float(e.attrib["cx"]) for e in elements(picture, "circle")]
    assert all(low < dot < high for (low, high), dot in zip(spans, dots, strict=True))


def test_bars_are_as_high_as_their_counts() -> None:
    picture = columns(Bars([0, 1, 2, 3], [4, 0, 8], [1, 0, 0]), Frame("x", "rows", mark=1.0), "alt")
    heights = [float(e.attrib["height"]) for e in elements(picture, "rect")]
    assert len(heights) == 3
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.01)
    assert heights[2] / heights[0] == pytest.approx(0.25, rel=0.02)


def test_five_thousand_dots_stay_small() -> None:
    rng = np.random.default_rng(0)
    picture = scatter(rng.normal(size=5000).tolist(), rng.normal(size=5000).tolist(), FRAME, "alt")
    assert len(picture) < 120_000


def test_equal_values_have_axes_too() -> None:
    assert elements(scatter([2.0, 2.0], [2.0, 2.0], FRAME, "alt"), "svg")


def test_long_names_are_cut_and_chinese_is_wide() -> None:
    assert width_of("液压") > width_of("ab")
    assert fitted("short", 200) == "short"
    cut = fitted("a very long name of a class", 60)
    assert cut.endswith("…")
    assert width_of(cut) <= 60 + 11
    assert fitted("", 0) == ""


def test_heat_map_shows_each_cell_once() -> None:
    matrix = np.array([[5, 1, 0], [0, 7, 2], [0, 0, 3]])
    picture = heat(["a", "b", EVIL], matrix)
    cells = elements(picture, "rect")
    assert len(cells) == 5
    assert [e.attrib["class"] for e in cells].count("cell right") == 3
    assert "<img" not in picture


@pytest.mark.parametrize("num", [2, 12, 13, 31, 80, 120])
def test_heat_maps_of_many_classes_stay_readable(num: int) -> None:
    picture = heat([f"class {i}" for i in range(num)], np.eye(num, dtype=np.int64) * 3)
    box = ElementTree.fromstring(picture).attrib["viewBox"].split()
    assert float(box[2]) < 1100
    assert len(elements(picture, "rect")) == min(num, 80)


def test_most_confused_are_told_largest_first() -> None:
    matrix = np.array([[5, 1, 0], [0, 7, 4], [0, 0, 3]])
    assert most_confused(["a", "b", "c"], matrix) == [("b", "c", 4, 11), ("a", "b", 1, 6)]
    assert most_confused(["a", "b"], np.eye(2, dtype=np.int64)) == []
