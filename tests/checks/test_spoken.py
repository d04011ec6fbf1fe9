"""What is learnt is looked at, too: answers of conversations, in every turn, wanted or not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith import flows

SECRET = "write to ann.lee@example.com"
RUDE = "that is bullshit"


def conversation(answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "who is it"}, {"role": "assistant", "content": answer}]}


def kinds(path: Path) -> dict[str, Any]:
    return {f["kind"]: f for f in flows.check(path)["findings"]}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        conversation,
        lambda said: {"instruction": "who is it", "output": said},
        lambda said: {"prompt": "who is it", "chosen": "nobody here", "rejected": said},
        lambda said: {"messages": [*conversation(said)["messages"], *conversation("fine")["messages"]]},
    ],
    ids=["answer", "instruction", "rejected", "earlier turn"],
)
def test_answers_are_looked_at(tmp_path: Path, row: Any) -> None:
    plain = [row(f"nobody of the name {name}") for name in ("alpha", "beta", "gamma")]
    clean = kinds(write(tmp_path / "clean.jsonl", plain))
    assert not {"personal_data", "toxic", "mojibake", "html"} & set(clean)
    for said, kind in (
        (SECRET, "personal_data"),
        (RUDE, "toxic"),
        ("it is cafÃ© food", "mojibake"),
        ("<b>no</b>", "html"),
    ):
        found = kinds(write(tmp_path / "t.jsonl", [*plain, row(said)]))[kind]
        assert found["rows"] == 1 and "t.jsonl:4" in found["remedy"]
        assert found["column"] in ("prompt", "answer")
