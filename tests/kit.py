"""Tiny bases made once a session."""

from pathlib import Path

SHARED = Path(__file__).parent.parent.parent / "shared"
"""Public data sets and small real weights; tests that need them skip where the folder is missing."""


class TinyBases:
    """`bases["bert"]` is the folder of a tiny BERT, `bases["llama language"]` of a tiny Llama that writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Path] = {}

    def __getitem__(self, family: str) -> Path:
        if family not in self.made:
            import tiny

            name, _, purpose = family.partition(" ")
            folder = self.folder / family.replace(" ", "-")
            self.made[family] = tiny.make(name, folder, language=purpose == "language")
        return self.made[family]
