"""Virtual tokens as tokens of a row: numbers behind the vocabulary, put where the method wants them.

    after_bos           <s> v v  system  user 1  answer 1  user 2  answer 2
    after_system        <s>  system  v v  user 1  answer 1  user 2  answer 2
    before_last_user    <s>  system  user 1  answer 1  v v  user 2  answer 2
    before_answer       <s>  system  user 1  answer 1  user 2  v v  answer 2

From here on they are tokens like others: batches, positions, masks, cutting and the cache of keys need not know them,
and the network's look-up finds them in a table of its own. `start` is none of these: there PEFT's own way puts them in
front of everything while the network runs.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tunesmith.dialogue import Dialogue
from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from tunesmith.dialogue.templates import Writer

Place = Literal["start", "after_bos", "after_system", "before_last_user", "before_answer"]


@dataclass(frozen=True)
class Virtual:
    """Virtual tokens of a model, and where they stand in its rows."""

    place: Place
    count: int
    first: int
    """Number of the first as a token: the size of the vocabulary."""

    def put(self, ids: list[int], at: int) -> list[int]:
        """Tokens with the virtual ones before number `at`."""
        return [*ids[:at], *range(self.first, self.first + self.count), *ids[at:]]

    def border(self, write: "Writer", dialogue: Dialogue, text: str, answer: int) -> int:
        """How many characters of a rendered conversation stand before them, its beginning token aside; its answer
        starts at `answer`. Raises TunesmithError where the template leaves no place there."""
        if self.place in ("start", "after_bos"):
            return 0
        if self.place == "before_answer":
            return answer
        roles = [message.role for message in dialogue.messages]
        count = next((i for i, role in enumerate(roles) if role != "system"), len(roles))
        if self.place == "before_last_user":
            count = max((i for i, role in enumerate(roles) if role == "user"), default=count)
        if not count:
            return 0
        part = write(replace(dialogue, messages=dialogue.messages[:count]))
        if not text.startswith(part) or dialogue.messages[count - 1].content.strip() not in part:
            raise TunesmithError(
                f"method.place: {self.place}: template '{write.template.name}' writes what stands before into the next "
                "message, so there is no place between. Set method.place: after_bos or before_answer, or name another "
                "template (chatml)"
            )
        return len(part)
