"""Tiny bases made once a session."""

import json
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parent.parent.parent / "shared"
"""Public data sets and small real weights; tests that need them skip where the folder is missing."""


class TinyBases:
    """`bases["bert"]` is the folder of a tiny BERT, `bases["llama language"]` of a tiny Llama that writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Path] = {}

    def __getitem__(self, family: str) -> Path:
        if family not in self.made:
            import tiny

            name, _, purpose = family.partition(" ")
            folder = self.folder / family.replace(" ", "-")
            self.made[family] = tiny.make(name, folder, language=purpose == "language")
        return self.made[family]


def adapters(base: Path, purpose: Any = None, method: Any = None) -> list[str]:
    """Folders, beside a tiny base, of what looks like two finished runs with an adapter on it, for methods that are
    made of runs; made once. Their weights are drawn, so that each says something of its own."""
    method = method or {"name": "adapter", "reduction_factor": 4}
    mark = "-".join(map(str, [purpose or "usual", *method.values()]))
    folders = [base.parent / f"{base.name}-runs" / mark / name for name in ("one", "two")]
    for seed, run in enumerate(folders):
        if not run.is_dir():
            _write_run(base, run, seed, purpose, method)
    return [str(run) for run in folders]


def _write_run(base: Path, run: Path, seed: int, purpose: Any, method: Any) -> None:
    import torch

    from tunesmith.bases.family import FAMILIES, family_of
    from tunesmith.bases.find import find
    from tunesmith.bases.load import load_net
    from tunesmith.methods import METHODS
    from tunesmith.plan_text import make_plan

    found = find(str(base))
    family = family_of(found.model_type, purpose or FAMILIES[found.model_type].purpose, found.config)
    made = METHODS.find(method["name"]).model_validate(method)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = made.apply(load_net(found, purpose=family.purpose, family=family, num_labels=2), family)
        for name, parameter in net.named_parameters():
            if "bottleneck_" in name or "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        made.save(net, run / "model")
    plan = make_plan({"task": "classify", "base": str(base), "data": "unused.csv", "method": method})
    card = {"format": 1, "base": {"digest": found.digest}, "plan": plan.model_dump(mode="json")}
    (run / "model" / "tunesmith.json").write_text(json.dumps(card))
    (run / "reply.json").write_text("{}")


def settings(method: str, base: Path, purpose: Any = None) -> dict[str, Any]:
    """What a method cannot do without, on that base."""
    if method == "fusion":
        return {"of": adapters(base, purpose)}
    return {"parts": ["lora", "bitfit"]} if method == "mixed" else {}
