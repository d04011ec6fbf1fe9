"""Texts for the tests of metrics of text: random ones with everything that trips a tokenizer, and odd ones."""

import random

ENGLISH = """the a cat dog sat on mat quickly is not isn't well-known U.S. 3.14 1,000 £20 100% e-mail Blue Spice,
riverside. near? (yes) "no" it's &quot;quoted&quot; &amp; <tag> co- semi;colon a:b under_score end! ... , ."""
ENGLISH_WORDS = [*ENGLISH.split(), "half\nway", ""]
CHINESE_WORDS = [*"今天天气很好我们去公园散步吧的了是在不有人这中大来上国，。！？、；：“”（）《》…"]
CHINESE_WORDS += ["BERT", "LoRA", "3.5", "％", "２０", "GPU", " ", "\n"]
ODD = [*"a字😀.-\n", "", " ", "?!...", "。。。", "word", "😀 👍🏽", "The", "&amp;", "no way\n\nat all"]


def sentence(rng: random.Random, chinese: bool, most: int = 14) -> str:
    """A random text, also empty, also odd."""
    if rng.random() < 0.1:
        return rng.choice(ODD)
    words = rng.choices(CHINESE_WORDS if chinese else ENGLISH_WORDS, k=rng.randint(0, most))
    return ("" if chinese else " ").join(words)


def noisy(rng: random.Random, text: str, chinese: bool) -> str:
    """An answer near a text: parts dropped, moved, repeated, replaced."""
    parts, words = (list(text), CHINESE_WORDS) if chinese else (text.split(" "), ENGLISH_WORDS)
    for _ in range(rng.randint(0, 4)):
        if parts:
            at = rng.randrange(len(parts))
            parts[at : at + 1] = rng.choice([[], [parts[at]] * 2, [rng.choice(words)]])
    if parts and rng.random() < 0.3:
        cut = rng.randrange(len(parts))
        parts = parts[cut:] + parts[:cut]
    return ("" if chinese else " ").join(parts)


def corpus(seed: int, rows: int, *, chinese: bool, most: int = 3) -> tuple[list[tuple[str, ...]], list[str]]:
    """(references, answers): one to `most` references a row, answers near the first or anything else."""
    rng = random.Random(seed)
    references = [tuple(sentence(rng, chinese) for _ in range(rng.randint(1, most))) for _ in range(rows)]
    answers = [
        noisy(rng, row[0], chinese) if rng.random() < 0.8 else sentence(rng, chinese or rng.random() < 0.1)
        for row in references
    ]
    return references, answers
