"""Talk to a model that writes, in the terminal, through a pipe, or for one message; several runs can take turns."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError

if TYPE_CHECKING:
    from tunesmith.cli._talk_ui import Screen
    from tunesmith.talking import Answer, Talk


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `chat`."""
    parser.add_argument("models", nargs="*", metavar="RUN", help="run folders, model folders or versions (name@number)")
    parser.add_argument("--base", help="also talk to a base as it was, or to it alone")
    parser.add_argument("--template", default="auto", help="how a base alone is written to, such as chatml")
    parser.add_argument("--message", help="one turn: print the answer and end")
    parser.add_argument("--system", default="", help="system text before the conversation")
    parser.add_argument("--seed", type=int, help="of what is drawn at a temperature; the run's own unless given")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="how to write, such as temperature=0.7"
    )
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> None:
    """Converse until the end of the input, or /quit."""
    from tunesmith.cli._talk_ui import Screen
    from tunesmith.flows import chat

    talk = chat(*asked.models, base=asked.base, template=asked.template, online=asked.online)
    talk.seed = asked.seed
    for word in asked.set:
        talk.set(word)
    talk.tell(asked.system)
    screen = Screen(quiet=asked.json)
    if asked.message is not None:
        _turn(talk, asked.message, screen, as_json=asked.json)
    elif sys.stdin.isatty():
        _converse(talk, screen, as_json=asked.json)
    else:
        for line in sys.stdin:
            if line.strip() and not _take(talk, line.rstrip("\n"), screen, as_json=asked.json):
                break


def _converse(talk: "Talk", screen: "Screen", *, as_json: bool) -> None:
    """A person types: mistakes are told, and the conversation goes on."""
    screen.welcome(talk)
    while (line := screen.read()) is not None:
        try:
            if line.strip() and not _take(talk, line, screen, as_json=as_json):
                break
        except TunesmithError as error:
            screen.note(f"error: {error}")


def _take(talk: "Talk", line: str, screen: "Screen", *, as_json: bool) -> bool:
    """One line of input; whether to go on."""
    from tunesmith.cli._talk_words import obey

    if line.startswith("/") and not line.startswith("//"):
        told = obey(talk, line)
        if told is None:
            return False
        screen.note(told)
        return True
    _turn(talk, line.removeprefix("/"), screen, as_json=as_json)
    return True


def _turn(talk: "Talk", text: str, screen: "Screen", *, as_json: bool) -> None:
    if not as_json:
        screen.begin(talk.voice)
    answer = talk.say(text, None if as_json else screen.piece)
    if as_json:
        print(json.dumps(_reply(answer), ensure_ascii=False, allow_nan=False), flush=True)
    else:
        screen.end()
    for told in remarks(talk, answer):
        screen.note(told)


def _reply(answer: "Answer") -> dict[str, Any]:
    return {
        "role": "assistant", "content": answer.content, "model": answer.voice.name, "untuned": answer.voice.untuned,
        "prompt_tokens": answer.tokens, "dropped_turns": answer.dropped, "cut_tokens": answer.cut,
        "stopped": answer.stopped,
    }  # fmt: skip


def remarks(talk: "Talk", answer: "Answer") -> list[str]:
    """What a person must know of an answer beside its text."""
    found = []
    if answer.dropped and answer.alone:
        found.append(
            f"the template of {answer.voice.name} holds one question and no history: it saw this message alone"
        )
    elif answer.dropped:
        turns = "the oldest turn" if answer.dropped == 1 else f"the {answer.dropped} oldest turns"
        found.append(f"{turns} no longer fit the context of {answer.voice.room} tokens, so {answer.voice.name} did "
                     "not see them. /reset starts anew")  # fmt: skip
    if answer.cut:
        found.append(f"the message is too long for the context: {answer.cut} tokens of its middle were left out")
    if answer.stopped:
        found.append("stopped; what was said by then counts as the answer")
    if not answer.content:
        found.append("it answered with nothing")
    return found
