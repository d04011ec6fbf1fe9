"""Perplexity: how many equally likely tokens the model hesitates between, at each token of the reference.

exp(sum of -ln p(token) / number of tokens), over all tokens of all rows. 1 is certainty. Tokens are those of the
model's own tokenizer: between models with different tokenizers compare bits_per_byte. Of masked models, over the tokens
that are hidden.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import NLL, TOKENS, per


class Perplexity(Metric):
    """Perplexity: how many equally likely tokens the model hesitates between at each token of the reference."""

    name: Literal["perplexity"] = "perplexity"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer perplexity to pick weights while training: it reads every token and needs no generation; only among "
        "models with one tokenizer"
    )
    source: ClassVar[str] = "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows; infinity beyond the range of floats."""
        with np.errstate(over="ignore"):
            return np.exp(per(answers, weight_RN, NLL, TOKENS, self.name))
