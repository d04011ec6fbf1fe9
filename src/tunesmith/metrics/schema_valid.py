"""Schema valid: the share of answers that are JSON and validate against the schema of the plan.

mean over rows of [the answer parses as RFC 8259 has it, and validates by JSON Schema, draft 2020-12]. It does not look
at the reference. `format` is taken as a remark, as the standard has it.
"""

from typing import Any, ClassVar, Literal

from tunesmith.conforming import conforms
from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import share


class SchemaValid(Metric):
    """Schema valid: the share of answers that validate against the schema that answers are to conform to."""

    name: Literal["schema_valid"] = "schema_valid"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer schema_valid over valid_json where a schema says what the program reads"
    source: ClassVar[str] = "JSON Schema draft 2020-12, https://json-schema.org/draft/2020-12"

    def objection(self, plan: Any) -> str | None:
        if getattr(getattr(plan.task, "decode", None), "schema", None) is None:
            return "schema_valid needs a schema to validate against: set task.decode.schema"
        return None

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows. Raises TunesmithError where the answers bring no schema."""
        schema = answers.beside.schema
        if schema is None:
            raise TunesmithError("schema_valid: these answers bring no schema; give Answers.beside.schema")
        return share(answers, weight_RN, self.name, conforms(schema))
