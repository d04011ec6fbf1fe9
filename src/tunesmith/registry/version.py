"""A version and its record: the canonical JSON that names every file, the lineage and the metrics by one digest."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import digest_bytes
from tunesmith.registry.blobs import Entry
from tunesmith.registry.names import check_paths

_FORMAT = 1
COLUMNS = "name, number, digest, created, lineage, metrics"
"""Of the table of versions, in the order of the fields of a Version."""


@dataclass(frozen=True, slots=True)
class Version:
    """A model under a name and number, for ever the same; `str` gives `tickets@3`."""

    name: str
    number: int
    digest: str
    """sha256 of the record: of every file, the lineage and the metrics."""
    created: str
    """UTC, ISO 8601."""
    lineage_json: str = field(repr=False)
    """Canonical JSON; kept as text because text cannot change and 100,000 are listed without reading each."""
    metrics_json: str = field(repr=False)

    @property
    def lineage(self) -> dict[str, Any]:
        """Digests of base, data and plan, and the parent version."""
        return dict(json.loads(self.lineage_json))

    @property
    def metrics(self) -> dict[str, Any]:
        """The numbers of the run, with intervals."""
        return dict(json.loads(self.metrics_json))

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Change:
    """An alias was pointed at a number, or taken away (None)."""

    alias: str
    number: int | None
    changed: str


@dataclass(frozen=True)
class Collected:
    """What `Store.collect` deleted."""

    num_blobs: int
    num_bytes: int


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(value: dict[str, Any], what: str) -> dict[str, Any]:
    """The value as JSON gives it back (tuples are lists, keys are text); what JSON cannot hold is refused."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise TunesmithError(f"{what} of a version must be JSON (null for an undefined number): {error}") from error
    return dict(json.loads(text))


def canonical(value: Any) -> str:
    """The one way to write a JSON value: sorted keys, no spaces, as it is. Its sha256 is `files.digest_json`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def record(files: Mapping[str, Entry], lineage: dict[str, Any], metrics: dict[str, Any]) -> bytes:
    """The record of a version; its sha256 is the version's digest."""
    entries = {path: asdict(entry) for path, entry in files.items()}
    return canonical({"files": entries, "format": _FORMAT, "lineage": lineage, "metrics": metrics}).encode()


def files_of(version: Version, data: bytes) -> dict[str, Entry]:
    """The files that a record names, after it was checked against the version's digest, lineage and metrics."""
    if digest_bytes(data) != version.digest:
        raise TunesmithError(damaged(version, "its record has changed"))
    told = json.loads(data)
    if told["format"] != _FORMAT:
        raise TunesmithError(f"{version} has format {told['format']}, made by a newer Tunesmith: update this one")
    if (canonical(told["lineage"]), canonical(told["metrics"])) != (version.lineage_json, version.metrics_json):
        raise TunesmithError(damaged(version, "lineage or metrics differ from its record"))
    check_paths(told["files"])
    return {path: Entry(**entry) for path, entry in told["files"].items()}


def damaged(version: Version, *wrong: str) -> str:
    """The words for a version that is no longer what its digest says."""
    return (
        f"{version} is damaged in the registry and was not opened: {'; '.join(wrong)}. "
        "Register its run again (good content replaces damaged content) or restore the registry from a copy"
    )
