"""`tunesmith chat` as a user meets it: one message, a pipe, a person at a terminal."""

import io
import json
import sys
from pathlib import Path

import pytest
from jsonschema import validate

import talkers
from tunesmith.cli import main
from tunesmith.cli._talk_ui import harmless
from tunesmith.replies import REPLIES, schema_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    base = talkers.base(folder / "small")
    talkers.saved(base, folder / "one", seed=1)
    talkers.saved(base, folder / "two", seed=2)
    return folder


def lines(out: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in out.splitlines()]
    for each in found:
        validate(each, schema_of("chat"))
        REPLIES["chat"].model_validate(each)
    return found


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_one_message(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(runs / "one"), "--message", "what leaks", "--json"]) == 0
    (reply,) = lines(capsys.readouterr().out)
    assert (reply["role"], reply["model"], reply["untuned"]) == ("assistant", "one", False)
    assert main(["chat", str(runs / "one"), "--message", "what leaks"]) == 0
    out, err = capsys.readouterr()
    assert out == harmless(str(reply["content"])) + "\n" and not err, "bare text where nobody watches"


def test_a_pipe_is_one_line_a_turn(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.jsonl"
    words = ["chat", str(runs / "one"), str(runs / "two"), "--base", str(runs / "small"), "--json"]
    piped(monkeypatch, f"what leaks\n\n/switch two\n//and now\n/switch small\nso\n/save {kept}\n/quit\nnever\n")
    assert main(words) == 0
    out, err = capsys.readouterr()
    found = lines(out)
    assert [(r["model"], r["untuned"]) for r in found] == [("one", False), ("two", False), ("small", True)]
    messages = json.loads(kept.read_text(encoding="utf-8"))["messages"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["what leaks", "/and now", "so"]
    assert [m["content"] for m in messages if m["role"] == "assistant"] == [r["content"] for r in found]
    assert "small (untuned) answers from now on" in err


def test_a_mistake_in_a_pipe_ends_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, "/swich two\nwhat leaks\n")
    assert main(["chat", str(runs / "one")]) == 1
    out, err = capsys.readouterr()
    assert not out and "Did you mean '/switch'" in err


def test_a_person_reads_of_a_mistake_and_goes_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["/sed 4", "/seed x", "/seed 4", "/set temperature=0.7", "/system be short", "/help", "hello", "/reset"]
    typed = iter([*words, "/switch"])

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    def answer(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("builtins.input", answer)
    assert main(["chat", str(runs / "one"), str(runs / "two")]) == 0
    out, err = capsys.readouterr()
    assert out.strip(), "it answered"
    for told in ("talking to one, two", "Did you mean '/seed'", "a whole number", "temperature=0.7", "system text set",
                 "/save FILE.jsonl", "begins anew", "here: one, two"):  # fmt: skip
        assert told in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "with whom"), (["nowhere"], "neither a run"), (["{one}", "--set", "temperatur=1"], "temperature"),
        (["{one}", "--message", " "], "empty message"),
    ],
)  # fmt: skip
def test_user_errors(words: list[str], told: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", *(w.format(one=runs / "one") for w in words)]) == 1
    assert told in capsys.readouterr().err


def test_a_model_that_does_not_write_is_sent_elsewhere(
    tmp_path: Path, tiny_bases: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from small import model, plan, records
    from tunesmith.model import save

    rows = records()
    save(model(plan(tiny_bases["bert"]), rows), tmp_path / "run" / "model")  # type: ignore[index]
    assert main(["chat", str(tmp_path / "run"), "--message", "hi"]) == 1
    assert "of task classify, which does not write" in capsys.readouterr().err


def test_an_answer_cannot_command_the_terminal() -> None:
    assert harmless("a\x1b[2Jb\tc\n\u202ed") == "a\ufffd[2Jb\tc\n\ufffdd"
    assert harmless("泵 👩‍🔧") == "泵 👩‍🔧"
