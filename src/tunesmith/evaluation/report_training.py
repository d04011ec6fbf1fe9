"""Sections on the run itself: learning curves, what was learnt, cost, proof, settings, provenance."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.evaluation.plots import Frame, Series, lines, number
from tunesmith.evaluation.report_blocks import (
    Block,
    Figure,
    Figures,
    Note,
    Pairs,
    Section,
    Table,
    Verbatim,
    cell,
    count,
    percent,
    title_of,
)
from tunesmith.evaluation.report_read import Results

POINTS = 300
"""More points a curve cannot be told apart, and would make the page heavy."""
WALKS = (
    ("lr", "Learning rate", "How large a step the weights may take. It usually rises for a moment, then falls, so that "
     "learning settles."),
    ("grad_norm", "Gradient norm", "How hard the rows pull at the weights. A few spikes are usual; a curve that keeps "
     "rising means that the learning rate is too high."),
)  # fmt: skip
"""Key in the history, title, how to read it."""
PROOF = {
    "max_error": "Largest difference of an output",
    "bits": "Equal bit for bit",
    "metric": "Validation metric of the reloaded model",
    "plain": "Opened by transformers and PEFT alone, too",
    "plain_max_error": "Largest difference of an output there",
}


def curves(results: Results) -> Section:
    """Loss, main metric and learning rate over the epochs."""
    steps = [e for e in results.history if e.get("kind") == "step"]
    looks = [e for e in results.history if e.get("kind") == "evaluation"]
    if not steps and not looks:
        return Section("learning", "Learning curves", [Note("No history was stored for this run.")])
    best = _best_epoch(results, steps + looks)
    figures = [_loss(steps, looks, best), _metric(results, looks, best), *map(_walk(steps), WALKS)]
    told = _told(results, best)
    return Section("learning", "Learning curves", [Note(told), Figures([f for f in figures if f])])


def _best_epoch(results: Results, entries: list[dict[str, Any]]) -> float | None:
    step = results.provenance.get("best_step")
    return next((float(e["epoch"]) for e in reversed(entries) if step is not None and e.get("step") == step), None)


def _told(results: Results, best: float | None) -> str:
    kept = f"The weights that were kept are those of epoch {number(best)} (marked)." if best is not None else ""
    reason = results.provenance.get("reason")
    return f"{kept} {f'Training ended: {reason}.' if reason else ''}".strip() or "One epoch is one walk over the rows."


def _frame(title: str, best: float | None, y_range: tuple[float, float] | None = None) -> Frame:
    return Frame("epoch", title, y_range=y_range, mark=best, mark_label="kept")


def _series(name: str, entries: list[dict[str, Any]], key: str, style: str, dots: bool) -> Series:
    every = max(1, -(-len(entries) // POINTS))
    thin = entries[::every]
    return Series(name, [float(e["epoch"]) for e in thin], [e.get(key) for e in thin], style, dots)


def _loss(steps: list[dict[str, Any]], looks: list[dict[str, Any]], best: float | None) -> Figure | None:
    series = [
        _series("each batch", steps, "loss", "s3", False),
        _series("training rows", looks, "train_loss", "s2", True),
        _series("validation rows", looks, "validation_loss", "s1", True),
    ]
    series = [s for s in series if any(y is not None for y in s.y)]
    how = (
        "Loss is how wrong the model is; lower is better. Both curves should fall. When the validation curve turns up "
        "while the training curve still falls, the model has begun to learn the training rows by heart."
    )
    picture = lines(series, _frame("loss", best), "Loss on training and validation rows, by epoch")
    return Figure("Loss", picture, how, tuple((s.style, s.name) for s in series)) if series else None


def _metric(results: Results, looks: list[dict[str, Any]], best: float | None) -> Figure | None:
    main = results.main
    if main is None or not any(e.get(main) is not None for e in looks):
        return None
    lower = results.measured.get("better", {}).get(main) == "lower"
    how = f"Measured on the validation rows at each stop; {'lower' if lower else 'higher'} is better. Flat means done."
    title = title_of(main)
    picture = lines([_series(title, looks, main, "s1", True)], _frame(title, best), f"{title} by epoch")
    return Figure(title, picture, how)


def _walk(steps: list[dict[str, Any]]) -> Callable[[tuple[str, str, str]], Figure | None]:
    def drawn(walk: tuple[str, str, str]) -> Figure | None:
        key, title, how = walk
        if not any(e.get(key) is not None for e in steps):
            return None
        picture = lines([_series(title, steps, key, "s5", False)], _frame("", None), f"{title} by epoch")
        return Figure(title, picture, how)

    return drawn


def _command(words: Any) -> str | None:
    return shlex.join(map(str, words)) if isinstance(words, list) else words


def learnt(results: Results) -> Section:
    """The tables that the method made of its own weights."""
    blocks: list[Block] = []
    for table in results.learnt:
        rows = [[cell(value) for value in row] for row in table.get("rows") or []]
        header = [str(name) for name in table.get("header") or []]
        words = tuple(i for i in range(len(header)) if i == 0 or any(isinstance(r[i], str) for r in table["rows"]))
        blocks.append(Table(str(table.get("caption", "")), header, rows, words, folded=len(rows) > 15))
    return Section("learnt", "What the method learnt", blocks)


def cost(results: Results) -> Section:
    """Time, memory, parameters, energy."""
    found = results.provenance
    seconds, machine = found.get("seconds") or {}, found.get("machine") or {}
    pairs = []
    if (train := seconds.get("train")) is not None:
        cpu = seconds.get("train_cpu")
        pairs.append(("Training", f"{duration(train)}{f' ({duration(cpu)} of processor time)' if cpu else ''}"))
    if (total := seconds.get("total")) is not None:
        pairs.append(("All, with data, baselines and proof", duration(total)))
    if (peak := found.get("memory_peak_mb")) is not None:
        pairs.append(("Most memory held", f"{number(round(peak))}\u00a0MB"))
    pairs += _parameters(found.get("parameters") or {})
    if (energy := found.get("energy_wh")) is not None:
        basis = found.get("energy_basis") or "an estimate, not a measurement"
        pairs.append(("Energy", f"about {number(float(f'{energy:.2g}'))}\u00a0Wh ({basis})"))
    if machine:
        pairs.append(("Machine", _machine(machine)))
    if said := found.get("engine"):
        pairs.append(("Work left out because it could not change the result", "; ".join(map(str, said))))
    return Section("cost", "Cost", [Pairs(pairs)] if pairs else [])


def _parameters(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    trainable, total, head = (found.get(key) for key in ("trainable", "total", "head"))
    if trainable is None:
        return []
    share = f" of {number(total)} ({percent(trainable / total, 2)})" if total else ""
    above = f"; {number(head)} of them in the head" if head is not None else ""
    return [("Trainable numbers", f"{number(trainable)}{share}{above}")]


def _machine(machine: Mapping[str, Any]) -> str:
    words = [str(machine[key]) for key in ("cpu", "device", "platform") if machine.get(key)]
    if machine.get("threads"):
        words.insert(1, count(machine["threads"], "thread"))
    if machine.get("memory_gb"):
        words.append(f"{number(machine['memory_gb'])}\u00a0GB of memory")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    if seconds < 60:
        return f"{number(round(seconds, 1))}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def proof(results: Results) -> Section:
    """How it was shown that the saved model is the measured one."""
    found = results.provenance
    told = found.get("proof") or {}
    blocks: list[Block] = []
    if told:
        words = (
            "Before the run was called done, a fresh process loaded the saved model and had to reproduce the answers "
            "to a stored batch of rows, and the validation metric. What was measured is what ships."
        )
        blocks = [
            Note(words, "good"),
            Pairs([(_words(k), _value(v)) for k, v in told.items() if v is not None and k != "equality"]),
        ]
    else:
        blocks = [Note("No reload proof is stored for this run: what ships may differ from what was measured.", "bad")]
    keys = {"weights_sha256": "Weights, sha256", "golden_sha256": "Golden batch, sha256", "equality": "Equality class",
            "ecosystem": "Opens in"}  # fmt: skip
    pairs = [(name, _opens(str(found[k])) if k == "ecosystem" else str(found[k])) for k, name in keys.items()
             if found.get(k)]  # fmt: skip
    return Section("proof", "How it was proven", [*blocks, Pairs(pairs)] if pairs else blocks)


def _opens(ecosystem: str) -> str:
    return {
        "plain": "transformers or PEFT alone (plain)",
        "tunesmith": "Tunesmith, or PEFT after `import tunesmith.peft` where the method page says so (tunesmith)",
    }.get(ecosystem, ecosystem)


def _words(key: str) -> str:
    return PROOF.get(key, key.replace("_", " ").capitalize())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value)
    return "–" if value is None else number(value) if isinstance(value, int | float) else str(value)


def settings(results: Results) -> Section:
    """The resolved plan."""
    told = Note("Every setting, those not asked for included: from this file the run can be repeated.")
    return Section("settings", "Settings", [told, Verbatim("The resolved plan", results.plan_text)])


def provenance(results: Results) -> Section:
    """Where the model comes from."""
    found = results.provenance
    base = found.get("base") or {}
    pairs = [("Made", found.get("created")), ("Command", _command(found.get("command"))), ("Seed", found.get("seed")),
             ("Base", base.get("public_name") or base.get("name")), ("Base, digest", base.get("digest")),
             ("Best step", found.get("best_step"))]  # fmt: skip
    listed = [(name, str(value)) for name, value in pairs if value is not None]
    listed += [(f"{name}", str(version)) for name, version in (found.get("versions") or {}).items()]
    return Section("provenance", "Provenance", [Pairs(listed)] if listed else [])
