"""Every call in a journal: what was asked, what came back, what it cost. A call that stands there is not made again.

Each answer is on disk before the next question goes out, so a kill costs the calls in flight alone. The budget counts
different calls, whether they were made now or by an interrupted search: a resumed search takes the same way.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunesmith.dialogue import Dialogue
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_json, write_bytes
from tunesmith.hardprompt.speakers import Said, Speaker


class SpentError(Exception):
    """The budget is spent; caught by the search, which ends with what it knows."""


@dataclass
class Journal:
    """Calls of a search within a budget."""

    path: Path
    speaker: Speaker
    budget: int
    known: dict[str, Said] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    """Calls of this search, by key."""
    made: int = 0
    """Calls that were made now."""

    def __post_init__(self) -> None:
        if not self.path.is_file():
            return
        whole = self.path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was cut off by a kill
        for number, line in enumerate(whole, start=1):
            try:
                found = json.loads(line)
                self.known[found.pop("key")] = Said(**{name: found[name] for name in Said.__dataclass_fields__})
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TunesmithError(f"{self.path}:{number}: no line of this journal; it was changed") from None
        write_bytes(self.path, b"".join(line + b"\n" for line in whole))

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        return self.budget - len(self.used)

    def ask(self, dialogues: Sequence[Dialogue], what: str) -> list[Said]:
        """Answers, from the journal or from the speaker. SpentError, before any call, if they are too many."""
        who = self.speaker.identity
        keys = [digest_json([who, asdict(dialogue)]) for dialogue in dialogues]
        if len(set(keys) - self.used) > self.left:
            raise SpentError
        self.used |= set(keys)
        missing = [i for i, key in enumerate(keys) if key not in self.known and key not in keys[:i]]
        step = self.speaker.together
        for start in range(0, len(missing), step):
            part = missing[start : start + step]
            for i, said in zip(part, self.speaker.answer([dialogues[i] for i in part]), strict=True):
                self._keep(keys[i], said, dialogues[i], what)
        return [self.known[key] for key in keys]

    def _keep(self, key: str, said: Said, dialogue: Dialogue, what: str) -> None:
        asked = [[m.role, m.content] for m in dialogue.messages]
        line = {"key": key, "what": what, "asked": asked, **asdict(said)}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.known[key] = said
        self.made += 1

    def cost(self) -> dict[str, int]:
        """Calls and tokens of this search."""
        said = [self.known[key] for key in self.used]
        return {
            "budget": self.budget,
            "calls": len(said),
            "made_now": self.made,
            "asked_tokens": sum(s.asked_tokens for s in said),
            "written_tokens": sum(s.written_tokens for s in said),
            "cut_calls": sum(s.cut_tokens > 0 for s in said),
        }
