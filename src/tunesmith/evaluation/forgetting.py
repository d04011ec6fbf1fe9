"""What tuning cost: the loss on general text, before and after, sentence by sentence.

A model that learns one thing may forget others (McCloskey and Cohen 1989; for language models Luo et al. 2023,
https://arxiv.org/abs/2308.08747). The sentences that come with the package were written for it: sixty in English and
forty in Chinese. They tell whether a model still writes the language, not what else it still knows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.laying import lay
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.intervals import intervals
from tunesmith.evaluation.significance import paired_bootstrap
from tunesmith.files import digest_bytes
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model
from tunesmith.tasks import Array, Encoded
from tunesmith.tasks._language import UNREAD, Making, texts

WARN = 0.1
"""Rise of the loss in nats a token that is warned of, if it is beyond chance: perplexity 1.1 times as high."""
KNOWN = 1.1
"""Of the loss of an even guess, ln of the vocabulary: a base above it does not know the language."""
GENERAL = Path(__file__).parent / "general"
FEWEST = 10
"""Sentences below which an interval says nothing."""

Sentences = Mapping[str, Sequence[str]]
"""By group."""


def sentences(asked: bool | str) -> Sentences:
    """The sentences of the package by language, or the lines of a file. Raises TunesmithError where it has too few."""
    if not isinstance(asked, str):
        return {path.stem: _lines(path) for path in sorted(GENERAL.glob("*.txt"))}
    path = Path(asked).expanduser()
    try:
        lines = _lines(path)
    except (OSError, ValueError) as error:
        raise TunesmithError(f"evaluate.forgetting: {asked} cannot be read: {error}. Name a UTF-8 text file") from error
    if len(lines) < FEWEST:
        raise TunesmithError(
            f"evaluate.forgetting: {asked} holds {len(lines)} lines; give at least {FEWEST}, one a text"
        )
    return {path.stem: lines}


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def measure(tuned: Model, base: Model, asked: bool | str) -> dict[str, Any]:
    """{before, after, difference: {value, low, high}, p, rows, groups: {name: the same, known}, sha256}; nats a token.

    The difference is after minus before on the same sentences; its interval draws whole sentences. Groups that the base
    predicts worse than an even guess (`KNOWN`) are a language it never knew: they are told, and count in nothing else.
    """
    found = sentences(asked)
    lines = [line for group in found.values() for line in group]
    group_N = np.array([name for name, group in found.items() for _ in group])
    encoded = _encoded(lines, tuned)
    after, before = (_answers(lines, model.outputs(encoded)) for model in (tuned, base))
    plan = tuned.plan
    groups = {n: _compared(after.take(group_N == n), before.take(group_N == n), plan) for n in found}
    even = KNOWN * float(np.log(len(tuned.tokenizer)))
    for each in groups.values():
        each["known"] = each["before"]["value"] is not None and each["before"]["value"] <= even
    counts = np.isin(group_N, [n for n, each in groups.items() if each["known"]])
    counts = counts if counts.any() else np.ones(len(lines), dtype=bool)
    whole = _compared(after.take(counts), before.take(counts), plan)
    return whole | {"groups": groups if len(groups) > 1 else {}, "sha256": digest_bytes("\n".join(lines).encode())}


def _encoded(lines: Sequence[str], model: Model) -> Encoded:
    """Plain texts, every token of them to be predicted; the token that ends a text is none of it."""
    template, making = model.facts.template, Making()
    assert template is not None, "a model that writes has a template"
    limit = max(2, getattr(model.plan.task, "max_tokens", 512)) + template.num_virtual
    for line in lines:
        dialogue = Dialogue((Message("assistant", line),), plain=True)
        laid = lay(dialogue, template, model.tokenizer, learn="all", limit=limit)
        if laid.ids[-1] == model.tokenizer.eos_token_id:
            laid = laid._replace(labels=[*laid.labels[:-1], UNREAD])
        making.add(laid, len(line.encode()))
    return making.done([1.0] * len(lines), [(line,) for line in lines])


def _answers(lines: Sequence[str], outputs_NC: Array) -> Answers:
    empty = texts([""] * len(lines))
    return Answers("text", texts([(line,) for line in lines]), empty, np.asarray(outputs_NC, dtype=np.float64))


def _compared(after: Answers, before: Answers, plan: Any) -> dict[str, Any]:
    metric = METRICS.make("nll")
    how = {"resamples": plan.evaluate.resamples, "seed": plan.train.seed, "level": plan.evaluate.level}
    told = {name: intervals([metric], each, **how)["nll"] for name, each in (("before", before), ("after", after))}
    difference = paired_bootstrap(metric, after, before, **how)
    plain = {name: _plain(each) for name, each in (*told.items(), ("difference", difference))}
    return plain | {"p": difference.p, "rows": len(after.truth)}


def _plain(each: Any) -> dict[str, float | None]:
    values = {"value": each.value, "low": each.low, "high": each.high}
    return {k: float(v) if v is not None and np.isfinite(v) else None for k, v in values.items()}


def warning(found: Mapping[str, Any]) -> str | None:
    """What to tell of a model that forgot; None for one that did not, or where chance explains it."""
    worst, where = found, "general text"
    for name, each in found["groups"].items():
        if each["known"] and (each["difference"]["value"] or 0) > (worst["difference"]["value"] or 0):
            worst, where = each, f"general text ({name})"
    difference = worst["difference"]
    if difference["value"] is None or difference["low"] is None or difference["low"] <= 0 or difference["value"] < WARN:
        return None
    return (
        f"forgetting: on {where} the loss rose from {worst['before']['value']:.2f} to {worst['after']['value']:.2f} a "
        f"token: its perplexity there is {np.exp(difference['value']):.2g} times that of the base. Cures: fewer epochs "
        "or a lower learning rate, method lora with a smaller rank instead of full, or general rows among the training "
        "data"
    )
