"""Labels that are distributions: the loss aims at them, everything else sees the likeliest label."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from kit import TinyBases
from small import LABELS, TEXTS, encoded, model, plan, records
from tunesmith.data import Record
from tunesmith.data.record import SOFT
from tunesmith.errors import TunesmithError
from tunesmith.tasks import TASKS, Facts, _soft
from tunesmith.tasks.classify import Classify

FACTS = Facts(labels=("a", "b", "c"))


def rows(*labels: Any) -> list[Record]:
    return records(TEXTS[: len(labels)], labels)


def taken(*labels: Any) -> list[Record]:
    return list(Classify(text="text", label="label").taken_in(rows(*labels)))


def test_likeliest_label_is_the_label() -> None:
    found = taken({"a": 0.2, "b": 0.8}, "a", '{"c": 0.5, "b": 0.5}', ' {"a": 1}')
    assert [r.cells["label"] for r in found] == ["b", "a", "b", "a"]
    assert [r.cells.get(SOFT) for r in found] == [{"a": 0.2, "b": 0.8}, None, {"c": 0.5, "b": 0.5}, {"a": 1.0}]


def test_hard_labels_are_left_alone() -> None:
    hard = rows("a", "{b}", "c")
    assert Classify(text="text", label="label").taken_in(hard) is hard


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"a": 0.2, "b": 0.2}, r"t\.csv:2: column 'label': shares add up to 0.4"),
        ('{"a": 0.2, "b": }', "not an object of labels"), ({"a": 1.2, "b": -0.2}, "from 0 to 1"),
        ({"a": True}, "not an object of labels"), ({}, "shares add up to 0"), ({" ": 1.0}, "not an object of labels"),
    ],
)  # fmt: skip
def test_no_distribution_is_refused(cell: Any, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        taken(cell)


def test_rounded_shares_are_made_one() -> None:
    soft = taken({"a": 0.333, "b": 0.333, "c": 0.333})[0].cells[SOFT]
    assert isinstance(soft, dict)
    assert sum(soft.values()) == pytest.approx(1, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_torchs(smoothing: float) -> None:
    """Cross-entropy against a distribution is torch's, and a distribution of one label is that label."""
    task = Classify(text="text", label="label", label_smoothing=smoothing)
    logits, aims = torch.randn(5, 3), torch.softmax(torch.randn(5, 3), -1)
    expected = functional.cross_entropy(logits, aims, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(task.losses(logits, aims), expected)
    hard = torch.tensor([0, 2, 1, 1, 0])
    torch.testing.assert_close(task.losses(logits, functional.one_hot(hard, 3).float()), task.losses(logits, hard))
    by_hand = -(torch.log_softmax(logits, -1) * (aims * (1 - smoothing) + smoothing / 3)).sum(-1)
    torch.testing.assert_close(task.losses(logits, aims), by_hand)


def test_aims() -> None:
    found = taken({"a": 0.25, "b": 0.75}, "c", {"b": 0.5, "z": 0.5}, "z")
    soft, notes = _soft.shares(found, np.array([1, 2, 1, -1]), FACTS)
    assert soft is not None
    assert soft.tolist() == [[0.25, 0.75, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert "2 of 4 labels are distributions" in notes[0]
    assert "1 of them name labels that no training row has" in notes[1]
    assert _soft.shares(taken("a", "b"), np.array([0, 1]), FACTS) == (None, ())


def test_label_that_is_nowhere_likeliest_is_known() -> None:
    task = Classify(text="text", label="label")
    facts = task.study(list(task.taken_in(rows({"a": 0.6, "z": 0.4}, "b"))), task.roles())
    assert facts.labels == ("a", "b", "z")
    assert facts.counts == {"a": 1, "b": 1, "z": 0}


def test_step_and_mean_loss(tiny_bases: TinyBases) -> None:
    """A step's loss and the mean loss aim at the distributions, by the rows' weights; metrics see classes."""
    soft = [json.dumps({y: 0.7, "abc"[("abc".index(y) + 1) % 3]: 0.3}) for y in LABELS[:6]]
    asked = plan(tiny_bases["bert"])
    found = list(asked.task.taken_in(records(TEXTS, (*soft, *LABELS[6:]))))
    made = model(asked, found)
    weights = [1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 1.0, 3.0, 1.0, 1.0]
    lesson = encoded(made, found, weights)
    assert made.plan.task.truth(lesson, made.facts).tolist() == ["abc".index(y) for y in LABELS]
    assert lesson.soft is not None
    outputs = made.outputs(lesson)
    each = functional.cross_entropy(torch.from_numpy(outputs), torch.from_numpy(lesson.soft), reduction="none")
    assert made.plan.task.mean_loss(outputs, lesson) == pytest.approx(float(each.double().mean()), abs=1e-6)
    with torch.no_grad():
        step = made.plan.task.step_loss(made.shortcuts.plain, lesson, range(10))
    assert float(step) == pytest.approx(float((each * torch.tensor(weights)).sum()), rel=1e-4)


def test_refused(tiny_bases: TinyBases) -> None:
    found = list(plan(tiny_bases["bert"]).task.taken_in(rows({"a": 0.8, "b": 0.2}, "b", "a")))
    made = model(plan(tiny_bases["bert"], task={"name": "classify", "focal": 2.0}), found)
    with pytest.raises(TunesmithError, match=r"task\.focal: .* these labels are distributions"):
        encoded(made, found)


def test_other_tasks_of_classes() -> None:
    """Images and sounds take in the same."""
    for name, column in (("image", "image"), ("audio", "audio")):
        task = TASKS.find(name).model_validate({"name": name, column: "file", "label": "label"})
        assert [r.cells["label"] for r in task.taken_in(rows({"a": 0.2, "b": 0.8}))] == ["b"]
