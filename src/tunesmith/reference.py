"""The reference: what the model said of each row before it was trained, for tasks that compare with that.

Computed once for each row, before the first step, and kept beside the trunk caches (same folder, same budget), so that
a resumed run, the reload proof and a second run find the very same numbers. No second model is held while training:

    method adds to an untouched base    the added part is switched off         (lora, adapter, ia3, prefix, prompt …)
    method moves the base's weights     the base is loaded, asked, and freed   (full, layers, bitfit, PiSSA …)
    method.start                        the start is rebuilt, asked, and freed

Shape letters: N rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.engine import trunk_cache
from tunesmith.engine.network import BESIDE
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_bytes, digest_json, read_json, verify_folder, write_folder, write_json
from tunesmith.machine import processor, versions
from tunesmith.methods import METHODS, _peft
from tunesmith.model import Model, build, restore, untuned, weights
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, _pairs

MAX_TOKENS = 8192
_SILENT = Progress(silent=True)


def refer(model: Model, sets: Mapping[str, Encoded], progress: Progress = _SILENT) -> None:
    """Fill in `reference` of these rows, if they have two sequences each: read from the cache, or computed and kept."""
    missing = {name: e for name, e in sets.items() if e.inner is not None and e.reference is None and len(e)}
    if not missing or not model.plan.task.talks:  # a head that scores is new: there is nothing to compare with
        return
    first = _Start(model)
    asked_of = {name: first.rows(e) for name, e in missing.items()}
    folders = {name: trunk_cache.root() / _key(model, first, e) for name, e in asked_of.items()}
    for name in [n for n, folder in folders.items() if _whole(folder)]:
        missing.pop(name).reference = np.load(folders[name] / "reference.npy")
    if not missing:
        return
    with first.opened() as asked, progress.bar("reference", sum(map(len, missing.values())), "rows") as bar:
        for name, encoded in missing.items():
            encoded.reference = _computed(asked, asked_of[name], bar.advance)
            _keep(model, folders[name], encoded.reference)


def start_from(model: Model, where: str) -> None:
    """Copy the learnt weights of another run of the same method; outputs for other labels stay fresh, also where they
    are as many. Raises TunesmithError for a run on another base, of another shape, or without a checkpoint."""
    from tunesmith.training.checkpoint import newest_good, read_best

    folder = Path(where) / "checkpoints"
    found, _ = newest_good(folder)
    if found is None:
        raise TunesmithError(f"method.start: {where} holds no checkpoint of a run")
    if read_json(Path(where) / "run.json").get("base") != model.base.digest:  # the same shape would hide it
        raise TunesmithError(
            f"method.start: {where} learnt on another base, and what it learnt means nothing on {model.base.name}. "
            "Start from a run on this base"
        )
    step = found.state.best_step
    tensors = found.weights if step is None else read_best(folder, step)[0]
    own = weights(model)
    tensors = {n: t for n, t in tensors.items() if not n.startswith(BESIDE)}
    head = {n for n in own if model.family.is_head(n.removeprefix("auto."))}
    same = read_json(Path(where) / "facts.json").get("labels") == list(model.facts.labels)
    outputs = model.plan.task.outputs(model.facts)
    refit = {
        n: own[n].detach().clone() for n in head
        if n in tensors and (own[n].shape != tensors[n].shape or (not same and len(own[n]) == outputs))
    }  # fmt: skip
    refit |= {n: p.detach().clone() for n, p in own.items() if n.startswith(BESIDE)}
    try:
        restore(model, tensors | refit)
    except TunesmithError as error:
        raise TunesmithError(f"method.start: {where}: {error}") from error


@dataclass
class _Start:
    """The model as it was before training."""

    model: Model
    rebuilt: Model | None = None

    @property
    def digest(self) -> str:
        """Of the weights that it adds to the base: none, unless it started from another run."""
        start = self.model.plan.method.start
        if not start:
            return ""
        if self.rebuilt is None:
            self.rebuilt = build(self.model.plan, self.model.facts, self.model.base, self.model.tokenizer)
            start_from(self.rebuilt, start)
        own = sorted(weights(self.rebuilt).items())
        return digest_json([[name, digest_bytes(p.detach().cpu().contiguous().numpy().tobytes())] for name, p in own])

    def rows(self, encoded: Encoded) -> Encoded:
        """Rows as it reads them: a base without virtual tokens, unless it started from another run."""
        if self.model.plan.method.start:
            return encoded
        return encoded.worded(int(self.model.base.config["vocab_size"]))

    @contextmanager
    def opened(self) -> Iterator[Model]:
        """The model to ask, within the block."""
        if self.rebuilt is not None:
            yield _still(self.rebuilt)
        elif self.model.plan.method.keeps_base():
            with _peft.switched_off(self.model.net.auto):
                yield _inside(self.model)
        else:
            yield _still(untuned(self.model))


def _inside(model: Model) -> Model:
    """The base inside the network, without what stands before its input (virtual tokens, keys and values)."""
    from tunesmith.bases.family import plain
    from tunesmith.engine.network import Network

    plan = model.plan.model_copy(update={"method": METHODS.make("full")})
    return Model(plan, model.facts, model.base, Network(plain(model.net.auto), 0, 1), model.tokenizer)


def _still(model: Model) -> Model:
    from tunesmith.engine.precision import Precision

    Precision("fp32").place(model.net)
    return model


def _computed(asked: Model, encoded: Encoded, tick: Any) -> NDArray[np.float64]:
    """(N, 2): rows of similar length together, in evaluation mode, without gradients."""
    import torch

    assert encoded.inner is not None
    training = [m for m in asked.net.modules() if m.training]
    asked.shortcuts.prove(encoded)
    asked.net.eval()
    way, out = asked.shortcuts.way_for(encoded), np.empty((len(encoded), 2))
    with torch.no_grad():
        for rows in way.pieces(encoded, range(len(encoded)), MAX_TOKENS):
            logps, _ = _pairs.log_probabilities(way, encoded.inner, _pairs.sequences(rows))
            out[rows] = logps.cpu().numpy().reshape(-1, 2)
            tick(len(rows))
    for module in training:
        module.training = True
    return out


# the cache


def _key(model: Model, first: _Start, encoded: Encoded) -> str:
    """Digest of everything the numbers depend on."""
    inner = encoded.inner
    assert inner is not None and inner.labels is not None
    arrays = (inner.ids.flat, inner.ids.offsets, inner.labels.flat)
    return digest_json(
        {
            "format": 1, "what": "reference", "base": model.base.digest, "layers": model.plan.base.layers,
            "start": first.digest, "dtype": "float32", "processor": processor(),
            "versions": {k: v for k, v in versions().items() if k in ("torch", "transformers")},
            "tokens": [digest_bytes(np.ascontiguousarray(a).data) for a in arrays],
        }
    )  # fmt: skip


def _whole(folder: Path) -> bool:
    return (folder / "about.json").is_file() and not verify_folder(folder)


def _keep(model: Model, folder: Path, reference: NDArray[np.float64]) -> None:
    """Write it where the trunk caches are, if the plan lets anything be kept there and there is room."""
    engine = model.plan.engine
    if engine.cache not in ("auto", "disk") or not trunk_cache.make_room(
        reference.nbytes, int(engine.cache_gb * 2**30), ()
    ):  # fmt: skip
        return

    def fill(temporary: Path) -> None:
        np.save(temporary / "reference.npy", reference)
        write_json(temporary / "about.json", {"rows": len(reference)})

    write_folder(folder, fill)
