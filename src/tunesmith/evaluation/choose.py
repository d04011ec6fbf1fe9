"""Thresholds for tasks, which may not look up into this package themselves and are handed this instead."""

from tunesmith.evaluation.decide import best_threshold, best_thresholds
from tunesmith.metrics import METRICS
from tunesmith.tasks import Array


class Choose:
    """What `Task.tuned` is given."""

    @staticmethod
    def threshold(scores_N: Array, positive_N: Array, metric: str) -> float:
        """Best threshold of a two-class score."""
        return best_threshold(scores_N, positive_N, METRICS.make(metric)).threshold

    @staticmethod
    def label_thresholds(scores_NC: Array, truth_NC: Array, *, each: bool) -> Array:
        """Thresholds for each label; rare labels share one, and so do all where `each` is false."""
        many = {} if each else {"min_positives": len(truth_NC) + 1}
        return best_thresholds(scores_NC, truth_NC, **many)
