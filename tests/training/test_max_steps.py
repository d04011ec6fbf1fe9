"""`train.max_steps`: so many steps and no more, with the learning rate run to its end."""

import pytest

import small
from kit import TinyBases
from tunesmith.errors import TunesmithError


def run(bases: TinyBases, **train: object) -> tuple[small.Loop, list[float]]:
    made = small.model(small.plan(bases["bert"], epochs=3, batch=2, **train), small.records())
    loop = small.loop(made, small.encoded(made, small.records()))
    rates: list[float] = []
    real = loop._set_rates
    loop._set_rates = lambda step: rates.append(real(step)) or rates[-1]  # type: ignore[method-assign, func-returns-value]
    loop.run()
    return loop, rates


def said(loop: small.Loop) -> list[str]:
    return [text for text in loop.state.warnings if "max_steps" in text]


def test_the_run_stops_and_the_rate_has_run_its_course(tiny_bases: TinyBases) -> None:
    loop, rates = run(tiny_bases, max_steps=4)
    assert loop.total == loop.state.step == len(rates) == 4
    assert [rate / rates[0] for rate in rates] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert loop.state.evaluations == 1, "the last step is judged, though it ends no epoch"
    assert not said(loop)


def test_more_steps_than_there_are_change_nothing_and_that_is_said(tiny_bases: TinyBases) -> None:
    loop, rates = run(tiny_bases, max_steps=16)
    assert len(rates) == 15
    assert said(loop) == ["train.max_steps: 16 had no effect, all epochs are 15 steps"]
    assert not said(run(tiny_bases, max_steps=15)[0])


def test_no_step_at_all_is_refused(tiny_bases: TinyBases) -> None:
    with pytest.raises(TunesmithError, match=r"train\.max_steps"):
        small.plan(tiny_bases["bert"], max_steps=0)
