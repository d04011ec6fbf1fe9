"""Personal data and secrets in texts: e-mail, telephone, card, IBAN, IP, national ids, keys, passwords."""

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Literal

from tunesmith.checks import Check, Finding, Seen
from tunesmith.data.format import counted
from tunesmith.data.overlap import Hits
from tunesmith.data.personal import spans

_SECRET = ("key", "password")


class PersonalData(Check):
    """By patterns and checksums, on this machine. No value is shown. Names and addresses have no shape."""

    name: Literal["personal_data"] = "personal_data"
    thorough: ClassVar[bool] = True

    def look(self, seen: Seen) -> Iterable[Finding]:
        for column in seen.worded:
            hits = {"personal_data": Hits(), "secrets": Hits()}
            counts: Counter[str] = Counter()
            for record in seen.records:
                kinds = [span.kind for span in spans(seen.words(record, column))]
                counts.update(kinds)
                for name, wanted in (("secrets", True), ("personal_data", False)):
                    if any((kind in _SECRET) is wanted for kind in kinds):
                        hits[name].add(record)
            for name, found in hits.items():
                if found.count:
                    told = ", ".join(
                        f"{k} {n}" for k, n in counts.most_common() if (k in _SECRET) is (name == "secrets")
                    )
                    what = counted(found.count, "row holds", "rows hold") + f" {told} (first: {found.shown}). "
                    fix = "Add the step pii, which masks them; names and addresses are not found by patterns"
                    yield Finding(name, found.count, column, "warning", what + fix)
