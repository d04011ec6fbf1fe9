"""The folder of methods: every file keeps the contract, and a typo is answered before torch is loaded."""

import inspect

import pytest

from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS

NAMES = [
    "adapter",
    "bitfit",
    "expand",
    "full",
    "fusion",
    "gradual",
    "head",
    "ia3",
    "layers",
    "lora",
    "mixed",
    "prefix",
    "prompt",
    "ptuning",
]


def test_the_folder_holds_the_methods_of_the_field() -> None:
    assert METHODS.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_method_documents_itself(name: str) -> None:
    found = METHODS.find(name)
    assert found.model_fields["name"].default == name
    assert inspect.isabstract(found.__base__), "abstract or final: a concrete method is never subclassed"
    assert found.prefer
    assert "https://" in found.source
    assert 1e-6 < found.rate < 1
    assert found.ecosystem == ("tunesmith" if name in ("adapter", "fusion", "mixed") else "plain")
    module = inspect.getmodule(found)
    assert module is not None
    assert module.__doc__
    for field in found.model_fields:
        assert field in ("name", "start") or field in found.meanings(), f"{name}.{field} has no docstring"


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("mixed", "fusion")])
def test_a_method_with_its_defaults_is_never_refused(name: str) -> None:
    made = METHODS.find(name)()
    assert made.objection(None) is None
    assert METHODS.find(name).model_validate(made.model_dump(mode="json")) == made


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(TunesmithError, match=r"no method named 'addapter'\. Did you mean 'adapter'\?"):
        METHODS.find("addapter")


def test_rates_differ_by_method() -> None:
    """One rate for every method is a handbook error: full tuning and prompts are a factor of 600 apart."""
    rates = {name: METHODS.find(name).rate for name in NAMES}
    assert rates["full"] < rates["lora"] < rates["ia3"] < rates["prompt"]
