"""Layers and gradual: what is chosen moves, and everything else stays equal to the bit."""

from pathlib import Path

import journey
import pytest
import torch
from torch import nn

import tiny
from tunesmith.bases.family import family_of
from tunesmith.errors import TunesmithError
from tunesmith.methods import Method, _masks
from tunesmith.methods.full import Full
from tunesmith.methods.gradual import Gradual
from tunesmith.methods.layers import Layers


def moving(made: Method, family: str = "bert") -> set[str]:
    net = made.apply(tiny.fresh(family), family_of(family))
    return {n for n, p in net.named_parameters() if p.requires_grad and not family_of(family).is_head(n)}


def test_without_a_choice_the_top_two_blocks_move() -> None:
    assert {name.split(".")[3] for name in moving(Layers())} == {"2", "3"}


def test_top_and_freeze_count_from_both_ends() -> None:
    assert moving(Layers(top=3)) == moving(Layers(freeze=1))
    assert moving(Layers(top=0)) == set() == moving(Layers(freeze=4))
    with_embeddings = moving(Layers(top=0, embeddings=True))
    assert {name.split(".")[1] for name in with_embeddings} == {"embeddings"}


def test_kinds_narrow_the_blocks_or_take_the_whole_base() -> None:
    assert {n.split(".")[3] for n in moving(Layers(top=1, kinds=("attention",)))} == {"3"}
    assert len(moving(Layers(kinds=("attention",)))) == 4 * 8
    assert len(moving(Layers(kinds=("feed_forward",)), "llama")) == 4 * 3
    norms = moving(Layers(kinds=("norms",)), "llama")
    assert len(norms) == 4 * 2 + 1
    assert "model.norm.weight" in norms
    assert "bert.embeddings.LayerNorm.bias" in moving(Layers(kinds=("norms",)))


def test_a_pattern_is_looked_for_in_plain_names() -> None:
    assert moving(Layers(pattern=r"layer\.0\..*query")) == {
        f"bert.encoder.layer.0.attention.self.query.{part}" for part in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "lora"}, r"pattern 'lora' is found in no parameter of this bert base\..*attention\.self\.query"),
        ({"top": 9}, r"method\.top: 9 blocks asked for, but this bert has 4"),
        ({"freeze": 5}, r"method\.freeze: 5 blocks asked for, but this bert has 4"),
        ({"heads": {7: (0,)}}, r"method\.heads: no block 7; this bert has blocks 0 to 3"),
        ({"heads": {0: (4,)}}, r"method\.heads: block 0 has no head 4, only 0 to 3"),
        ({"top": 1, "freeze": 1}, r"top and freeze choose blocks in two ways"),
        ({"heads": {0: (1,)}, "sparse": {}}, r"heads stand alone"),
        ({"pattern": "x", "kinds": ("norms",)}, r"pattern and kinds both"),
        ({"pattern": "("}, r"is no regular expression"),
    ],
)
def test_a_choice_of_nothing_or_of_two_things_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(TunesmithError, match=words):
        moving(Layers.model_validate(settings))


@pytest.mark.parametrize("family", ["bert", "distilbert", "llama", "qwen2"])
def test_chosen_heads_move_and_their_neighbours_stay_bit_equal(family: str) -> None:
    facts, made = family_of(family), Layers(heads={1: (0,), 3: (3,)})
    net, base = made.apply(tiny.fresh(family), facts), dict(tiny.fresh(family).named_parameters())
    journey.train(made, net, tiny.encode(family), range(1, 4))
    grouped = family in ("llama", "qwen2")
    for block, head in ((1, 0), (3, 3)):
        for layer, number in (
            (facts.query, head), (facts.key, head // 2 if grouped else head), (facts.attention_out, head),
        ):  # fmt: skip
            name = f"{facts.blocks}.{block}.{layer}.weight"
            same = net.get_parameter(name) == base[name]
            same = same.T if layer == facts.attention_out else same
            rows = same.all(dim=1).view(-1, 8).all(dim=1)  # heads of width 8
            assert rows.tolist() == [n != number for n in range(len(rows))]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("by", ["fisher", "magnitude"])
def test_unchosen_weights_stay_bit_equal_under_decay_and_momentum(by: str, optimizer: str) -> None:
    made = Layers.model_validate({"sparse": {"by": by, "share": 0.05, "rows": 3}})
    net = prepared(made, tiny.fresh("bert"))
    base = dict(tiny.fresh("bert").named_parameters())
    steps(made, net, optimizer, range(1, 6))
    masks = made.state(net)
    chosen = sum(int(m.sum()) for m in masks.values())
    total = sum(m.numel() for m in masks.values())
    assert 0.045 < chosen / total < 0.055
    for name, mask in masks.items():
        after = net.get_parameter(name)
        assert torch.equal(after[~mask], base[name][~mask])
        assert not (after[mask] == base[name][mask]).any()


def prepared(made: Layers, net: nn.Module) -> nn.Module:
    facts, batch = family_of("bert"), tiny.encode("bert")
    net = made.apply(net, facts)
    if made.needs_rows():
        logits = (net(**{k: v[i : i + 1] for k, v in batch.items()}).logits for i in range(3))
        losses = (nn.functional.cross_entropy(x, journey.LABELS[i : i + 1]) for i, x in enumerate(logits))
        made.prepare(net, facts, losses)
    return net


def steps(made: Layers, net: nn.Module, kind: str, numbers: range) -> None:
    moving = [p for p in net.parameters() if p.requires_grad]
    optimizer = (
        torch.optim.AdamW(moving, lr=1e-2, weight_decay=0.1)
        if kind == "adamw"
        else torch.optim.SGD(moving, lr=1e-2, momentum=0.9, weight_decay=0.1)
    )
    for step in numbers:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(**tiny.encode("bert")).logits, journey.LABELS).backward()
        made.before_step(net, step, 10)
        optimizer.step()
        made.after_step(net, step, 10)


def test_fisher_chooses_the_largest_mean_squared_row_gradients() -> None:
    made = Layers.model_validate({"sparse": {"share": 0.02, "rows": 3}})
    net = prepared(made, tiny.fresh("bert"))
    masks, scores = made.state(net), {name: torch.zeros(m.shape) for name, m in made.state(net).items()}
    for i in range(3):
        row = {k: v[i : i + 1] for k, v in tiny.encode("bert").items()}
        net.zero_grad()
        nn.functional.cross_entropy(net(**row).logits, journey.LABELS[i : i + 1]).backward()
        for name in scores:
            gradient = net.get_parameter(name).grad
            if gradient is not None:
                scores[name] += gradient**2
    flat = torch.cat([s.flatten() for s in scores.values()])
    chosen = torch.cat([m.flatten() for m in masks.values()])
    assert float(flat[chosen].min()) >= float(flat[~chosen].max()) * (1 - 1e-4)


def test_fisher_without_rows_is_refused() -> None:
    made = Layers.model_validate({"sparse": {}})
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    assert made.needs_rows() == 256
    with pytest.raises(TunesmithError, match="needs rows to look at before the first step, and got none"):
        made.prepare(net, family_of("bert"), [])


def test_a_resumed_sparse_run_is_the_straight_run() -> None:
    made = Layers.model_validate({"sparse": {"share": 0.05, "rows": 3}})
    straight = prepared(made, tiny.fresh("bert"))
    straight.eval()  # no dropout: the two halves must be equal
    steps(made, straight, "sgd", range(1, 3))
    weights = {n: p.detach().clone() for n, p in straight.named_parameters() if p.requires_grad}
    state = {name: t.clone() for name, t in made.state(straight).items()}
    steps(made, straight, "sgd", range(3, 5))
    resumed = made.apply(tiny.fresh("bert"), family_of("bert"))
    for name, tensor in weights.items():
        resumed.get_parameter(name).data.copy_(tensor)
    made.restore(resumed, state)
    steps(made, resumed, "sgd", range(3, 5))
    assert all(torch.equal(p, resumed.get_parameter(n)) for n, p in straight.named_parameters())


def test_learnt_says_how_much_could_move() -> None:
    made = Layers.model_validate({"sparse": {"by": "magnitude", "share": 0.1}})
    net = made.apply(tiny.fresh("bert"), family_of("bert"))
    (table,) = made.learnt(net, family_of("bert"), None)
    assert table.header == ("tensor", "weights", "share")
    assert all(0.05 < row[2] < 0.2 for row in table.rows if isinstance(row[2], float))
    assert Layers().learnt(net, family_of("bert"), None)  # masks are the network's
    assert Layers().learnt(Layers().apply(tiny.fresh("bert"), family_of("bert")), family_of("bert"), None) == []
    assert _masks.kept(net)


def test_gradual_thaws_a_block_an_epoch_from_the_top_and_again_on_resume() -> None:
    made, facts = Gradual(every=2, depth=3), family_of("llama")
    net = made.apply(tiny.fresh("llama"), facts)

    def awake(epoch: int) -> set[int | None]:
        made.thaw(net, facts, epoch)
        return {facts.block_of(n) for n, p in net.named_parameters() if p.requires_grad and not facts.is_head(n)}

    assert [awake(epoch) for epoch in (0, 1, 2, 4, 6, 8, 100)] == [
        set(), set(), {3}, {3, 2}, {3, 2, 1}, {3, 2, 1}, {3, 2, 1},
    ]  # fmt: skip
    assert awake(0) == set()
    assert net.score.weight.requires_grad
    assert made.thaws()
    assert made.still(net, facts) == 1


def test_gradual_reaches_block_0_and_slows_lower_blocks() -> None:
    made, facts = Gradual(decay=0.5), family_of("bert")
    net = made.apply(tiny.fresh("bert"), facts)
    made.thaw(net, facts, 4)
    assert net.bert.encoder.layer[0].output.dense.weight.requires_grad
    assert not net.bert.embeddings.word_embeddings.weight.requires_grad
    groups = made.groups(net)
    assert groups["bert.encoder.layer.3.output.dense.weight"] == 0.5
    assert groups["bert.encoder.layer.0.output.dense.weight"] == 0.5**4
    assert "classifier.weight" not in groups
    assert Gradual().groups(net) == {}


@pytest.mark.parametrize(
    ("family", "word", "behind"),
    [("bert", "bert.embeddings.word_embeddings", "bert.pooler.dense"), ("llama", "model.embed_tokens", "model.norm")],
)
def test_full_slows_lower_blocks_and_the_words_the_most(family: str, word: str, behind: str) -> None:
    net = Full(decay=0.5).apply(tiny.fresh(family), family_of(family))
    groups = Full(decay=0.5).groups(net)
    total = len(family_of(family).block_list(net))
    assert groups[f"{word}.weight"] == 0.5 ** (total + 1) == min(groups.values())
    assert max(groups.values()) == 0.5 and f"{behind}.weight" not in groups
    assert all(p.requires_grad for p in net.parameters())
    assert Full().groups(net) == {}


def test_a_saved_model_with_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made = Layers()
    made.save(made.apply(tiny.fresh("bert"), family_of("bert")), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["bert.encoder.layer.2.output.dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TunesmithError, match=r"missing keys bert\.encoder\.layer\.2\.output\.dense\.weight"):
        made.load(tiny.fresh("bert"), family_of("bert"), tmp_path)
