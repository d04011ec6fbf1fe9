"""A folder is a register: the file `methods/ia3.py` is the method `ia3`, and nothing central is edited."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cached_property, reduce
from importlib.metadata import entry_points
from operator import or_
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import PydanticKnownError, SchemaValidator, core_schema

from tunesmith.described import Described
from tunesmith.errors import TunesmithError, unknown


class Part(Described):
    """A piece of a plan that checks itself and acts; its fields are its settings.

    A concrete part has `name: Literal["x"] = "x"` in the file `x.py` of its folder, is never subclassed,
    and documents each field with a docstring below it (the plan reference is made from them).
    """

    name: str
    """The word that picks this part."""

    prefer: ClassVar[str] = ""
    """When to prefer this part; quoted by the docs, `tunesmith parts` and the advisor."""
    source: ClassVar[str] = ""
    """Paper or formula behind it."""
    file_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that name a file."""

    @classmethod
    def anchor_files(cls, written: dict[str, Any], fixed: Callable[[Any], Any]) -> None:
        """Have the files that settings name, as they are written in a plan, as `fixed` spells them; in place."""
        written |= {name: fixed(written[name]) for name in cls.file_settings if name in written}

    def anchored(self, fixed: Callable[[Any], Any]) -> Self:
        """With the files that settings name as `fixed` spells them."""
        return self.model_copy(update={name: fixed(getattr(self, name)) for name in self.file_settings})

    def differs(self, field: str) -> bool:
        """Whether a setting is not at its default: a resolved plan, which sets everything, says no more than a short
        one."""
        return bool(getattr(self, field) != type(self).model_fields[field].default)

    def objection(self, plan: Any) -> str | None:
        """Why this part cannot work in that plan, with what to change; None when it can."""
        return None


P = TypeVar("P", bound=Part)


class Catalog(Generic[P]):
    """The parts of one kind: the modules of a package, and entry points of the same group name."""

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind

    @cached_property
    def _modules(self) -> dict[str, str]:
        folder = importlib.import_module(self.package).__path__
        own = {m.name: f"{self.package}.{m.name}" for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")}
        return {e.name: e.value for e in entry_points(group=self.package)} | own

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._modules)

    def find(self, name: str) -> type[P]:
        """The class of that name. Raises TunesmithError with the nearest name when there is none."""
        if name not in self._modules:
            raise TunesmithError(unknown(self.kind, name, self._modules))
        module = importlib.import_module(self._modules[name].split(":")[0])
        for value in vars(module).values():
            own = isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
            if own and value.model_fields["name"].default == name:
                return cast("type[P]", value)
        raise TunesmithError(f"{module.__name__} holds no {self.kind} named '{name}'")

    def make(self, name: str, settings: Mapping[str, Any] = MappingProxyType({})) -> P:
        """The part of that name, with these settings; the others are its defaults."""
        return self.find(name).model_validate({"name": name, **settings})

    def union(self, *, without: tuple[str, ...] = ()) -> Any:
        """The annotation for a field that takes any part of this kind: a word, or {name: word, settings…}."""
        return Annotated[Part, Choice(self, without)]


class Choice:
    """Any part of a catalog, as the type of a field. A part is imported when a plan names it: building the settings of
    all of them took most of the time that passed before a typo was answered."""

    def __init__(self, catalog: Catalog[Any], without: tuple[str, ...] = ()) -> None:
        self._catalog, self._without = catalog, without
        self._readers: dict[str, SchemaValidator] = {}

    def find(self, name: object) -> type[Part] | None:
        """The class of that name; None where none of that name can be chosen."""
        return self._catalog.find(str(name)) if name in self._names() else None

    def _names(self) -> list[str]:
        return [name for name in self._catalog.names() if name not in self._without]

    def _read(self, value: Any) -> Any:
        """What a plan says as a part. Complaints are spelled, and carry the name in their place, as pydantic's own on
        tagged unions."""
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, Mapping | Part):
            raise PydanticKnownError("model_attributes_type")
        name = value.name if isinstance(value, Part) else value.get("name")
        if name is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'name'"})
        kind = self.find(name)
        if kind is None:
            known = ", ".join(repr(each) for each in self._names())
            told = {"discriminator": "'name'", "tag": str(name), "expected_tags": known}
            raise PydanticKnownError("union_tag_invalid", told)
        if name not in self._readers:
            tagged = core_schema.tagged_union_schema({name: kind.__pydantic_core_schema__}, "name")
            self._readers[str(name)] = SchemaValidator(tagged)
        return self._readers[str(name)].validate_python(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        classes = [self._catalog.find(name) for name in self._names()]
        every: Any = Annotated[reduce(or_, classes), Field(discriminator="name")]
        return handler(TypeAdapter(every).core_schema)
