"""How well a tokenizer fits a text: unknown tokens and pieces per word, and what kind of base to choose instead."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_RUN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W\d_\u3400-\u9fff\uf900-\ufaff]+")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
MANY_UNKNOWN, MANY_PIECES = 0.05, 3.0
SAMPLE = 2000
_READS = "FacebookAI/xlm-roberta-base"


@dataclass(frozen=True)
class Fit:
    """What a tokenizer makes of some texts."""

    unknown_share: float
    """Share of tokens that the tokenizer does not know."""
    pieces_per_word: float
    """Tokens for each word; a Chinese character counts as a word."""
    chinese_share: float
    """Share of words that are Chinese characters."""

    def warning(self, base: str, *, writes: bool = False) -> str | None:
        """What is wrong and which kind of base to choose, one that `writes` or one that reads; None where it fits."""
        if self.unknown_share < MANY_UNKNOWN and self.pieces_per_word < MANY_PIECES:
            return None
        what = f"{self.unknown_share:.0%} of the tokens are unknown to it, {self.pieces_per_word:.1f} pieces per word"
        if self.chinese_share > 0.3:
            kind = "a Chinese or multilingual one, such as " + (
                "Qwen/Qwen2.5-0.5B" if writes else f"google-bert/bert-base-chinese, {_READS} or "
                "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
            )  # fmt: skip
            return f"the base {base} knows little Chinese: {what}. Choose {kind}"
        return (
            f"the base {base} does not fit the language or notation of this text: {what}. Choose a base made for "
            f"that language or field, or a multilingual one such as {'Qwen/Qwen2.5-0.5B' if writes else _READS}"
        )


def fit(tokenizer: Any, texts: Sequence[str]) -> Fit:
    """Measure on at most 2,000 of the texts, evenly taken."""
    some = list(texts[:: max(1, len(texts) // SAMPLE)])[:SAMPLE]
    if not some:
        return Fit(0.0, 0.0, 0.0)
    runs = [_RUN.findall(t) for t in some]  # words alone: digits and signs say nothing about a language
    ids = tokenizer([" ".join(r) for r in runs], add_special_tokens=False, padding=False, verbose=False)["input_ids"]
    tokens = sum(map(len, ids))
    unknown = tokenizer.unk_token_id
    strange = 0 if unknown is None else sum(row.count(unknown) for row in ids)
    chinese = sum(len(_CHINESE.findall(run)) for r in runs for run in r)
    words = chinese + sum(not _CHINESE.match(run) for r in runs for run in r)
    return Fit(strange / max(1, tokens), tokens / max(1, words), chinese / max(1, words))
