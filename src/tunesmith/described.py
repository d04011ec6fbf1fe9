"""Settings whose meaning is the docstring below each of them, read when somebody asks for it.

pydantic would read them while a class is made (`use_attribute_docstrings`). It parsed the source of some eighty classes
before a typo in a plan could be answered, which took as long as everything else together.
"""

import ast
import inspect
import sys
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler


class Described(BaseModel):
    """A frozen group of settings; JSON schemas of it say what each setting means."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """{setting: the docstring below it}, those of base classes included; settings without one are left out."""
        found: dict[str, str] = {}
        for each in reversed(cls.__mro__):
            found |= _docstrings(each.__module__).get(each.__qualname__, {})
        return {name: text for name, text in found.items() if text and name in cls.model_fields}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        settings = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in cls.meanings().items():
            settings[name].setdefault("description", text)
        return schema


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """{class: {attribute: the string below it, or nothing}} of a module; empty where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):
        return {}
    return {node.name: _below(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, said in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = said.value.value if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant) else ""
            found[field.target.id] = inspect.cleandoc(text) if isinstance(text, str) else ""
    return found
