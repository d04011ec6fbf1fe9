"""Who is asked: a local base as it is, or a model behind an OpenAI-compatible HTTP endpoint."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from tunesmith.data import Record
from tunesmith.dialogue import Dialogue
from tunesmith.dialogue.laying import Laid, ask
from tunesmith.errors import TunesmithError
from tunesmith.model import Model
from tunesmith.tasks._language import Decoding, LanguageTask, cells_of

TRIES = 5
"""Attempts at one call while the server is busy or fails."""
ENDLESS = 10**9
LONGEST_REPLY = 8 << 20
"""Bytes of a reply that are read."""
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Said:
    """An answer and what it cost."""

    text: str
    asked_tokens: int
    written_tokens: int
    seconds: float
    attempts: int = 1
    cut_tokens: int = 0
    """Tokens of the prompt that the base did not see, since they were too many."""


class Speaker(Protocol):
    """Answers conversations."""

    @property
    def identity(self) -> dict[str, Any]:
        """What an answer depends on besides the conversation; without secrets."""

    @property
    def together(self) -> int:
        """Conversations that are answered in one go."""

    def fits(self, dialogue: Dialogue) -> bool:
        """Whether it can be read whole, as far as is known here."""

    def answer(self, dialogues: Sequence[Dialogue]) -> list[Said]:
        """An answer for each."""


@dataclass(frozen=True)
class Local:
    """The plan's base, not tuned, answering as `generate` does."""

    model: Model
    together: int = 16

    @property
    def identity(self) -> dict[str, Any]:
        task: Any = self.model.plan.task
        return {
            "base": self.model.base.digest, "template": task.template, "max_tokens": task.max_tokens,
            "decode": task.decode.model_dump(mode="json"), "seed": self.model.plan.train.seed,
        }  # fmt: skip

    def fits(self, dialogue: Dialogue) -> bool:
        task: Any = self.model.plan.task
        return len(self.laid([dialogue], limit=ENDLESS)[0].ids) <= int(task.max_tokens)

    def laid(self, dialogues: Sequence[Dialogue], limit: int | None = None) -> list[Laid]:
        """The conversations as the base reads them, with what is cut off where they are too long."""
        task, template = self.model.plan.task, self.model.facts.template
        assert template is not None and isinstance(task, LanguageTask), "the task has met its tokenizer"
        return [ask(each, template, self.model.tokenizer, limit or task.max_tokens) for each in dialogues]

    def answer(self, dialogues: Sequence[Dialogue]) -> list[Said]:
        began = time.monotonic()
        laid = self.laid(dialogues)
        texts = [str(text) for text in self.model.write(_records(dialogues))]
        each = (time.monotonic() - began) / max(1, len(dialogues))
        written = [len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        return [
            Said(text, len(read.ids), size, round(each, 3), cut_tokens=read.lost)
            for text, read, size in zip(texts, laid, written, strict=True)
        ]


def _records(dialogues: Sequence[Dialogue]) -> list[Record]:
    return [Record(i, "prompt", i + 1, i + 1, cells_of(d)) for i, d in enumerate(dialogues)]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """POST {url}/chat/completions. The key is read from an environment variable at each call and kept nowhere."""

    url: str
    model: str
    decode: Decoding
    seed: int = 0
    key_env: str | None = None
    """Name of the environment variable with the key; None: no key is sent."""
    timeout: float = 120.0
    pause: float = 1.0
    """Seconds before the second attempt; doubled for each further one, unless the server names its own."""
    together: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise TunesmithError(
                "--endpoint: needs an http or https address without user, password or query, such as "
                "https://host/v1. A key goes into an environment variable, named by --key-env"
            )
        if self.key_env and not os.environ.get(self.key_env):
            raise TunesmithError(f"--key-env: the environment variable {self.key_env} is not set")

    @property
    def identity(self) -> dict[str, Any]:
        decode = self.decode.model_dump(mode="json")
        return {"endpoint": self.url.rstrip("/"), "model": self.model, "decode": decode, "seed": self.seed}

    def fits(self, dialogue: Dialogue) -> bool:
        return True  # only the server knows, and it says so

    def answer(self, dialogues: Sequence[Dialogue]) -> list[Said]:
        return [self._one(dialogue) for dialogue in dialogues]

    def _one(self, dialogue: Dialogue) -> Said:
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                said = _read(self._post(self._body(dialogue)), self.url)
                return replace(said, seconds=round(time.monotonic() - began, 3), attempts=attempt)
            except urllib.error.HTTPError as error:
                if error.code not in BUSY or attempt == TRIES:
                    words = error.read(300).decode("utf-8", errors="replace")
                    raise TunesmithError(f"{self.url}: status {error.code}: {words}") from None
                wait = error.headers.get("Retry-After", "")
                time.sleep(min(60.0, float(wait)) if wait.isdigit() else self.pause * 2 ** (attempt - 1))
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                if attempt == TRIES:
                    raise TunesmithError(f"{self.url}: no answer after {TRIES} attempts: {error}") from None
                time.sleep(self.pause * 2 ** (attempt - 1))

    def _body(self, dialogue: Dialogue) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model, "max_tokens": self.decode.max_new_tokens, "temperature": self.decode.temperature,
            "top_p": self.decode.top_p, "seed": self.seed,
            "messages": [{"role": m.role, "content": m.content} for m in dialogue.messages],
        }  # fmt: skip
        if self.decode.schema is not None:
            named = {"name": "answer", "schema": self.decode.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def _post(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.key_env:
            headers["Authorization"] = f"Bearer {os.environ[self.key_env]}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        asked = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - checked above
        with urllib.request.build_opener(_NoRedirect).open(asked, timeout=self.timeout) as reply:
            return bytes(reply.read(LONGEST_REPLY))


def _read(reply: bytes, url: str) -> Said:
    try:
        found = json.loads(reply)
        text = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        return Said(
            str(text or "").strip(), int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)), 0
        )
    except (ValueError, KeyError, IndexError, TypeError):
        raise TunesmithError(f"{url}: the reply is no chat completion: {reply[:200]!r}") from None
