"""Put a word in the place of web addresses, which are long, seldom twice the same, and seldom say anything."""

import re
from collections import Counter
from typing import ClassVar, Literal

from tunesmith.steps._rewriting import Rewriting

_URL = re.compile(
    r"(?i)(?<![a-z0-9])(?:https?|ftp)://[^\s<>\"'，。；、）】》]+|(?<![\w@.])www\.[^\s<>\"'，。；、）】》]+"
)
_AFTER = ".,;:!?)]}"


class Urls(Rewriting):
    """http, https, ftp and www; punctuation behind an address stays. E-mail addresses are a matter of the step pii."""

    name: Literal["urls"] = "urls"
    by: str = "[URL]"
    """What stands in their place; '' for nothing."""

    prefer: ClassVar[str] = "Posts, mails and web pages, where addresses differ from row to row."

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        counts: Counter[str] = Counter()

        def put(match: re.Match[str]) -> str:
            counts["addresses"] += 1
            return self.by + match[0][len(match[0].rstrip(_AFTER)) :]

        return (_URL.sub(put, text) if "://" in text or "www." in text.lower() else text), counts
