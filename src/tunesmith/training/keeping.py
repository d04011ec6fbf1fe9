"""What outlives a loop: checkpoints, going on from the newest good one, and the weights that are kept in the end."""

import json
from typing import TYPE_CHECKING

from tunesmith.engine import statistics
from tunesmith.errors import TunesmithError
from tunesmith.files import write_text
from tunesmith.machine import kernel_key
from tunesmith.model import kept, restore
from tunesmith.training import checkpoint as checkpoints
from tunesmith.training import optimizer as optimizers
from tunesmith.training.terms import STATE

if TYPE_CHECKING:
    from tunesmith.training.loop import Loop


def save(loop: "Loop") -> None:
    """Write a checkpoint."""
    loop.state.kernel = loop.state.kernel or kernel_key()
    first, *others = loop.model.halves
    method_state = {**first.method.state(first.auto), **loop.terms.state()}
    for half in others:
        method_state |= {f"{half.path}{name}": tensor for name, tensor in half.method.state(half.auto).items()}
    if loop.average:
        method_state = {**method_state, **loop.average.tensors()}
    checkpoints.write(
        loop.checkpoint_folder,
        checkpoints.Checkpoint(
            loop.state, kept(loop.model), optimizers.state_tensors(loop.optimizer.optimizer), method_state
        ),
    )


def resume(loop: "Loop") -> None:
    """Go on from the newest good checkpoint, and cut the journal back to it."""
    found, passed = checkpoints.newest_good(loop.checkpoint_folder)
    for text in passed:
        loop.job.progress.say(f"warning: {text}")
    history = loop.job.folder / "history.jsonl"
    if found is None:
        write_text(history, "")
        if passed:
            raise TunesmithError(
                f"all checkpoints in {loop.checkpoint_folder} are damaged. Nothing was deleted. "
                "To start over, move that folder away and run the same command again"
            )
        return
    restore(loop.model, found.weights)
    optimizers.load_state(loop.optimizer.optimizer, found.optimizer)
    state = {k: v for k, v in found.method.items() if "ema|" not in k and not k.startswith(STATE)}
    for half in loop.model.halves[1:]:
        mine = {k: state.pop(k) for k in list(state) if k.startswith(half.path)}
        half.method.restore(half.auto, {k.removeprefix(half.path): v for k, v in mine.items()})
    loop.model.plan.method.restore(loop.model.net.auto, state)
    loop.terms.restore(found.method)
    if loop.average:
        loop.average.load(found.method)
    loop.state = found.state
    _compare_machines(loop)
    lines = history.read_text(encoding="utf-8").splitlines()[: loop.state.history_lines]
    write_text(history, "".join(line + "\n" for line in lines))
    loop.evaluations = [e for e in map(json.loads, lines) if e["kind"] == "evaluation"]
    epoch = max(0, loop.state.step - 1) // loop.per_epoch
    for half in loop.model.halves:
        half.method.thaw(half.auto, half.family, epoch)
    loop.job.progress.say(f"going on from step {loop.state.step} of {loop.total}")


def _compare_machines(loop: "Loop") -> None:
    """Another machine, thread count or library computes the same up to rounding, and the run says so."""
    here = kernel_key()
    if loop.state.kernel and loop.state.kernel != here:
        odd = sorted(k for k in here if here[k] != loop.state.kernel.get(k))
        loop.state.equality = "exact"
        text = f"resumed on another machine state ({', '.join(odd)} differ): exact, not equal bit for bit"
        loop.state.warnings.append(text)
        loop.job.progress.say(f"warning: {text}")
    loop.state.kernel = here


def finish(loop: "Loop") -> None:
    """Put the weights that the plan keeps into the model, and leave it ready to answer."""
    if loop.asked.keep == "last" or loop.state.best_step is None:
        if loop.average:
            loop.average.copy_to(loop.moving)
    elif loop.job.save:
        restore(loop.model, checkpoints.read_best(loop.checkpoint_folder, loop.state.best_step)[0])
    else:
        restore(loop.model, loop.best_in_memory)
    loop.model.net.eval()
    statistics.refuse_changed(loop.model.net, loop.statistics)
