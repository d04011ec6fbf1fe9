"""Bits per byte: how many bits the model needs for each UTF-8 byte of the references.

sum of -log2 p(token) / number of bytes. Independent of the tokenizer: text is coded in fewer or in more tokens, its
bytes stay. A Chinese character is three bytes, so languages do not compare.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import BYTES, NLL, per


class BitsPerByte(Metric):
    """Bits per byte: how many bits the model needs for each UTF-8 byte of the references."""

    name: Literal["bits_per_byte"] = "bits_per_byte"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = "prefer bits_per_byte to compare bases with different tokenizers on the same text"
    source: ClassVar[str] = "Gao et al. 2020, The Pile (arXiv 2101.00027), section 3.1"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return per(answers, weight_RN, NLL, BYTES, self.name) / float(np.log(2))
