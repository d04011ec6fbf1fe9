"""Read a configuration as data: YAML, JSON, or a Python file as a syntax tree that is never run.

What a Python file would have to compute stays as an `Unread` leaf, so that it can be reported instead of lost.
"""

import ast
import json
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import TunesmithError

MAX_BYTES = 1 << 20
MAX_SETTINGS = 20_000
"""YAML aliases could name one big mapping many times."""
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


class Symbol(str):
    """A name that a Python file imported, such as AdamW or PROMPT_TEMPLATE.qwen_chat."""


@dataclass(frozen=True)
class Unread:
    """A piece of Python that would have to be run."""

    what: str


@dataclass
class Tree:
    """A file's settings."""

    values: dict[str, Any]
    """As nested as in the file."""
    used: dict[str, list[str]] = field(default_factory=dict)
    """Python files: name -> names that are made of it."""
    unread: dict[str, Unread] = field(default_factory=dict)
    """Python files: 'line 12' -> a statement that would have to be run."""


class _Loader(yaml.SafeLoader):
    """YAML without keys given twice: one of the two would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                twice = f"the key '{key.value}' stands twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_tree(path: Path) -> Tree:
    """The settings of a file. Raises TunesmithError with the place where it cannot be read."""
    text = _text(path)
    try:
        if path.suffix.lower() == ".py":
            return _python(text)
        values = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise TunesmithError(f"{path}{place}: {getattr(error, 'problem', error)}") from error
    except SyntaxError as error:
        raise TunesmithError(f"{path}:{error.lineno}: not Python: {error.msg}") from error
    except json.JSONDecodeError as error:
        raise TunesmithError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise TunesmithError(f"{path}: nested too deeply for a configuration") from error
    except ValueError as error:  # a null byte in Python, a date that is none in YAML
        raise TunesmithError(f"{path}: a value cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise TunesmithError(f"{path}: a configuration is a mapping of settings; this is {type(values).__name__}")
    return Tree(values)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TunesmithError(f"{path}: larger than 1 MiB; this is not a configuration")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TunesmithError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TunesmithError(f"{path}: not UTF-8 at byte {error.start}") from error


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """{dotted key: value}: mappings, and lists that hold mappings, are walked; other lists are one value."""
    found: dict[str, Any] = {}
    walk = [(path, tree)]
    while walk:
        where, value = walk.pop(0)
        if isinstance(value, dict) and value:
            walk = [(f"{where}.{k}" if where else str(k), v) for k, v in value.items()] + walk
        elif isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value):
            walk = [(f"{where}.{i}", v) for i, v in enumerate(value)] + walk
        else:
            found[where] = value
        if len(found) + len(walk) > MAX_SETTINGS:
            raise TunesmithError(f"more than {MAX_SETTINGS} settings; this is not a configuration")
    return found


# Python


def _python(text: str) -> Tree:
    tree = Tree({})
    symbols: dict[str, Symbol] = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            symbols |= {a.asname or a.name.split(".")[0]: Symbol(a.asname or a.name.split(".")[0]) for a in node.names}
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            for target in node.targets:
                _assign(tree, symbols, target.id, node.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            _assign(tree, symbols, node.target.id, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            changed = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
            _assign(tree, symbols, node.target.id, changed)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            tree.unread[f"line {node.lineno}"] = Unread(ast.unparse(node).splitlines()[0][:80])
    return tree


def _assign(tree: Tree, symbols: dict[str, Symbol], name: str, node: ast.expr) -> None:
    tree.values[name] = _value(node, tree, symbols)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id in tree.values and inner.id != name:
            tree.used.setdefault(inner.id, []).append(name)


def _value(node: ast.expr, tree: Tree, symbols: dict[str, Symbol]) -> Any:
    def value(inner: ast.expr) -> Any:
        return _value(inner, tree, symbols)

    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None as constant):
            return constant
        case ast.List(elts=items) | ast.Tuple(elts=items) if not any(isinstance(i, ast.Starred) for i in items):
            return [value(item) for item in items]
        case ast.Dict(keys=keys, values=values) if all(isinstance(k, ast.Constant) for k in keys):
            return {str(k.value): value(v) for k, v in zip(keys, values, strict=True)}  # type: ignore[union-attr]
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=words) if all(w.arg for w in words):
            return {str(word.arg): value(word.value) for word in words}
        case ast.Name(id=name) if name in tree.values or name in symbols:
            return tree.values.get(name, symbols.get(name))
        case ast.Attribute(value=owner, attr=name) if isinstance(above := value(owner), Symbol):
            return Symbol(f"{above}.{name}")
        case ast.UnaryOp(op=ast.USub(), operand=inner) if _is_number(number := value(inner)):
            return -number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _computed(node, op, value(left), value(right))
    return Unread(ast.unparse(node)[:80])


def _computed(node: ast.expr, op: ast.operator, left: Any, right: Any) -> Any:
    """Sums and products of plain numbers; anything larger than a setting could be stays unread."""
    if not (_is_number(left) and _is_number(right)) or (isinstance(op, ast.Div) and right == 0):
        return Unread(ast.unparse(node)[:80])
    return _ARITHMETIC[type(op)](left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
