"""Which columns of a file hold what of a conversation, and under which tags its messages stand."""

from typing import Literal

from tunesmith.described import Described

Kind = Literal["alpaca", "sharegpt", "messages", "pairs", "text"]


class Columns(Described):
    """How a data file spells conversations. Empty = there is no such column."""

    kind: Kind
    """alpaca: question and answer in columns. sharegpt, messages: a list of messages. pairs: two answers, one better.
    text: continued pretraining."""
    prompt: str = ""
    """The question or instruction (kind text: the text)."""
    query: str = ""
    """What the instruction is about; written below it."""
    response: str = ""
    """The answer."""
    history: str = ""
    """Earlier turns: a list of [question, answer]."""
    system: str = ""
    """System text."""
    tools: str = ""
    """Tools the assistant may call: a list of JSON schemas, or that as text."""
    messages: str = ""
    """The list of messages."""
    chosen: str = ""
    """The better answer: a text, a message or a list of messages."""
    rejected: str = ""
    """The worse answer."""
    label: str = ""
    """true = the answer is wanted, false = it is not (KTO)."""
    role_tag: str = "from"
    """Key of a message that says who speaks."""
    content_tag: str = "value"
    """Key of a message that holds its text."""
    user_tag: str = "human"
    assistant_tag: str = "gpt"
    observation_tag: str = "observation"
    """Who speaks when a tool answers."""
    function_tag: str = "function_call"
    """Who speaks when the assistant calls a tool: the text is JSON with name and arguments."""
    system_tag: str = "system"
    file_name: str = ""
    """File that a dataset_info.json names for this data."""

    def told(self) -> str:
        """In words, for notes and errors."""
        parts = [
            ("system text", self.system), ("tools", self.tools), ("history", self.history), ("messages", self.messages),
            ("text" if self.kind == "text" else "question", self.prompt), ("below it", self.query),
            ("answer", self.response), ("chosen", self.chosen), ("rejected", self.rejected),
            ("wanted or not", self.label),
        ]  # fmt: skip
        found = ", ".join(f"{what} in '{column}'" for what, column in parts if column)
        tags = f"; a message has '{self.role_tag}' ({self.user_tag}, {self.assistant_tag}, …) and '{self.content_tag}'"
        return f"read as {self.kind}: {found}{tags * bool(self.messages)}"


OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
