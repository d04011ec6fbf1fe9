"""Who is stopped, who goes on, and what a budget allows; of arms whose curves and speeds are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from racers import Made, Track, arms, course, race
from tunesmith.replies import REPLIES
from tunesmith.search.racing import carry_out
from tunesmith.search.racing.entry import Entry
from tunesmith.search.racing.told import reply_of

TRACKS = {
    "best": Track((0.60, 0.80, 0.90), share=1.0),
    "small": Track((0.55, 0.78, 0.895), share=0.01, seconds=3.0),
    "slow": Track((0.30, 0.50, 0.897), share=0.02),
    "flat": Track((0.40, 0.42, 0.43), share=0.001),
    "best b": Track((0.50, 0.82, 0.99), share=1.0),
}


def told(folder: Path, tracks: dict[str, Track], seconds: float, **more: float):  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True, exist_ok=True)
    made, asked = Made(tracks), race(folder, tuple(tracks), seconds, **more)
    running = course(made, asked)
    found = carry_out(asked, running)
    return made, running, reply_of(asked, found)


def test_each_ends_as_its_curve_says(tmp_path: Path) -> None:
    made, running, reply = told(tmp_path, TRACKS, 1000)
    fates = {line["arm"]: (line["fate"], line["reason"]) for line in reply["ranking"]}
    assert fates["best b"] == ("stopped", "stopped at 1/9: 10.0 points behind best"), "settings compete in a method"
    assert fates["flat"][0] == "stopped" and "too slow to come up" in fates["flat"][1]
    assert fates["flat"][1].startswith("stopped at 1/3: 38.0 points behind best (p < ")
    assert fates["slow"][0] == "finalist", "30 points behind at a third, and it would come up"
    assert reply["recommended"] == "small" and reply["best"] in ("best", "slow")
    assert reply["ranking"][0]["arm"] == reply["best"], "ranked by quality"
    assert reply["seeds"] == 3 and running.entries[0].seeds.keys() == {0, 1, 2}
    assert [c for c in made.calls if c.startswith("leave")] == ["leave flat", "leave best b"]
    assert "smallest of 3 finalists that is not significantly worse" in reply["said"][0]
    assert "would have been found four times in five" in reply["said"][1]
    REPLIES["race"].model_validate(json.loads(json.dumps(reply)))


def test_a_race_ends_within_its_budget_and_says_what_it_left(tmp_path: Path) -> None:
    finished = []
    for seconds in (0.5, 2, 5, 8, 11, 15, 20, 30, 45, 70, 100, 200):
        made, _, reply = told(tmp_path / str(seconds), TRACKS, seconds)
        assert made.now <= 1.1 * seconds and reply["seconds"] <= 1.1 * seconds
        done = sum(line["seeds"] > 0 for line in reply["ranking"])
        finished.append(done)
        assert (reply["recommended"] is None) == (done == 0)
        for line in reply["ranking"]:
            assert line["fate"] != "racing" and (line["reason"] or line["fate"] == "finished")
        if not done:
            assert "Nothing finished within" in reply["said"][0] and seconds < 9
        for line in reply["ranking"] if done else ():
            if "budget" in line["reason"] and line["arm"] in ("small", "slow"):
                told_of = "had no room to finish" if not line["seeds"] else "had none for further seeds of"
                assert any(told_of in text and line["arm"] in text for text in reply["said"])
    assert finished[0] == 0 and finished[-1] == 3 and finished == sorted(finished)


def test_what_needs_more_memory_than_allowed_is_stopped(tmp_path: Path) -> None:
    tracks = TRACKS | {"best": Track((0.6, 0.8, 0.9), memory=9000.0, share=1.0)}
    _, _, reply = told(tmp_path, tracks, 1000, memory=8000.0)
    line = next(line for line in reply["ranking"] if line["arm"] == "best")
    assert line["fate"] == "stopped" and line["reason"] == "its training held 9,000 MB, and 8,000 MB are allowed"
    assert reply["recommended"] == "best b", "other settings of it that need less go on"
    tracks |= {"flat": Track((0.4, 0.42, 0.43), foreseen=8000.5), "best b": Track((0.5, 0.8, 0.9), foreseen=9e3)}
    made, _, reply = told(tmp_path / "foreseen", tracks, 1000, memory=8000.0)
    fates = {line["arm"]: (line["fate"], line["reason"]) for line in reply["ranking"]}
    assert fates["best b"] == ("not tried", "its forecast is 9,000 MB, and 8,000 MB are allowed")
    assert reply["recommended"] == "small" and not any("flat" in call or "best b" in call for call in made.calls)


def test_a_failed_arm_says_why_and_its_multiples_are_not_tried(tmp_path: Path) -> None:
    tracks = {"wild": Track((0, 0, 0), fails=True), "small": TRACKS["small"], "wild b": TRACKS["best"]}
    made, _, reply = told(tmp_path, tracks, 100)
    fates = {line["arm"]: (line["fate"], line["reason"]) for line in reply["ranking"]}
    assert fates["wild"] == ("failed", "it diverged")
    assert fates["wild b"] == ("not tried", "its rate is a multiple of that of wild, which is not known: it diverged")
    assert reply["recommended"] == "small" and "the only arm that finished" in reply["said"][0]
    assert not any("wild b" in call for call in made.calls)
    every, _, said = told(tmp_path / "all", {"wild": tracks["wild"]}, 100)
    assert said["recommended"] is None and "Every arm failed; the first, wild: it diverged" in said["said"][0]
    assert every.calls == ["wild 0 0.11"]


@pytest.mark.parametrize("after", (0, 6, 13))
def test_a_killed_race_goes_on_where_it_was(tmp_path: Path, after: int) -> None:
    _, _, whole = told(tmp_path / "whole", TRACKS, 60)
    folder = tmp_path / "cut"
    folder.mkdir()
    made, asked = Made(TRACKS, kill_at=after), race(folder, tuple(TRACKS), 60)
    with pytest.raises(KeyboardInterrupt):
        carry_out(asked, course(made, asked))
    before = len(made.calls)
    made.kill_at = None
    if (file := folder / "race.jsonl").is_file():
        with file.open("a") as stream:
            stream.write('{"what": "torn')
    made.now = 0.0  # a new process has a new clock
    again = course(made, asked)
    made.late = asked.limits.seconds - again.journal.spent
    reply = reply_of(asked, carry_out(asked, again))
    assert before == after and len([c for c in made.calls if not c.startswith("leave")]) == len(set(made.calls)) - len(
        {c for c in made.calls if c.startswith("leave")}
    ), "no piece ran twice"
    assert reply == whole
    silent = Made(TRACKS, stood=made.stood)
    assert reply_of(asked, carry_out(asked, course(silent, asked)))["said"] == whole["said"], "all from the journal"
    assert not [c for c in silent.calls if not c.startswith("leave")]


def test_what_going_on_costs_and_where_it_leads() -> None:
    made = Made({"a": Track((0.5, 0.7, 0.8), seconds=9.0)})
    (arm,) = arms("a")
    entry = Entry(arm)
    entry.took(made.advance(arm, 0, None, 1 / 9))
    assert entry.cost(1.0) == pytest.approx(0.1 + 8.0), "what every piece takes, and eight ninths of the steps"
    assert entry.projected(0.0, 1) is None
    entry.took(made.advance(arm, 0, None, 1 / 3))
    assert entry.projected(0.0, 1) == pytest.approx(0.7 + 0.2 / (2 / 9) * (2 / 3))
    assert entry.projected(0.01, -1) == pytest.approx(0.7 + (0.2 - 1.645 * 2**0.5 * 0.01) * 3)
    assert np.isclose(entry.cost(1.0), 0.1 + 6.0) and entry.cost(0.2) == 0
