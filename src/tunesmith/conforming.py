"""JSON schemas: read from a file or a text, checked with the place of a mistake, and which texts conform.

Two libraries, both of the extra [schema]: jsonschema says what conforms, llguidance writes only what does. A schema is
accepted where both understand all of it: a keyword that only one of them knows would be kept by nobody.
"""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError

Schema = Mapping[str, Any]
SPACE = r"( |\n[ ]{0,40})"
"""White space between the parts of an answer: one space, or one line break with indentation. Any amount, as JSON
allows, is what a model that does not know how to go on writes until its tokens are spent."""
NEEDS = ("jsonschema", "llguidance")


def read(value: Any) -> Any:
    """A schema as an object, from an object, a JSON text or the path of a file; anything else is returned as it is.

    Raises ValueError, for pydantic to say which setting it was.
    """
    if not isinstance(value, str):
        return value
    text, place = value, "the schema"
    if not value.lstrip().startswith("{"):
        place = value
        try:
            text = Path(value).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the schema file {value}: {error}") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{place} holds no JSON object")
    return found


def fault(schema: Schema) -> str | None:
    """What is wrong with a schema and where, as a JSON pointer (RFC 6901); None if it can be kept to."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}: install the extra tunesmith[schema]"
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"schema at {pointer(error.absolute_path)}: {error.message[:200]}"
    return _loose(schema, []) or _not_kept(schema)


def _loose(schema: Schema, path: list[str | int]) -> str | None:
    """Keywords that the grammar takes and does not keep."""
    if "x-guidance" in schema:
        return f"schema at {pointer([*path, 'x-guidance'])}: settings of the grammar are not read. Leave them out"
    if schema.get("minProperties", 0) > len(schema.get("required", ())):
        # Names may repeat in what is written, and a name given twice is one property.
        return (
            f"schema at {pointer([*path, 'minProperties'])}: more than the properties that are required, and names "
            "that are free are not counted apart. Name them under required"
        )
    return next((found for way, part in _parts(schema) if (found := _loose(part, [*path, *way]))), None)


def _not_kept(schema: Schema) -> str | None:
    """What the grammar cannot keep, with the smallest part of the schema that has it."""
    told = _compiled(schema)
    if told is None:
        return None
    path, here = list[str | int](), schema
    while (inner := next((p for p in _parts(here) if _compiled(_within(schema, p[1]))), None)) is not None:
        path, here = [*path, *inner[0]], inner[1]
    return f"schema at {pointer(path)}: {told[:200]}. Leave it out, or check it in the answers afterwards"


def _compiled(schema: Schema) -> str | None:
    from llguidance import LLMatcher

    wrong, messages = LLMatcher.validate_grammar_with_warnings(grammar(schema))
    return str(messages[0]) if wrong or messages else None


def _within(schema: Schema, part: Schema) -> Schema:
    """A part that can be looked at alone: with the definitions that it may refer to."""
    return {k: schema[k] for k in ("$defs", "definitions") if k in schema} | dict(part)


def _parts(schema: Schema) -> list[tuple[list[str | int], Schema]]:
    """The schemas directly inside a schema, each with the way to it."""
    found: list[tuple[list[str | int], Any]] = []
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        if isinstance(schema.get(key), dict):
            found += [([key, name], each) for name, each in schema[key].items()]
    for key in ("prefixItems", "anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list):
            found += [([key, place], each) for place, each in enumerate(schema[key])]
    found += [([key], schema[key]) for key in ("items", "additionalProperties") if key in schema]
    return [(path, each) for path, each in found if isinstance(each, dict)]


def pointer(path: Any) -> str:
    """JSON pointer of a path of keys and places; the whole is called the top."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
    return "".join(f"/{step}" for step in steps) or "the top"


def grammar(schema: Schema) -> str:
    """The schema as llguidance reads it. Raises TunesmithError where it is none that can be kept to."""
    from llguidance import LLMatcher

    try:
        return str(LLMatcher.grammar_from_json_schema(dict(schema), overrides={"whitespace_pattern": SPACE}))
    except ValueError as error:
        raise TunesmithError(f"schema: {error}") from error


def conforms(schema: Schema) -> Callable[[str], bool]:
    """Says of a text whether it is JSON (RFC 8259) that validates against the schema (draft 2020-12)."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)

    def accepts(text: str) -> bool:
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
        return bool(validator.is_valid(value))

    return accepts


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
