"""Memory: what is held now, the most that was held, what is free, and a warning before it is full."""

from contextlib import suppress
from pathlib import Path

import torch

_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc")
"""What torch's allocator on a CPU, and some libraries, say."""
NEAR = 0.92
"""Share of the device's memory from which on a longer batch than any so far may fail."""
GROUP = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Of version 2 and version 1: limit, use, and what the use is made of."""


def held(device: torch.device) -> dict[str, float]:
    """{memory_mb, memory_peak_mb} of a CUDA device; nothing on a CPU, where the report has the peak of the process."""
    if device.type != "cuda":
        return {}
    return {
        "memory_mb": round(torch.cuda.memory_allocated(device) / 2**20, 1),
        "memory_peak_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
    }


def resident() -> int:
    """Bytes of memory that this process holds (RSS, the pages of mapped files included: transformers maps the weights
    of a base); 0 where the system does not say."""
    return _status("VmRSS")


def peak() -> int:
    """The most that `resident` has been since the process began, or since `forget_peak`; 0 where the system does not
    say."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let `peak` begin anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(key)), 0)


def untouched() -> int:
    """Bytes of mapped weights that this process has not read yet: they become its own as soon as it does."""
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    found, counts = 0, False
    for line in lines:
        words = line.split()
        if not words[0].endswith(":"):
            counts = words[-1].endswith(".safetensors")
        elif counts and words[0] in ("Size:", "Rss:"):
            found += (int(words[1]) << 10) * (1 if words[0] == "Size:" else -1)
    return found


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a CPU or on a device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def room(device: torch.device) -> int:
    """Bytes that are free: of the device, or of the machine, within the limit of the control group we run in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return min([int(psutil.virtual_memory().available), *_group_room()])


def _group_room() -> list[int]:
    """What the limits of the control group leave; files in memory can be given up and do not count as used."""
    found = []
    for limit, used, about in _LIMITS:
        try:
            files = dict(line.split() for line in (GROUP / about).read_text(encoding="utf-8").splitlines())
            spare = int(files.get("inactive_file", 0))
            found.append(max(0, int((GROUP / limit).read_text()) - int((GROUP / used).read_text()) + spare))
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return found


def warning(device: torch.device, peak_mb: float) -> str | None:
    """What to change when the peak comes near the device's limit; None where there is room."""
    total_mb = torch.cuda.get_device_properties(device).total_memory / 2**20
    if peak_mb < NEAR * total_mb:
        return None
    return (
        f"{peak_mb:,.0f} of {total_mb:,.0f} MB of the device were in use: a longer batch may not fit. Cures: a smaller "
        "train.micro_tokens (the result stays the same), a method that moves less, or task.max_tokens"
    )
