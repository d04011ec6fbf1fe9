"""What a plan can be made of, with settings; and exact parameter counts of every method, without a base's weights."""

from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.checks import CHECKS
from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS, Method
from tunesmith.metrics import METRICS
from tunesmith.penalties import PENALTIES
from tunesmith.steps import STEPS
from tunesmith.tasks import TASKS

CATALOGS: dict[str, Catalog[Any]] = {
    "tasks": TASKS, "methods": METHODS, "penalties": PENALTIES, "steps": STEPS, "metrics": METRICS,
    "checks": CHECKS,
}  # fmt: skip


def listed(kind: str) -> list[dict[str, Any]]:
    """Every part of a kind: {name, summary, prefer, source, fields} and what the kind adds."""
    return [_about(CATALOGS[kind].find(name)) for name in CATALOGS[kind].names()]


def _about(part: type[Any]) -> dict[str, Any]:
    schema = part.model_json_schema()
    fields = {k: v for k, v in schema.get("properties", {}).items() if k != "name"}
    about = {
        "name": part.model_fields["name"].default,
        "summary": (part.__doc__ or "").strip().splitlines()[0],
        "prefer": part.prefer,
        "source": part.source,
        "fields": fields,
    }
    for extra in ("rate", "mergeable", "ecosystem", "scope", "memory", "holds", "kinds", "better", "kind"):
        if hasattr(part, extra):
            about[extra] = getattr(part, extra)
    return about


def counted(base: str, labels: int) -> dict[str, dict[str, Any]]:
    """{method: {base, head, trained, stored, added}}: exact counts with default settings.

    `trained` moves in training, the head left out; `stored` is what a saved model holds beyond the base, head
    included; `added` is what answering computes beyond the base's own weights (after folding, where that works).
    """
    from tunesmith.bases.find import find

    found = find(base)
    out: dict[str, dict[str, Any]] = {}
    for name in METHODS.names():
        if any(field.is_required() for field in METHODS.find(name).model_fields.values()):
            continue  # mixed and fusion have no default parts
        try:
            out[name] = count_method(METHODS.make(name), found.folder, labels)
        except TunesmithError as error:
            out[name] = {"refused": str(error)}
    return out


def count_method(method: Method, config: Any, labels: int) -> dict[str, Any]:
    """The counts of one method on a configuration (a folder, or a transformers config object)."""
    from pathlib import Path

    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from tunesmith.bases.family import family_of
    from tunesmith.bases.load import quiet

    settings = AutoConfig.from_pretrained(config) if isinstance(config, (str, Path)) else config
    settings.num_labels = labels
    family = family_of(settings.model_type)
    with quiet(), torch.device("meta"):
        net = AutoModelForSequenceClassification.from_config(settings)  # type: ignore[no-untyped-call]
        size = sum(p.numel() for n, p in net.named_parameters() if not family.is_head(n))
        head = sum(p.numel() for n, p in net.named_parameters() if family.is_head(n))
        net.name_or_path = str(config) if isinstance(config, (str, Path)) else ""
        net = method.apply(net, family)
    moving = {n: p for n, p in net.named_parameters() if p.requires_grad}
    trained = sum(p.numel() for n, p in moving.items() if not family.is_head(n))
    if method.thaws():
        trained = size
    stored = _stored(net, head)
    known = head if hasattr(net, "peft_config") else size + head
    added = 0 if method.can_fold() else max(0, stored - known)
    return {"base": size, "head": head, "trained": trained, "stored": stored, "added": added}


def _stored(net: Any, head: int) -> int:
    """Numbers in the saved file: the whole model, or what PEFT keeps of it."""
    if not hasattr(net, "peft_config"):
        return sum(p.numel() for p in net.parameters())
    from peft import get_peft_model_state_dict

    settings = net.peft_config["default"]
    if settings.is_prompt_learning:  # PEFT copies these to the CPU to save them, and there is nothing to copy here
        layers = 2 * settings.num_layers if settings.peft_type == "PREFIX_TUNING" else 1
        return int(settings.num_virtual_tokens * settings.token_dim * layers) + head
    return sum(t.numel() for t in get_peft_model_state_dict(net, save_embedding_layers=False).values())
