"""What tests of the report share: runs to draw, a strict reader of pages, ways to spoil a run."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fake_runs import TAGS, TEXTS_ZH, TWO_ZH

from tunesmith.evaluation.report import render
from tunesmith.evaluation.report_read import read

RUNS: dict[str, dict[str, Any]] = {
    "english": {},
    "chinese": {"labels": TWO_ZH, "texts": TEXTS_ZH},
    "multilabel": {"task": "multilabel", "labels": TAGS},
    "regress": {"task": "regress", "labels": ()},
}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Nesting(HTMLParser):
    """Fails on tags that are not closed in order; collects what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()} closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        # \s takes the spaces that do not break, too.
        return re.sub(r"\s+", " ", " ".join(self.words))


def parsed(page: str) -> Nesting:
    """The page, its nesting checked."""
    found = Nesting()
    found.feed(page)
    found.close()
    assert not found.open, f"never closed: {found.open}"
    return found


def page_of(run: Path) -> str:
    """The page, drawn afresh; not written, because a durable write is slow."""
    return render(read(run))


def change(run: Path, name: str, **values: Any) -> None:
    """Set keys of a JSON file of a run."""
    path = run / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")
