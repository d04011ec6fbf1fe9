"""Hard negatives: before training, the passages that a model takes for answers and that nobody marked as such.

All anchors and passages of the training rows (or of the corpus) become vectors of the untuned model, or of a run that
is named, and each row gets the most similar passages that are not known to answer its query (`_relations.hard`). Exact:
every passage is compared.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.ragged import Ragged
from tunesmith.engine.answers import answer_rows
from tunesmith.model import Model, load, untuned
from tunesmith.progress import Progress
from tunesmith.tasks import Array, Encoded, _relations
from tunesmith.tasks._embed_loss import unit


def mine(model: Model, train: Encoded, progress: Progress) -> dict[str, Any] | None:
    """Add the wrong passages that the task asks for to training rows, in place; returns what was found, for
    data.json, or None where nothing was asked."""
    task: Any = model.plan.task
    if not getattr(task, "mine", 0) or train.relations is None:
        return None
    asked = untuned(model) if task.mine_with is None else load(Path(task.mine_with) / "model")
    progress.say(f"mining: {task.mine} wrong passages a row, as {task.mine_with or 'the untuned model'} confuses them")
    asked.shortcuts.prove(train)
    anchors_QH, passages_DH = _vectors(asked, train)
    related = train.relations
    own_N = related.own(train)
    found = _relations.hard(
        lambda query: anchors_QH[query] @ passages_DH.T, related, own_N, task.mine, task.mine_skip, task.mine_margin
    )
    with_wrong(train, found)
    counts = [len(each) for each in found]
    outcome = {
        "asked": task.mine, "found": sum(counts), "rows_without": sum(not n for n in counts),
        "passages": len(passages_DH),
        "with": task.mine_with or "untuned", "margin": task.mine_margin, "skipped": task.mine_skip,
    }  # fmt: skip
    progress.say(told(outcome))
    return outcome


def told(found: dict[str, Any]) -> str:
    """In a line, for the user."""
    return (
        f"hard negatives: {found['found']} found among {found['passages']} passages by {found['with']}, "
        f"{found['asked']} a row asked for; {found['rows_without']} rows have none"
    )


def _vectors(model: Model, train: Encoded) -> tuple[Array, Array]:
    """Vectors of length 1: of all queries (Q, H), and of all passages (D, H)."""
    assert train.inner is not None and train.relations is not None and train.bounds is not None
    related = train.relations

    def of(rows: Encoded) -> Array:
        return unit(answer_rows(model.shortcuts.way_for(rows), model.plan.task, model.net, rows))

    asking = of(_some(train.inner, train.bounds[related.first_asked]))
    return asking, of(_some(train.inner, related.first_seen) if related.corpus is None else related.corpus)


def _some(texts: Encoded, which: Array) -> Encoded:
    size = len(which)
    return replace(
        texts, ids=texts.ids.pick(which.tolist()), lost=texts.lost[which], targets=np.zeros(size, dtype=np.float32),
        weights=np.ones(size, dtype=np.float32),
    )  # fmt: skip


def with_wrong(train: Encoded, found: list[Array]) -> None:
    """Put passages, by number, behind the texts of each row."""
    assert train.inner is not None and train.relations is not None and train.bounds is not None
    related, inner, bounds = train.relations, train.inner, train.bounds
    source = inner.ids if related.corpus is None else related.corpus.ids
    place_D = related.first_seen if related.corpus is None else np.arange(related.passages)
    texts, numbers, sizes = [], [], []
    for row, wrong in enumerate(found):
        own = range(int(bounds[row]), int(bounds[row + 1]))
        texts += [inner.ids[s].tolist() for s in own] + [source[int(place_D[p])].tolist() for p in wrong]
        numbers += [*related.passage_S[bounds[row] : bounds[row + 1]].tolist(), *wrong.tolist()]
        sizes.append(len(own) + len(wrong))
    made = Ragged.of(texts)
    train.bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    train.inner = replace(
        inner, ids=made, lost=np.zeros(len(made), dtype=np.int32), targets=np.zeros(len(made), dtype=np.float32),
        weights=np.ones(len(made), dtype=np.float32),
    )  # fmt: skip
    train.ids = made.grouped(train.bounds)
    train.relations = replace(related, passage_S=np.array(numbers, dtype=np.int64))
