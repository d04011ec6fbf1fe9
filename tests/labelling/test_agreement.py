"""Agreement: published worked examples, a second library, and what must hold for any labels."""

from collections.abc import Sequence

import numpy as np
import pytest

from tunesmith.data.format import Table
from tunesmith.errors import TunesmithError
from tunesmith.labelling import agreement as of
from tunesmith.labelling.annotations import Annotations, Scale, from_columns, from_long
from tunesmith.labelling.measured import measured

DIAGNOSES = """4 4 4 4 4 4, 2 2 2 5 5 5, 2 3 3 3 3 5, 5 5 5 5 5 5, 2 2 2 4 4 4, 1 1 3 3 3 3, 3 3 3 3 5 5, 1 1 3 3 3 4,
1 1 4 4 4 4, 5 5 5 5 5 5, 1 4 4 4 4 4, 1 2 4 4 4 4, 2 2 2 3 3 3, 1 4 4 4 4 4, 2 2 4 4 4 5, 3 3 3 3 3 5, 1 1 1 4 5 5,
1 1 1 1 1 2, 2 2 4 4 4 4, 1 3 3 5 5 5, 5 5 5 5 5 5, 2 4 4 4 4 4, 2 2 4 5 5 5, 1 1 4 4 4 4, 1 4 4 4 4 5, 2 2 2 2 2 4,
1 1 1 1 5 5, 2 2 4 4 4 4, 1 3 3 3 3 3, 5 5 5 5 5 5"""
"""Fleiss 1971: 30 patients, 6 psychiatrists, 5 diagnoses."""
FOURTEEN = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1, 7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0,
0 2 2 3 7"""
"""The usual worked example of Fleiss' kappa: 10 subjects, 14 raters, counts of 5 classes."""
FOUR_CODERS = "123321412...,1233224125.3,.3332342251.,12332441251."
"""Krippendorff 2011: 12 units, 4 coders, missing data ('.')."""
THREE_CODERS = "*****34121133*3,1*213343*******,**21344*21133*4"


def coders(text: str) -> list[list[str]]:
    """Labels by coder; "" where there is none."""
    return [["" if c in ".*" else c for c in line] for line in text.split(",")]


def annotations(columns: Sequence[Sequence[str]], scale: Scale = "nominal", order: Sequence[str] = ()) -> Annotations:
    names = tuple(f"a{i}" for i in range(len(columns)))
    rows = [(i + 2, dict(zip(names, row, strict=True))) for i, row in enumerate(zip(*columns, strict=True))]
    return from_columns(Table("t.csv", names, rows, (), ""), names, scale, order)


def once(said: Annotations) -> np.ndarray:
    return np.ones((1, len(said.items)))


def test_fleiss_1971() -> None:
    said = annotations(list(zip(*(row.split() for row in DIAGNOSES.split(",")), strict=True)))
    assert of.fleiss(said.counts, once(said))[0] == pytest.approx(0.4302445, abs=1e-7)
    assert of.of_classes(said.counts, once(said))[0][0].round(3).tolist() == [0.245, 0.245, 0.520, 0.471, 0.566]


def test_fourteen_raters() -> None:
    counts = np.array([row.split() for row in FOURTEEN.split(",")], dtype=float)
    assert of.fleiss(counts, np.ones((1, 10)))[0] == pytest.approx(0.210, abs=5e-4)
    assert of.observed(counts, np.ones((1, 10)))[0] == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        (FOUR_CODERS, "nominal", 0.743), (FOUR_CODERS, "ordinal", 0.815), (FOUR_CODERS, "interval", 0.849),
        (THREE_CODERS, "nominal", 0.691), (THREE_CODERS, "interval", 0.811),
    ],
)  # fmt: skip
def test_krippendorff(text: str, scale: Scale, expected: float) -> None:
    said = annotations(coders(text), scale)
    assert of.alpha(said.counts, once(said), scale, said.values)[0] == pytest.approx(expected, abs=5e-4)


def test_cohen_of_sas() -> None:
    """The example of SAS PROC FREQ as other libraries print it: simple .4842, linearly weighted .4701."""
    pairs = [
        (i, j) for i, row in enumerate([[0, 4, 1], [0, 8, 0], [0, 1, 5]]) for j, n in enumerate(row) for _ in range(n)
    ]
    first, second = np.array(pairs).T
    weight = np.ones((1, len(pairs)))
    assert of.cohen(first, second, weight, of.distances(3, "nominal"))[0] == pytest.approx(0.4842, abs=5e-5)
    assert of.cohen(first, second, weight, of.distances(3, "ordinal"))[0] == pytest.approx(0.4701, abs=5e-5)


def drawn(seed: int, annotators: int = 3, items: int = 60, missing: float = 0.2) -> list[list[str]]:
    """Labels of annotators who are right three times out of four."""
    order = np.random.default_rng(seed)
    truth = order.integers(0, 4, items)
    given = np.where(order.random((annotators, items)) < 0.75, truth, order.integers(0, 4, (annotators, items)))
    gone = order.random((annotators, items)) < missing
    return [["" if g else str(v + 1) for v, g in zip(*row, strict=True)] for row in zip(given, gone, strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_second_library(seed: int) -> None:
    from sklearn.metrics import cohen_kappa_score

    columns = drawn(seed)
    both = [(a, b) for a, b in zip(*columns[:2], strict=True) if a and b]
    first, second = zip(*both, strict=True)
    for scale, weights in (("nominal", None), ("ordinal", "linear"), ("interval", "quadratic")):
        said = annotations(columns, scale)  # type: ignore[arg-type]
        ours = of.cohen(said.of(0), said.of(1), once(said), of.distances(4, scale, said.values))[0]  # type: ignore[arg-type]
        assert ours == pytest.approx(cohen_kappa_score(first, second, weights=weights), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_alpha_of_crowd_kit(seed: int) -> None:
    pandas, metrics = pytest.importorskip("pandas"), pytest.importorskip("crowdkit.metrics.data")
    said = annotations(drawn(seed, 4, 80, 0.4))
    frame = pandas.DataFrame({"task": said.item_K, "worker": said.who_K, "label": said.label_K})
    theirs = metrics.alpha_krippendorff(frame)
    assert of.alpha(said.counts, once(said), "nominal")[0] == pytest.approx(theirs, abs=1e-12)


def test_of_annotator_by_hand() -> None:
    said = annotations([["x", "x", "y", ""], ["x", "y", "y", "x"], ["x", "x", "", ""]])
    assert of.with_rest(said.of(0), said.counts, once(said))[0] == pytest.approx((1 + 0.5 + 1) / 3)
    assert of.with_rest(said.of(1), said.counts, once(said))[0] == pytest.approx((1 + 0 + 1) / 3)


def values(found: dict, name: str) -> list[float]:
    whole = found[name]
    return [whole["low"], whole["value"], whole["high"]]


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_identical_annotators_agree(scale: Scale) -> None:
    column = drawn(0, 1, missing=0.1)[0]
    found = measured(annotations([column, column, column], scale), scale, resamples=50)
    for name in ("agreement", "fleiss_kappa", "krippendorff_alpha"):
        assert values(found, name) == pytest.approx([1, 1, 1])
    every = [p["cohen_kappa"] for p in found["pairs"]] + [a["agreement"] for a in found["annotators"]]
    every += [v for c in found["classes"] for v in (c["kappa"], c["agreement"])]
    assert [v["value"] for v in every] == pytest.approx([1] * len(every))


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_permuted_labels_agree_by_chance(scale: Scale) -> None:
    """The mean over 40 permutations lies within 4 standard errors of 0."""
    found = []
    for seed in range(40):
        column = drawn(0, 1, 200, 0.0)[0]
        other = np.random.default_rng(seed).permutation(column).tolist()
        said = annotations([column, other], scale)
        kappa = of.cohen(said.of(0), said.of(1), once(said), of.distances(4, scale, said.values))
        found.append([of.alpha(said.counts, once(said), scale, said.values)[0], kappa[0]])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0)) < 4 * error).all()


def test_renaming_changes_nothing() -> None:
    columns = drawn(1)
    renamed = [[{"1": "z", "2": "b", "3": "m", "4": "a"}.get(c, "") for c in column] for column in columns]
    one, other = (measured(annotations(c), "nominal", resamples=50) for c in (columns, renamed))
    for name in ("agreement", "fleiss_kappa", "krippendorff_alpha"):
        assert values(one, name) == pytest.approx(values(other, name))
    ordered = annotations(renamed, "ordinal", ["z", "b", "m", "a"])
    numbered = annotations(columns, "ordinal")
    assert of.alpha(ordered.counts, once(ordered), "ordinal") == of.alpha(numbered.counts, once(numbered), "ordinal")


def test_interval_covers() -> None:
    """The 95 % interval holds the value of a much larger sample in nearly all of 40 samples."""
    large = annotations(drawn(99, 3, 20_000, 0.0))
    truth = of.alpha(large.counts, once(large), "nominal")[0]
    inside = 0
    for seed in range(40):
        low, _, high = values(
            measured(annotations(drawn(seed, 3, 60, 0.0)), "nominal", resamples=200), "krippendorff_alpha"
        )
        inside += low <= truth <= high
    assert inside >= 33  # fewer has a chance below 0.2 % at 95 %


def test_one_class_is_undefined() -> None:
    found = measured(annotations([["x", "x"], ["x", "x"]]), "nominal", resamples=20)
    assert found["agreement"]["value"] == 1
    assert found["krippendorff_alpha"] == {"value": None, "low": None, "high": None}


def test_long_table_is_the_same() -> None:
    columns = drawn(2)
    wide = annotations(columns)
    rows = [(0, {"i": str(i + 1), "who": f"a{a}", "y": y}) for a, c in enumerate(columns) for i, y in enumerate(c) if y]
    long = from_long(Table("t.csv", ("i", "who", "y"), rows, (), ""), "i", "who", "y")
    assert set(long.annotators) == set(wide.annotators)
    assert of.alpha(long.counts, once(long), "nominal") == pytest.approx(of.alpha(wide.counts, once(wide), "nominal"))


def test_refused() -> None:
    rows = [(2, {"i": "1", "who": "ann", "y": "x"}), (3, {"i": "1", "who": "ann", "y": "z"})]
    with pytest.raises(TunesmithError, match=r"t\.csv:3: 'ann' labels item '1' a second time"):
        from_long(Table("t.csv", ("i", "who", "y"), rows, (), ""), "i", "who", "y")
    with pytest.raises(TunesmithError, match=r"t\.csv:3: column 'who' is empty"):
        from_long(
            Table("t.csv", ("i", "who", "y"), [rows[0], (3, {"i": "1", "who": "", "y": "z"})], (), ""), "i", "who", "y"
        )
    with pytest.raises(TunesmithError, match="between two or more"):
        annotations([["x", "y"]])
    with pytest.raises(TunesmithError, match="ordinal labels that are no numbers need their order"):
        annotations([["low", "high"], ["low", "low"]], "ordinal")
    with pytest.raises(TunesmithError, match="interval needs numbers"):
        annotations([["low", "1"], ["low", "low"]], "interval")
    with pytest.raises(TunesmithError, match="stand in t.csv and not in the order"):
        annotations([["low", "high"], ["low", "low"]], "ordinal", ["low"])
