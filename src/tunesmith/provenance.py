"""What a run says of itself in the end: the reply of `train`, and where everything in it comes from."""

import platform
import resource
import sys
import time
from datetime import UTC, datetime
from typing import Any

from tunesmith.files import digest_bytes, digest_file, write_json
from tunesmith.model import Model, ecosystem, kept
from tunesmith.training.checkpoint import State
from tunesmith.training.foreseeing import record
from tunesmith.work import Work

WATT_PER_CORE = 10.0
"""Assumed draw of a busy core; the energy figure is an estimate and says so."""


def reply(
    work: Work, model: Model, results: dict[str, Any], state: State, proof: dict[str, Any], status: str
) -> dict[str, Any]:
    """The reply of `train`, as docs/replies.md has it."""
    from tunesmith.engine.network import count

    model.net.train()  # parameters are counted as they were trained
    tables = results["tables"]
    return {
        "run": str(work.run.path),
        "status": status,
        "metrics": tables["metrics"],
        "baselines": tables["baselines"],
        "paired": tables["paired"],
        "seconds": {
            "train": round(state.seconds, 3), "train_cpu": round(state.cpu_seconds, 3),
            "total": round(time.monotonic() - work.began, 3),
        },
        "memory_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "parameters": count(model.net),
        "weights_sha256": digest_weights(model),
        "golden_sha256": digest_file(work.run.file("golden") / "golden.safetensors"),
        "plan_sha256": digest_file(work.run.plan),
        "equality": "exact" if state.equality == "exact" else proof["equality"],
        "proof": proof,
        "warnings": work.warnings,
    }  # fmt: skip


def digest_weights(model: Model) -> str:
    """sha256 over names and bytes of everything that was trained."""
    raw = {name: p.detach().cpu().contiguous().numpy().tobytes() for name, p in kept(model).items()}
    parts = [f"{name}:{digest_bytes(content)}" for name, content in sorted(raw.items())]
    return digest_bytes("\n".join(parts).encode())


def provenance(work: Work, model: Model, state: State, proof: dict[str, Any], said: dict[str, Any]) -> None:
    """Write provenance.json: with which versions, machine, base and seed, from which command, at which cost."""
    from tunesmith.bases.quant import num_bytes
    from tunesmith.machine import machine, versions

    write_json(
        work.run.file("provenance.json"),
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": [a if i else "tunesmith" for i, a in enumerate(sys.argv)],
            "versions": versions() | {"python": platform.python_version()},
            "machine": machine(),
            "seconds": said["seconds"],
            "memory_peak_mb": said["memory_peak_mb"],
            "memory": state.memory,
            "forecast": record(state, work.run.path, said["seconds"]["total"], work.plan.task.name),
            "energy_wh": round(state.cpu_seconds * WATT_PER_CORE / 3600, 3),
            "energy_basis": f"estimate: CPU seconds of training x {WATT_PER_CORE:g} W for a busy core",
            "parameters": said["parameters"],
            "base": {
                "name": work.found.name,
                "public_name": work.found.public_name,
                "digest": work.found.digest,
                "quant": work.found.quant,
                "rope": work.found.rope and work.found.rope.model_dump(),
                "bytes": num_bytes(model.net),
            },
            "engine": model.shortcuts.said,
            "equality": said["equality"],
            "weights_sha256": said["weights_sha256"],
            "golden_sha256": said["golden_sha256"],
            "seed": work.plan.train.seed,
            "best_step": state.best_step,
            "steps": state.step,
            "reason": state.reason,
            "ecosystem": ecosystem(work.plan, model.family),
            "proof": proof,
        },
    )
