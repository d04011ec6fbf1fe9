"""The verdict in words: how good, compared with what, and whether the difference is beyond chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.evaluation.plots import number
from tunesmith.evaluation.report_blocks import NBSP, PERCENT, count, fixed, meaning_of, p_value, percent, title_of
from tunesmith.evaluation.report_read import Results, aim_of, base_name, innermost, named
from tunesmith.evaluation.significance import holm

ALPHA = 0.05
UNITS = ("mae", "rmse")
"""Metrics in the unit of the label."""
PLAIN = {
    "macro_f1": "which counts every class alike, however rare (1 is perfect)",
    "micro_f1": "which weighs labels that are missed against labels that are wrong (1 is perfect)",
    "span_f1": "which weighs spans that are missed against wrong ones; both ends and the type must fit (1: perfect)",
    "spearman": "which says how well it puts rows in order (0 is chance, 1 is perfect)",
    "pearson": "which says how well its answers follow the truth (0 is chance, 1 is perfect)",
}
Tone = Literal["good", "unsure", "bad"]


@dataclass(frozen=True)
class Verdict:
    """What a reader in a hurry should take away."""

    tone: Tone
    headline: str
    sentences: list[str]


@dataclass(frozen=True)
class Paired:
    """This model minus a baseline on the same rows."""

    baseline: str
    split: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None
    """p corrected for the number of comparisons (Holm)."""
    test: str
    gain: float
    """The difference, positive where this model is better."""

    @property
    def beyond_chance(self) -> bool:
        """Whether chance is an unlikely explanation."""
        return self.adjusted is not None and self.adjusted < ALPHA


def paired(results: Results) -> list[Paired]:
    """The comparisons of metrics.json, p-values corrected for their number."""
    found: Mapping[str, Mapping[str, Any]] = results.measured.get("paired") or {}
    told = [name for name, one in found.items() if one.get("p") is not None and _value(one) is not None]
    adjusted = dict(zip(told, holm([found[name]["p"] for name in told]), strict=True))
    comparisons = []
    for name, one in found.items():
        metric, difference, value = str(one.get("metric", "")), one.get("difference") or {}, _value(one)
        sign = -1 if results.measured.get("better", {}).get(metric) == "lower" else 1
        comparisons.append(
            Paired(
                name, str(one.get("split", results.split)), metric, value, difference.get("low"),
                difference.get("high"), one.get("p"), adjusted.get(name), str(one.get("test", "")),
                sign * (value or 0.0),
            )
        )  # fmt: skip
    return comparisons


def _value(one: Mapping[str, Any]) -> float | None:
    return (one.get("difference") or {}).get("value")


def question(results: Results) -> str:
    """What was asked, in a sentence."""
    task = innermost(results.plan)
    columns = task if isinstance(task, dict) else {}
    columns = columns | {"text": columns["tokens"]} if columns.get("tokens") else columns
    text = next((str(columns[name]) for name in ("text", "image", "audio") if columns.get(name)), "text")
    answer = str(columns.get("label") or "label")
    pair = f" and “{columns['pair']}”" if columns.get("pair") else ""
    num = len(results.facts.get("labels") or ())
    goal = {
        "classes": f"to tell which of {num} classes of “{answer}” belongs to “{text}”{pair}",
        "multilabel": f"to find every fitting label of “{answer}”, out of {num}, for “{text}”{pair}",
        "numbers": f"to estimate the number “{answer}” from “{text}”{pair}",
        "text": "to answer as its rows do",
        "tags": f"to mark the {num // 2} types of spans of “{answer}” in “{text}”",
        "pairs": "to prefer what its rows say is the better answer",
        "several": f"to answer several tasks at once: {', '.join(columns.get('tasks') or ())}",
        "vectors": "to bring the vectors of texts that belong together near each other",
    }[results.kind]
    goal = aim_of(results.plan) or goal
    return f"Fine-tune {named(results.plan.get('base'))} with {named(results.plan.get('method'))} on " \
           f"{' and '.join(_files(results))} {goal}."  # fmt: skip


def _files(results: Results) -> list[str]:
    data = results.plan.get("data")
    train = data.get("train") if isinstance(data, dict) else data
    listed = train if isinstance(train, list) else [train]
    return [base_name(one["file"] if isinstance(one, dict) else one) for one in listed if one] or ["the data"]


def verdict(results: Results) -> Verdict:
    """The top of the page."""
    metric = headline_metric(results)
    if metric is None:
        return Verdict("unsure", "Nothing was measured.", ["metrics.json holds no value for this run."])
    comparisons = [c for c in paired(results) if c.value is not None]
    tone, headline = _headline(comparisons)
    sentences = [_how_good(results, metric), _others(results, metric), *_differences(results, comparisons)]
    main = results.main
    if main and main != metric:
        sentences.insert(2, _main(results, main))
    if results.split == "validation":
        sentences.append(
            "These rows also chose which weights were kept, so the true figure is probably a little less good. "
            "A test split (data.test) gives a fair one."
        )
    return Verdict(tone, headline, [s for s in sentences if s])


def headline_metric(results: Results) -> str | None:
    """The metric a person understands best, among those measured."""
    for name in ("accuracy", "subset_accuracy", "mae", results.main):
        if name and results.of(name):
            return name
    return None


def _headline(comparisons: list[Paired]) -> tuple[Tone, str]:
    if not comparisons:
        return "unsure", "Measured, but compared with nothing simple."
    worst = min(comparisons, key=lambda c: c.gain)
    if worst.gain < 0 and worst.beyond_chance:
        return "bad", f"{_sentence(_short(worst.baseline))} does better. Prefer that, or change the plan."
    unproven = [c for c in comparisons if not c.beyond_chance or c.gain <= 0]
    if unproven:
        hardest = min(unproven, key=lambda c: c.gain)
        return "unsure", f"Not shown to be better than {_short(hardest.baseline)}."
    return "good", "Better than each simple alternative, beyond what chance explains."


def _how_good(results: Results, metric: str) -> str:
    rows = len(results.part) if results.part else 0
    unseen = "unseen" if results.split == "test" else "validation"
    where = f"On {number(rows)} {unseen} {'row' if rows == 1 else 'rows'}" if rows else f"On the {results.split} rows"
    found = results.of(metric)
    told = shown(found["value"], metric)
    phrase = {
        "accuracy": f"it is right {told} of the time",
        "subset_accuracy": f"every single label is right for {told} of them",
        "mae": f"its answers are {told} away from the truth on average",
    }
    span = _span(found, metric)
    interval = f" ({results.percent} interval {span})" if span else ""
    return f"{where}, {phrase.get(metric, f'its {title_of(metric)} is {told}')}{interval}."


def _main(results: Results, main: str) -> str:
    found = results.of(main)
    span = _span(found, main)
    meaning = PLAIN.get(main) or meaning_of(main)
    return f"{title_of(main)}, {meaning}, is {shown(found['value'], main)}{f' ({span})' if span else ''}."


def shown(value: float, metric: str) -> str:
    """A metric as most people read it: shares as percent, errors in the unit of the label."""
    return percent(value) if metric in PERCENT else number(float(f"{value:.3g}")) if metric in UNITS else fixed(value)


def _span(found: Mapping[str, Any], metric: str) -> str:
    low, high = found.get("low"), found.get("high")
    if low is None or high is None:
        return ""
    return f"{shown(low, metric).removesuffix(f'{NBSP}%')} to {shown(high, metric)}"


def _others(results: Results, metric: str) -> str:
    """What the baselines reach, in one sentence."""
    told: list[str] = []
    for name in results.measured.get("baselines") or {}:
        found = results.of(metric, name)
        if found:
            verb = "" if told else " would be" if metric == "mae" else " would give"
            away = " away" if metric == "mae" else ""
            told.append(f"{_baseline(name, results.kind)}{verb} {shown(found['value'], metric)}{away}")
    return _sentence(f"{', '.join(told[:-1])}{' and ' if told[1:] else ''}{told[-1]}.") if told else ""


def _differences(results: Results, comparisons: list[Paired]) -> list[str]:
    if not comparisons:
        return []
    # Against the strongest alternative: whoever beats that one has beaten the others.
    hardest = min(comparisons, key=lambda c: c.gain)
    assert hardest.value is not None
    word = "better" if hardest.gain > 0 else "worse" if hardest.gain < 0 else "different"
    p = f" ({p_value(hardest.adjusted)}{_corrected(comparisons)})" if hardest.adjusted is not None else ""
    chance = "is beyond chance" if hardest.beyond_chance else "is not beyond chance"
    hope = "" if hardest.beyond_chance else " More test rows could tell."
    return [
        f"Measured by {title_of(hardest.metric)} on the same rows, it is {_points(hardest)} {word} than "
        f"{_baseline(hardest.baseline, results.kind)}. That difference {chance}{p}.{hope}"
    ]


def _points(one: Paired) -> str:
    assert one.value is not None
    size = abs(one.value)
    if one.metric in PERCENT:
        return f"{number(float(f'{size * 100:.1f}'))} points"
    return number(float(f"{size:.3g}")) if one.metric in UNITS else fixed(size)


def _corrected(comparisons: list[Paired]) -> str:
    num = sum(c.p is not None for c in comparisons)
    return f", corrected for {count(num, 'comparison')}" if num > 1 else ""


def _baseline(name: str, kind: str = "classes") -> str:
    always = {
        "numbers": "always giving the same number", "multilabel": "always giving the most frequent labels",
        "tags": "the same tag on each word",
    }  # fmt: skip
    return {
        "majority": always.get(kind, "always giving the most frequent answer"),
        "longer": "always taking the longer answer",
        "tfidf": "a simple word-count model (TF-IDF)",
        "probe": "the base without fine-tuning (a linear model on top of it)",
        "untuned": "the base without fine-tuning",
        "image": "the images alone (a linear model on the untuned second tower)",
        "side": "the side columns alone (a linear model)",
        "no_text": "itself without the text",
        "no_image": "itself without the images",
        "no_side": "itself without the side columns",
        "bm25": "ranking by shared words (BM25)",
        "cosine": "the base without fine-tuning, each text alone (a bi-encoder)",
        "dictionary": "a list of words with the most frequent tag of each",
        "source": "training on the source alone",
    }.get(name, name if name.endswith(" alone") else f"“{name}”")


def _short(name: str) -> str:
    words = {"majority": "guessing the most frequent answer", "longer": "taking the longer answer",
             "tfidf": "a simple word-count model", "probe": "the base without fine-tuning",
             "image": "the images alone", "side": "the side columns alone", "bm25": "ranking by shared words",
             "cosine": "the base as a bi-encoder", "no_text": "itself without the text",
             "no_image": "itself without the images", "no_side": "itself without the side columns",
             "untuned": "the base without fine-tuning", "dictionary": "a list of words with their tags",
             "source": "training on the source alone"}  # fmt: skip
    return words.get(name, name if name.endswith(" alone") else f"“{name}”")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
