"""What text tasks share: what is cut is counted, special tokens stay, pairs are marked, side columns arrive."""

from typing import Any

import numpy as np
import pytest

import small
import tiny
from kit import TinyBases
from tunesmith.data import Record
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.tasks import TASKS, SideFacts, Task, _text
from tunesmith.tasks._side import side_vectors

LONG = "the pump leaks oil and the pressure drops below the limit"


def task(**settings: Any) -> Task:
    return TASKS.find("classify").model_validate({"text": "text", "label": "label", **settings})


def row(**cells: Any) -> Record:
    return Record(0, "t.csv", 1, 2, cells)


@pytest.mark.parametrize("family", ("bert", "roberta", "deberta-v2", "llama", "qwen2"))
def test_what_is_cut_is_counted_by_row_and_special_tokens_stay(family: str) -> None:
    tokenizer = tiny.tokenizer(family)
    whole = tokenizer(LONG)["input_ids"]
    limit = len(whole) - 3
    ids, _, lost = _text.tokens([LONG, "goal"], None, tokenizer, limit)
    assert lost == [3, 0]
    assert ids[1] == tokenizer("goal")["input_ids"]
    assert len(ids[0]) == limit
    if tokenizer.sep_token_id is not None:
        assert ids[0][0] == whole[0] and ids[0][-1] == tokenizer.sep_token_id
        assert ids[0][1:-1] == whole[1 : limit - 1]
    else:
        assert ids[0] == whole[:limit]


def test_nothing_is_padded_even_if_the_tokenizer_file_says_so() -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = tiny.make_tokenizer("bert")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    tokenizer.backend_tokenizer.enable_truncation(max_length=5)
    ids, _, lost = _text.tokens([LONG, "goal"], None, tokenizer, 100)
    assert lost == [0, 0] and len(ids[0]) > 5 and 3 <= len(ids[1]) < 64


def test_exactly_the_limit_loses_nothing() -> None:
    tokenizer = tiny.tokenizer("bert")
    length = len(tokenizer(LONG)["input_ids"])
    assert _text.tokens([LONG], None, tokenizer, length)[2] == [0]
    assert _text.tokens([LONG], None, tokenizer, length - 1)[2] == [1]


def test_pairs_get_token_types_and_are_cut_from_the_longer_side() -> None:
    tokenizer = tiny.tokenizer("bert")
    ids, types, _ = _text.tokens(["goal"], ["the pump leaks oil"], tokenizer, 64)
    assert types is not None
    first = ids[0].index(tokenizer.sep_token_id) + 1
    assert types[0] == [0] * first + [1] * (len(ids[0]) - first)
    short, types, lost = _text.tokens(["goal"], [LONG], tokenizer, 12)
    goal = tokenizer("goal", add_special_tokens=False)["input_ids"]
    assert len(short[0]) == 12 and lost[0] > 0 and short[0][1 : 1 + len(goal)] == goal
    assert short[0].count(tokenizer.sep_token_id) == 2 and types is not None and len(types[0]) == 12


def test_a_pair_with_an_empty_second_text_stays_a_pair_when_it_is_cut() -> None:
    tokenizer = tiny.tokenizer("bert")
    whole, cut = (_text.tokens([LONG], [""], tokenizer, limit)[0][0] for limit in (64, 8))
    assert whole[-2:] == cut[-2:] == [tokenizer.sep_token_id] * 2 and cut[:6] == whole[:6]


def test_single_texts_carry_no_token_types() -> None:
    assert _text.tokens([LONG], None, tiny.tokenizer("bert"), 64)[1] is None


def test_a_pair_column_reaches_the_tokens() -> None:
    made = task(pair="other")
    rows = [row(text="goal", other="the pump", label="a"), row(text="goal", other="the fan", label="b")]
    facts = made.study(rows, made.roles())
    encoded = made.encode(rows, made.roles(), tiny.tokenizer("bert"), facts)
    assert encoded.ids[0].tolist() == tiny.tokenizer("bert")("goal", "the pump")["input_ids"] != encoded.ids[1].tolist()
    assert encoded.types is not None


def test_side_columns_as_text_stand_before_the_text() -> None:
    made = task(side_columns=["hours", "brand"])
    rows = [row(text="goal", hours="007", brand=None, label="a"), row(text="goal", hours=3, brand="x", label="b")]
    facts = made.study(rows, made.roles())
    assert facts.side is None
    tokenizer = tiny.tokenizer("bert")
    encoded = made.encode(rows, made.roles(), tokenizer, facts)
    assert encoded.side is None
    assert encoded.ids[0].tolist() == tokenizer("hours: 007, brand: . goal")["input_ids"]
    assert encoded.ids[1].tolist() == tokenizer("hours: 3, brand: x. goal")["input_ids"]


HOURS = ["1", "3", "", None, "8"]
BRANDS = ["acme", "bolt", "acme", "", "bolt"]


def side_rows() -> list[Record]:
    return [
        row(text="t", hours=h, brand=b, label="ab"[i % 2]) for i, (h, b) in enumerate(zip(HOURS, BRANDS, strict=True))
    ]


def test_a_side_vector_is_standardised_with_training_statistics() -> None:
    made = task(side_columns=["hours", "brand"], side="vector")
    side = made.study(side_rows(), made.roles()).side
    assert side is not None
    mean, std = np.mean([1, 3, 8]), np.std([1, 3, 8])
    assert side.numbers["hours"] == pytest.approx((mean, std))
    assert side.categories == {"brand": ("", "acme", "bolt")}
    found = side_vectors([row(hours="10", brand="bolt"), row(hours=2.5, brand="acme")], side)
    assert found.dtype == np.float32 and found.shape == (2, side.width) == (2, 5)
    assert found == pytest.approx(
        np.array([[(10 - mean) / std, 0, 0, 1, 0], [(2.5 - mean) / std, 0, 1, 0, 0]]), abs=1e-6
    )


def test_a_new_category_is_all_zeros_and_a_missing_number_the_mean() -> None:
    side = SideFacts(numbers={"hours": (5.0, 2.0)}, categories={"brand": ("acme", "bolt")})
    found = side_vectors([row(hours="", brand="unheard"), row(hours=None, brand="acme"), row(brand="bolt")], side)
    assert found.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_constant_number_does_not_divide_by_zero() -> None:
    made = task(side_columns=["hours"], side="vector")
    rows = [row(text="t", hours="4", label=y) for y in "ab"]
    side = made.study(rows, made.roles()).side
    assert side is not None and side.numbers == {"hours": (4.0, 1.0)}
    assert np.isfinite(side_vectors(rows, side)).all()


def test_a_number_column_that_holds_a_word_at_prediction_is_an_error_with_its_place() -> None:
    with pytest.raises(TunesmithError, match=r"t\.csv:2: column 'hours': not a finite number: 'many'"):
        side_vectors([row(hours="many")], SideFacts(numbers={"hours": (0.0, 1.0)}))


def table(*columns: str, rows: int = 8) -> Table:
    cells = {"text": "it leaks again here {}", "label": "ab", "hours": "{}", "body": "the fan is loud {}"}
    made = [
        (i + 2, {c: ("ab"[i % 2] if c in ("label", "class") else cells.get(c, "{}").format(i)) for c in columns})
        for i in range(rows)
    ]
    return Table("t.csv", columns, made, (), "")


def test_columns_are_resolved_once_and_named_when_missing() -> None:
    free = TASKS.make("classify")
    found = free.resolved(table("text", "label", "hours"))
    assert (found.text, found.label) == ("text", "label")  # type: ignore[attr-defined]
    for name in ("text", "label", "pair"):
        with pytest.raises(TunesmithError, match=r"t\.csv: no column named 'lable'[\s\S]*label"):
            task(**{name: "lable"}).resolved(table("text", "label", "hours"))
    with pytest.raises(TunesmithError, match="no column named 'hour'.*hours"):
        task(side_columns=["hour"]).resolved(table("text", "label", "hours"))


@pytest.fixture(scope="module")
def families(tiny_bases: TinyBases) -> dict[str, Model]:
    return {f: small.model(small.plan(tiny_bases[f]), small.records()) for f in ("bert", "roberta", "llama", "qwen2")}


@pytest.mark.parametrize("family", ("bert", "roberta", "llama", "qwen2"))
@pytest.mark.parametrize("text", ("", " ", "\n", "[PAD]", "<s></s>"))
def test_a_text_of_nothing_has_an_answer_and_the_same_one_in_any_batch(
    family: str, text: str, families: dict[str, Model]
) -> None:
    """FAULTS M4: 0 tokens, special tokens alone, spaces alone: an answer, never an index error."""
    made = families[family]
    alone = made.outputs(made.encode(small.records([text], ["a"]), made.plan.task.roles()))
    assert np.isfinite(alone).all()
    both = made.encode(small.records([text, LONG], ["a", "b"]), made.plan.task.roles())
    import torch

    from tunesmith.engine.batches import collate

    with torch.no_grad():
        together = made.net(collate(both, [0, 1], made.tokenizer.pad_token_id)).numpy()
    assert np.abs(together[0] - alone[0]).max() <= 1e-5


@pytest.mark.parametrize("limit", (1, 2, 3))
@pytest.mark.parametrize("family", ("bert", "llama"))
def test_a_tiny_limit_is_kept_or_refused_in_words(limit: int, family: str) -> None:
    try:
        ids, _, lost = _text.tokens([LONG], None, tiny.tokenizer(family), limit)
    except TunesmithError as error:
        assert "max_tokens" in str(error)
    else:
        assert len(ids[0]) <= limit and lost[0] > 0
