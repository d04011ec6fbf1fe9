"""Settings whose meaning is the docstring below each of them, read when somebody asks for it.

pydantic would read them while a class is made (`use_attribute_docstrings`). It parsed the source of some eighty classes
before a typo in a plan could be answered, which took as long as everything else together.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler


class Described(BaseModel):
    """A frozen group of settings; JSON schemas of it say what each setting means."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """{setting: the docstring below it, or below the same setting of a base class}; others are left out."""
        found: dict[str, str] = {}
        for each in reversed(cls.__mro__):
            found |= _docstrings(each.__module__).get(each.__qualname__, {})
        return {name: text for name, text in found.items() if name in cls.model_fields}

    @classmethod
    def remark(cls, attribute: str) -> str:
        """The docstring below an attribute that is no setting, of this class alone; empty where there is none."""
        return _docstrings(cls.__module__).get(cls.__qualname__, {}).get(attribute, "")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        settings = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in cls.meanings().items():
            settings[name].setdefault("description", text)
        return schema


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """{class: {attribute: the string below it}} of the source of a module; nothing where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):
        return {}
    return {node.name: dict(_below(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, said in pairwise(node.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, ast.Expr):
            text = getattr(said.value, "value", None)
            if isinstance(text, str):
                yield field.target.id, inspect.cleandoc(text)
