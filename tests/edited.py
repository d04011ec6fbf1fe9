"""Texts and copies of them with a tenth of their characters or words edited."""

import random

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def copied(text: str, how: str, seed: int, stock: list[str] | str = LETTERS, share: float = 0.1) -> str:
    """The text after round(share * length) random substitutions, deletions, insertions of `how`: characters, words."""
    chance = random.Random(seed)
    units = list(text) if how == "characters" else text.split()
    for _ in range(max(1, round(share * len(units)))):
        kind, at = chance.choice("sdi"), chance.randrange(len(units))
        if kind == "i":
            units.insert(at, chance.choice(stock))
        elif kind == "s":
            units[at] = chance.choice(stock)
        else:
            del units[at]
    return ("" if how == "characters" else " ").join(units)


def sentences(count: int, seed: int, words: int = 12) -> list[str]:
    """Random texts of one vocabulary of 2,000 made-up words."""
    chance, spelling = random.Random(seed), random.Random(0)
    stock = ["".join(spelling.choice(LETTERS[:26]) for _ in range(spelling.randint(2, 9))) for _ in range(2000)]
    return [" ".join(chance.choice(stock) for _ in range(words)) for _ in range(count)]
