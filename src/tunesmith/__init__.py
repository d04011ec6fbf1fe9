"""Tunesmith: from a data file and a pretrained model to a fine-tuned, measured, reloadable model.

    import tunesmith
    run = tunesmith.train(task="classify", base="minilm", data="tickets.csv", method="lora")

The names below load on first use, so that `import tunesmith` costs nothing.
"""

from typing import Any

from tunesmith.version import __version__

_FLOWS = ("train", "evaluate", "predict", "load", "ask", "check", "register")
__all__ = [*_FLOWS, "__version__"]  # noqa: PLE0604 - filled from _FLOWS


def __getattr__(name: str) -> Any:
    if name in _FLOWS:
        from tunesmith import flows

        return getattr(flows, name)
    raise AttributeError(f"module 'tunesmith' has no attribute '{name}'")
