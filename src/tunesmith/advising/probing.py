"""What the frozen base already knows of the labels, on a small sample: in seconds, without training.

    sample -> vectors (N, H) of the frozen base -> 5 folds: a linear model of four answers the fifth -> quality, doubts

As the run's baseline `probe` has it, and as `data labels` finds doubtful labels (confident learning).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.advising.reading import Look
from tunesmith.bases.about import parameters_of
from tunesmith.bases.family import SoundFamily, VisionFamily
from tunesmith.data import Record
from tunesmith.data.alike import first_alike
from tunesmith.data.drift import evenly
from tunesmith.data.overlap import inputs
from tunesmith.engine.forecast import size
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import baselines
from tunesmith.evaluation.states import too_large
from tunesmith.labelling.suspects import confident, folds, out_of_fold
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import bare
from tunesmith.progress import Progress

WORK = 1.2e11
"""Multiplications and additions that the sample may cost: two to five seconds of one core."""
MOST, LEAST = 400, 40
"""Rows of a sample."""
MEASURED = {"classes": "accuracy", "multilabel": "micro_f1", "numbers": "spearman"}
"""What quality is, by the kind of answers."""
JUDGES = 0.8
"""Accuracy from which on the model is believed when it doubts a label; a weaker one calls hard rows wrong: on the
bundled tickets, which a tuned model answers to 91 %, one of accuracy 0.42 doubted 44 % of the labels."""


@dataclass(frozen=True)
class Probe:
    """What was found; None where nothing can be said, with the reason in `note`."""

    value: float | None = None
    guess: float | None = None
    """What the most frequent answer reaches."""
    metric: str | None = None
    rows: int = 0
    label_noise: float | None = None
    note: str = ""

    def told(self) -> str:
        """In a sentence."""
        if self.value is None:
            return f"not probed: {self.note}"
        return f"frozen, a linear model on it has {self.metric} {self.value:.3f} ({self.rows} rows, 5 folds)"


def probe(seen: Look, tokens_median: int | None, progress: Progress) -> Probe:
    """The base on a sample of the training rows."""
    task, rows = seen.plan.task, len(seen.train)
    if task.kind not in MEASURED or "probe" not in task.usual_baselines:
        return Probe(note=f"answers of kind {task.kind} are not told from one vector a row")
    if too_large(seen.found):
        return Probe(note=f"{seen.found.name} is too large to be run on data that are looked at")
    cost = 2 * parameters_of(seen.found) * (tokens_median or 64)
    most = min(MOST, rows, int(WORK / cost))
    if most < LEAST:
        why = (
            f"there are {rows} rows" if rows < LEAST else f"{LEAST} rows through {size(4 * parameters_of(seen.found))}"
        )
        return Probe(note=f"{why}: too few to tell" if rows < LEAST else f"{why} of weights would take too long")
    sample = evenly(seen.train, most)
    progress.say(f"reading {most} rows with {seen.found.name}, frozen")
    return _judged(seen, sample, _states(seen, sample))


def _states(seen: Look, sample: Sequence[Record]) -> Any:
    """(N, H): what the frozen base knows of each row."""
    from tunesmith.engine.answers import given_states, pooled_states

    model = bare(seen.plan, seen.found, seen.tokenizer, seen.facts)
    encoded, family = model.encode(sample, seen.roles), model.family
    if isinstance(family, (SoundFamily, VisionFamily)):
        return np.asarray(given_states(model.net, family, encoded), np.float64)
    trunk = model.net.auto.get_submodule(family.trunk)
    return np.asarray(pooled_states(model.net, encoded, seen.tokenizer.pad_token_id, trunk), np.float64)


def _judged(seen: Look, sample: Sequence[Record], states_NH: Any) -> Probe:
    kind: Any = seen.plan.task.kind
    truth = truth_of(seen, sample)
    strata_N = truth.astype(np.int64) if kind == "classes" else np.zeros(len(truth), np.int64)
    fold_N = folds(strata_N, first_alike(inputs(sample, seen.roles)), seen.plan.train.seed)
    classes = max(1, seen.plan.task.outputs(seen.facts))

    def predict(known: Any, asked: Any) -> Any:
        made = baselines.probe(states_NH[known], truth[known], states_NH[asked], kind, classes)
        return made.predicted[:, None] if made.scores is None else made.scores

    score_NC = out_of_fold(fold_N, predict, np.arange(len(truth)))
    found = {"numbers": score_NC[:, 0], "classes": score_NC.argmax(1)}.get(kind, (score_NC >= 0.5).astype(np.int64))
    guessed = baselines.majority(truth, len(truth), kind, classes).predicted
    value = _value(kind, truth, found)
    noise, note = _noise(truth, score_NC) if kind == "classes" and (value or 0) >= JUDGES else (None, "")
    return Probe(value, _value(kind, truth, guessed), MEASURED[kind], len(truth), noise, note)


def truth_of(seen: Look, sample: Sequence[Record]) -> Any:
    """What is right of each row: class numbers (N,), labels (N, C), or numbers (N,)."""
    task = seen.plan.task
    return task.truth(task.encode(sample, seen.roles, seen.tokenizer, seen.facts), seen.facts)


def _value(kind: Any, truth: Any, answer: Any) -> float | None:
    value = METRICS.make(MEASURED[kind]).measure(Answers(kind, truth, answer), np.ones((1, len(truth))))[0]
    return round(float(value), 4) if np.isfinite(value) else None


def _noise(truth: Any, score_NC: Any) -> tuple[float | None, str]:
    """(share of rows whose label confident learning counts as wrong, why there is none)."""
    classes, given = np.unique(truth, return_inverse=True)
    if len(classes) < 2:
        return None, "one class alone"
    share = score_NC[:, classes]
    try:
        wrong = confident(given, share / np.maximum(share.sum(1, keepdims=True), 1e-12))
    except TunesmithError as error:
        return None, f"label noise is not known: {error}"
    return round(float(wrong.mean()), 4), ""
