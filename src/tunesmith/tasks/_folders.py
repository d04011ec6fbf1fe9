"""A plain model of each of several tasks, beside the one that answers them all; the trunk is stored once.

    model/model-trunk-0f3a….safetensors       everything but the output layer, named by its digest
    model/model-head.safetensors              the output layer of all tasks
    model/failure/model-trunk-0f3a….safetensors    the same file (a hard link, where the file system has them)
    model/failure/model-head.safetensors      its rows of the output layer
    model/failure/task.json                   labels, and of numbers what output 0 and 1 mean

Of an adapter the trunk is the base, which is not stored: each folder has the adapter with its rows of the output layer.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.bases.family import family_of, plain
from tunesmith.bases.heads import output_layer
from tunesmith.files import digest_file, read_json, write_json
from tunesmith.tasks._parts import Share

if TYPE_CHECKING:
    from torch import Tensor

WHOLE, ADAPTER, INDEX, HEAD = (
    "model.safetensors", "adapter_model.safetensors", "model.safetensors.index.json", "model-head.safetensors",
)  # fmt: skip


def lay(net: Any, folder: Path, parts: Sequence[Share]) -> None:
    """Write the folders of all tasks into the folder of a model that was just saved; nothing where it was saved in a
    form that no other tool opens."""
    from safetensors.torch import load_file

    base: Any = plain(net)
    found = output_layer(base, family_of(base.config.model_type))
    file = next((f for f in (folder / WHOLE, folder / ADAPTER) if f.is_file()), None)
    if file is None or found is None:
        return
    layer = found[0].replace(".modules_to_save.default", "")  # files of adapters leave the wrapper out of names
    beside = [f for f in folder.iterdir() if f.is_file() and f.name != file.name]
    tensors = load_file(str(file))
    # with the dot: DistilBERT has a pre_classifier below its classifier
    head = {n: t for n, t in tensors.items() if f".{n}".endswith((f".{layer}.weight", f".{layer}.bias"))}
    trunk = None if file.name == ADAPTER else _split(folder, tensors, head)
    for part in parts:
        own = folder / part.name
        own.mkdir()
        for each in [*beside, *([trunk] if trunk else [])]:
            link(each, own / each.name)
        rows = {name: t[part.outputs] for name, t in head.items()}
        if trunk is None:
            _write(own / ADAPTER, {**tensors, **rows})
        else:
            _write(own / HEAD, rows)
            _index(own, trunk, {**tensors, **rows}, head)
            _configure(own, part)
        write_json(own / "task.json", _about(part))


def _split(folder: Path, tensors: "dict[str, Tensor]", head: "dict[str, Tensor]") -> Path:
    """The saved file as two, the trunk named by its digest."""
    _write(folder / "trunk", {n: t for n, t in tensors.items() if n not in head})
    trunk = folder / f"model-trunk-{digest_file(folder / 'trunk')[:16]}.safetensors"
    (folder / "trunk").rename(trunk)
    _write(folder / HEAD, head)
    _index(folder, trunk, tensors, head)
    (folder / WHOLE).unlink()
    return trunk


def _index(folder: Path, trunk: Path, tensors: "dict[str, Tensor]", head: "dict[str, Tensor]") -> None:
    """Which tensor is in which file, as transformers reads it."""
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    files = {name: HEAD if name in head else trunk.name for name in sorted(tensors)}
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": files})


def _write(path: Path, tensors: "dict[str, Tensor]") -> None:
    from safetensors.torch import save_file

    save_file({name: t.contiguous() for name, t in tensors.items()}, str(path), metadata={"format": "pt"})


def _configure(folder: Path, part: Share) -> None:
    """config.json with the outputs of one task; the file is no longer that of the others."""
    config = read_json(folder / "config.json")
    (folder / "config.json").unlink()
    names = part.facts.labels or (part.name,)
    config |= {"id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)},
               "problem_type": part.task.problem_type}  # fmt: skip
    write_json(folder / "config.json", config)


def _about(part: Share) -> dict[str, Any]:
    """What whoever opens the folder without Tunesmith must know: of numbers, value = output * scale + center."""
    own: dict[str, Any] = {"labels": part.facts.labels, "thresholds": part.facts.thresholds}
    if part.task.kind == "numbers":
        own = {"center": part.facts.center, "scale": part.facts.scale}
    return {"name": part.name, "task": part.task.name, "kind": part.task.kind, **own}


def link(file: Path, target: Path) -> None:
    """The same file under a second name; a copy where the file system has no links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
