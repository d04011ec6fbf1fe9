"""How much each setting mattered: PED-ANOVA over the trials that were trained to the end.

Watanabe, Bansal and Hutter 2023, https://arxiv.org/abs/2304.10255, as Optuna has it: how much the values of a setting
among the best trials differ from those among all of them. Shares add up to 1. Settings of a branch are judged within
the trials that took it.
"""

from collections.abc import Mapping, Sequence

from tunesmith.search.tuning.embedded import distributions, quiet
from tunesmith.search.tuning.ranges import Range
from tunesmith.search.tuning.tried import Tried

FEWEST = 8
"""Trials below which a share would be noise alone."""


def importance(ranges: Mapping[str, Range], tried: Sequence[Tried], *, higher: bool) -> dict[str, float] | None:
    """{setting: share}, largest first; None where too few trials were trained to the end, or all came out alike."""
    done = [each for each in tried if each.state == "done" and each.value is not None]
    if len(done) < FEWEST or len({each.value for each in done}) == 1:
        return None
    with quiet() as optuna:
        study = optuna.create_study(direction="maximize" if higher else "minimize")
        for each in done:
            known = distributions([ranges[name] for name in each.values])
            study.add_trial(optuna.trial.create_trial(params=each.values, distributions=known, value=each.value))
        found = optuna.importance.get_param_importances(study)
    return {name: float(share) for name, share in found.items()}
