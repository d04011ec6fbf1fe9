"""The case that is advised on: everything that a rule may ask about, one value each, in words and units."""

from typing import Any

from tunesmith.described import Described


class Case(Described):
    """What is known of the data, the base, the machine and the wish. `null`: not known, and no rule asks of it."""

    task: str
    """Name of the task."""
    kind: str
    """Kind of answer: classes, multilabel, numbers, tags, text, pairs, vectors or several."""
    writes: bool
    """Whether answers are texts that the model writes."""
    sense: str
    """What the base is given: text, images, sound, …"""
    rows: int
    """Training rows, after cleaning, repetitions and the split."""
    pairs: bool = False
    """Whether a row is two texts that are read together."""
    classes: int | None = None
    """Classes; of several labels a row, labels."""
    smallest_class: int | None = None
    """Training rows of the rarest class."""
    rows_per_class: float | None = None
    """Training rows by the number of classes."""
    imbalance: float | None = None
    """Rows of the most frequent class by those of the rarest one."""
    tokens_median: int | None = None
    """Length of half of the rows, at most, as this base's tokenizer counts."""
    tokens_p99: int | None = None
    """Length of 99 % of the rows, at most."""
    tokens_needed: int | None = None
    """That, rounded up to a multiple of 16, and no more than the base has places."""
    max_tokens: int | None = None
    """Where the plan cuts rows."""
    language: str | None = None
    """Language of most rows (zh, en, …; other: one that shares the Latin, Cyrillic, … script)."""
    unknown_share: float | None = None
    """Share of tokens that the tokenizer does not know."""
    pieces_per_word: float | None = None
    """Tokens of a word (fertility); a Chinese character is a word. About 1.3 where tokenizer and texts fit."""
    readable: bool = True
    """Whether the tokenizer fits the texts: under 5 % unknown, under 3 pieces a word."""
    label_noise: float | None = None
    """Share of the sampled rows whose label confident learning counts as wrong."""
    probe: float | None = None
    """What a linear model on the frozen base's vectors reaches on rows it did not see, of a sample; 0 to 1."""
    probe_guess: float | None = None
    """What always giving the most frequent answer reaches there."""
    base_millions: float
    """Parameters of the base, in millions."""
    blocks: int | None = None
    """Its blocks."""
    upper_blocks: int | None = None
    """The upper quarter of them, rounded up, at least 2 where there are more than 2."""
    decoder: bool = False
    """Whether each token sees those before it alone (Llama, Qwen, GPT-2)."""
    sentence_encoder: bool = False
    """Whether it was made to give one vector a text (modules.json of sentence-transformers)."""
    gpu: bool = False
    """Whether a GPU is there."""
    bf16: bool = False
    """Whether that GPU computes in bf16."""
    memory_mb: int
    """Memory that is free, in MB, or that was named (`--memory`)."""
    budget_minutes: float | None = None
    """Time that was named (`--budget`)."""
    switch: int = 1
    """Tasks that are to share one loaded base (`--switch`)."""
    fixed_base: bool = False
    """Whether the base's own weights cannot be changed (`--fixed-base`): it is served for others, too."""
    method: str | None = None
    """While settings are chosen: the method they are for."""

    def known(self) -> dict[str, Any]:
        """What is known, for the reply."""
        return {name: value for name, value in self.model_dump().items() if name != "method"}
