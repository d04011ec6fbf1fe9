"""Mixed: several methods on one base, e.g. LoRA with bottleneck adapters, or LoRA with a prompt.

Parts are applied in order, except that virtual tokens are set up first, because they stand around the whole network.
PEFT cannot save such a stack, so the trained tensors are saved raw in one file, and loading applies the same parts to
a fresh base. Each part keeps its own learning rate: the plan's rate is the smallest of them and the head's, and
`groups` gives the others their factor.

Published comparisons (Ding et al. 2023, https://doi.org/10.1038/s42256-023-00626-4) did not find mixes better than
their best part on full data: measure before you keep one.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.dialogue.virtual import Place
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS, Ecosystem, Learnt, Method, _peft, _weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.bases.family import Family

    Part = Method
else:
    Part = METHODS.union(without=("mixed",))

FILE = "mixed.safetensors"
_VIRTUAL = ("prompt", "ptuning", "prefix")
_ALONE = {
    "full": "full already moves every weight, so there is nothing to add",
    "expand": "expand makes a deeper network, which is saved whole",
    "head": "every method trains the head, so it adds nothing",
    "fusion": "fusion has adapters of its own, which stand where others would",
    "gradual": "gradual decides epoch by epoch what is frozen and would undo the other parts",
}


class Mixed(Method):
    """At least two methods at once."""

    name: Literal["mixed"] = "mixed"
    parts: tuple[Part, ...] = Field(min_length=2)
    """The methods, innermost first: a word, or {name: word, settings…}."""

    rate: ClassVar[float] = 5e-4
    width_power: ClassVar[int] = 1
    ecosystem: ClassVar[Ecosystem] = "tunesmith"
    prefer: ClassVar[str] = "you want to test whether two small changes add up; expect little over the better one alone"
    source: ClassVar[str] = "Ding et al. 2023, https://doi.org/10.1038/s42256-023-00626-4"

    def objection(self, plan: Any) -> str | None:
        names = [_name(part) for part in self.parts]
        for name in names:
            if name in _ALONE:
                return f"mixed: {_ALONE[name]}; remove {name} from parts"
            if names.count(name) > 1:
                return f"mixed: {name} stands twice in parts; keep one"
        if sum(name in _VIRTUAL for name in names) > 1:
            return f"mixed: {' and '.join(n for n in names if n in _VIRTUAL)} both add virtual tokens; keep one"
        for part in self.parts:
            if part.start is not None:
                return f"mixed: {_name(part)} cannot start by itself; a whole mix can: set method.start to a run of it"
            if fault := part.objection(plan):
                return f"mixed: {fault}"
        return self._lora_objection(names)

    def _lora_objection(self, names: list[str]) -> str | None:
        lora: Any = next((part for part in self.parts if _name(part) == "lora"), None)
        if lora is None:
            return None
        if lora.variant in ("adalora", "vera") or lora.init == "pissa":
            kind = "init pissa" if lora.init == "pissa" else f"variant {lora.variant}"
            return f"mixed: lora with {kind} keeps tables beside its layers and cannot be stacked; use variant lora"
        before = [n for n in names[: names.index("lora")] if n in ("adapter", "ia3")]
        if lora.variant == "dora" and before:
            return f"mixed: dora measures the base's own weights, so it must come before {before[0]}; put it first"
        return None

    def base_objection(self, family: "Family") -> str | None:
        return next((fault for part in self.parts if (fault := part.base_objection(family))), None)

    def components(self) -> Mapping[str, Method]:
        return {_name(part): part for part in self.parts}

    def auto_rate(self) -> float:
        return min(part.auto_rate() for part in self.parts)

    def moves_base(self) -> bool:
        return any(part.moves_base() for part in self.parts)

    def keeps_base(self) -> bool:
        return all(part.keeps_base() for part in self.parts)

    def can_fold(self) -> bool:
        return all(part.can_fold() for part in self.parts)

    def fold_objection(self) -> str | None:
        stuck = "; ".join(f"{_name(p)} cannot: {type(p).stays}" for p in self.parts if not p.can_fold())
        return f"method 'mixed' cannot be merged into its base, because {stuck}" if stuck else None

    def apply(self, net: "nn.Module", family: "Family") -> "nn.Module":
        if fault := self.objection(None):
            raise TunesmithError(f"method: {fault}")
        owned: dict[str, list[nn.Parameter]] = {}
        for part in sorted(self.parts, key=lambda p: _name(p) not in _VIRTUAL):
            before = [p for p in net.parameters() if p.requires_grad] if owned else []
            net = part.apply(net, family)
            old = {id(p) for p in before}
            owned[_name(part)] = [p for p in net.parameters() if p.requires_grad and id(p) not in old]
            for name, parameter in net.named_parameters():
                if id(parameter) in old and ".original_module." not in name:
                    parameter.requires_grad_(True)
        _weights.memory(net)["parts"] = owned
        return net

    def groups(self, net: "nn.Module") -> Mapping[str, float]:
        rate = self.auto_rate()
        names = {id(p): name for name, p in net.named_parameters() if p.requires_grad}
        factors: dict[str, float] = {}
        for part in self.parts:
            own, scale = part.groups(net), part.rate_scale(net)
            for parameter in _weights.memory(net)["parts"][_name(part)]:
                name = names.get(id(parameter))
                if name is not None:
                    factors[name] = scale * part.auto_rate() / rate * own.get(name, 1.0)
        heads = {name: 1.0 for name in factors if _is_head(net, name)}
        return factors | heads | _peft.head_factor(net, rate)

    def needs_equal_lengths(self, family: "Family") -> bool:
        return any(part.needs_equal_lengths(family) for part in self.parts)

    def extra_tokens(self) -> int:
        return sum(part.extra_tokens() for part in self.parts)

    def placement(self) -> Place:
        return next((place for part in self.parts if (place := part.placement()) != "start"), "start")

    def before_step(self, net: "nn.Module", step: int, total: int) -> None:
        for part in self.parts:
            part.before_step(net, step, total)

    def after_step(self, net: "nn.Module", step: int, total: int) -> None:
        for part in self.parts:
            part.after_step(net, step, total)

    def state(self, net: "nn.Module") -> "dict[str, Tensor]":
        return {f"{_name(part)}/{key}": t for part in self.parts for key, t in part.state(net).items()}

    def restore(self, net: "nn.Module", state: "Mapping[str, Tensor]") -> None:
        for part in self.parts:
            mark = f"{_name(part)}/"
            part.restore(net, {key.removeprefix(mark): t for key, t in state.items() if key.startswith(mark)})

    def needs_rows(self) -> int:
        return max(part.needs_rows() for part in self.parts)

    def prepare(self, net: "nn.Module", family: "Family", losses: "Iterable[Tensor]") -> None:
        for part in self.parts:
            if part.needs_rows():
                part.prepare(net, family, losses)

    def save(self, net: "nn.Module", folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: p.detach().cpu().clone().contiguous() for name, p in _moving(net).items()}
        save_file(tensors, str(folder / FILE), metadata={"format": "pt"})

    def load(self, net: "nn.Module", family: "Family", folder: Path) -> "nn.Module":
        import torch
        from safetensors.torch import load_file

        if not (folder / FILE).is_file():
            raise TunesmithError(f"{folder} holds no saved mix: {FILE} is missing")
        net = self.apply(net, family)
        tensors, own = load_file(str(folder / FILE)), _moving(net)
        _peft.compare(folder / FILE, own, tensors)
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(tensors[name])
        return net.eval().requires_grad_(False)

    def fold(self, net: "nn.Module") -> "nn.Module":
        if fault := self.fold_objection():
            raise TunesmithError(fault)
        return _peft.folded(net)

    def learnt(self, net: "nn.Module", family: "Family", tokenizer: Any) -> list[Learnt]:
        return [table for part in self.parts for table in part.learnt(net, family, tokenizer)]


def _name(part: Method) -> str:
    return str(type(part).model_fields["name"].default)


def _moving(net: "nn.Module") -> "dict[str, nn.Parameter]":
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def _is_head(net: "nn.Module", name: str) -> bool:
    return _weights.family_in(net).is_head(name)
