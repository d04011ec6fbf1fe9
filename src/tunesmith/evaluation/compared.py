"""What stands beside a result: trivial baselines on the same rows, and paired tests against them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from tunesmith.bases.family import SoundFamily, VisionFamily
from tunesmith.data import Record, Roles
from tunesmith.data.roles import text_of
from tunesmith.evaluation.inputs import without
from tunesmith.evaluation.judge import Judge
from tunesmith.evaluation.significance import holm, paired_bootstrap
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model, untuned
from tunesmith.plan import Plan
from tunesmith.prepared import Prepared
from tunesmith.tasks import Array, Encoded
from tunesmith.tasks._pairs import answers_in

Found = dict[str, dict[str, Answers]]
"""{baseline: {split: answers}}."""
Made = dict[str, tuple[Array, Array | None]]
"""By split: what a baseline answers, and the probabilities behind it."""


def baselines(
    plan: Plan, prepared: Prepared, model: Model, encoded: Mapping[str, Encoded], answers: Mapping[str, Answers],
    trained: Mapping[str, Callable[[], Made]] = MappingProxyType({}),
) -> Found:  # fmt: skip
    """Answers of the plan's baselines on every held-out split, learnt from the same training rows. `trained`: those
    that are made by training, which is above this package."""
    if parts := prepared.apart():
        return _of_several(plan, parts, model, encoded, answers)
    found: Found = {}
    silent = without(model, encoded) if any(name.startswith("no_") for name in plan.baseline_names) else {}
    for name in [n for asked in plan.baseline_names for n in (plan.alone if asked == "parts" else (asked,))]:
        if name == "untuned" and not plan.task.answers_before(model.facts):
            continue
        if name in trained:
            predicted = trained[name]()
        elif name in silent:
            predicted = {s: plan.task.answer(each, model.facts) for s, each in silent[name].items()}
        else:
            predicted = _of(name, plan, prepared, model, encoded)
        found[name] = {
            split: replace(each, predicted=predicted[split][0], scores=predicted[split][1])
            for split, each in answers.items()
        }
    return found


def _of_several(
    plan: Plan, parts: Mapping[str, Prepared], model: Model, encoded: Mapping[str, Encoded],
    answers: Mapping[str, Answers],
) -> Found:  # fmt: skip
    """Baselines task by task, each learnt from its own rows, as answers of all tasks."""
    found: Found = {name: dict(answers) for name in plan.baseline_names}
    for share in plan.task.parts(model.facts):
        own = replace(model, plan=parts[share.name].plan, facts=share.facts)
        rows = {split: share.own(each) for split, each in encoded.items()}
        mine = {split: each.parts[share.name] for split, each in answers.items()}
        asked = parts[share.name].plan.model_copy(
            update={"evaluate": plan.evaluate.model_copy(update={"baselines": plan.baseline_names})}
        )
        for name, by_split in baselines(
            asked, parts[share.name], own, rows, {s: m.answers for s, m in mine.items()}
        ).items():
            for split, made in by_split.items():
                before = found[name][split]
                changed = {**before.parts, share.name: replace(mine[split], answers=made)}
                found[name][split] = replace(before, parts=changed)
    return found


def _of(
    name: str, plan: Plan, prepared: Prepared, model: Model, encoded: Mapping[str, Encoded]
) -> dict[str, tuple[Array, Array | None]]:
    from tunesmith.evaluation import baselines as own

    task, num = plan.task, len(model.facts.labels)
    if name == "untuned":
        held_out = {s: e for s, e in encoded.items() if s != "train"}
        outputs = {s: task.before(e) for s, e in held_out.items()}
        if any(found is None for found in outputs.values()):
            base = untuned(model)
            outputs = {s: base.outputs(e) for s, e in held_out.items()}
        return {s: task.answer(found, model.facts) for s, found in outputs.items() if found is not None}
    if task.kind == "pairs":
        return _of_pairs(name, prepared, model, encoded)
    if name in ("bm25", "cosine") and task.kind != "vectors":
        return _of_rankers(name, prepared, model, encoded)
    if name in ("bm25", "chance"):
        ranking: Any = task
        return {
            s: task.answer(ranking.ranked_by(e, prepared.splits[s], _scores(name, plan)), model.facts)
            for s, e in encoded.items() if s != "train"
        }  # fmt: skip
    truth = task.truth(encoded["train"], model.facts)
    splits = [s for s in encoded if s != "train"]
    sizes = [encoded[s].num_outputs for s in splits]
    if name == "majority":
        made = own.majority(truth, sum(sizes), task.kind, num)
    elif name == "dictionary":
        said = {s: e.words.said() for s, e in encoded.items() if e.words is not None}
        made = own.dictionary(said["train"], truth, [word for s in splits for word in said[s]])
    elif name == "tfidf":
        texts = {s: texts_of(prepared.splits[s], prepared.roles) for s in encoded}
        made = own.tfidf(texts["train"], truth, [t for s in splits for t in texts[s]], task.kind, num)
    else:
        states = _vectors(name, model, encoded)
        made = own.probe(states["train"], truth, np.concatenate([states[s] for s in splits]), task.kind, num)
    ends = np.cumsum(sizes)[:-1]
    scores = [None] * len(splits) if made.scores is None else np.split(made.scores, ends)
    return dict(zip(splits, zip(np.split(made.predicted, ends), scores, strict=True), strict=True))


def _scores(name: str, plan: Plan) -> Callable[[list[str], list[str]], Array]:
    """How a baseline scores what is found, (Q, D)."""
    from tunesmith.evaluation.bm25 import bm25

    draw = np.random.default_rng([plan.train.seed, 7])
    return bm25 if name == "bm25" else lambda asked, found: draw.random((len(asked), len(found)))


def _vectors(name: str, model: Model, encoded: Mapping[str, Encoded]) -> dict[str, Array]:
    """What a linear model reads of rows, (N, H) by split, where that is a baseline."""
    if name == "pixels":
        return {s: small_pixels(e) for s, e in encoded.items()}
    if name == "side":
        return {s: e.side for s, e in encoded.items() if e.side is not None}
    return seen_alone(model, encoded) if name == "image" else frozen_states(model, encoded)


def _of_rankers(
    name: str, prepared: Prepared, model: Model, encoded: Mapping[str, Encoded]
) -> dict[str, tuple[Array, Array | None]]:
    from tunesmith.evaluation import rankers

    task: Any = model.plan.task
    columns = prepared.roles.texts
    score = {
        s: rankers.by_words(rows, columns) if name == "bm25" else rankers.by_vectors(model, rows, columns)
        for s, rows in prepared.splits.items()
    }
    positive = task.positive_index(model.facts) if task.kind == "classes" else None
    truth = task.truth(encoded["train"], model.facts)
    made = rankers.answered(score.pop("train"), truth, score, positive)
    return {s: (guess.predicted, guess.scores) for s, guess in made.items()}


def _of_pairs(
    name: str, prepared: Prepared, model: Model, encoded: Mapping[str, Encoded]
) -> dict[str, tuple[Array, Array | None]]:
    """Scores of both answers of each held-out row, by length or by a linear model of the training pairs."""
    from tunesmith.evaluation import baselines as own

    inner = {s: e.inner for s, e in encoded.items() if e.inner is not None}
    tokens = {s: e.ids.lengths.reshape(-1, 2).astype(np.float64) for s, e in inner.items()}
    scores = {s: n for s, n in tokens.items() if s != "train"}
    if name == "tfidf":
        texts = {s: [text for r in prepared.splits[s] for text in answers_in(r)] for s in inner}
        scores = {s: own.compared_words(texts["train"], texts[s]) for s in scores}
    elif name == "probe":
        states = frozen_states(model, inner)
        scores = {s: own.compared_states(states["train"], states[s]) for s in scores}
    return {s: model.plan.task.answer(np.column_stack([each, tokens[s]]), model.facts) for s, each in scores.items()}


def texts_of(records: Sequence[Record], roles: Roles) -> list[Any]:
    """Texts, or pairs of texts, for the word-count baseline; side columns are written before the text."""

    def side(record: Record) -> str:
        return "".join(f"{c}_{record.cells.get(c)} " for c in roles.side)

    first = [side(r) + text_of(r, roles.texts[0]) for r in records]
    if len(roles.texts) == 1:
        return list(first)
    return list(zip(first, [text_of(r, roles.texts[1]) for r in records], strict=True))


def small_pixels(encoded: Encoded, side: int = 16) -> Array:
    """Images as means over side x side squares, (N, C * side * side) float32 in [0, 1]."""
    import torch
    from torch.nn import functional

    assert encoded.pixels is not None, "images"
    out = np.empty((len(encoded), encoded.pixels.bytes_NCHW.shape[1] * side * side), np.float32)
    for start in range(0, len(encoded), 256):
        rows = np.arange(start, min(start + 256, len(encoded)))
        with torch.inference_mode():
            out[rows] = functional.adaptive_avg_pool2d(encoded.pixels.raw(rows), side).flatten(1).numpy()
    return out


def frozen_states(model: Model, encoded: Mapping[str, Encoded]) -> dict[str, Array]:
    """Mean last states of the untuned base: a fresh copy, so that no method is in the way. (N, H) by split."""
    from tunesmith.engine.answers import given_states, pooled_states
    from tunesmith.engine.network import Network
    from tunesmith.model import fresh

    net = Network(fresh(model.plan, model.facts, model.base, model.tokenizer), 0, 1)
    if isinstance(model.family, (SoundFamily, VisionFamily)):
        return {s: given_states(net, model.family, e) for s, e in encoded.items()}
    trunk = net.auto.get_submodule(model.family.trunk)
    return {s: pooled_states(net, e, model.tokenizer.pad_token_id, trunk) for s, e in encoded.items()}


def seen_alone(model: Model, encoded: Mapping[str, Encoded]) -> dict[str, Array]:
    """What the second tower's untuned base sees of the images beside rows, (N, H) by split."""
    from tunesmith.engine.answers import given_states
    from tunesmith.engine.network import Network
    from tunesmith.engine.tower import untuned_tower

    assert model.net.tower is not None, "the plan's rules see to it"
    sight = model.net.tower.sight
    net = Network(untuned_tower(model.plan, model.facts, sight), 0, 1)
    return {s: given_states(net, sight.family, e.beside) for s, e in encoded.items() if e.beside is not None}


def paired(by: Judge, mine: Answers, others: Mapping[str, Answers], split: str) -> dict[str, Any]:
    """{baseline: {split, metric, difference, p, test}} on the main metric: model minus baseline, row by row."""
    name = by.plan.metric_names[0]
    metric = METRICS.make(name)
    out = {}
    for baseline, theirs in others.items():
        found = asdict(
            paired_bootstrap(
                metric, mine, theirs, resamples=by.plan.evaluate.resamples, seed=by.plan.train.seed,
                level=by.plan.evaluate.level, groups=mine.groups,
            )
        )  # fmt: skip
        clean = {k: (v if v is None or np.isfinite(v) else None) for k, v in found.items()}
        out[baseline] = {
            "split": split, "metric": name, "difference": {k: clean[k] for k in ("value", "low", "high")},
            "p": clean["p"], "test": "paired bootstrap",
        }  # fmt: skip
    return out


def corrected(tests: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """The tests with `p_holm`, wherever they have a p-value."""
    known = [name for name, test in tests.items() if test["p"] is not None]
    for name, p in zip(known, holm([tests[n]["p"] for n in known]) if known else [], strict=True):
        tests[name]["p_holm"] = p
    return tests
