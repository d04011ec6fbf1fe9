"""Memory of the accelerator: what is held now, the most that was held, and a warning before it is full."""

import torch

NEAR = 0.92
"""Share of the device's memory from which on a longer batch than any so far may fail."""


def held(device: torch.device) -> dict[str, float]:
    """{memory_mb, memory_peak_mb} of a CUDA device; nothing on a CPU, where the report has the peak of the process."""
    if device.type != "cuda":
        return {}
    return {
        "memory_mb": round(torch.cuda.memory_allocated(device) / 2**20, 1),
        "memory_peak_mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
    }


def warning(device: torch.device, peak_mb: float) -> str | None:
    """What to change when the peak comes near the device's limit; None where there is room."""
    total_mb = torch.cuda.get_device_properties(device).total_memory / 2**20
    if peak_mb < NEAR * total_mb:
        return None
    return (
        f"{peak_mb:,.0f} of {total_mb:,.0f} MB of the device were in use: a longer batch may not fit. Cures: a smaller "
        "train.micro_tokens (the result stays the same), a method that moves less, or task.max_tokens"
    )
