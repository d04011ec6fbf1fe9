"""The page: the recommendation on top, pictures with a frontier, nothing from outside, texts escaped."""

import math
import re
from pathlib import Path

import pytest

from racers import Made, Track, course, race
from tunesmith.search.racing import carry_out
from tunesmith.search.racing.page import render
from tunesmith.search.racing.pictures import Point, frontier, pareto
from tunesmith.search.racing.told import reply_of

TRACKS = {
    "best<b>": Track((0.60, 0.80, 0.90), share=1.0, memory=800.0),
    "small": Track((0.55, 0.78, 0.895), share=0.01, seconds=3.0),
    "flat": Track((0.40, 0.42, 0.43), share=0.001),
}


def test_the_frontier_is_what_nobody_beats() -> None:
    points = [
        Point(n, x, y, None, None) for n, x, y in (("a", 1, 5), ("b", 2, 4), ("c", 3, 7), ("d", 3, 6), ("e", 9, 7))
    ]
    assert [p.name for p in frontier(points, lower=False)] == ["a", "c"]
    assert [p.name for p in frontier(points, lower=True)] == ["a", "b"]


@pytest.mark.parametrize("xs", [(0.001, 1.0), (3.0, 3.0), (41.0, 55.0), (0.9, 800.0)])
def test_dots_lie_where_a_logarithmic_axis_has_them(xs: tuple[float, float]) -> None:
    points = [Point("a", xs[0], 0.5, 0.4, 0.6), Point("b", xs[1], 0.7, None, None, True)]
    drawn = str(pareto(points, "cost", "quality", lower=False, show=lambda v: f"{v:.3g}u"))
    at = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert all(46 <= x <= 346 and 26 <= y <= 196 for x, y in at) and at[0][1] > at[1][1]
    marks = {
        float(t[:-1]): float(x)
        for x, t in re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="t" text-anchor="middle">([\d.e+-]+u)<', drawn)
    }
    assert len(marks) >= 2
    (low, left), (high, right) = min(marks.items()), max(marks.items())
    for (x, _), value in zip(at, xs, strict=True):
        share = (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
        assert x == pytest.approx(left + share * (right - left), abs=0.2)
    assert drawn.count('class="whisker') == 1


def test_the_page_says_what_the_reply_says(tmp_path: Path) -> None:
    made, asked = Made(TRACKS), race(tmp_path, tuple(TRACKS), 1000)
    reply = reply_of(asked, carry_out(asked, course(made, asked)))
    page = render(reply, "tickets & co.csv, classify")
    assert page == render(reply, "tickets & co.csv, classify")
    assert "<script" not in page and "<b>" not in page.split("<main")[1].split("<h3>Stopped")[0].replace(
        '<p class="how"><b>', ""
    )
    assert "tickets &amp; co.csv" in page and "best&lt;b&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!#)', page), "nothing from outside"
    verdict = page.split('id="verdict"')[1].split("</section>")[0]
    assert reply["said"][0].split(":")[0] in verdict and "small" in reply["recommended"]
    assert page.count("<figure>") == 5, "quality against four costs, and the course"
    assert "flat" in page.split('id="stopped"')[1]
    alone = Made({"small": TRACKS["small"]})
    only = race(tmp_path / "only", ("small",), 1000)
    only.folder.mkdir()
    short = render(reply_of(only, carry_out(only, course(alone, only))), "x")
    assert "the only arm that finished" in short and 'id="costs"' not in short
