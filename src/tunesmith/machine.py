"""What this machine is, as far as it can change a result: processor, threads, versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError

LIBRARIES = (
    "tunesmith", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy", "scikit-learn",
)  # fmt: skip
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "fma", "asimd", "sve")


def versions() -> dict[str, str]:
    """Installed versions of what computes."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Processor, its features, threads, memory, device."""
    import psutil
    import torch

    return {
        "cpu": processor(),
        "features": features(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def kernel_key() -> dict[str, Any]:
    """What must be the same for two computations to be equal bit for bit."""
    about = machine()
    return {k: about[k] for k in ("cpu", "features", "threads", "device")} | {"versions": versions()}


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors give back, instead of returning it to the system at every step: the next
    step would have to be given zeroed pages again, one fault for each. Returns whether this platform can (glibc)."""
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    mmap_threshold, trim_threshold = -3, -1  # malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    return bool(mallopt(mmap_threshold, 1 << 30)) and bool(mallopt(trim_threshold, (1 << 31) - 1))


def give_memory_back() -> bool:
    """Return to the system what the C library still holds of memory that was freed, such as what loading a base needed
    and training does not. Returns whether this platform can (glibc)."""
    import ctypes

    try:
        return bool(ctypes.CDLL("libc.so.6").malloc_trim(0))
    except (OSError, AttributeError):
        return False


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def features() -> list[str]:
    """Instruction sets of the processor that matter for speed, as the system names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return [f for f in _FEATURES if f in flags]


def require_pillow() -> None:
    """Raises TunesmithError with what to install where images cannot be read."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise TunesmithError("images need the extra [vision]. Run: pip install 'tunesmith[vision]'") from error
