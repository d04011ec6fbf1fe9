"""Every metric of the folder keeps the contract of metrics/__init__.py."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.metrics import METRICS, Answers, Beside, Metric

NAMES = METRICS.names()
EXPECTED = (
    "accuracy average_precision balanced_accuracy bits_per_byte bleu brier chrf content_kept distinct_1 "
    "distinct_2 ece edit_similarity exact_match f1 fpr_at_recall hamming_loss json_field_f1 kl "
    "length_ratio log_loss macro_f1 macro_precision macro_recall mae map mcc micro_f1 mrr_at_10 "
    "ndcg_at_10 nll nll_chosen pearson perplexity precision precision_at_10 python_parses r2 recall "
    "recall_at_1 recall_at_10 recall_at_100 reward_accuracy reward_margin rmse roc_auc rouge1 rouge2 "
    "rougeL rougeLsum samples_f1 schema_valid span_f1 span_macro_f1 span_macro_precision "
    "span_macro_recall span_precision span_recall span_strict_f1 span_strict_precision span_strict_recall "
    "span_weighted_f1 span_weighted_precision span_weighted_recall spearman specificity style subset_accuracy ter "
    "token_accuracy token_f1 valid_json weighted_f1 win_rate"
)
TAGS = ("O", "B-a", "I-a", "B-b", "I-b")
FIVE = Words(["a b c", "", "d", "e"], np.array([0, 3, 3, 4, 5]), np.zeros(5, np.int32), np.ones(5, np.int32))
LOWER = {
    "bits_per_byte", "brier", "ece", "fpr_at_recall", "hamming_loss", "kl", "log_loss", "mae", "nll", "nll_chosen",
    "perplexity", "rmse", "ter",
}  # fmt: skip


def test_the_folder_is_the_register() -> None:
    """One file a metric."""
    assert " ".join(NAMES) == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_reports_can_call_it_by_a_short_name(name: str) -> None:
    """Its docstring begins with a name, a colon, and what it is."""
    title, colon, meaning = (METRICS.find(name).__doc__ or "").splitlines()[0].partition(": ")
    assert colon, f"{name}: {title!r} is no name with an explanation"
    assert meaning.endswith(".") or meaning.endswith(":"), name
    assert len(title) <= 45, name


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    """Kinds, when to prefer it, and where it comes from."""
    metric = METRICS.find(name)
    assert metric.kinds and metric.source and metric.prefer.startswith("prefer ")
    assert (metric.better == "lower") == (name in LOWER)
    assert metric.reads_text <= ("text" in metric.kinds)


def test_perfect_answers_get_the_best_value() -> None:
    """1 where higher is better (100 for sacreBLEU's), 0 where lower is (1 for perplexity). Style is a probability that
    nothing reaches, and has a test of its own."""
    code = "['x = 1', 'yes']"  # Python of one statement; no JSON
    data = '{"a": [1, "b"], "c": null}'
    best = {"bleu": 100.0, "chrf": 100.0, "content_kept": 100.0, "perplexity": 1.0,
            "precision_at_10": 0.1}  # fmt: skip
    truth = np.array([0, 1, 1, 0])
    hot = np.eye(2)[truth]
    kinds = {
        "classes": Answers("classes", truth, truth, hot),
        "multilabel": Answers("multilabel", hot.astype(int), hot.astype(int), hot),
        "numbers": Answers("numbers", truth.astype(float), truth.astype(float)),
        "text": Answers.of_texts([(code,), ("b = [2, 3, 4]", "c"), ("d(h)",), ("e + f",)],
                                 [code, "b = [2, 3, 4]", "d(h)", "e + f"], np.array([[0.0, 3, 3, 9]] * 4)),
        "tags": Answers("tags", np.array([1, 2, 0, 3, 1]), np.array([1, 2, 0, 3, 1]), labels=TAGS, words=FIVE),
        "pairs": Answers("pairs", np.ones(4), np.ones(4), np.array([[0.0, -9, 3, 3, 0, -9, 1, 0]] * 4)),
        "vectors": Answers("vectors", np.array([[2.0, 0], [1, 1], [3, 2], [1, 3]]), np.ones(4)),
    }  # fmt: skip
    alike = Answers("vectors", kinds["vectors"].truth, kinds["vectors"].truth[:, 0])
    kinds["text"] = replace(kinds["text"], asked=kinds["text"].predicted)
    shaped = replace(Answers.of_texts([(data,)] * 4, [data] * 4), beside=Beside({"required": ["a", "c"]}))
    for name in set(NAMES) - {"style"}:
        metric: Metric = METRICS.find(name)()
        for kind in metric.kinds:
            answers = shaped if "json" in name or "schema" in name else kinds[kind]
            answers = alike if kind == "vectors" and name in ("spearman", "pearson") else answers
            value = metric.measure(answers, np.ones((1, 4)))[0]
            assert value == pytest.approx(best.get(name, 1.0 if metric.better == "higher" else 0.0), abs=1e-9), name


def test_an_unknown_label_is_a_class_that_is_never_answered() -> None:
    """Four rows, one with a label the model does not know: wrong, and one class more in macro averages."""
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    answers = Answers("classes", np.array([0, 0, 1, -1]), scores.argmax(1), scores)

    def value(name: str, of: Answers = answers) -> float:
        return float(METRICS.find(name)().measure(of, np.ones((1, len(of.truth))))[0])

    assert value("accuracy") == 0.75
    assert value("balanced_accuracy") == pytest.approx((1 + 1 + 0) / 3)
    assert value("macro_f1") == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert value("precision") == 0.5
    assert value("log_loss") == pytest.approx((-2 * np.log(0.9) - np.log(0.8) + 52 * np.log(2)) / 4)
    assert value("macro_f1", answers.take(answers.truth >= 0)) == 1.0


def test_two_class_metrics_refuse_three() -> None:
    """With the metrics to take instead."""
    answers = Answers("classes", np.array([0, 1, 2]), np.array([0, 1, 2]))
    with pytest.raises(TunesmithError, match="for two classes, and these answers have 3; use macro_f1"):
        METRICS.find("precision")().measure(answers, np.ones((1, 3)))


def test_score_metrics_refuse_answers_without_scores() -> None:
    """With the remedy."""
    answers = Answers("classes", np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(TunesmithError, match="roc_auc: needs a score for each class, and these answers hold none"):
        METRICS.find("roc_auc")().measure(answers, np.ones((1, 2)))


def test_importing_all_metrics_imports_nothing_heavy() -> None:
    """A plan is validated without torch, scipy or scikit-learn."""
    code = (
        "import sys; from tunesmith.metrics import METRICS; METRICS.union();"
        "print(sorted({'torch', 'scipy', 'sklearn', 'pandas', 'sacrebleu'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
