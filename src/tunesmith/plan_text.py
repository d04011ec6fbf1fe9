"""Plans as text: YAML and `path=value` words in, every mistake at once with its path out, and back to YAML."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tunesmith.catalog import Choice
from tunesmith.errors import TunesmithError, unknown
from tunesmith.plan import Plan
from tunesmith.plan_rules import objections, searched
from tunesmith.steps import STEPS
from tunesmith.tasks import TASKS

MAX_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """YAML without aliases (they can blow up) and without keys given twice (one would win in silence)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not read in plans", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                twice = f"the key '{key}' stands twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key_node.start_mark)
            seen.add(key if isinstance(key, str) else repr(key))
        return super().construct_mapping(node, deep)


def read_plan(path: Path | None, words: list[str] | tuple[str, ...] = ()) -> Plan:
    """A plan from a YAML file (or none) and `path=value` words. Paths inside a file are relative to that file.

    Raises TunesmithError that lists every mistake.
    """
    return make_plan(read_tree(path, words))


def read_tree(path: Path | None, words: Sequence[str] = (), known: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a plan is made from, as nested dictionaries, from a file or what is `known`; `tune` finds ranges in it."""
    tree = _load(path) if path else known or {}
    if path:
        anchor(tree, path.parent)
    for word in words:
        _override(tree, word)
    return tree


def make_plan(tree: dict[str, Any]) -> Plan:
    """A plan from nested dictionaries. Raises TunesmithError that lists every mistake."""
    if found := searched(tree):
        raise TunesmithError(_told(found))
    try:
        plan = Plan.model_validate(tree)
    except ValidationError as error:
        first: dict[str, Any] = {}
        for each in error.errors():  # a field of several types has a complaint for each; the first is enough
            first.setdefault(".".join(_walk(each["loc"])[0]) + each["type"].startswith("extra") * "+", each)
        raise TunesmithError(_told([_sentence(e) for e in first.values()])) from None
    if found := objections(plan):
        raise TunesmithError(_told(found))
    return plan


def dump_plan(plan: Plan) -> str:
    """The resolved plan, every default filled in, as YAML."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TunesmithError(f"{path}: larger than 1 MiB; this is not a plan")
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise TunesmithError(f"cannot read the plan {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TunesmithError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise TunesmithError(f"{path}{place}: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise TunesmithError(f"{path}: nested too deeply for a plan") from error
    except ValueError as error:  # a date or a number that looks like one and is none
        raise TunesmithError(f"{path}: a value cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise TunesmithError(f"{path}: a plan is a mapping with at least task, base and data")
    return tree


def anchor(tree: dict[str, Any], folder: Path) -> None:
    """Make the data paths of a plan file independent of the current folder."""

    def fixed(value: Any) -> Any:
        if isinstance(value, str) and not Path(value).expanduser().is_absolute():
            return str(folder / value)
        if isinstance(value, list):
            return [fixed(v) for v in value]
        if isinstance(value, dict) and isinstance(value.get("file"), str):
            return value | {"file": fixed(value["file"])}
        return value

    data = tree.get("data")
    if isinstance(data, (str, list)):
        tree["data"] = fixed(data)
    elif isinstance(data, dict):
        for key in ("train", "validation", "test"):
            if key in data:
                data[key] = fixed(data[key])
    task = tree.get("task")
    if isinstance(task, dict) and task.get("name") in TASKS.names():
        TASKS.find(task["name"]).anchor_files(task, fixed)
    for step in tree["steps"] if isinstance(tree.get("steps"), list) else ():
        if isinstance(step, dict) and step.get("name") in STEPS.names():
            STEPS.find(step["name"]).anchor_files(step, fixed)
    decode = task.get("decode") if isinstance(task, dict) else None
    if isinstance(decode, dict) and isinstance(schema := decode.get("schema"), str) and "{" not in schema:
        decode["schema"] = fixed(schema)
    base = tree.get("base")
    name = base.get("name") if isinstance(base, dict) else base
    if isinstance(name, str) and not Path(name).expanduser().is_absolute() and (folder / name).is_dir():
        tree["base"] = {**base, "name": str(folder / name)} if isinstance(base, dict) else str(folder / name)


def _override(tree: dict[str, Any], word: str) -> None:
    path, equals, text = word.partition("=")
    if not equals or not path.strip():
        raise TunesmithError(f"'{word}' is not path=value (such as train.epochs=5 or method=lora)")
    value = value_of(path, text)
    *folders, last = path.strip().split(".")
    spot = tree
    for key in folders:
        below = spot.get(key)
        if isinstance(below, str) or (isinstance(below, list) and key == "data"):  # `method: lora`, then method.r=4
            below = {"train": below} if key == "data" else {"name": below}
        spot[key] = below if isinstance(below, dict) else {}
        spot = spot[key]
    spot[last] = value


def value_of(path: str, text: str) -> Any:
    """A value as words of a plan spell it. Raises TunesmithError, with the path, where it cannot be read."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise TunesmithError(f"{path}: cannot read the value '{text}': {getattr(error, 'problem', error)}") from error
    except (ValueError, RecursionError) as error:  # a date or a number that is none, or brackets without end
        raise TunesmithError(f"{path}: cannot read the value '{text[:60]}': {error}") from error


def _told(sentences: list[str]) -> str:
    if len(sentences) == 1:
        return sentences[0]
    return f"the plan has {len(sentences)} mistakes:\n" + "\n".join(f"  - {s}" for s in sentences)


def _sentence(error: Any) -> str:
    path, owner = _walk(error["loc"])
    where = ".".join(path) or "plan"
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        parent = ".".join(path[:-1]) or "plan"
        return f"{parent}: {unknown('setting', path[-1], owner.model_fields if owner else ())}"
    if kind == "union_tag_invalid":
        known = [t.strip(" '") for t in error["ctx"]["expected_tags"].split(",")]
        return f"{where}: {unknown(path[0] if path else 'part', error['ctx']['tag'], known)}"
    if kind == "union_tag_not_found":
        beside = "".join(f" {where}.{key}=…" for key in (given if isinstance(given, dict) else ()))
        return f"{where}: needs a name: {{name: …, …}}, or in words {where}=NAME{beside}; got {_short(given)}"
    if kind == "missing":
        return f"{where}: is asked for and not given"
    if kind == "literal_error":
        known = [t.strip(" '") for t in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where}: {unknown('choice', given, known)}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, got {_short(given)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _walk(loc: tuple[Any, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The plan path behind pydantic's location (which also names union members), and the class that was looked at."""
    owner: type[BaseModel] | None = Plan
    candidates: list[type[BaseModel] | Choice] = [Plan]
    path: list[str] = []
    for piece in loc:
        chosen = next((found for c in candidates if isinstance(c, Choice) and (found := c.find(piece))), None)
        if chosen:
            owner, candidates = chosen, [chosen]
            continue
        if isinstance(piece, int):
            path.append(str(piece))
            continue
        models = [c for c in candidates if not isinstance(c, Choice)]
        field = next((c.model_fields[piece] for c in models if piece in c.model_fields), None)
        if field is None and path and piece != loc[-1]:
            continue  # the name of a union member such as 'constrained-float'
        if field is None and path and owner and piece not in owner.model_fields and "[" in str(piece):
            continue
        path.append(str(piece))
        if field is not None:
            owner = next(c for c in models if piece in c.model_fields)
            candidates = _taken(field.annotation, field.metadata) or candidates
            owner = candidates[0] if len(candidates) == 1 and not isinstance(candidates[0], Choice) else owner
    return _without_members(path), owner


def _without_members(path: list[str]) -> list[str]:
    """Drop trailing names of plain union members (int, float, literal[...]) that are no part of a plan path."""
    while path and (path[-1] in ("int", "float", "str", "bool") or "[" in path[-1] or "-" in path[-1]):
        path = path[:-1]
    return path


def _taken(annotation: Any, notes: Iterable[Any] = ()) -> list[type[BaseModel] | Choice]:
    """What a field of that type takes: groups of settings, and parts to choose from."""
    if choices := [note for note in notes if isinstance(note, Choice)]:
        return list(choices)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        return _taken(inner, notes)
    if get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        return [model for each in get_args(annotation) for model in _taken(each)]
    return []
