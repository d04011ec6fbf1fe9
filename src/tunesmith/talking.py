"""Talk to models turn by turn: the history is written as training wrote conversations, and the model goes on from it.

Several runs may take part. Those that a method can lay on one base in memory (LoRA) share it, and one of them is active
at a time; others are models of their own. Whoever answers reads the whole conversation in the template it was trained
with, so an answer after a switch is the answer that this run alone would give.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith.dialogue import Dialogue, Message
from tunesmith.errors import TunesmithError, unknown
from tunesmith.files import write_text
from tunesmith.tasks._language import Decoding
from tunesmith.voices import Voice


@dataclass(frozen=True)
class Answer:
    """What was answered, and what became of the history."""

    content: str
    voice: Voice = field(repr=False)
    tokens: int
    """Tokens that the model read."""
    dropped: int
    """Oldest turns that it did not see."""
    cut: int
    """Tokens cut out of the question itself."""
    alone: bool = False
    """Whether the template holds no history, so that it saw the question alone."""
    stopped: bool = False
    """Whether somebody interrupted it."""


@dataclass
class Talk:
    """A conversation and whoever answers in it."""

    voices: list[Voice]
    voice: Voice = field(init=False)
    messages: list[Message] = field(default_factory=list)
    system: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of `task.decode` that were set here, for every voice."""
    seed: int | None = None
    """None: the seed of the run that answers."""

    def __post_init__(self) -> None:
        self.voice = self.voices[0]

    @property
    def decode(self) -> Decoding:
        """How the voice writes now."""
        return self._decoding(self.settings)

    def _decoding(self, settings: dict[str, Any]) -> Decoding:
        for name in settings:
            if name not in Decoding.model_fields:
                raise TunesmithError(f"set: {unknown('setting', name, Decoding.model_fields)}")
        try:
            made = Decoding.model_validate({**self.voice.task.decode.model_dump(), **settings})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise TunesmithError(f"set: {where}: {first['msg']}, got '{first['input']}'") from None
        if fault := made.objection():
            raise TunesmithError(f"set: {fault}")
        return made

    def set(self, word: str) -> None:
        """`temperature=0.7`: change how answers are written. An empty value gives back the run's own."""
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals:
            raise TunesmithError(f"set: write NAME=VALUE, such as temperature=0.7. Got '{word}'")
        settings = {k: v for k, v in self.settings.items() if k != name}
        if value:
            settings[name] = None if value == "null" else value
        self._decoding(settings)
        self.settings = settings

    def tell(self, system: str) -> None:
        """Put a system text before the conversation, or take it away with an empty one."""
        if system:
            self.voice.tokens(self._dialogue([Message("user", "a")], system), 10**9)  # the template may refuse it
        self.system = system

    def switch(self, name: str) -> None:
        """Let another one answer from now on."""
        names = [v.name for v in self.voices]
        if name not in names:
            raise TunesmithError(f"switch: {unknown('run', name, names)}")
        self.voice = self.voices[names.index(name)]

    def reset(self) -> None:
        """Forget what was said; system text and settings stay."""
        self.messages = []

    @staticmethod
    def _dialogue(messages: Sequence[Message], system: str) -> Dialogue:
        head = (Message("system", system),) if system else ()
        return Dialogue((*head, *messages))

    def asked(self, text: str) -> tuple[list[int], int, int]:
        """(tokens that the voice would read, oldest turns left out, tokens cut out of the question).

        The answer may take up to half of the context. Whole turns go, the oldest first; a single question that is still
        too long loses its middle.
        """
        history, question = list(self.messages), Message("user", text)
        turns = len(history) // 2
        limit = self.voice.room - min(self.decode.max_new_tokens, self.voice.room // 2)

        def rest(count: int) -> Dialogue:
            return self._dialogue([*history[2 * count :], question], self.system)

        def fits(count: int) -> bool:
            return len(self.voice.tokens(rest(count), 10**9)[0]) <= limit

        count = turns if self.alone(question) else bisect_left(range(turns), True, key=fits)
        ids, cut = self.voice.tokens(rest(count), limit)
        return ids, count, cut

    def alone(self, question: Message) -> bool:
        """Whether the voice's template holds no history, so that it sees the question alone."""
        return bool(self.messages) and not self.voice.takes(*self.messages[-2:], question)

    def say(self, text: str, say: Callable[[str], object] | None = None) -> Answer:
        """One turn: the answer, which `say` hears while it is written. Ctrl-C stops the answer, and what was said of it
        by then counts."""
        if not text.strip():
            raise TunesmithError("an empty message cannot be answered. Say something")
        ids, dropped, cut = self.asked(text)
        longest = min(self.decode.max_new_tokens, self.voice.room - len(ids))
        decode = self.decode.model_copy(update={"max_new_tokens": longest})
        seed = self.voice.model.plan.train.seed if self.seed is None else self.seed
        heard: list[str] = []

        def hear(piece: str) -> None:
            heard.append(piece)
            if say is not None:
                say(piece)

        stopped = False
        try:
            content = self.voice.write(ids, decode, seed, hear)
        except KeyboardInterrupt:
            content, stopped = "".join(heard), True
        alone = self.alone(Message("user", text))
        self.messages += [Message("user", text), Message("assistant", content)]
        return Answer(content, self.voice, len(ids), dropped, cut, alone, stopped)

    def save(self, path: Path) -> int:
        """The conversation as one line of OpenAI messages, behind those that stand in the file. Returns the lines."""
        if not self.messages:
            raise TunesmithError("save: nothing was said yet")
        if path.suffix != ".jsonl":
            raise TunesmithError(f"save: {path}: conversations are kept as JSON Lines. Name the file … .jsonl")
        before = _conversations(path)
        messages = self._dialogue(self.messages, self.system).messages
        line = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        lines = [*before, json.dumps(line, ensure_ascii=False)]
        write_text(path, "".join(f"{each}\n" for each in lines))
        return len(lines)


def _conversations(path: Path) -> list[str]:
    """Lines of a file of conversations; refused where it holds something else."""
    if not path.exists():
        return []
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if all("messages" in json.loads(line) for line in lines):
            return lines
    except (OSError, ValueError, TypeError):
        pass
    raise TunesmithError(f"save: {path} holds something else than conversations. Choose another file")
