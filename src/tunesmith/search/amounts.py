"""Amounts of time and memory as people write them: 90s, 20m, 2h; 900MB, 8GB."""

import re

from tunesmith.errors import TunesmithError

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MEGABYTES = {"mb": 1.0, "mib": 1.048576, "gb": 1000.0, "gib": 1073.741824}


def seconds(text: str, where: str) -> float:
    """Seconds in an amount of time. Raises TunesmithError, which names `where` it was asked."""
    return _amount(text, _SECONDS, f"{where}: '{text}' is no amount of time. Write it as 90s, 20m or 2h")


def megabytes(text: str, where: str) -> float:
    """Megabytes (10^6 bytes) in an amount of memory. Raises TunesmithError, which names `where` it was asked."""
    return _amount(text, _MEGABYTES, f"{where}: '{text}' is no amount of memory. Write it as 900MB or 8GB")


def told(spent: float) -> str:
    """Seconds as people say them: "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(spent)
    if whole < 60:
        return f"{whole} s" if spent >= 10 else f"{spent:.1f} s".replace(".0 s", " s")
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def _amount(text: str, units: dict[str, float], complaint: str) -> float:
    found = _FORM.fullmatch(text)
    if found is None or found[2].lower() not in units or not float(found[1]):
        raise TunesmithError(complaint)
    return float(found[1]) * units[found[2].lower()]
