"""Valid JSON: the share of answers that are one JSON text and nothing else.

mean over rows of [the answer parses as RFC 8259 has it]: any value, so also a bare number; no NaN or Infinity, no
comment, no fence of back-ticks, no word before or after. It does not look at the reference.
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._json import parsed
from tunesmith.metrics._texts import share


class ValidJson(Metric):
    """Valid JSON: the share of answers that are one JSON text and nothing else."""

    name: Literal["valid_json"] = "valid_json"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer valid_json beside json_field_f1 when a program reads the answers"
    source: ClassVar[str] = "Bray 2017, The JavaScript Object Notation data interchange format (RFC 8259)"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return share(answers, weight_RN, self.name, lambda said: parsed(said) is not None)
