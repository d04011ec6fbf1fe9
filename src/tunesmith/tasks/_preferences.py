"""Losses of preference tuning: pure functions of log-probabilities, as their papers and TRL have them.

Shape letters: B rows. Columns of a sequence pair: first (chosen, or the answer that was judged) and second (rejected,
or for kto this question with another row's answer).
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["dpo", "ipo", "orpo", "simpo", "kto"]
WITH_REFERENCE: tuple[Loss, ...] = ("dpo", "ipo", "kto")
"""Losses that compare with the model as it was before training."""
PER_TOKEN: tuple[Loss, ...] = ("ipo", "orpo", "simpo")
"""Losses whose log-probability of an answer is a mean over its tokens."""
_LN_HALF = -0.6931471805599453


class Two(NamedTuple):
    """A number for the first and one for the second answer of each row, (B,) each."""

    first: "Tensor"
    second: "Tensor"

    def difference(self) -> "Tensor":
        """First minus second, (B,)."""
        return self.first - self.second


def smoothed(margin_B: "Tensor", smoothing: float) -> "Tensor":
    """-ln sigmoid(margin), with the share `smoothing` of pairs taken to be labelled the wrong way round (conservative
    DPO, Mitchell 2023)."""
    from torch.nn.functional import logsigmoid

    right = -logsigmoid(margin_B)
    return right if not smoothing else (1 - smoothing) * right - smoothing * logsigmoid(-margin_B)


def ipo(ratios: Two, beta: float) -> "Tensor":
    """(h - 1 / (2 beta))^2 with h the difference of the mean log-ratios of a token: equation 17 of Azar et al. 2023,
    with means over tokens, as its authors and TRL have it."""
    return (ratios.difference() - 1 / (2 * beta)) ** 2


def orpo(means: Two, beta: float) -> "Tensor":
    """-ln p + beta * -ln sigmoid(ln odds(chosen) - ln odds(rejected)), p the geometric mean probability of a token:
    equations 6 and 7 of Hong et al. 2024."""
    from torch.nn.functional import logsigmoid

    log_odds = means.difference() - (_log1mexp(means.first) - _log1mexp(means.second))
    return -means.first - beta * logsigmoid(log_odds)


def _log1mexp(x: "Tensor") -> "Tensor":
    """ln(1 - e^x) for x < 0, without cancellation on either side of ln(1/2) (Mächler 2012)."""
    import torch

    far, near = x.clamp(max=_LN_HALF), x.clamp(min=_LN_HALF)  # the branch not taken must have a finite gradient, too
    return torch.where(x < _LN_HALF, torch.log1p(-torch.exp(far)), torch.log(-torch.expm1(near)))


def kto(
    ratio_B: "Tensor", wanted_B: "Tensor", drift: float, beta: float, weights: tuple[float, float]
) -> "Tensor":  # fmt: skip
    """lambda (1 - sigmoid(beta (r - z))) for wanted answers, (z - r) for unwanted: equation 8 of Ethayarajh
    et al. 2024.

    `drift` z is the estimated divergence from the reference, without a gradient; `weights` are lambda of wanted and of
    unwanted answers.
    """
    import torch

    side_B = torch.where(wanted_B, 1.0, -1.0)
    weight_B = torch.where(wanted_B, *weights)
    return weight_B * (1 - torch.sigmoid(beta * side_B * (ratio_B - drift)))
