"""Names, references such as `tickets@3`, and paths inside a version: what may be written, and what it means."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from tunesmith.errors import TunesmithError, unknown

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:]")
_SHOWN = 20
LATEST = "latest"
"""The one alias that nobody sets: the highest number of a name."""
FORMS = "name@3, name@latest, name@alias or name@sha256:<64 hex digits>"


def check_name(name: str, kind: str = "name") -> str:
    """The name itself when it is one; a path, an empty or an overlong text never is."""
    if _NAME.fullmatch(name):
        return name
    near = re.sub(r"[^a-z0-9._-]+", "-", name[:200].lower()).strip("-._")[:64]
    hint = f" Did you mean '{near}'?" if near else ""
    raise TunesmithError(
        f"{name[:80]!r} cannot be a {kind}: use 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit.{hint}"
    )


def check_alias(alias: str) -> str:
    """The alias itself; `latest` and plain numbers already mean something."""
    check_name(alias, "alias")
    if alias == LATEST or alias.isdigit():
        why = "always the highest number" if alias == LATEST else "read as a version number"
        raise TunesmithError(f"'{alias}' cannot be an alias: it is {why}; choose a word such as 'production'")
    return alias


def check_digest(digest: str) -> str:
    """The digest itself when it is 64 lower-case hex digits, so that it can be a file name."""
    if not _DIGEST.fullmatch(digest):
        raise TunesmithError(f"{digest[:80]!r} is not a sha256 digest (64 digits of 0-9 a-f)")
    return digest


@dataclass(frozen=True)
class Reference:
    """A name and one of three ways to choose its version; exactly one is not None."""

    name: str
    number: int | None = None
    alias: str | None = None
    digest: str | None = None


def parse(text: str) -> Reference:
    """Read `tickets@3`, `tickets@latest`, `tickets@production` or `tickets@sha256:…`."""
    name, at, tag = text.partition("@")
    check_name(name)
    if not at:
        raise TunesmithError(f"'{name}' does not say which version: write {FORMS.replace('name@', name + '@')}")
    if tag.startswith("sha256:"):
        return Reference(name, digest=check_digest(tag.removeprefix("sha256:")))
    if _NUMBER.fullmatch(tag):
        return Reference(name, number=int(tag))
    if not _NAME.fullmatch(tag) or tag.isdigit():
        raise TunesmithError(f"{tag[:80]!r} chooses no version of '{name}': write {FORMS}; numbers begin at 1")
    return Reference(name, alias=tag)


def check_paths(paths: Iterable[str]) -> None:
    """Refuse relative paths that would leave a folder, or that another system could not hold side by side."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        if _UNSAFE.search(path) or not _is_text(path) or any(part in {"", ".", ".."} for part in parts):
            raise TunesmithError(f"{path[:200]!r} cannot be kept: rename it, without \\ : or control characters")
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise TunesmithError(f"{seen[key]!r} and {path!r} are one file on other systems: rename one of them")
        seen[key] = path


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def unknown_name(name: str, known: list[str]) -> TunesmithError:
    """The error for a name without versions: the nearest names, and no flood of all of them."""
    if not known:
        return TunesmithError(f"no model named '{name}': the registry is empty (`tunesmith register` fills it)")
    if len(known) <= _SHOWN:
        return TunesmithError(unknown("model", name, known))
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return TunesmithError(f"no model named '{name}' among {len(known)}.{hint} `tunesmith versions` lists them")
