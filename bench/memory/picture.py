"""Forecast against measurement, a dot a job: `python bench/memory/picture.py jobs.jsonl` writes docs/memory.svg and prints
the table and the summary of docs/memory.md. Plain SVG, as in bench/speed/picture.py."""

import argparse
import json
from collections.abc import Sequence
from html import escape
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
SIDE, LEFT, TOP, GAP = 300, 52, 40, 74
COLOURS = {"classify": "#2f6f9f", "generate": "#c46a2b"}
BANDS = {"memory": 0.10, "seconds": 0.25}
Points = list[tuple[str, float, float]]
"""(task, forecast, measured) of each job."""


def points(jobs: Sequence[dict[str, Any]], what: str) -> Points:
    """Of the memory in MB, or of the CPU seconds of training, where there was a forecast by first steps."""
    if what == "memory":
        return [(j["name"].split()[0], j["forecast_mb"], j["peak_mb"]) for j in jobs]
    timed = [j for j in jobs if j.get("cpu_seconds")]
    return [(j["name"].split()[0], j["cpu_seconds"], j["measured_cpu_seconds"]) for j in timed]


def summary(found: Points, band: float) -> str:
    """How far the forecasts were off, in a sentence."""
    off = sorted(abs(f / m - 1) for _, f, m in found)
    inside = sum(o <= band for o in off)
    return f"{inside} of {len(off)} within {band:.0%}; median error {median(off):.1%}, largest {off[-1]:.1%}"


def drawn(jobs: Sequence[dict[str, Any]]) -> str:
    """A square for each quantity that was forecast, both axes logarithmic, with the band that was promised."""
    squares = [(what, found) for what in BANDS if len(found := points(jobs, what)) > 1]
    width, height = LEFT + (SIDE + GAP) * len(squares), TOP + SIDE + 56
    parts = [part for i, (what, found) in enumerate(squares) for part in _square(what, found, LEFT + i * (SIDE + GAP))]
    legend = [
        f'<circle cx="{LEFT + 6 + 90 * i}" cy="{height - 10}" r="4" fill="{colour}"/>'
        + _text(LEFT + 15 + 90 * i, height - 6, name)
        for i, (name, colour) in enumerate(COLOURS.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts + legend) + "\n</svg>\n"
    )


def _square(what: str, found: Points, left: float) -> list[str]:
    low = log10(min(min(f, m) for _, f, m in found) * 0.85)
    high = log10(max(max(f, m) for _, f, m in found) * 1.15)

    def at(value: float) -> float:
        return SIDE * (log10(value) - low) / (high - low)

    def place(measured: float, forecast: float) -> str:
        return f"{left + at(measured):.1f},{TOP + SIDE - at(forecast):.1f}"

    band, (first, last) = BANDS[what], (10**low * 1.02, 10**high / 1.02)
    corners = [
        (first, first * (1 + band)),
        (last, last * (1 + band)),
        (last, last * (1 - band)),
        (first, first * (1 - band)),
    ]
    unit = "MB" if what == "memory" else "CPU s"
    marks = [m * 10.0**e for e in range(-2, 7) for m in (1, 2, 5) if low <= log10(m * 10.0**e) <= high]
    title = f"{what}: forecast over measured, {unit}; band {band:.0%}"
    return [
        f'<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999999"/>',
        f'<clipPath id="{what}"><rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}"/></clipPath>',
        f'<polygon clip-path="url(#{what})" points="{" ".join(place(*c) for c in corners)}" fill="#e4ecf3"/>',
        f'<polyline points="{place(first, first)} {place(last, last)}" stroke="#999999" fill="none"/>',
        *(
            _text(left + at(m), TOP + SIDE + 14, f"{m:g}", anchor="middle")
            + _text(left - 5, TOP + SIDE - at(m) + 4, f"{m:g}", anchor="end")
            for m in marks
        ),
        *(
            f'<circle cx="{place(m, f).split(",")[0]}" cy="{place(m, f).split(",")[1]}" r="3.5" fill="{COLOURS[t]}"/>'
            for t, f, m in found
        ),
        _text(left, TOP - 12, title, size=12),
    ]


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222222">{escape(words)}</text>'
    )


def table(jobs: Sequence[dict[str, Any]]) -> str:
    """A row a job: the memory of the process, and how much of it the job added to what was there before."""
    rows = [
        f"| {j['name']} | {j['forecast_mb']:,.0f} | {j['peak_mb']:,.0f} | {j['forecast_mb'] / j['peak_mb'] - 1:+.0%} | "
        f"{j['peak_mb'] - j['began_mb']:,.0f} |"
        for j in jobs
    ]
    head = "| job | forecast, MB | measured, MB | error | added by the job, MB |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows])


def main() -> None:
    """The picture, the table and a sentence for each quantity."""
    asked = argparse.ArgumentParser()
    asked.add_argument("jobs", type=Path)
    jobs = [json.loads(line) for line in asked.parse_args().jobs.read_text().splitlines()]
    jobs = [j for j in jobs if "fault" not in j]
    (DOCS / "memory.svg").write_text(drawn(jobs), encoding="utf-8")
    print(table(jobs))
    for what, band in BANDS.items():
        if found := points(jobs, what):
            print(f"{what}: {summary(found, band)}")


if __name__ == "__main__":
    main()
