"""Conversations: rows of a data file become messages, and messages become tokens with labels."""

from dataclasses import dataclass, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Call:
    """An assistant's call of a tool."""

    name: str
    arguments: Any
    """A JSON value, an object as a rule."""
    id: str = ""
    """What the answer of the tool refers to; empty where the data have none."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    calls: tuple[Call, ...] = ()
    """Tools that an assistant message calls, beside or instead of its text."""
    weight: float = 1.0
    """Weight in the loss; 0 = read, not learnt. Only assistant messages use it."""
    name: str = ""
    """Of a tool message: which tool answers."""
    call_id: str = ""
    """Of a tool message: which call it answers."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation with the tools it may use, or one plain text."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    """Tools as `{"type": "function", "function": {"name": …, "parameters": …}}`."""
    plain: bool = False
    """Continued pretraining: the only message is a text without any template, and every token of it is learnt."""
    goes_on: bool = False
    """A piece of such a text that is not its last: no end is learnt behind it."""
    image: bool = False
    """Whether an image stands before the first question that is there: it stays when old turns are cut."""

    def asked(self) -> "Dialogue":
        """Without the last message if that is the assistant's: what generation starts from."""
        return replace(self, messages=self.messages[:-1]) if self.answered else self

    @property
    def answered(self) -> bool:
        """Whether the last message is the assistant's."""
        return bool(self.messages) and self.messages[-1].role == "assistant"

    def answer(self) -> str:
        """Content of the last assistant message; empty where there is none."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")
