"""Chat templates of strangers, rendered in bounds: every step and every text is paid for out of a fixed budget.

The class walks that reach Python's internals are stopped by jinja2's ImmutableSandboxedEnvironment. Beyond it

- loops, macros, calls, filters and tests cost a tick, and the texts and lists that they read or make cost their size;
- no value may be larger than LARGEST, lists of shared lists counted in full, so no single operation takes long;
- methods, filters and tests are those of a list: what pads, formats freely or multiplies is not on it.

Work is counted and not timed, so a template is refused on every machine or on none. `_paying.py` puts the tolls in.
"""

import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from tunesmith.dialogue._meter import ITEM, METER, TICK, Meter, TooMuchError, bounded

_TEXT = (
    "strip lstrip rstrip split rsplit splitlines startswith endswith lower upper title capitalize replace join find "
    "rfind index count removeprefix removesuffix partition rpartition isdigit isalpha isalnum isnumeric isspace "
    "islower isupper format"
)
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT.split()),
    dict: frozenset({"items", "keys", "values", "get"}),
    list: frozenset({"index", "count"}),
    tuple: frozenset({"index", "count"}),
    int: frozenset(),
    float: frozenset(),
    bytes: frozenset(),
    range: frozenset(),
}
_LOOSE = "length count first last default d items map select reject selectattr rejectattr"
_CHEAP = frozenset(_LOOSE.split())
"""Filters that do not look into what they are given (those that do it item by item pay by item)."""
_READING = (
    "trim lower upper capitalize title int float abs list string join replace dictsort sort unique reverse min max "
    "indent"
)
_TESTS = (
    "defined undefined none string mapping iterable sequence number integer float boolean true false odd even "
    "divisibleby sameas in eq equalto ne lt lessthan le gt greaterthan ge == != < <= > >= lower upper callable"
)
_WIDE = re.compile(r"\d{4}|\*|\{[^}]*\{")
"""Widths of four digits, or taken from the arguments, in a format."""


class Sandbox(ImmutableSandboxedEnvironment):
    """jinja2 as transformers sets it up for chat templates, with a list of what is offered, and a price."""

    intercepted_binops = frozenset({"+", "*", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, finalize=_printed,
            extensions=[Generation, LoopControlExtension],
        )  # fmt: skip
        own: dict[str, Callable[..., Any]] = {"tojson": _tojson, "safe": str, "escape": str, "e": str}
        own |= {name: self.filters[name] for name in (*_CHEAP, *_READING.split())}
        self.filters = {name: _toll(function, name in _CHEAP) for name, function in own.items()}
        tests: dict[str, Any] = dict(self.tests)
        self.tests = {name: _toll(tests[name], False) for name in _TESTS.split()}
        self.globals = {
            "range": self.globals["range"], "namespace": _Names, "dict": _new_dict, "raise_exception": _raise,
        }  # fmt: skip

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Methods of texts, lists and numbers are those of the list; other objects as jinja2 has it."""
        kind = next((kind for kind in _METHODS if isinstance(obj, kind)), None)
        return super().is_safe_attribute(obj, attr, value) and (kind is None or attr in _METHODS[kind])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic and joining, their result measured before it is made."""
        meter, numbers = METER.get(), isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "%" and isinstance(left, str):
            _formattable(meter, left, left.count("%"), right)
        elif operator == "*" and not numbers:
            times = right if isinstance(right, int) else left if isinstance(left, int) else 0
            bounded(max(times, 0) * (meter.weight(left) + meter.weight(right)))
        elif operator == "**" and (not numbers or abs(left) > 1000 or abs(right) > 16):
            raise TooMuchError("it raises a number to a high power")
        elif operator == "+" and not numbers:
            bounded(meter.weight(left) + meter.weight(right))
        return meter.made(super().call_binop(context, operator, left, right))

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a method or one of our own tolls."""
        if getattr(obj, "__self__", None) is self:
            return obj(*args)
        meter = METER.get()
        meter.spend(TICK)
        method = getattr(obj, "__wrapped__", obj)  # jinja2 wraps str.format
        if isinstance(getattr(method, "__self__", None), str):
            args = _pay_for_text(meter, method.__self__, method.__name__, args, kwargs)
        return meter.made(super().call(context, obj, *args, **kwargs))

    # what `_paying` writes into a template

    def tick(self, units: int) -> bool:
        """Once round a loop, or into a macro; `units` of fixed text."""
        METER.get().spend(TICK + units)
        return True

    def joined(self, *parts: Any) -> str:
        """`a ~ b`."""
        meter = METER.get()
        bounded(sum(meter.weight(part) for part in parts))
        return str(meter.made("".join(map(str, parts))))

    def weighed(self, value: Any) -> Any:
        """A value that is about to be compared, in full."""
        METER.get().spend(METER.get().weight(value))
        return value

    def listed(self, value: Any) -> Any:
        """A list, tuple, dict or slice."""
        return METER.get().made(value)


def _formattable(meter: Meter, text: str, fields: int, given: Any) -> None:
    if _WIDE.search(text):
        raise TooMuchError("a format with a width of its own is not offered to templates")
    bounded(len(text) + fields * meter.weight(given))


def _pay_for_text(meter: Meter, text: str, name: str, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, ...]:
    """Pay for a method of a text, by what it reads and makes; the arguments to call it with."""
    if name == "join" and args:
        parts = list(args[0])
        bounded(sum(meter.weight(part) for part in parts) + len(text) * len(parts))
        return parts, *args[1:]
    if name in ("format", "format_map"):  # jinja2 hands out its own format_map before it asks us
        _formattable(meter, text, text.count("{"), [*args, *kwargs.values()])
    if name == "replace" and len(args) > 1:
        _replaceable(text, *args[:2])
    meter.spend(len(text) * (1 + sum(len(a) for a in args if isinstance(a, str)) // ITEM))
    return args


def _replaceable(text: Any, old: Any, new: Any) -> None:
    text, old, new = str(text), str(old), str(new)
    bounded(len(text) + text.count(old) * len(new))


def _toll(function: Callable[..., Any], cheap: bool) -> Callable[..., Any]:
    """A filter or test that is paid for."""
    name = function.__name__

    @wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        meter = METER.get()
        given = [*args, *kwargs.values()]
        if name == "do_replace":
            _replaceable(*args[1:4])
        if name in {"do_indent", "_tojson"} and any(isinstance(v, int) and abs(v) > 16 for v in given[1:]):
            raise TooMuchError("an indent beyond 16 is not offered to templates")
        texts = [len(v) for v in given if isinstance(v, str)]
        longest = max(texts, default=0)
        read = 0 if cheap else sum(meter.weight(v) for v in given)
        meter.spend(TICK + (0 if cheap else read + longest * ((sum(texts) - longest) // ITEM)))
        return meter.made(function(*args, **kwargs))

    return paid


def _printed(value: Any) -> str:
    """What `{{ value }}` writes."""
    meter = METER.get()
    meter.spend(meter.weight(value) + 1)
    return str(value)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """As transformers has it: letters stay letters, and nothing is escaped for HTML."""
    if isinstance(indent, str) or (separators is not None and max(map(len, separators)) > 8):
        raise TooMuchError("tojson is offered with an indent in numbers and short separators")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Names(Namespace):
    """A namespace that prints as a word: one that holds itself would print for ever."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *given = args
        for name in (fields := dict(*given, **kwargs)):
            _refuse_private(name)
        Namespace.__init__(self, fields)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<namespace>"


def _refuse_private(name: Any) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"'{name}' is a private name")


def _new_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _raise(message: object) -> None:
    raise TemplateError(str(message)[:500])


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}`: what the assistant writes, between marks if asked."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call of `_marked`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        marks = METER.get().marks
        return caller() if marks is None else f"{marks[0]}{caller()}{marks[1]}"
