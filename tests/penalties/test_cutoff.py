"""Cut-off: what is cut, the same for packed and padded rows, its loss written out, the trunk cache, resuming."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch.nn.functional import cross_entropy

import small
from kit import TinyBases
from tunesmith.bases.family import plain
from tunesmith.engine.network import override_dropout, training_mode
from tunesmith.engine.proof import apart, relative
from tunesmith.engine.ways import Packed
from tunesmith.errors import TunesmithError
from tunesmith.model import kept
from tunesmith.penalties.cutoff import divergence
from tunesmith.training.loop import Loop

ROWS = [0, 1, 3, 5, 8]


def ready(bases: TinyBases, how: str = "span", *, base: str = "bert", method: Any = "full", **more: Any) -> Loop:
    rows = small.records()
    asked = small.plan(bases[base], method=method, penalties=[{"name": "cutoff", "how": how, "share": 0.3}], **more)
    made = small.model(asked, rows)
    override_dropout(made.net, 0.0)
    loop = small.loop(made, small.encoded(made, rows))
    made.shortcuts.prove(loop.job.train, learning=True)
    training_mode(made.net, made.plan.method, made.family)
    return loop


def gradients(loop: Loop, seed: int = 5) -> tuple[float, dict[str, torch.Tensor]]:
    assert loop.net.noise is not None
    torch.manual_seed(seed)
    loop.net.noise.seed = seed
    loop.optimizer.zero_grad(set_to_none=True)
    value = sum(loop._backward(ROWS, seed))
    return value, {n: p.grad.clone() for n, p in loop.moving.items() if p.grad is not None}


def test_the_loss_is_that_of_both_passes_and_what_they_say_apart(tiny_bases: TinyBases) -> None:
    loop = ready(tiny_bases)
    value, found = gradients(loop)
    loop.optimizer.zero_grad(set_to_none=True)
    term: Any = loop.terms.terms[0]
    data, auto = loop.job.train, plain(loop.net.auto)
    words: Any = auto.get_input_embeddings()  # type: ignore[operator]
    total = torch.zeros(())
    for row in ROWS:  # one by one, through embeddings that are given
        ids = torch.from_numpy(data.ids[row].astype(np.int64))[None]
        factor = term.shade(5, row, data.ids[row], 32).expand(-1, words.weight.shape[1])
        first, second = auto(input_ids=ids).logits, auto(inputs_embeds=words(ids) * factor[None]).logits
        aim = torch.from_numpy(data.targets[[row]])  # type: ignore[index]
        p, q = (x.softmax(-1) for x in (first, second))
        middle = (p + q) / 2
        far = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
        total = total + cross_entropy(first, aim) + cross_entropy(second, aim) + far
    (total / len(ROWS)).backward()
    assert value == pytest.approx(total.item() / len(ROWS), rel=1e-5)
    want = {n: p.grad for n, p in loop.moving.items() if p.grad is not None}
    assert apart(want, found) < 1e-5


@pytest.mark.parametrize(
    ("base", "method"), [("bert", "full"), ("electra", "lora"), ("bert", "prompt"), ("llama", "lora")]
)
def test_packed_and_padded_rows_are_cut_alike(base: str, method: str, tiny_bases: TinyBases) -> None:
    settings = {"name": method, "tokens": 4} if method == "prompt" else method
    loop = ready(tiny_bases, "token", base=base, method=settings)
    shortcuts, term = loop.model.shortcuts, loop.terms.terms[0]
    assert isinstance(shortcuts.way, Packed) and loop.net.noise is not None
    loop.net.noise.seed = 3
    every = range(len(small.TEXTS))
    with torch.no_grad():
        before = shortcuts.way.logits(loop.job.train, every)
        with loop.net.noise.shading(term.shade):  # type: ignore[attr-defined]
            packed, padded = (way.logits(loop.job.train, every) for way in (shortcuts.way, shortcuts.plain))
            assert relative(padded, packed) <= 1e-5 < relative(before, packed)
            loop.net.eval()
            assert relative(before, shortcuts.plain.logits(loop.job.train, every)) <= 1e-5, "never when it answers"


def test_what_is_cut(tiny_bases: TinyBases) -> None:
    for how in ("token", "span", "feature"):
        loop = ready(tiny_bases, how)
        term: Any = loop.terms.terms[0]
        for row in range(len(small.TEXTS)):
            ids = loop.job.train.ids[row]
            words = np.flatnonzero(~np.isin(ids, list(term.at.special)))
            assert len(words) == len(ids) - 2, "[CLS] and [SEP] are no words"
            made = term.shade(1, row, ids, 20)
            gone = np.flatnonzero((made[0] if how == "feature" else made[:, 0]).numpy() == 0)
            assert torch.equal(made, term.shade(1, row, ids, 20))
            if how == "feature":
                assert made.shape == (1, 20) and len(gone) == 6
                continue
            assert made.shape == (len(ids), 1) and set(gone) <= set(words)
            assert len(gone) == min(math.ceil(0.3 * len(words)), len(words) - 1)
            if how == "span" and len(gone):
                assert np.array_equal(gone, np.arange(gone[0], gone[0] + len(gone)))
        draws = {tuple(term.shade(seed, 1, loop.job.train.ids[1], 20).flatten().tolist()) for seed in range(9)}
        assert len(draws) > 3


@pytest.mark.parametrize("kind", ["classes", "multilabel", "numbers"])
def test_the_divergence_is_scipy_s(kind: str) -> None:
    first, second = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if kind == "classes":
        want = jensenshannon(first.softmax(-1).numpy(), second.softmax(-1).numpy(), axis=1) ** 2
    elif kind == "multilabel":
        coins = [np.stack([x.sigmoid().numpy(), 1 - x.sigmoid().numpy()], -1) for x in (first, second)]
        want = (jensenshannon(*coins, axis=2) ** 2).sum(1)
    else:
        want = ((first - second) ** 2).sum(-1).numpy() / 4
    np.testing.assert_allclose(divergence(first, second, kind).numpy(), want, rtol=1e-9)


def test_the_trunk_cache_stays_off_and_a_run_repeats_itself(tiny_bases: TinyBases, tmp_path: Path) -> None:
    loops = [ready(tiny_bases, method="head", epochs=2, batch=4) for _ in range(2)]
    for loop in loops:
        loop.run()
        assert any("without trunk cache: cutoff changes embeddings" in line for line in loop.model.shortcuts.said)
        assert loop.net.noise is None
    for name, tensor in kept(loops[0].model).items():
        assert torch.equal(tensor, kept(loops[1].model)[name]), name


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"task": "image"}, "have none. Remove it"),
        ({"task": "generate"}, "task generate has none"),
        ({"penalties": [{"name": "cutoff", "strength": 0, "consistency": 0}]}, "has no effect"),
        ({"penalties": ["cutoff", "mixup"]}, "mixup and cutoff both stand"),
    ],
)
def test_refused_without_words_or_effect(plan: dict[str, Any], message: str) -> None:
    tree = {"task": "classify", "base": "minilm", "data": "t.csv", "penalties": ["cutoff"]}
    with pytest.raises(TunesmithError, match=message):
        small.make_plan(tree | plan)
