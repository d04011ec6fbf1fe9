"""What is tried: an instruction before the question, and solved examples before that.

    user: instruction, example's question      assistant: example's answer      ...      user: instruction, question

The instruction stands in the user's message, since many templates have no place for a system message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.data import Record
from tunesmith.dialogue import Dialogue, Message
from tunesmith.tasks._language import dialogue_in

TEMPLATES = (
    "Answer exactly as asked. Write the answer alone, without explanation.",
    "Read carefully and answer in the same form as the examples.",
    "You are an expert in this subject. Give the correct answer and nothing else.",
    "Think about what is asked, then write only the final answer.",
    "Answer briefly and precisely.",
    "Do this task step by step in your mind. Write down only the result.",
    "请准确、简洁地回答，只写答案，不要解释。",
)
"""Instructions that we bring; the user's own stand before them."""


@dataclass(frozen=True)
class Candidate:
    """Words to try."""

    instruction: str = ""
    shots: tuple[int, ...] = ()
    """Numbers of the training rows that are shown, in order."""

    def dialogue(self, record: Record, train: Sequence[Record]) -> Dialogue:
        """What is asked of a row: without its answer, with the instruction and the examples."""
        asked = dialogue_in(record).asked()
        shown = [m for shot in self.shots for m in self._instructed(dialogue_in(train[shot])).messages]
        own = self._instructed(asked).messages
        head = [m for m in own[:1] if m.role == "system"]
        shown = [m for m in shown if m.role != "system"]
        return replace(asked, messages=(*head, *shown, *own[len(head) :]))

    def _instructed(self, dialogue: Dialogue) -> Dialogue:
        if not self.instruction:
            return dialogue
        place = next((i for i, m in enumerate(dialogue.messages) if m.role == "user"), None)
        if place is None:
            return replace(dialogue, messages=(Message("user", self.instruction), *dialogue.messages))
        messages = list(dialogue.messages)
        messages[place] = replace(messages[place], content=f"{self.instruction}\n\n{messages[place].content}")
        return replace(dialogue, messages=tuple(messages))


def instructions(own: Sequence[str]) -> list[str]:
    """The user's, none at all, and ours; the first is the plain one that the result is compared with."""
    return list(dict.fromkeys([*(text.strip() for text in own if text.strip()), "", *TEMPLATES]))
