"""Tunesmith: from a data file and a pretrained model to a fine-tuned, measured, reloadable model.

    import tunesmith
    run = tunesmith.train(task="classify", base="minilm", data="tickets.csv", method="lora")

The names below load on first use, so that `import tunesmith` costs nothing.
"""

import os
from typing import Any

from tunesmith.version import __version__

# Waiting threads sleep instead of spinning. Two spinning threads beside one other busy process made a training step
# 4 to 20 times slower on two cores (docs/log.md); asleep they cost nothing. Read by OpenMP when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_FLOWS = (
    "train", "evaluate", "predict", "load", "ask", "chat", "check", "register", "merge", "compare", "compare_log",
    "compare_scores", "import_plan", "trial", "tune", "advise", "race",
)  # fmt: skip
__all__ = [*_FLOWS, "__version__"]  # noqa: PLE0604 - filled from _FLOWS


def __getattr__(name: str) -> Any:
    if name in _FLOWS:
        from tunesmith import flows

        return getattr(flows, name)
    raise AttributeError(f"module 'tunesmith' has no attribute '{name}'")
