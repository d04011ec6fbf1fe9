"""From logits to answers: labels, thresholds, costs, bounds, and the columns that prediction writes."""

import json
from typing import Any

import numpy as np
import pytest

import small
import tiny
from tunesmith.data import Record
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.choose import Choose
from tunesmith.tasks import TASKS, Facts, Task

TWO, THREE = Facts(labels=("no", "yes")), Facts(labels=("a", "b", "c"))


def task(name: str = "classify", **settings: Any) -> Task:
    return TASKS.find(name).model_validate({"text": "text", "label": "label", **settings})


def rows(*labels: Any) -> list[Record]:
    return small.records([f"t{i}" for i in range(len(labels))], labels)


def logits(*chances: float) -> np.ndarray:
    """Two-class logits with these probabilities of the second class."""
    p = np.array(chances)
    return np.stack([np.log(1 - p), np.log(p)], axis=1)


# what is learnt from the rows


def test_facts_of_classes_are_sorted_and_counted() -> None:
    made = task()
    facts = made.study(rows("b", "a", "b", "007"), made.roles())
    assert facts.labels == ("007", "a", "b") and facts.counts == {"007": 1, "a": 1, "b": 2}
    assert made.outputs(facts) == 3


def test_one_class_is_refused_with_its_count() -> None:
    made = task()
    with pytest.raises(TunesmithError, match=r"column 'label' needs at least 2 classes, found: a \(2 rows\)"):
        made.study(rows("a", "a"), made.roles())


def test_facts_of_numbers_standardise_and_come_back() -> None:
    made = task("regress")
    records = rows("1", 2.0, "9")
    facts = made.study(records, made.roles())
    assert (facts.center, facts.scale) == (4.0, pytest.approx(np.std([1, 2, 9])))
    encoded = made.encode(records, made.roles(), tiny.tokenizer("bert"), facts)
    assert encoded.targets is not None
    assert encoded.targets.mean() == pytest.approx(0, abs=1e-6) and encoded.targets.std() == pytest.approx(1)
    assert made.truth(encoded, facts) == pytest.approx([1, 2, 9], abs=1e-5)
    assert made.answer(encoded.targets[:, None], facts)[0] == pytest.approx([1, 2, 9], abs=1e-5)


def test_a_constant_number_is_refused() -> None:
    made = task("regress")
    with pytest.raises(TunesmithError, match="has one value only"):
        made.study(rows(3, 3.0, "3"), made.roles())


def test_label_sets_are_read_empty_ones_too() -> None:
    made = task("multilabel")
    records = rows(["b", "a"], [], "c, a")
    facts = made.study(records, made.roles())
    assert facts.labels == ("a", "b", "c") and facts.counts == {"a": 2, "b": 1, "c": 1}
    encoded = made.encode(records, made.roles(), tiny.tokenizer("bert"), facts)
    assert encoded.targets is not None and encoded.targets.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 1]]
    with pytest.raises(TunesmithError, match="no row has a label"):
        made.study(rows([], []), made.roles())


def test_outputs_of_label_sets_start_at_the_share_of_their_label() -> None:
    made = task("multilabel")
    facts = made.study(rows(["b", "a"], [], "c, a", "a"), made.roles())
    assert 1 / (1 + np.exp(-np.array(facts.start))) == pytest.approx([3.5 / 5, 1.5 / 5, 1.5 / 5])
    assert task("multilabel", start="drawn").study(rows(["a"], []), made.roles()).start == ()
    earlier = Facts(labels=("z", "a"))
    grown = made.grown(facts, earlier)
    assert grown.labels == ("z", "a", "b", "c") and grown.start == (0.0, *facts.start)


def test_a_label_that_training_never_saw_is_marked_and_not_guessed() -> None:
    made = task()
    encoded = made.encode(rows("b", "new", "a"), made.roles(), tiny.tokenizer("bert"), THREE)
    assert encoded.targets is not None and encoded.targets.tolist() == [1, -1, 0]
    assert made.encode(rows("b"), made.roles(labelled=False), tiny.tokenizer("bert"), THREE).targets is None


# from probabilities to a decision


def test_the_largest_probability_answers() -> None:
    predicted, scores = task().answer(np.array([[1.0, 3.0, 2.0], [900.0, -900.0, 0.0]]), THREE)
    assert predicted.tolist() == [1, 0] and scores is not None
    assert scores.sum(-1) == pytest.approx([1, 1]) and np.isfinite(scores).all()


def test_the_threshold_is_chosen_on_validation_rows_stored_and_used() -> None:
    made = task(decide="threshold", threshold_for="accuracy")
    scores = np.array([0.1, 0.2, 0.3, 0.35, 0.4])
    values = logits(*scores)
    _, chances = made.answer(values, TWO)
    assert made.answer(values, TWO)[0].tolist() == [0] * 5, "without a threshold none is positive"
    facts = made.tuned(chances, np.array([0, 0, 1, 1, 1]), TWO, Choose)
    (threshold,) = facts.thresholds
    assert 0.2 < threshold <= 0.3
    assert made.answer(values, facts)[0].tolist() == [0, 0, 1, 1, 1]
    assert Facts.model_validate_json(facts.model_dump_json()) == facts


def test_the_positive_label_is_the_last_unless_named() -> None:
    assert task().positive_index(TWO) == 1  # type: ignore[attr-defined]
    assert task(positive="no").positive_index(TWO) == 0  # type: ignore[attr-defined]
    assert task().positive_index(THREE) is None  # type: ignore[attr-defined]


def test_a_threshold_works_for_the_named_positive_label() -> None:
    made = task(decide="threshold", threshold_for="accuracy", positive="no")
    values = logits(0.9, 0.8, 0.7, 0.65)  # chances of "no": 0.1, 0.2, 0.3, 0.35
    _, chances = made.answer(values, TWO)
    facts = made.tuned(chances, np.array([1, 1, 0, 0]), TWO, Choose)
    assert made.answer(values, facts)[0].tolist() == [1, 1, 0, 0]


def test_a_threshold_for_three_classes_is_refused() -> None:
    made = task(decide="threshold")
    with pytest.raises(TunesmithError, match="decides between 2 classes; this data has 3"):
        made.study(rows("a", "b", "c"), made.roles())


def test_a_positive_label_among_three_has_no_effect_and_is_refused() -> None:
    made = task(positive="a")
    with pytest.raises(TunesmithError, match="task.positive: names one of 2 classes; this data has 3"):
        made.study(rows("a", "b", "c"), made.roles())


@pytest.mark.parametrize("settings", ({"positive": "yess"}, {"decide": "cost", "costs": {"no": {"yess": 3.0}}}))
def test_a_named_label_that_is_not_in_the_data_is_refused(settings: dict[str, Any]) -> None:
    made = task(**settings)
    with pytest.raises(TunesmithError, match=r"labels \['yess'\] are not in the data\. Known: no, yes"):
        made.study(rows("no", "yes"), made.roles())


def test_costs_change_the_answer() -> None:
    values = logits(0.2, 0.05, 0.6)
    assert task().answer(values, TWO)[0].tolist() == [0, 0, 1]
    dear = task(decide="cost", costs={"yes": {"no": 10.0}})
    assert dear.answer(values, TWO)[0].tolist() == [1, 0, 1], "missing a yes costs ten false alarms"
    assert dear.cost_matrix(TWO).tolist() == [[0, 1], [10, 0]]  # type: ignore[attr-defined]


def test_thresholds_of_label_sets() -> None:
    made = task("multilabel")
    values = np.array([[0.0, -1.0, 2.0], [-3.0, -3.0, -3.0]])
    assert made.answer(values, THREE)[0].tolist() == [[1, 0, 1], [0, 0, 0]]
    lower = THREE.model_copy(update={"thresholds": (0.6, 0.2, 0.5)})
    assert made.answer(values, lower)[0].tolist() == [[0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("how", ("each", "one", "half"))
def test_thresholds_of_label_sets_are_chosen_as_asked(how: str) -> None:
    made = task("multilabel", threshold=how)
    order = np.random.default_rng(0)
    truth = (order.random((80, 3)) < 0.4).astype(int)
    scores = np.clip(truth * np.array([0.2, 0.3, 0.4]) + order.random((80, 3)) * 0.2, 0, 1)
    found = made.tuned(scores, truth, THREE, Choose).thresholds
    assert {"half": len(found) == 0, "one": len(set(found)) == 1, "each": len(set(found)) == 3}[how]


def test_answers_are_cut_to_their_bounds() -> None:
    facts = Facts(center=2.0, scale=3.0)
    values = np.array([[-5.0], [0.0], [9.0]])
    assert task("regress").answer(values, facts)[0].tolist() == [-13.0, 2.0, 29.0]
    assert task("regress", bounds=(0, 5)).answer(values, facts)[0].tolist() == [0.0, 2.0, 5.0]


# what prediction writes


def test_columns_of_classes_are_names_and_probabilities() -> None:
    made = task()
    predicted, scores = made.answer(logits(0.75, 0.125), TWO)
    assert made.columns(predicted, scores, TWO) == {
        "prediction": ["yes", "no"], "confidence": [0.75, 0.875], "p:no": [0.25, 0.875], "p:yes": [0.75, 0.125],
    }  # fmt: skip


def test_confidence_belongs_to_the_answer_even_if_another_label_is_likelier() -> None:
    made = task(decide="cost", costs={"yes": {"no": 10.0}})
    predicted, scores = made.answer(logits(0.2), TWO)
    assert made.columns(predicted, scores, TWO)["prediction"] == ["yes"]
    assert made.columns(predicted, scores, TWO)["confidence"] == [0.2]


def test_columns_of_label_sets_are_json_lists() -> None:
    made = task("multilabel")
    predicted, scores = made.answer(np.array([[4.0, -4.0, 4.0], [-4.0, -4.0, -4.0]]), THREE)
    found = made.columns(predicted, scores, THREE)
    assert [json.loads(p) for p in found["prediction"]] == [["a", "c"], []]
    assert found["confidence"] == pytest.approx([0.982014**3] * 2, abs=1e-5)
    assert [n for n in found if n.startswith("p:")] == ["p:a", "p:b", "p:c"]


def test_columns_of_numbers_are_numbers() -> None:
    assert task("regress").columns(np.array([1.5, -2.0]), None, Facts()) == {"prediction": [1.5, -2.0]}
