"""New training rows that ask the same in another frame, with the answer that the row has.

    Name three rivers.   ->   Please help me with this: Name three rivers.
    写一首短诗。           ->   麻烦帮个忙：写一首短诗。

So that a model answers what is asked and not how it is framed: instruction tuning over several templates a task, as in
FLAN (Wei et al. 2022, https://arxiv.org/abs/2109.01652), with frames that fit any question.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from tunesmith.data import Record, Roles
from tunesmith.data.format import excerpt
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import MADE
from tunesmith.data.segment import is_wide
from tunesmith.errors import TunesmithError
from tunesmith.steps._making import Made, Making

SLOT = "{instruction}"
SHIPPED = (
    "Please help me with this: {instruction}", "Here is what I need: {instruction}", "Hello! {instruction}",
    "I have a request. {instruction}", "Instruction: {instruction}", "{instruction}\n\nThank you.",
    "Could you help me?\n\n{instruction}", "{instruction}\n\nPlease help me with this.",
    "麻烦帮个忙：{instruction}", "你好，{instruction}", "我的要求如下：{instruction}", "指令：{instruction}",
    "请处理下面的请求：\n{instruction}", "{instruction}\n\n谢谢。", "我想请你帮忙。{instruction}",
    "{instruction}\n\n请帮我一下。",
)  # fmt: skip
"""None of them says how to answer, so that every answer stays right."""
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]+")
_OTHER = re.compile("[\u3040-\u30ff\uac00-\ud7af]")


def _fault(template: str) -> str | None:
    if template.count(SLOT) != 1:
        times = template.count(SLOT)
        return f"'{excerpt(template)}' has {SLOT} {times} times. Write it once, where the row's own words go"
    return f"'{excerpt(template)}' changes nothing. Write words beside {SLOT}" if template.strip() == SLOT else None


def _checked(templates: tuple[str, ...]) -> tuple[str, ...]:
    if fault := next((found for each in templates if (found := _fault(each))), None):
        raise ValueError(fault)
    return tuple(dict.fromkeys(templates))


class Templates(Making):
    """Each copy of a row has a frame of its own. The last question is framed; system text, earlier turns and answers
    stay as they are."""

    name: Literal["templates"] = "templates"
    templates: Annotated[tuple[str, ...], AfterValidator(_checked)] = ()
    """Frames, with {instruction} where the row's own words go. None given here or in `file`: sixteen of ours, English
    and Chinese."""
    file: str | None = None
    """A text file with further ones, one a line; \\n in it is a new line."""

    asks_plan: ClassVar[bool] = True
    file_settings: ClassVar[tuple[str, ...]] = ("file",)
    source: ClassVar[str] = "Wei et al. 2022 (FLAN), https://arxiv.org/abs/2109.01652"
    prefer: ClassVar[str] = "Instructions that are all put in one way, for users who will put them in others."

    def objection(self, plan: Any) -> str | None:
        if not plan.task.rewords:
            return (
                f"templates frames what conversations ask, and rows of task {plan.task.name} ask nothing. Take it out "
                "of steps"
            )
        return super().objection(plan)

    def known(self) -> tuple[str, ...]:
        """All templates. Raises TunesmithError where one in the file cannot be filled in."""
        found = list(self.templates)
        if self.file is not None:
            lines = Path(self.file).expanduser().read_text(encoding="utf-8-sig").splitlines()
            for number, line in enumerate(lines, 1):
                template = line.replace("\\n", "\n")
                if template.strip() and (fault := _fault(template)):
                    raise TunesmithError(f"{self.file}:{number}: {fault}")
                found += [template] if template.strip() else []
        return tuple(dict.fromkeys(found)) or SHIPPED

    def pairs(
        self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int, plan: Any, counts: Counter[str]
    ) -> Iterator[tuple[Record, int | None, Made | None]]:
        known = [(template, script_of(template.replace(SLOT, ""))) for template in self.known()]
        for record in records:
            for number in self.wanted(record, roles, seed, counts):
                made = None if number is None else self._made(record, roles, number, seed, plan.task, known)
                yield record, number, made

    def _made(
        self, record: Record, roles: Roles, number: int, seed: int, task: Any, known: Sequence[tuple[str, str]]
    ) -> Made:
        fits: list[str] = []
        draw = self.draw(seed, record, roles, "order")

        def put(said: str) -> str:
            fits.extend(template for template, script in known if script in ("", script_of(said)))
            draw.shuffle(fits)
            before, _, behind = fits[number].partition(SLOT) if number < len(fits) else ("", "", "")
            return before + said + behind

        row = task.reworded(record, put)
        if row is None:
            return Made(record, None, "copies left out: the row asks nothing")
        if number >= len(fits):
            return Made(record, None, f"copies left out: no {'further ' * bool(fits)}template in the script of the row")
        return Made(record, replace(row, cells=row.cells | {MADE: self.name}))


def script_of(text: str) -> str:
    """han, latin, other, or nothing where a text has no letters: what most of its words are written in, a Chinese
    character counting as one."""
    if _OTHER.search(text):
        return "other"
    wide, latin = sum(map(is_wide, text)), len(_LATIN.findall(text))
    if not wide and not latin:
        return "other" if any(c.isalpha() for c in text) else ""
    return "han" if wide >= latin else "latin"
