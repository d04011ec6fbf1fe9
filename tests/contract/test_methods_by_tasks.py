"""Every method x every task x several architectures: what moves, what is saved, what opens it, what merges.

The parts are listed from their folders: a new method or task is tried here without an edit. By default a subset runs in
which every pair (method, task), (method, family), (task, family) occurs; the full matrix runs under the mark `slow`.
"""

import itertools
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kit import TinyBases, settings
from tunesmith.bases.find import find
from tunesmith.bases.load import load_tokenizer
from tunesmith.data import Record
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, beside, error_of, words_in
from tunesmith.methods import METHODS
from tunesmith.model import Model, build, facts_for, load, save, weights
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.prove import parts_alone, plain_logits, plain_network
from tunesmith.tasks import TASKS, LogitsTask
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

FAMILIES = ("bert", "roberta", "qwen2")
TAG_FAMILIES = ("bert", "qwen2")
ALSO_TAG = ("distilbert", "roberta", "xlm-roberta", "electra", "deberta-v2", "llama")
"""Tried with one method each, and with all under the mark `slow`."""
LANGUAGE_FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt2", "gpt_neox")
HEADS = [
    n
    for n in TASKS.names()
    if not (TASKS.find(n).sees or TASKS.find(n).hears)
    and TASKS.find(n).kind not in ("tags", "vectors", "text")
    and issubclass(TASKS.find(n), LogitsTask)
]
TAGGING = [name for name in TASKS.names() if TASKS.find(name).kind == "tags"]
LANGUAGE = [name for name in TASKS.names() if TASKS.find(name).talks and TASKS.find(name).kind == "text"]
ENCODER_DECODERS = ("t5", "mt5", "bart", "mbart")
REFUSED = {
    *itertools.product(("bitfit", "mixed"), ("llama", "qwen3", "mistral", "gemma")),
    ("prefix", "distilbert"), ("prefix", "deberta-v2"), *itertools.product(("prefix",), ENCODER_DECODERS),
    *itertools.product(("expand",), (*ENCODER_DECODERS, "bert", "roberta", "distilbert", "electra", "deberta-v2")),
    *itertools.product(("bitfit", "mixed"), ("t5", "mt5")), *itertools.product(("head",), ("t5", "bart", "mbart")),
}  # fmt: skip
"""The pairs that cannot work, each for a reason of the architecture; any other refusal fails. May only shrink."""

TEXTS = [
    "the pump leaks oil", "the fan is too hot and the motor stops", "泵漏油", "pressure drops below the limit",
    "belt slips", "the bearing is worn and makes a noise at night", "sensor reads nothing", "oil on the floor",
]  # fmt: skip
LABELS: dict[str, list[Any]] = {
    "classify": ["a", "b", "c", "a", "b", "c", "a", "b"],
    "multilabel": [["a"], [], ["b", "c"], ["c"], ["a", "b"], ["b"], ["c", "a"], []],
    "regress": [1.0, 2.5, -3.0, 0.5, 2.0, 1.5, 0.0, 4.0],
}


@dataclass
class Case:
    """A method on a task on a tiny base, with rows."""

    model: Model
    records: list[Record]

    def encoded(self) -> Any:
        return self.model.encode(self.records, self.model.plan.task.roles())


TURNS = [
    {"instruction": "what is wrong", "output": "the pump leaks oil"}, {"instruction": "and", "output": "belt slips"},
    {"instruction": "水泵", "output": "泵漏油 压力下降"}, {"instruction": "the motor", "output": "is too hot at night"},
]  # fmt: skip
COMPARED = [{"prompt": t["instruction"], "chosen": t["output"], "rejected": f"no {i}"} for i, t in enumerate(TURNS)]
ROWS: dict[str, list[dict[str, Any]]] = {"generate": TURNS, "reward": COMPARED}
"""Rows of tasks on conversations."""
ASKED: dict[str, dict[str, Any]] = {"generate": {"decode": {"max_new_tokens": 4}}, "reward": {"centering": 0.01}}
TAGGED = [
    {"tokens": ["the", "pump", "leaks", "oil"], "tags": ["O", "B-part", "O", "B-fluid"]},
    {"tokens": ["belt", "slips"], "tags": ["B-part", "O"]},
    {"tokens": ["泵", "漏", "油"], "tags": ["B-part", "O", "B-fluid"]},
    {"tokens": ["the", "fan", "motor", "of", "line", "12", "is", "too", "hot", "and", "the", "bearing", "is", "worn"],
     "tags": ["O", "B-part", "I-part", "O", "B-place", "I-place", *["O"] * 5, "B-part", "O", "O"]},
]  # fmt: skip
"""Rows of tasks on words; the last one takes several windows."""


COLUMNS: dict[str, Any] = {"text": "text", "label": "label", "max_tokens": 32}
SEVERAL = [name for name in HEADS if TASKS.find(name).kind == "several"]
"""Tasks that are made of others: each of those with columns of its own."""
DOMAIN: dict[str, Any] = {"task": {"name": "classify", **COLUMNS}, "target": "unused too.csv"}
INSIDE = {"domain": "classify"}
"""Of tasks around another: what that is."""
PENALTIES: dict[str, list[str]] = {"domain": ["dann"]}
"""Of tasks whose rows penalties alone make something of."""
WORDS: dict[str, Any] = {"tokens": "tokens", "label": "tags", "scheme": "bio", "max_tokens": 16, "stride": 4}


def combinations(tasks: list[str], families: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """A small set that covers every pair of (method, task, family); the seed is printed at the end of the tests."""
    seed = int(os.environ.get("TUNESMITH_PAIRS", "0"))
    shuffled = list(itertools.product(METHODS.names(), tasks, families))
    random.Random(seed).shuffle(shuffled)

    def pairs(c: tuple[str, str, str]) -> set[tuple[str, ...]]:
        return {("mt", c[0], c[1]), ("mf", c[0], c[2]), ("tf", c[1], c[2])}

    open_pairs = set().union(*(pairs(c) for c in shuffled))
    chosen = []
    while open_pairs:
        best = max(shuffled, key=lambda c: len(pairs(c) & open_pairs))
        open_pairs -= pairs(best)
        chosen.append(best)
    return sorted(chosen)


def make_case(
    method: str, task: str, family: str, bases: TinyBases, penalties: Sequence[str] = (), **more: Any
) -> Case:
    if task in ROWS:
        return language_case(method, task, family, bases, penalties)
    if task in SEVERAL:
        return several_case(method, task, family, bases, penalties)
    plan: Plan = make_plan(
        {
            "task": {"name": task, **(WORDS if task in TAGGING else DOMAIN if task == "domain" else COLUMNS), **more},
            "base": str(bases[family]),
            "data": "unused.csv",
            "method": {"name": method, **settings(method, bases[family])},
            "penalties": [*PENALTIES.get(task, []), *penalties],
            "train": {"epochs": 1, "batch": 8, "warmup": 0.0, "keep": "last"},
        }
    )
    if task in TAGGING:
        return tagging_case(plan, TAGGED)
    rows = zip(TEXTS, LABELS[INSIDE.get(task, task)], strict=True)
    records = [Record(i, "t", i + 1, i + 1, {"text": t, "label": y, "hours": str(i)}) for i, (t, y) in enumerate(rows)]
    found = find(plan.base.name)
    facts = plan.task.study(records, plan.task.roles())
    return Case(build(plan, facts, found, load_tokenizer(found)), records)


def several_case(method: str, task: str, family: str, bases: TinyBases, penalties: Sequence[str] = ()) -> Case:
    """All tasks with a head, each on rows of its own and on some that all of them have."""
    asked = {"tasks": {f"the_{name}": {"name": name, "text": "text", "label": name, "max_tokens": 32}
                       for name in LABELS}}  # fmt: skip
    plan: Plan = make_plan(
        {
            "task": {"name": task, **asked},
            "base": str(bases[family]),
            "data": "unused.csv",
            "method": {"name": method, **settings(method, bases[family])},
            "penalties": list(penalties),
            "train": {"epochs": 1, "batch": 24, "warmup": 0.0, "keep": "last"},
        }
    )
    rows = [{"text": text, **{name: labels[i] for name, labels in LABELS.items()}} for i, text in enumerate(TEXTS)]
    records = list(plan.task.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)]))
    found = find(plan.base.name)
    facts = plan.task.study(records, plan.task.roles())
    return Case(build(plan, facts, found, load_tokenizer(found)), records)


def tagging_case(plan: Plan, rows: list[dict[str, Any]]) -> Case:
    asked = plan.task
    records = list(asked.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(rows)]))
    found = find(plan.base.name)
    facts = asked.study(records, asked.roles())
    return Case(build(plan, facts, found, load_tokenizer(found)), records)


def language_case(method: str, task: str, family: str, bases: TinyBases, penalties: Sequence[str] = ()) -> Case:
    base = bases[family if task in HEADS else f"{family} language"]
    plan: Plan = make_plan(
        {
            "task": {"name": task, "max_tokens": 48, "template": "plain", **ASKED[task]},
            "base": str(base),
            "data": "unused.json",
            "method": {"name": method, **settings(method, base)},
            "penalties": list(penalties),
            "train": {"epochs": 1, "batch": 4, "warmup": 0.0, "keep": "last"},
        }
    )
    table = Table("rows.json", tuple(ROWS[task][0]), [(0, dict(r)) for r in ROWS[task]], (), "")
    asked = plan.task.resolved(table)
    plan = plan.model_copy(update={"task": asked})
    records = list(asked.taken_in([Record(i, "t", i + 1, i + 1, row) for i, row in enumerate(ROWS[task])]))
    found = find(plan.base.name)
    tokenizer = load_tokenizer(found)
    facts = facts_for(plan, records, asked.roles(), found, tokenizer)
    return Case(build(plan, facts, found, tokenizer), records)


def refused(method: str, task: str, family: str, bases: TinyBases) -> str | None:
    """The words with which a method declines a family; None when it works there."""
    try:
        make_case(method, task, family, bases)
    except TunesmithError as error:
        return str(error)
    return None


def one_step(case: Case) -> None:
    encoded = case.encoded()
    last = np.arange(len(encoded)) >= len(encoded) - 3  # of a task with two domains these are the target's
    learnt = case.model.plan.task.lessons(encoded, last, None, looked_at=True)
    job = Job(case.model, learnt, encoded, lambda logits: {case.model.plan.best_metric: 0.0}, Path(), save=False)
    Loop(job).run()


def check_contract(method: str, task: str, family: str, bases: TinyBases, folder: Path) -> None:
    if reason := refused(method, task, family, bases):
        assert (method, family) in REFUSED, f"{method} must work on {family}, but: {reason}"
        assert family in reason, f"a refusal names the family: {reason}"
        pytest.skip(f"refused: {reason}")
    case = make_case(method, task, family, bases)
    before = {n: p.detach().clone() for n, p in case.model.net.named_parameters()}
    moving = set(weights(case.model))
    one_step(case)
    after = dict(case.model.net.named_parameters())
    still = [n for n in after if n not in moving and not torch.equal(before[n], after[n])]
    moved = [n for n in moving if not torch.equal(before[n], after[n])]
    assert not still, f"frozen tensors moved: {still[:3]}"
    assert moved, "nothing moved"
    logits = case.model.outputs(case.encoded())
    save(case.model, folder / "model")
    again = load(folder / "model")
    assert error_of(again.outputs(again.encode(case.records, again.plan.task.roles())), logits) <= EXACT
    check_plain(case, folder, logits)
    if case.model.plan.method.can_fold():
        folded = replace(again, net=type(again.net)(again.plan.method.fold(again.net.auto), 0, logits.shape[1]))
        assert error_of(folded.outputs(case.encoded()), logits) <= EXACT, "merged differs from unmerged"


def check_plain(case: Case, folder: Path, logits: np.ndarray) -> None:
    """What calls itself plain opens in transformers or PEFT alone, with equal logits."""
    from tunesmith.engine.batches import collate
    from tunesmith.model import ecosystem

    if ecosystem(case.model.plan) != "plain":
        return
    encoded = case.encoded()
    encoded = encoded.inner or encoded
    batch = collate(encoded, range(len(encoded)), case.model.tokenizer.pad_token_id)
    tensors = {**batch.inputs, "logits": torch.from_numpy(logits)}
    if encoded.labels is not None:
        tensors["labels"] = torch.from_numpy(beside(encoded.labels))
    if encoded.windows is not None:
        tensors["words"] = torch.from_numpy(words_in(encoded))
    with torch.inference_mode():
        plain = plain_logits(plain_network(folder / "model", case.model), case.model, tensors)
        apart = list(parts_alone(folder / "model", case.model, tensors))
    assert error_of(plain, logits) <= EXACT, "other tools get other logits"
    assert len(apart) == len(case.model.plan.task.parts(case.model.facts))
    for name, said, stored in apart:
        assert error_of(said, stored) <= EXACT, f"the folder of {name} gives other logits"


@pytest.mark.parametrize(("method", "task", "family"), combinations(HEADS, FAMILIES))
def test_pairs(method: str, task: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check_contract(method, task, family, tiny_bases, tmp_path)


@pytest.mark.parametrize(("method", "task", "family"), [
    *combinations(TAGGING, TAG_FAMILIES), *itertools.product(("lora",), TAGGING, ALSO_TAG),
])  # fmt: skip
def test_tagging_pairs(method: str, task: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check_contract(method, task, family, tiny_bases, tmp_path)


@pytest.mark.parametrize(("method", "task", "family"), combinations(LANGUAGE, LANGUAGE_FAMILIES))
def test_language_pairs(method: str, task: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check_contract(method, task, family, tiny_bases, tmp_path)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
@pytest.mark.parametrize("method", METHODS.names())
def test_encoder_decoders(method: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check_contract(method, "generate", family, tiny_bases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", ("bert", "distilbert", "roberta", "electra", "deberta-v2", "llama", "qwen2"))
@pytest.mark.parametrize("task", [*HEADS, *TAGGING])
@pytest.mark.parametrize("method", METHODS.names())
def test_matrix(method: str, task: str, family: str, tiny_bases: TinyBases, tmp_path: Path) -> None:
    check_contract(method, task, family, tiny_bases, tmp_path)


def test_bases_are_tiny(tiny_bases: TinyBases) -> None:
    for family in {*FAMILIES, *TAG_FAMILIES, *ALSO_TAG}:
        model = make_case("head", "classify", family, tiny_bases).model
        assert sum(p.numel() for p in model.net.parameters()) <= 50_000, family


def test_every_family_takes_the_methods_that_the_design_promises(tiny_bases: TinyBases) -> None:
    for method in ("full", "head", "layers", "gradual", "lora", "ia3"):
        for family in FAMILIES:
            assert refused(method, "classify", family, tiny_bases) is None


@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_side_vector_reaches_the_head_and_survives_reloading(
    family: str, tiny_bases: TinyBases, tmp_path: Path
) -> None:
    case = make_case("lora", "classify", family, tiny_bases, side_columns=["hours"], side="vector")
    one_step(case)
    logits = case.model.outputs(case.encoded())
    save(case.model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(case.records, again.plan.task.roles())), logits) <= EXACT
    other = [replace(r, cells=r.cells | {"hours": "99"}) for r in case.records]
    assert not np.allclose(again.outputs(again.encode(other, again.plan.task.roles())), logits)
