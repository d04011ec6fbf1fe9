"""Python parses: the share of answers that are Python source of at least one statement.

mean over rows of [ast.parse accepts the answer and finds a statement]; by the grammar of the Python that runs
Tunesmith. Nothing is run, so right code and wrong code count alike. An empty answer or a lone comment is no program,
though ast.parse accepts it.
"""

import ast
import warnings
from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import share


class PythonParses(Metric):
    """Python parses: the share of answers that are Python source of at least one statement."""

    name: Literal["python_parses"] = "python_parses"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    reads_text: ClassVar[bool] = True
    prefer: ClassVar[str] = "prefer python_parses beside edit_similarity for code: the least that can be asked of it"
    source: ClassVar[str] = "Python language reference, full grammar specification; ast.parse"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        return share(answers, weight_RN, self.name, parses)


def parses(text: str) -> bool:
    """Whether a text is Python source of at least one statement."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubtful escapes and the like: still Python
        try:
            return bool(ast.parse(text).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes; brackets without end
            return False
