"""Is this machine ready: versions that work together, device, bases, disk."""

import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any


def examine(*, clean_cache: bool = False) -> dict[str, Any]:
    """{ok, checks: [{name, ok, found, remedy}]}. With `clean_cache`, every cache is deleted."""
    checks = [_python(), *_libraries(), _torchvision(), _device(), _base(), _disk(), _results(clean=clean_cache),
              _cache(clean=clean_cache)]  # fmt: skip
    return {"ok": all(c["ok"] for c in checks), "checks": checks}


def _check(name: str, ok: bool, found: str, remedy: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "remedy": "" if ok else remedy}


def _python() -> dict[str, Any]:
    import platform
    import sys

    return _check("python", sys.version_info >= (3, 11), platform.python_version(), "Install Python 3.11 or newer")


def _libraries() -> list[dict[str, Any]]:
    from packaging.requirements import Requirement

    out = []
    try:
        needs = requires("tunesmith") or []
    except PackageNotFoundError:
        return [_check("tunesmith", False, "runs from its source, not installed", "pip install -e .")]
    for line in needs:
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(need.name)
        except PackageNotFoundError:
            out.append(_check(need.name, False, "not installed", f"pip install '{need}'"))
            continue
        fits = need.specifier.contains(have, prereleases=True)
        out.append(_check(need.name, fits, have, f"this version is outside {need.specifier}: pip install '{need}'"))
    return out


def _cache(*, clean: bool) -> dict[str, Any]:
    """Trunk caches are found again by later runs on the same data, and are bounded by `engine.cache_gb`."""
    from tunesmith.engine import trunk_cache

    if clean:
        freed = trunk_cache.clean()
        return _check("trunk cache", True, f"emptied: {freed / 1e6:.1f} MB freed in {trunk_cache.root()}")
    found = trunk_cache.kept_caches()
    total = sum(trunk_cache.size(f) for f in found)
    text = f"{len(found)} caches, {total / 1e6:.1f} MB in {trunk_cache.root()} (tunesmith doctor --cache empties it)"
    return _check("trunk cache", True, text)


def _results(*, clean: bool) -> dict[str, Any]:
    """What was found in data is kept by digest, and bounded by itself."""
    from tunesmith.data import kept

    if clean:
        return _check("data cache", True, f"emptied: {kept.clean() / 1e6:.1f} MB freed in {kept.root()}")
    found = kept.held()
    total = sum(map(kept.size, found)) / 1e6
    text = f"{len(found)} results, {total:.1f} of at most {kept.ROOM / 1e6:.0f} MB in {kept.root()}"
    return _check("data cache", True, f"{text} (tunesmith doctor --cache empties it)")


def _torchvision() -> dict[str, Any]:
    """torchvision's PyPI build is for CUDA: beside a CPU torch it does not import, and breaks transformers' parts."""
    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return _check("torchvision", True, "not installed (not needed)")
    import torch

    works = torch.cuda.is_available()
    return _check("torchvision", works, found, "it breaks transformers beside a CPU torch: pip uninstall torchvision")


def _device() -> dict[str, Any]:
    from tunesmith.machine import machine

    about = machine()
    told = f"{about['device']}: {about['cpu']}, {about['threads']} threads, {about['memory_gb']} GiB"
    return _check("device", True, told)


def _base() -> dict[str, Any]:
    from tunesmith.bases.find import find
    from tunesmith.errors import TunesmithError

    try:
        return _check("base minilm", True, f"sha256 {find('minilm').files['model.safetensors'][:12]}, as expected")
    except TunesmithError as error:
        return _check("base minilm", False, "not usable", str(error))


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return _check("disk", free > 2, f"{free:.0f} GB free here", "full fine-tuning of a small base needs about 1 GB")
