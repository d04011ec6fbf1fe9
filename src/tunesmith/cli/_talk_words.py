"""Words that steer a conversation: each begins with a slash."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import TunesmithError, unknown

if TYPE_CHECKING:
    from tunesmith.talking import Talk

QUIT = "/quit"


def _help(talk: "Talk", rest: str) -> str:
    width = max(map(len, HELP))
    return "\n".join(f"{word.ljust(width)}  {what}" for word, what in HELP.items())


def _reset(talk: "Talk", rest: str) -> str:
    talk.reset()
    return "the conversation begins anew"


def _system(talk: "Talk", rest: str) -> str:
    talk.tell(rest)
    return "system text set" if rest else "system text removed"


def _save(talk: "Talk", rest: str) -> str:
    if not rest:
        raise TunesmithError("/save: where to? Write /save FILE.jsonl")
    lines = talk.save(Path(rest).expanduser())
    return f"saved: {rest} holds {lines} conversation{'s' * (lines != 1)}"


def _switch(talk: "Talk", rest: str) -> str:
    if not rest:
        return "here: " + ", ".join(label(talk, i) for i in range(len(talk.voices)))
    talk.switch(rest)
    return f"{label(talk, talk.voices.index(talk.voice))} answers from now on"


def label(talk: "Talk", number: int) -> str:
    """A voice by name, marked where it is a base as it was."""
    voice = talk.voices[number]
    return f"{voice.name} (untuned)" if voice.untuned else voice.name


def _seed(talk: "Talk", rest: str) -> str:
    if not rest.isdecimal():
        raise TunesmithError(f"/seed: a whole number, such as /seed 7. Got '{rest}'")
    talk.seed = int(rest)
    return f"seed {talk.seed}" + ("" if talk.decode.temperature else "; it matters at a temperature above 0 only")


def _set(talk: "Talk", rest: str) -> str:
    if rest:
        talk.set(rest)
    return ", ".join(f"{name}={value}" for name, value in talk.decode.model_dump().items())


WORDS: dict[str, Callable[["Talk", str], str]] = {
    "/help": _help, "/reset": _reset, "/system": _system, "/save": _save, "/switch": _switch, "/seed": _seed,
    "/set": _set,
}  # fmt: skip
HELP = {
    "/reset": "forget what was said",
    "/system TEXT": "put a system text before the conversation; without TEXT remove it",
    "/switch NAME": "let another run answer; without NAME list them",
    "/set NAME=VALUE": "how to write, such as temperature=0.7 or max_new_tokens=200; without words show all",
    "/seed N": "of what is drawn at a temperature",
    "/save FILE.jsonl": "keep the conversation, as data to train on",
    "/quit": "end (also Ctrl-D)",
    "/help": "this",
}


def obey(talk: "Talk", line: str) -> str | None:
    """Do what a line with a slash says; returns what to tell, None to end. Raises TunesmithError for what it cannot."""
    word, _, rest = line.strip().partition(" ")
    if word == QUIT:
        return None
    if word not in WORDS:
        raise TunesmithError(
            f"{unknown('word', word, [*WORDS, QUIT])}. A message that begins with a slash is written with two"
        )
    return WORDS[word](talk, rest.strip())
