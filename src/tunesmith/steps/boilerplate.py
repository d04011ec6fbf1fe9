"""Take out lines that stand in row after row and say nothing: signatures, disclaimers, headers of forms."""

import re
from collections import Counter
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tunesmith.steps._rewriting import Rewriting


class Boilerplate(Rewriting):
    """The plan names them, so that rows to answer are treated as rows that were learnt; `data check` finds them."""

    name: Literal["boilerplate"] = "boilerplate"
    lines: Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], Field(min_length=1)]
    """The lines or sentences, letter by letter but for runs of blanks. They go wherever they stand."""

    prefer: ClassVar[str] = "Mails and forms, where data check tells boilerplate."

    def tidy(self, text: str) -> tuple[str, Counter[str]]:
        counts: Counter[str] = Counter()
        for line in self.lines:
            pattern = r"\s+".join(map(re.escape, line.split())) + r"[ \t]*\n?"
            text, times = re.subn(pattern, "", text)
            counts["lines"] += times
        return (text.strip() if counts["lines"] else text), +counts
