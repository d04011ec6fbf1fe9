"""Progress of long work: what is being done, how fast, how long still. To stderr; stdout is for results."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any

LONG = 50_000
"""Rows from which on reading and tokenising are worth a bar."""

_LATE = 2.0
"""Seconds after which a walk within a part of the work is worth a bar."""


class Progress:
    """A live bar in a terminal, a line every ten seconds elsewhere, nothing when silent."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self._bar: Any = None
        self._task: Any = None
        self._plain: _PlainBar | None = None

    def say(self, text: str) -> None:
        """A sentence for the user, above the bar; nothing where it is empty."""
        if self.silent or not text:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def bar(self, title: str, total: int, unit: str, done: int = 0) -> "Iterator[Progress]":
        """Count `total` units within the block through `advance`."""
        if self.silent or total <= 0:
            yield self
            return
        if not sys.stderr.isatty():
            self._plain = _PlainBar(title, total, unit, done)
            try:
                yield self
            finally:
                self._plain = None
            return
        with _rich_bar() as bar:
            self._bar, self._task = bar, bar.add_task(title, total=total, completed=done, unit=unit, note="")
            try:
                yield self
            finally:
                self._bar = self._task = None

    def long(self, title: str, total: int, unit: str) -> "AbstractContextManager[Progress]":
        """A bar for work that takes a moment unless there is much of it: shown from LONG units on."""
        return self.bar(title, total if total >= LONG else 0, unit)

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """What is done within the block is part of this: walks over many rows there show how far they are (`walk`)."""
        before = _PART.set((self, title))
        try:
            yield
        finally:
            _PART.reset(before)

    @property
    def busy(self) -> bool:
        """Whether a bar is shown."""
        return self._bar is not None or self._plain is not None

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Some units are done; `note` is shown beside the bar (such as the loss)."""
        if self._bar is not None:
            fields = {} if note is None else {"note": note}
            self._bar.update(self._task, advance=count, **fields)
        elif self._plain is not None:
            self._plain.advance(count, note)


_PART: ContextVar[tuple[Progress, str] | None] = ContextVar("part", default=None)
"""Who is told of the work that goes on, and what it is called."""


@contextmanager
def part(title: str) -> Iterator[None]:
    """A part of the work that goes on, where somebody is told of it."""
    now = _PART.get()
    with now[0].part(title) if now else nullcontext():
        yield


class Walk:
    """Work of many equal units somewhere below a part: a bar once it has taken two seconds, unless one is shown."""

    def __init__(self, bars: ExitStack, total: int, unit: str, what: str) -> None:
        self._bars, self._total, self._unit, self._what = bars, total, unit, what
        self._part, self._shown, self._done, self._began = _PART.get(), False, 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Some units are done."""
        self._done += count
        if self._part is None:
            return
        progress, title = self._part
        if self._shown:
            progress.advance(count)
        elif time.monotonic() - self._began > _LATE and not progress.busy:
            title = f"{title}: {self._what}" if self._what else title
            self._bars.enter_context(progress.bar(title, self._total, self._unit, self._done))
            self._shown = True


@contextmanager
def walk(total: int, unit: str = "rows", what: str = "") -> Iterator[Walk]:
    """Tell of work of `total` units within the block through `advance`."""
    with ExitStack() as bars:
        yield Walk(bars, total, unit, what)


class _PlainBar:
    """Lines for logs: at most one every ten seconds."""

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title, self.total, self.unit, self.done, self.begun = title, total, unit, done, done
        self.start = self.last = time.monotonic()

    def advance(self, count: int, note: str | None) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < 10 and self.done < self.total:
            return
        self.last = now
        rate = (self.done - self.begun) / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate if rate else 0
        tail = f", {note}" if note else ""
        print(  # noqa: T201
            f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.1f} {self.unit}/s, {left:.0f} s left{tail}",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    class Rate(TextColumn):
        def render(self, task: Any) -> Any:
            from rich.text import Text

            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {task.fields['unit']}/s" if speed else "")

    return Rich(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=False,
    )  # fmt: skip


class Stop:
    """A wish to stop, set by a signal or when it is late, granted where the state is safe. A second signal ends at
    once."""

    def __init__(self) -> None:
        self.late: Callable[[], bool] = lambda: False
        """Whether time is up; for work that has a budget."""
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def signal(self) -> int | None:
        """Number of the signal; 0 where nobody sent one and it is late; None: go on."""
        return self._number if self._number is not None else 0 if self.late() else None

    @signal.setter
    def signal(self, number: int | None) -> None:
        self._number = number

    def __enter__(self) -> "Stop":
        import signal
        import threading

        if threading.current_thread() is threading.main_thread():  # notebooks and servers train in other threads
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, frame: Any) -> None:
        import signal

        self.signal = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self.signal or 0)

    def check(self, what: str) -> None:
        """Stop here if asked to, saying what a second start will do."""
        from tunesmith.errors import Interrupted

        if self.signal is not None:
            raise Interrupted(f"stopped {what}. Run the same command again to go on", self.exit_code)
