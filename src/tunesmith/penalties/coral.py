"""CORAL: the states of source and target shall vary in the same way.

    strength * ||C_S - C_T||^2 / (4 H^2)         C: (H, H) covariance of the states of a domain, over n - 1

H: width of what the output layer reads. The factor makes the term small: 4 H^2 is 590,000 at a width of 384.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.penalties import Start, Term
from tunesmith.penalties._domains import Aligning, Distance

if TYPE_CHECKING:
    from torch import Tensor


class Coral(Aligning):
    """The states of source and target shall vary in the same way."""

    name: Literal["coral"] = "coral"
    strength: Annotated[float, Field(gt=0)] = 1000.0
    """Weight of the distance of the covariances; the paper chooses it so that both losses end equally large."""

    least: ClassVar[int] = 2
    prefer: ClassVar[str] = "two domains differ in what goes together in them; the mildest of the three"
    source: ClassVar[str] = "Sun & Saenko 2016, https://arxiv.org/abs/1607.01719"

    def begin(self, at: Start) -> Term:
        return Distance(distance, self.strength, self.least)


def distance(source_SH: "Tensor", target_TH: "Tensor") -> "Tensor":
    """Squared Frobenius distance of the covariances, over 4 H^2."""
    apart_HH = source_SH.T.cov() - target_TH.T.cov()
    return apart_HH.square().sum() / (4 * source_SH.shape[1] ** 2)
