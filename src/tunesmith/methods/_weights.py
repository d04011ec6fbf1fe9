"""Shared by methods that change the base's own weights: freezing by name, whole-model files, a side memory."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tunesmith.bases.family import Family, family_of, plain, purpose_of
from tunesmith.bases.load import quiet
from tunesmith.errors import TunesmithError
from tunesmith.methods import Method

if TYPE_CHECKING:
    from torch import nn


def config(net: "nn.Module") -> Any:
    """The base's transformers configuration."""
    return plain(net).config


def family_in(net: "nn.Module") -> Family:
    """The family of a network at hand."""
    return family_of(config(net).model_type, purpose_of(net), config(net).to_dict())


def named(net: "nn.Module", family: Family) -> "dict[str, nn.Parameter]":
    """The base's own parameters by bare name, also when tuner layers and wrappers were put around them."""
    found = {}
    for name, parameter in plain(net).named_parameters():
        if ".original_module." in name or family.rests(name):  # PEFT keeps the untrained head beside the trained one
            continue
        found[family.bare(name)] = parameter
    return found


def only(net: "nn.Module", family: Family, moves: Callable[[str, "nn.Parameter"], bool]) -> "nn.Module":
    """Leave the head and those parameters trainable for which `moves(name, parameter)` holds; freeze the rest."""
    net.requires_grad_(False)
    for name, parameter in named(net, family).items():
        parameter.requires_grad_(family.is_head(name) or moves(name, parameter))
    return net


def by_depth(net: "nn.Module", decay: float) -> dict[str, float]:
    """{parameter: share of the rate}: `decay` for the highest block, its square for the one below, and so on to the
    embeddings; heads, and what stands behind the blocks, at the full rate."""
    family, shares = family_in(net), dict[str, float]()
    top = len(family.block_list(net)) - 1
    for name, _ in net.named_parameters():
        block = family.block_of(name)
        if block is None and any(family.bare(name).startswith(f"{path}.") for path in family.embeddings):
            block = -1
        if block is not None:
            shares[name] = decay ** (top - block + 1)
    return shares


def memory(net: "nn.Module") -> dict[str, Any]:
    """What a method must remember beside the weights (masks, starting points), kept on the network itself."""
    return cast("dict[str, Any]", plain(net).__dict__.setdefault("_tunesmith", {}))


def save(net: "nn.Module", folder: Path) -> None:
    """config.json and model.safetensors, as `from_pretrained` reads them."""
    with quiet():
        net.save_pretrained(folder)  # type: ignore[operator]


def load(net: "nn.Module", folder: Path) -> "nn.Module":
    """The whole model back, of the same class as `net`. Plain transformers do the same with `from_pretrained`."""
    with quiet():
        try:
            loaded, report = type(net).from_pretrained(  # type: ignore[attr-defined]
                folder, output_loading_info=True, local_files_only=True, use_safetensors=True, dtype="float32"
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise TunesmithError(f"{folder}: the saved weights do not load: {error}") from error
    wrong = {kind: sorted(map(str, report[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    for kind, keys in wrong.items():
        if keys:
            raise TunesmithError(
                f"{folder}/model.safetensors is not what was saved: {kind.replace('_', ' ')} {', '.join(keys[:3])}"
            )
    return cast("nn.Module", loaded.eval().requires_grad_(False))


class OwnWeights(Method):
    """A method that adds nothing to the base: the result is a whole plain model, and folding is no work. Abstract."""

    mergeable: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    def moves_base(self) -> bool:
        """It is all that moves."""
        return True

    def save(self, net: "nn.Module", folder: Path) -> None:
        """The whole model, as transformers reads it."""
        save(net, folder)

    def load(self, net: "nn.Module", family: Family, folder: Path) -> "nn.Module":
        """The whole model back."""
        return load(net, folder)

    def fold(self, net: "nn.Module") -> "nn.Module":
        """It is plain already."""
        return net
