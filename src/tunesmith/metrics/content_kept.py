"""Content kept: chrF of the answer against what was asked, not against the reference; 0 to 100, of a whole corpus.

For data whose answer says what the question says in another style: read it beside the style score and BLEU. A model
that repeats its question has 100 here and a low style score; one that answers with any sentence in the right style has
the opposite. It compares letters: a good answer in other words counts for less than a timid one, and an instruction in
the question counts as content. What the references reach (`signature`) is what to compare with.
"""

from typing import ClassVar, Literal

import numpy as np

from tunesmith.errors import TunesmithError
from tunesmith.metrics import Answers, Floats, Kind, Metric
from tunesmith.metrics._texts import once, pairs
from tunesmith.metrics.chrf import Chrf


class ContentKept(Metric):
    """Content kept: chrF of the answer against what was asked, 0 to 100; for answers that rephrase the question."""

    name: Literal["content_kept"] = "content_kept"
    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    points: ClassVar[float] = 1
    reads_text: ClassVar[bool] = True
    picks: ClassVar[bool] = False
    prefer: ClassVar[str] = "prefer content_kept beside style and bleu where answers rephrase what was asked"
    source: ClassVar[str] = "chrF (Popović 2015) against the source, as style transfer is judged (Mir et al. 2019)"

    def measure(self, answers: Answers, weight_RN: Floats) -> Floats:
        """Values (R,) for R weightings of the rows. Raises TunesmithError where nobody knows what was asked."""
        return Chrf().measure(_against_asked(answers, "answers"), weight_RN)

    def signature(self, answers: Answers) -> str:
        """What the references keep."""
        kept = Chrf().measure(_against_asked(answers, "references"), np.ones((1, len(answers.truth))))
        return f"references:{kept[0]:.1f}"


def _against_asked(answers: Answers, whose: Literal["answers", "references"]) -> Answers:
    """The texts with what was asked in the place of the truth."""

    def made() -> Answers:
        if answers.asked is None:
            raise TunesmithError("content_kept: these answers do not say what was asked; give Answers.asked")
        said = [said if whose == "answers" else references[0] for references, said in pairs(answers)]
        return Answers.of_texts([(str(text),) for text in answers.asked], said)

    return once(answers, f"against what was asked: {whose}", made)
