"""Tiny bases made once a session."""

from pathlib import Path


class TinyBases:
    """`bases["bert"]` is the folder of a tiny BERT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Path] = {}

    def __getitem__(self, family: str) -> Path:
        if family not in self.made:
            import tiny

            self.made[family] = tiny.make(family, self.folder / family)
        return self.made[family]
