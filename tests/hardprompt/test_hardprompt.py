"""The search against a tiny server on loopback and against a tiny base: found, measured, paid once, and no key kept."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kit import TinyBases
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.flows import hardprompt
from tunesmith.hardprompt.job import Asked
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.replies import REPLIES

MAGIC = "Answer in capital letters."


class Fake(ThreadingHTTPServer):
    """Answers in capitals when it is told to or has seen an example; fails when asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[dict[str, Any]] = []
        self.headers_seen: list[str | None] = []
        self.failures: list[int] = []
        self.stop_after = 10**9
        self.examples_needed = 2

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Fake

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.failures.pop() if self.server.failures else 200
        if len(self.server.calls) >= self.server.stop_after:
            status = 401
        if status != 200:
            self._send(status, {"error": "no"})
            return
        self.server.calls.append(body)
        self.server.headers_seen.append(self.headers.get("Authorization"))
        self._send(200, self._said(body["messages"]))

    def _said(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        asked = messages[-1]["content"]
        word = asked.split("\n\n")[-1].removeprefix("say ")
        loud = MAGIC in asked or sum(m["role"] == "assistant" for m in messages) >= self.server.examples_needed
        usage = {"prompt_tokens": len(asked.split()), "completion_tokens": 1}
        return {"choices": [{"message": {"content": word.upper() if loud else word}}], "usage": usage}

    def _send(self, status: int, reply: dict[str, Any]) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Fake]:
    fake = Fake()
    thread = threading.Thread(target=fake.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield fake
    fake.shutdown()
    fake.server_close()
    thread.join()


def plan_of(folder: Path, base: str = "none", **task: Any) -> Any:
    words = [f"{a}{b}" for a in ("pump", "fan", "belt", "gear", "seal") for b in "abcdefghijkl"]
    rows = [{"instruction": f"say {word}", "output": word.upper()} for word in words]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    asked = {"name": "generate", "template": "plain", "max_tokens": 100, "decode": {"max_new_tokens": 4}}
    return make_plan(
        {
            "task": asked | task,
            "base": base, "data": {"train": str(folder / "rows.json"), "validation": 0.2, "test": 0.2},
            "evaluate": {"metrics": ["perplexity", "exact_match", "chrf"], "resamples": 200},
        }
    )  # fmt: skip


def search(folder: Path, server: Fake, budget: int = 150, **more: Any) -> dict[str, Any]:
    asked = Asked(budget, folder / "out", endpoint=server.url, model="m", metric="chrf", **more)
    return hardprompt(plan_of(folder), asked, progress=Progress(silent=True))


def test_the_right_instruction_is_found_and_measured(server: Fake, tmp_path: Path) -> None:
    """Against the plain instruction, on rows of which no search call was made; every call is counted and logged."""
    reply = search(tmp_path, server, own=("Repeat.", MAGIC))
    assert reply["plain"]["instruction"] == "Repeat."
    assert reply["best"] == {"instruction": MAGIC, "examples": []}
    held = reply["held_out"]
    assert held["rows"] == 12 and held["best"]["value"] == 100 > held["plain"]["value"]
    assert held["difference"]["low"] > 0 and held["p"] < 0.05
    assert reply["calls"]["calls"] == reply["calls"]["made_now"] == len(server.calls) <= 150
    lines = [json.loads(line) for line in (tmp_path / "out" / "calls.jsonl").read_text("utf-8").splitlines()]
    assert (
        len(lines) == len(server.calls)
        and sum(line["asked_tokens"] for line in lines) == reply["calls"]["asked_tokens"]
    )
    last = {held: {line["asked"][-1][1].split("\n\n")[-1] for line in lines if line["what"].startswith("held") == held}
            for held in (True, False)}  # fmt: skip
    assert last[True] and not last[True] & last[False]
    REPLIES["hardprompt"].model_validate(reply)
    assert "rows that the search never saw" in (tmp_path / "out" / "hardprompt.txt").read_text("utf-8")


def test_examples_are_selected_where_they_help(server: Fake, tmp_path: Path) -> None:
    """One example makes this server answer as wanted: one is shown, and a second, which adds nothing, is not."""
    server.examples_needed = 1
    reply = search(tmp_path, server, own=("Repeat.",))
    assert len(reply["best"]["examples"]) == 1 and reply["best"]["examples"][0]["answer"].isupper()
    assert reply["held_out"]["best"]["value"] == 100 and reply["changed"]
    shown = {e["asked"] for e in reply["best"]["examples"]}
    asked = {call["messages"][-1]["content"].split("\n\n")[-1] for call in server.calls}
    assert not shown & asked  # an example is a training row


def test_nothing_is_kept_that_does_not_help(server: Fake, tmp_path: Path) -> None:
    """Only two examples together would help here, and a greedy search does not see that: the plain prompt stays."""
    reply = search(tmp_path, server, own=("Repeat.",))
    assert reply["changed"] is False and reply["best"] == reply["plain"]
    assert reply["held_out"]["difference"]["value"] == 0 and reply["held_out"]["p"] == 1


def test_no_call_is_paid_twice(server: Fake, tmp_path: Path) -> None:
    """Stopped in the middle, the same call goes on: as many calls in all, and the same result as in one go."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = search(tmp_path / "one", server, own=("Repeat.", MAGIC))
    calls = len(server.calls)
    server.stop_after = calls + 30
    with pytest.raises(TunesmithError, match="status 401"):
        search(tmp_path / "two", server, own=("Repeat.", MAGIC))
    journal = tmp_path / "two" / "out" / "calls.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"key": "torn')
    server.stop_after = 10**9
    again = search(tmp_path / "two", server, own=("Repeat.", MAGIC))
    assert again["calls"]["made_now"] == calls - 30 and len(server.calls) == 2 * calls
    whole["calls"].pop("made_now"), again["calls"].pop("made_now")
    for reply in (whole, again):
        for example in reply["best"]["examples"]:
            example.pop("source")
    assert whole == again
    third = search(tmp_path / "two", server, own=("Repeat.", MAGIC))
    assert third["calls"]["made_now"] == 0 and len(server.calls) == 2 * calls


def test_a_busy_server_is_asked_again(server: Fake, tmp_path: Path) -> None:
    """429 and 503 pass; the attempts are in the journal."""
    server.failures = [429, 503]
    search(tmp_path, server)
    lines = [json.loads(line) for line in (tmp_path / "out" / "calls.jsonl").read_text("utf-8").splitlines()]
    assert lines[0]["attempts"] == 3 and lines[1]["attempts"] == 1


def test_the_key_is_sent_and_stored_nowhere(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line; in no file, and in no output."""
    monkeypatch.setenv("TINY_KEY", "s3cr3t-value")
    plan = plan_of(tmp_path).model_dump(mode="json")
    (tmp_path / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")
    words = ["--budget", "90", "--out", str(tmp_path / "out"), "--endpoint", server.url, "--model", "m"]
    code = main(["hardprompt", str(tmp_path / "plan.yaml"), *words, "--key-env", "TINY_KEY", "--quiet", "--json"])
    out, err = capsys.readouterr()
    assert code == 0 and json.loads(out)["metric"] == "exact_match"
    assert set(server.headers_seen) == {"Bearer s3cr3t-value"}
    written = [p.read_text("utf-8") for p in (tmp_path / "out").iterdir() if p.is_file()]
    assert not any("s3cr3t" in text for text in [out, err, *written])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"budget": 20}, r"--budget: 20 calls are too few for this search; \d+ would do"),
        ({"metric": "perplexity"}, "--metric: perplexity cannot be followed. Fitting: .*chrf"),
        ({"model": None}, "--model: an endpoint has many models"),
        ({"endpoint": "http://user:word@host/v1"}, "--endpoint: needs an http or https address without user"),
        ({"endpoint": "file:///etc"}, "--endpoint: needs an http or https address"),
        ({"key_env": "NO_SUCH_KEY"}, "--key-env: the environment variable NO_SUCH_KEY is not set"),
    ],
)
def test_what_cannot_be_searched_is_refused(more: dict[str, Any], words: str, server: Fake, tmp_path: Path) -> None:
    """Before any call."""
    asked = Asked(**{"budget": 100, "out": tmp_path / "out", "endpoint": server.url, "model": "m"} | more)
    with pytest.raises(TunesmithError, match=words):
        hardprompt(plan_of(tmp_path), asked, progress=Progress(silent=True))
    assert not server.calls


def test_a_local_base_is_searched(tiny_bases: TinyBases, tmp_path: Path) -> None:
    """The tiny base knows nothing; what is proven is the way: calls, tokens, the same result again without a call."""
    with pytest.raises(TunesmithError, match="--shots: .* refuses this conversation.* --shots 0"):
        hardprompt(plan_of(tmp_path, str(tiny_bases["qwen2 language"])), Asked(80, tmp_path / "out"))
    plan = plan_of(tmp_path, str(tiny_bases["qwen2 language"]), template="chatml")
    asked = Asked(80, tmp_path / "out", metric="chrf", shots=1)
    first = hardprompt(plan, asked, progress=Progress(silent=True))
    assert 0 < first["calls"]["calls"] == first["calls"]["made_now"] <= 80
    assert first["calls"]["asked_tokens"] > 0 and first["held_out"]["rows"] == 12
    again = hardprompt(plan, asked, progress=Progress(silent=True))
    assert again["calls"]["made_now"] == 0
    assert {k: v for k, v in again.items() if k != "calls"} == {k: v for k, v in first.items() if k != "calls"}
