"""Joint: one number for several tasks, the mean over them of what each is judged by (its first metric).

    joint = 1/P sum_p u_p        u = m where higher is better, 1 / (1 + m) where lower is

The second form turns an error of 0 to infinity into a value of 1 to 0. Each task counts alike, however many rows it
has. A task whose metric is undefined (a rank correlation of constant answers) leaves the mean undefined.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.metrics import METRICS, Answers, Floats, Kind, Metric


class Joint(Metric):
    """Joint: the mean over tasks of what each is judged by, errors m turned into 1 / (1 + m)."""

    name: Literal["joint"] = "joint"
    kinds: ClassVar[tuple[Kind, ...]] = ("several",)
    prefer: ClassVar[str] = "prefer joint to pick one set of weights for several tasks; the default for multi"
    source: ClassVar[str] = "the average score of GLUE: Wang et al. 2018, arXiv 1804.07461"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        values = [turned(own.main, METRICS.make(own.main).measure(own.answers, weight_RN[:, own.rows]))
                  for own in answers.parts.values()]  # fmt: skip
        return np.asarray(np.mean(values, axis=0))


def turned(metric: str, value_R: Floats) -> Floats:
    """Values of which a higher one is better."""
    return value_R if METRICS.find(metric).better == "higher" else 1 / (1 + value_R)
