"""A whole job whose answers have a shape: written within the schema, measured with and without it, proven again."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

import jobs
from kit import TinyBases
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json
from tunesmith.flows import evaluate, load, predict
from tunesmith.plan_text import make_plan, read_plan

SCHEMA = {
    "type": "object", "required": ["part", "hot"], "additionalProperties": False,
    "properties": {"part": {"enum": ["pump", "fan", "belt"]}, "hot": {"type": "boolean"},
                   "note": {"type": "string", "maxLength": 20}},
}  # fmt: skip


def rows(path: Path, count: int = 60) -> Path:
    generator = random.Random(5)
    made = []
    for i in range(count):
        part, hot = generator.choice(["pump", "fan", "belt"]), generator.random() < 0.5
        answer = json.dumps({"part": part, "hot": hot})
        made.append({"instruction": f"the {part} is {'too hot' if hot else 'cold'}, row {i}", "output": answer})
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def tree(tiny_bases: TinyBases, folder: Path, **decode: Any) -> dict[str, Any]:
    return {
        "task": {"name": "generate", "template": "plain", "max_tokens": 96, "decode": {"max_new_tokens": 24, **decode}},
        "base": str(tiny_bases["llama language"]), "data": str(rows(folder / "rows.json")), "method": "lora",
        "train": {"epochs": 1, "batch": 8, "lr": 0.01},
        "evaluate": {"metrics": ["perplexity", "schema_valid", "json_field_f1", "style", "content_kept"],
                     "resamples": 100},
        "run": str(folder / "run"),
    }  # fmt: skip


def test_every_answer_conforms(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """The untrained tiny base babbles: nothing of it is JSON, and with the schema all of it conforms. What is kept,
    reloaded, predicted and reported is the same."""
    (tmp_path / "shape.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    reply = jobs.run_job(tree(tiny_bases, tmp_path, schema=str(tmp_path / "shape.json")))
    run = tmp_path / "run"
    assert reply["metrics"]["test"]["schema_valid"]["value"] == 1.0
    assert reply["baselines"]["untuned"]["test"]["schema_valid"]["value"] == 1.0
    found = read_json(run / "metrics.json")
    assert found["structure"]["free"]["schema_valid"]["value"] < 1.0
    assert found["structure"]["account"]["rows"] == found["structure"]["rows"] == 6
    assert {f["field"] for f in found["structure"]["fields"]} >= {"part", "hot"}
    assert found["signatures"]["style"].startswith("char_wb")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Answers with a shape" in page and "Without, 6" in page
    plan = read_plan(run / "plan.yaml")
    assert plan.task.decode.schema == SCHEMA  # the plan holds it, whatever becomes of the file
    again = evaluate(run, tmp_path / "rows.json")
    assert again["metrics"]["schema_valid"]["value"] == 1.0 and "style" not in again["metrics"]
    assert again["warnings"] == ["style is left out: it learns from the training rows, which the model lacks"]
    predict(run, tmp_path / "rows.json", tmp_path / "out.json")
    answers = [json.loads(row["prediction"]) for row in read_json(tmp_path / "out.json")]
    assert {answer["part"] for answer in answers} <= {"pump", "fan", "belt"}
    assert load(run).plan.task.decode.schema == SCHEMA


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a/b": {"type": "objekt"}}}, "schema at /properties/a~1b/type: 'objekt'"),
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "schema at /properties/a/items: Unimplemented keys"),
        ({"anyOf": [{}, {"minProperties": 1}]}, "schema at /anyOf/1/minProperties: more than the properties"),
        ({"x-guidance": {"lenient": True}}, "schema at /x-guidance: settings of the grammar are not read"),
        ({"$defs": {"t": {"pattern": "("}}, "$ref": "#/$defs/t"}, r"schema at /\$defs/t/pattern: '\(' is not"),
        ("nowhere.json", "task.decode.schema: value error, cannot read the schema file nowhere.json"),
        ('{"type": ', "task.decode.schema: value error, the schema is not JSON"),
    ],
)  # fmt: skip
def test_a_schema_is_checked_before_anything_loads(schema: Any, words: str) -> None:
    """With a pointer to the place; neither base nor data exists."""
    with pytest.raises(TunesmithError, match=words):
        make_plan({"task": {"name": "generate", "decode": {"schema": schema}}, "base": "none", "data": "none.json"})


def test_schema_valid_needs_a_schema() -> None:
    """A metric that has nothing to compare with is refused with the plan."""
    asked = {"task": "generate", "base": "none", "data": "none.json", "evaluate": {"metrics": ["nll", "schema_valid"]}}
    with pytest.raises(TunesmithError, match=r"evaluate.metrics: schema_valid needs a schema.*task.decode.schema"):
        make_plan(asked)


def test_a_schema_file_is_found_beside_its_plan(tmp_path: Path) -> None:
    """As data files are."""
    (tmp_path / "s.json").write_text('{"type": "integer"}', encoding="utf-8")
    plan = "task: {name: generate, decode: {schema: s.json}}\nbase: x\ndata: y.json\n"
    (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
    assert read_plan(tmp_path / "plan.yaml").task.decode.schema == {"type": "integer"}
    inline = read_plan(tmp_path / "plan.yaml", ['task.decode.schema={"type": "null"}'])
    assert inline.task.decode.schema == {"type": "null"}
