"""The table of fields: which are found, over all rows, places of lists told together."""

from tunesmith.evaluation.structure import field_table
from tunesmith.metrics import Answers


def test_fields_are_counted_apart() -> None:
    """a is right in one of two rows, b twice in three places, c is invented; no JSON finds nothing."""
    references = [('{"a": 1, "b": [1, 2]}',), ('{"a": 2, "b": [3]}', '{"z": 1}')]
    table = field_table(Answers.of_texts(references, ['{"a": 1, "b": [1, 9], "c": 0}', '{"b": [3]}']))
    told = {line["field"]: (line["wanted"], line["answered"], line["right"], line["f1"]) for line in table}
    assert told == {"b/[]": (3, 3, 2, 2 / 3), "a": (2, 1, 1, 2 / 3), "c": (0, 1, 0, 0.0)}
    assert [line["field"] for line in table] == ["b/[]", "a", "c"]
    assert table[2]["recall"] is None and table[2]["precision"] == 0
    nothing = field_table(Answers.of_texts([("[1]",)], ["no"]))
    assert nothing[0]["f1"] == 0 and nothing[0]["precision"] is None
    assert field_table(Answers.of_texts([("5",)], ["5"]))[0]["field"] == "(the whole)"
    assert field_table(Answers.of_texts([("plain words",)], ["5"])) == []
