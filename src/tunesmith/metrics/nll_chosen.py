"""Loss of the chosen answers: what a token of a good answer costs on average, in nats.

sum w -ln p(chosen) / sum w tokens(chosen); of kto over the wanted answers. It may rise while the reward margin grows,
when the rejected answers lose more: then the model forgets how to write the good ones (task.sft_weight helps).
"""

from typing import ClassVar, Literal

from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._counts import divide
from tunesmith.metrics._pairs import FIRST, FIRST_TOKENS, chosen, column


class NllChosen(Metric):
    """Loss of the chosen answers: what a token of a good answer costs on average, in nats."""

    name: Literal["nll_chosen"] = "nll_chosen"
    kinds: ClassVar[tuple[Kind, ...]] = ("pairs",)
    points: ClassVar[float] = 0
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    prefer: ClassVar[str] = (
        "prefer nll_chosen to see whether good answers get likelier, or only less unlikely than bad ones"
    )
    source: ClassVar[str] = "Pal et al. 2024, Smaug: fixing failure modes of preference optimisation, arXiv 2402.13228"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows."""
        good_N = chosen(answers)
        loss_N, tokens_N = -column(answers, FIRST, self.name), column(answers, FIRST_TOKENS, self.name)
        return divide(weight_RN @ (good_N * loss_N), weight_RN @ (good_N * tokens_N))
