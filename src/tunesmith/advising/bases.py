"""Bases, ranked: can the task use it, can it read the texts, what does it know frozen, how large is it, what licence.

Order: those that the task can use and whose tokenizer fits the texts; among them the better probe (within two standard
errors of the best the smaller base), then the fewer pieces a word; then those that do not fit; then those refused.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tunesmith.advising.probing import Probe, probe
from tunesmith.advising.reading import Look, lengths_of, look
from tunesmith.bases.about import bytes_of, licence_of, parameters_of
from tunesmith.bases.find import ALIASES, Found, find
from tunesmith.bases.fit import MANY_PIECES, MANY_UNKNOWN, fit
from tunesmith.bases.load import max_positions
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.states import MOST_BYTES
from tunesmith.progress import Progress

MOST = 12
"""Bases of the hub cache that are looked at, none larger than is run to look at data: a digest reads all of a base."""


def here(named: Iterable[str], own: str) -> dict[str, bool]:
    """{name: whether it was named} of bases to look at: the plan's, those that were named, aliases, the hub's cache."""
    return dict.fromkeys([*ALIASES, *cached()], False) | dict.fromkeys([own, *named], True)


def cached() -> list[str]:
    """Hub ids of models in the hub's cache on this machine that are not too large."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    small = (repo.repo_id for repo in repos if repo.repo_type == "model" and repo.size_on_disk <= MOST_BYTES)
    return sorted(small)[:MOST]


def about(name: str, seen: Look, progress: Progress, *, online: bool, probed: Probe | None) -> dict[str, Any]:
    """A row of the ranking. `probed`: what a probe said already; a base without one is probed."""
    row: dict[str, Any] = {"base": name, "usable": False, "readable": None, "reason": "", "probe": None}
    try:
        found = seen.found if name == seen.plan.base.name else find(name, online=online)
        row |= facts_of(found)
        own = seen if found is seen.found else _seen_by(found, seen)
        row |= {"usable": True, **_reads(own)}
        if probed is None:
            probed = probe(own, lengths_of(own).get("tokens_median"), progress)
    except TunesmithError as error:
        return row | {"reason": str(error)}
    row |= {"probe": probed.value, "probe_metric": probed.metric, "probe_rows": probed.rows}
    row["reason"] = "; ".join(filter(None, [row["warning"], probed.told(), row["told"]]))
    return row


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, the best base first."""

    def last(row: dict[str, Any]) -> int:
        return 0 if row["usable"] and row["readable"] is not False else 1 if row["usable"] else 2

    best = max(
        (row for row in rows if row["probe"] is not None and not last(row)), key=lambda row: row["probe"], default=None
    )

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        size = row.get("parameters") or math.inf
        if row["probe"] is None or best is None:
            return last(row), 2, row.get("pieces_per_word") or 0, size
        close = row["probe"] >= best["probe"] - 2 * _error(best)
        return (last(row), 0, size, 0) if close else (last(row), 1, -row["probe"], size)

    return sorted(rows, key=place)


def _error(row: dict[str, Any]) -> float:
    """Standard error of a share; of a correlation about the same."""
    share = min(max(row["probe"], 0.0), 1.0)
    return math.sqrt(max(share * (1 - share), 0.01) / max(1, row["probe_rows"]))


def facts_of(found: Found) -> dict[str, Any]:
    """Size, longest input, licence."""
    return {
        "parameters": parameters_of(found), "megabytes": round(bytes_of(found) / 1e6, 1), "family": found.model_type,
        "positions": max_positions(found), "licence": licence_of(found),
    }  # fmt: skip


def _seen_by(found: Found, seen: Look) -> Look:
    plan = seen.plan.model_copy(update={"base": seen.plan.base.model_copy(update={"name": found.name})})
    return look(plan, found, replace(seen.prepared, plan=plan))


def _reads(seen: Look) -> dict[str, Any]:
    """What its tokenizer makes of the texts."""
    texts = seen.texts
    if not texts:
        return {"warning": "", "told": ""}
    fits = fit(seen.tokenizer, texts)
    warning = fits.warning(seen.found.name, writes=seen.plan.task.talks) or ""
    readable = fits.unknown_share < MANY_UNKNOWN and fits.pieces_per_word < MANY_PIECES
    return {"readable": readable, "unknown_share": round(fits.unknown_share, 4), "warning": warning,
            "pieces_per_word": round(fits.pieces_per_word, 2),
            "told": f"{fits.pieces_per_word:.2f} pieces a word, {fits.unknown_share:.1%} unknown"}  # fmt: skip
