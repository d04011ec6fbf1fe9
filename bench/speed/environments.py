"""Virtual environments of peers that pin other versions of our libraries than we use; made on demand, below made/."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import texts

PACKAGES = {
    "adapters": ("adapters==1.3.0", "accelerate==1.15.0"),
    "llamafactory": ("llamafactory==0.9.5",),
}
"""By side of an arm; torch is ours, so that both sides multiply with the same library."""


def python(side: str) -> str | None:
    """The Python that runs a side; None where its environment has not been made."""
    if side not in PACKAGES:
        return sys.executable
    made = _folder(side) / "bin" / "python"
    return str(made) if (_folder(side) / "complete").is_file() else None


def make(side: str) -> str | None:
    """Make the environment of a side unless it is there; why that could not be, or None."""
    if side not in PACKAGES:
        return f"no peer '{side}' with an environment of its own; known: {', '.join(PACKAGES)}"
    if python(side):
        return None
    folder = _folder(side)
    words = [f"torch=={version('torch')}", *PACKAGES[side]]
    for command in ([sys.executable, "-m", "venv", str(folder)], [str(folder / "bin" / "pip"), "install", *words]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            return f"{' '.join(words)} could not be installed: {said[-1] if said else 'pip said nothing'}"
    (folder / "complete").touch()
    return None


def _folder(side: str) -> Path:
    return texts.MADE / f"env-{side}"
