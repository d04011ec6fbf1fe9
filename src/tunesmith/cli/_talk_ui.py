"""What a conversation looks like: colours in a terminal, bare text elsewhere, notes on stderr."""

import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.talking import Talk
    from tunesmith.voices import Voice

_KEPT = "\n\t\u200c\u200d"


class Screen:
    """Where answers and notes go."""

    def __init__(self, *, quiet: bool) -> None:
        """`quiet`: answers are printed by somebody else."""
        from rich.console import Console

        self.quiet = quiet
        self.out, self.err = Console(highlight=False), Console(highlight=False, stderr=True)
        self.live = sys.stdin.isatty() and sys.stdout.isatty() and not quiet

    def welcome(self, talk: "Talk") -> None:
        """Who is here, and how to get help."""
        if sys.stdin.isatty():
            import readline  # noqa: F401 - lines can be edited, and the arrow keys bring old ones back

        names = ", ".join(f"{v.name} (untuned)" if v.untuned else v.name for v in talk.voices)
        self.note(f"talking to {names}. /help lists what you can do, /quit or Ctrl-D ends")

    def read(self) -> str | None:
        """A line that a person types; None at the end."""
        bold, plain = ("\001\033[1;36m\002", "\001\033[0m\002") if self.out.color_system else ("", "")
        try:
            return input(f"{bold}you>{plain} " if self.live else "")
        except (EOFError, KeyboardInterrupt):
            if self.live:
                self.out.print()
            return None

    def begin(self, voice: "Voice") -> None:
        """Somebody begins to answer."""
        if self.live:
            name = f"{voice.name} (untuned)" if voice.untuned else voice.name
            self._print(f"{name}> ", style="bold yellow" if voice.untuned else "bold green")

    def piece(self, text: str) -> None:
        """A piece of an answer."""
        self._print(harmless(text))

    def end(self) -> None:
        """The answer is whole."""
        self._print("\n")

    def note(self, text: str) -> None:
        """Something beside the conversation."""
        self.err.print(text, style="dim", markup=False, soft_wrap=True)

    def _print(self, text: str, style: Any = None) -> None:
        self.out.print(text, style=style, end="", markup=False, soft_wrap=True)
        self.out.file.flush()


def harmless(text: str) -> str:
    """A text that cannot command the terminal: of control characters line breaks, tabs and joiners stay."""
    return "".join(c if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)
