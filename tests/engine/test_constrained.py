"""Constrained writing: whatever the scores and wherever the tokens end, a row conforms, each by its own state."""

import random
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from tunesmith import conforming
from tunesmith.engine.constrained import Account, Shape, in_string
from tunesmith.errors import TunesmithError

RECORD = {
    "type": "object", "additionalProperties": False, "required": ["name", "n", "tags"],
    "properties": {"name": {"type": "string", "minLength": 2, "maxLength": 8}, "n": {"type": "integer", "minimum": 3},
                   "tags": {"type": "array", "minItems": 2, "items": {"enum": ["a", "bc"]}}},
}  # fmt: skip
TREE = {
    "$defs": {"t": {"anyOf": [{"type": "null"}, {
        "type": "object", "required": ["l", "v"],
        "properties": {"l": {"$ref": "#/$defs/t"}, "v": {"type": "string", "pattern": "^a+b$"}}}]}},
    "$ref": "#/$defs/t",
}  # fmt: skip
SCHEMAS: dict[str, Any] = {
    "record": RECORD, "any object": {"type": "object"}, "anything": {}, "tree": TREE,
    "numbers": {"type": "array", "items": {"type": "number"}, "minItems": 3},
    "date": {"type": "string", "format": "date"}, "choice": {"enum": ["x", "xy", 3, None]},
    "steps": {"type": "number", "multipleOf": 0.5, "exclusiveMaximum": 7},
    "both": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                       {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]},
    "keys": {"type": "object", "patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
}  # fmt: skip


def babble(shape: Shape, seed: int, steps: int, rows: int = 3) -> list[list[int]]:
    """Rows of a model without any sense: scores are drawn, the best allowed token is taken."""
    generator = torch.Generator().manual_seed(seed)
    constraint, ids = shape.rows(rows), torch.zeros(rows, 1, dtype=torch.long)
    for _ in range(steps):
        scores = constraint(ids, torch.randn(rows, shape.size + 5, generator=generator))
        assert (scores[:, shape.size :] == -torch.inf).all()  # embeddings that no token has
        ids = torch.cat([ids, scores.argmax(1, keepdim=True)], 1)
    stops = set(shape.stops)
    made = [row[1:] for row in ids.tolist()]
    return [row[: next((i for i, t in enumerate(row) if t in stops), len(row))] for row in made]


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_whatever_is_written_conforms(name: str, family: str) -> None:
    """Judged by jsonschema, which knows nothing of llguidance; cut off after 1 to 40 tokens."""
    schema, tokenizer = SCHEMAS[name], tiny.make_tokenizer(family)
    assert conforming.fault(schema) is None
    shape, accepts = Shape(schema, tokenizer, (tokenizer.eos_token_id,)), conforming.conforms(schema)
    account = Account()
    for seed in range(8):
        for ids in babble(shape, seed, random.Random(seed).randint(1, 40)):
            text = shape.text(ids, account)
            assert accepts(text), text
    assert account.rows == 24 and account.open == 0


def test_complete_rows_are_kept_as_they_are() -> None:
    """Closing begins where the tokens end, and not before; a complete text gains nothing."""
    tokenizer = tiny.make_tokenizer("llama")
    shape, account = Shape(RECORD, tokenizer, (tokenizer.eos_token_id,)), Account()
    said = '{"name": "pump", "n": 12, "tags": ["a", "bc"]}'
    assert shape.text(tokenizer(said, add_special_tokens=False)["input_ids"], account) == said
    cut = '{"name": "a\\"b\\n", "n": 1'
    assert shape.text(tokenizer(cut, add_special_tokens=False)["input_ids"], account) == cut + '0,"tags":["bc","a"]}'
    assert account == Account(rows=2, closed=1)


def test_rows_stand_at_different_places() -> None:
    """Each row is constrained by its own text: a batch gives what each row gives alone."""
    tokenizer = tiny.make_tokenizer("llama")
    shape = Shape(RECORD, tokenizer, (tokenizer.eos_token_id,))
    texts = ['{"name": "pu', '{"na', '{"name": "pump", "n": 4, "tags": ["bc"']
    rows = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
    together, scores = shape.rows(3), torch.zeros(3, shape.size)
    alone = []
    for row in rows:
        one = shape.rows(1)
        for place in range(len(row) + 1):
            last = one(torch.tensor([row[max(0, place - 1) : max(1, place)]]), scores[:1])
        alone.append(last[0])
    for matcher, row in zip(together.matchers, rows, strict=True):
        matcher.consume_tokens(row)
    both = together(torch.zeros(3, 1, dtype=torch.long), scores)
    assert torch.equal(both, torch.stack(alone))
    assert len({tuple(np.flatnonzero(row.isfinite()).tolist()) for row in both}) == 3


def test_inside_and_outside() -> None:
    """Where a string ends decides what closes a text."""
    texts = (b"", b'{"a', b'{"a"', b'"a\\"', b'"a\\\\"', b'"\\')
    assert [in_string(text) for text in texts] == [False, True, False, True, False, True]


def test_what_cannot_be_constrained_is_refused() -> None:
    """No stop token, no fast tokenizer, a part of the vocabulary that the base lacks."""
    tokenizer = tiny.make_tokenizer("llama")
    with pytest.raises(TunesmithError, match="no token that ends an answer"):
        Shape({}, tokenizer, ())
    with pytest.raises(TunesmithError, match="needs a fast tokenizer"):
        Shape({}, object(), (1,))
    with pytest.raises(TunesmithError, match="no token with which its answer could go on"):
        Shape({"const": "x"}, tokenizer, (1,)).rows(1)(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 3))
