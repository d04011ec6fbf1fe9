"""Personal data and secrets that have a shape: found by patterns, kept by checksums and rules, nothing sent anywhere.

Names, addresses and organisations have no shape; they need a model, and nothing here finds them.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A place in a text."""

    start: int
    end: int
    kind: str


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def luhn(digits: str) -> bool:
    """Whether the last digit of a card number fits the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _is_card(text: str) -> bool:
    digits = _digits(text)
    return 12 <= len(digits) <= 19 and digits[0] in "123456" and luhn(digits) and len(set(digits)) > 1


def _is_iban(text: str) -> bool:
    """ISO 13616: letters as numbers from 10, country and check digits at the end, remainder 1 by 97."""
    plain = text.replace(" ", "").upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _is_resident(text: str) -> bool:
    """GB 11643-1999: a date of birth that exists, and a check character from the 17 digits before it."""
    month, day = int(text[10:12]), int(text[12:14])
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(d) * w for d, w in zip(text, weights, strict=False))
    return 1 <= month <= 12 and 1 <= day <= 31 and text[6:8] in ("18", "19", "20") and (
        text[17].upper() == "10X98765432"[total % 11]
    )  # fmt: skip


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or len(text) >= 6  # "::1" and "a::b" are seldom meant as addresses


_DATE = re.compile(r"(?:19|20)\d\d([-./ ])(0?[1-9]|1[0-2])\1(0?[1-9]|[12]\d|3[01])"
                   r"|(0?[1-9]|[12]\d|3[01])([-./ ])(0?[1-9]|[12]\d|3[01])\5(?:19|20)?\d\d")  # fmt: skip
_YEARS = re.compile(r"\(?1\d{3}-(1|2)\d{3}\)?")
_SSN = re.compile(r"\d{3}-\d\d-\d{4}")
_CALLED = re.compile(
    r"(?i)phone|\bcall|\btel\b|telefon|mobile|\bcell|\bfax|contact|reach|dial|\bring\b|number|\btext me|answering|sms"
    r"|whatsapp|\bhotline|\bext\b|messages?\b|registered|电话|手机|联系|致电|拨打|号码|传真", re.ASCII
)  # fmt: skip
_NEAR = 60


def _is_phone(text: str, around: str) -> bool:
    """By how digits are grouped; what may as well be a large number or a code needs a word for telephones nearby."""
    digits, groups = _digits(text.split("x", maxsplit=1)[0]), re.findall(r"\d+", text.split("x", maxsplit=1)[0])
    if any(shape.fullmatch(text) for shape in (_DATE, _YEARS, _SSN)) or not 7 <= len(digits) <= 15:
        return False
    if text[0] == "+" or (digits.startswith("00") and len(digits) >= 10):
        return True
    if len(groups) == 1:
        return bool(re.fullmatch(r"1[3-9]\d{9}", digits)) or (9 <= len(digits) <= 11 and bool(_CALLED.search(around)))
    if len(groups[0]) == 1 and groups[0] != "1":
        return False
    dialled = text[0] in "(0" or re.fullmatch(
        r"(?:1[-. ])?\d{3}[-.]\d{3}[-.]\d{4}", text.split("x", maxsplit=1)[0].strip()
    )
    return bool(dialled) or bool(_CALLED.search(around))


_A = re.ASCII  # a digit or a letter beside Chinese is at the edge of a word
_EDGE, _END = r"(?<![\w.+@/-])", r"(?![\w@])"
Test = Callable[[str, str], bool]
PATTERNS: tuple[tuple[str, re.Pattern[str], Test | None], ...] = (
    ("key", re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----)?|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
        r"|\bgh[opsur]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}|\bxox[abeoprs]-[\w-]{10,}"
        r"|\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}|\bAIza[\w-]{35}|\bhf_[A-Za-z]{30,}|\bnpm_[A-Za-z0-9]{36}\b"
        r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}", re.DOTALL | _A), None),
    ("password", re.compile(
        r"(?i)(?:\b(?:password|passwd|pwd|secret|api[ _-]?key|access[ _-]?token|auth[ _-]?token)|密码|口令|密钥)"
        r"(?:\s+is)?\s*[:=：]\s*['\"]?(?P<it>(?!\[[A-Z_]+\d*\])[^\s'\"，。；]{6,})", _A), None),
    ("email", re.compile(r"(?i)(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[\w-]+\.)+[a-z]{2,24}(?![\w@])", _A), None),
    ("iban", re.compile(_EDGE + r"(?i:[a-z]{2})\d{2}(?: ?(?i:[a-z0-9]){4}){2,7}(?: ?(?i:[a-z0-9]){1,4})?" + _END, _A),
     lambda text, _: _is_iban(text)),
    ("cn_id", re.compile(r"(?<!\d)[1-8]\d{16}[\dXx](?!\d)", _A), lambda text, _: _is_resident(text)),
    ("card", re.compile(_EDGE + r"\d(?:[ -]?\d){11,18}" + _END, _A), lambda text, _: _is_card(text)),
    ("us_ssn", re.compile(_EDGE + r"(?!000|666|9\d\d)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}" + _END, _A), None),
    ("ip", re.compile(r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})"
                      r"(?!\w|\.\d|:[0-9A-Fa-f]*:)", _A),
     lambda text, _: _is_ip(text)),
    ("phone", re.compile(r"(?<![\w.+@/$€£¥:#-])(?<!\d,)(?:\+|00)?\(?\d{1,5}\)?(?:[ ./-]{0,2}\(?\d{1,5}\)?){0,6}\d"
                         r"(?: ?(?:x|ext\.?) ?\d{1,5})?(?![\w@%°]|[.,:]\d| ?[€$£¥])", _A), _is_phone),
)  # fmt: skip
"""(kind, what it looks like, what it must also hold), the surer first: a place belongs to the first that takes it."""
KINDS = tuple(kind for kind, *_ in PATTERNS)
_HINT = re.compile(r"\d[\d ()./-]{5}|@|:[0-9A-Fa-f]*:|_|sk-|-{5}BEGIN|(?i:passw|pwd|secret|api|token)|密码|口令|密钥"
                   r"|AKIA|ASIA|AIza|eyJ|glpat|xox")  # fmt: skip


def spans(text: str, kinds: tuple[str, ...] = KINDS) -> list[Span]:
    """All places of some kinds, in order; none overlaps another. Most texts have none, and cost one search."""
    if not _HINT.search(text):
        return []
    taken: list[Span] = []
    for kind, pattern, test in PATTERNS:
        if kind in kinds:
            taken += [found for found in _found(text, kind, pattern, test) if not any(_meet(found, t) for t in taken)]
    return sorted(taken)


def _found(text: str, kind: str, pattern: re.Pattern[str], test: Test | None) -> Iterator[Span]:
    for match in pattern.finditer(text):
        group = "it" if "it" in pattern.groupindex else 0
        start, end = match.span(group)
        if test is None or test(match.group(group), text[max(0, start - _NEAR) : end + _NEAR]):
            yield Span(start, end, kind)


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
