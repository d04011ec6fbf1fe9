"""LoRA and its variants: settings that contradict each other, budgets, resuming, strict files."""

import json
from pathlib import Path

import journey
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

import tiny
from tunesmith.bases.family import family_of, plain
from tunesmith.errors import TunesmithError
from tunesmith.methods import _peft
from tunesmith.methods.ia3 import IA3
from tunesmith.methods.lora import LoRA

BERT = family_of("bert")


def wrapped(made: LoRA, family: str = "bert", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return made.apply(tiny.fresh(family), family_of(family))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"init": "pissa", "variant": "dora"}, "does not go with variant dora"),
        ({"plus": 16, "variant": "vera"}, "plus is a rate for LoRA's B"),
        ({"alpha": 32, "variant": "vera"}, "vera has no alpha"),
        ({"budget": {"every": 5}}, "budget belongs to variant adalora"),
        ({"targets": ()}, "targets is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], words: str) -> None:
    made = LoRA.model_validate(settings)
    assert words in str(made.objection(None))
    with pytest.raises(TunesmithError, match=words):
        wrapped(made)


def test_a_plan_with_every_default_written_out_is_not_refused() -> None:
    for variant in ("lora", "rslora", "dora", "adalora", "vera"):
        made = LoRA.model_validate({"variant": variant})
        assert LoRA.model_validate(made.model_dump(mode="json")).objection(None) is None


def test_a_target_that_matches_nothing_names_what_exists() -> None:
    with pytest.raises(TunesmithError, match=r"no layer of a bert block is named 'q_proj'\. Known: .*self\.query"):
        wrapped(LoRA(targets=("q_proj",)))
    with pytest.raises(ValidationError, match="'qv', 'attention' or 'all'"):
        LoRA.model_validate({"targets": "everything"})


def test_targets_by_last_name_mean_whole_names_and_no_other_place() -> None:
    net = wrapped(LoRA(targets=("output.dense",)))
    hit = {path.split(".", 4)[-1] for path, m in plain(net).named_modules() if hasattr(m, "lora_A")}
    assert hit == {"attention.output.dense", "output.dense"}
    net = wrapped(LoRA(targets=("query", "intermediate.dense"), top=1))
    assert sum(hasattr(m, "lora_A") for m in net.modules()) == 2


def test_lora_plus_moves_b_faster_and_vera_leaves_the_head_at_its_rate() -> None:
    groups = LoRA(plus=16).groups(wrapped(LoRA(plus=16)))
    assert set(groups.values()) == {16}
    assert all(".lora_B." in name for name in groups)
    vera = LoRA(variant="vera")
    heads = vera.groups(wrapped(vera))
    assert heads
    assert all(BERT.is_head(name) for name in heads)
    assert all(abs(factor * vera.auto_rate() - _peft.HEAD_RATE) < 1e-12 for factor in heads.values())


def test_adalora_ends_with_the_budget_it_was_given(tmp_path: Path) -> None:
    made = LoRA.model_validate({"variant": "adalora", "r": 2, "targets": "qv", "budget": {"every": 2, "final": 0.2}})
    net = wrapped(made)
    journey.train(made, net, tiny.encode("bert"), range(1, 21))
    kept = [int((p != 0).sum()) for n, p in net.named_parameters() if ".lora_E." in n]
    assert sum(kept) == 2 * 8  # rank 2 on the mean of 8 layers
    assert max(kept) <= 3
    made.save(net, tmp_path)
    ranks = {n: len(t) for n, t in load_file(tmp_path / "adapter_model.safetensors").items() if n.endswith("lora_E")}
    assert sum(ranks.values()) == 16
    assert json.loads((tmp_path / "adapter_config.json").read_text())["total_step"] == 20
    back = made.load(tiny.fresh("bert", seed=5), BERT, tmp_path)
    batch = tiny.encode("bert")
    assert journey.gap(journey.answers(net, batch), journey.answers(back, batch)) <= 1e-6
    with torch.no_grad():
        assert torch.isfinite(back(**batch, labels=journey.LABELS).loss)  # PEFT alone crashes here


def test_adalora_saved_between_two_allocations_answers_as_it_does_now(tmp_path: Path) -> None:
    made = LoRA.model_validate({"variant": "adalora", "r": 2, "targets": "qv", "budget": {"every": 5}})
    net, batch = wrapped(made), tiny.encode("bert")
    journey.train(made, net, batch, range(1, 8))
    net.peft_config["default"].rank_pattern["probe"] = [True]
    del net.peft_config["default"].rank_pattern["probe"]
    made.save(net, tmp_path)
    back = made.load(tiny.fresh("bert", seed=5), BERT, tmp_path)
    assert journey.gap(journey.answers(net, batch), journey.answers(back, batch)) <= 1e-6
    assert net.peft_config["default"].rank_pattern is not None, "saving left the run's own table alone"


@pytest.mark.parametrize("cut", [3, 9, 17])
def test_a_resumed_adalora_run_is_the_straight_run_bit_for_bit(cut: int) -> None:
    made = LoRA.model_validate({"variant": "adalora", "r": 2, "targets": "qv", "budget": {"every": 2, "final": 0.2}})

    def run(net: nn.Module, steps: range) -> None:
        for step in steps:
            net.zero_grad()
            loss = nn.functional.cross_entropy(net.eval()(**tiny.encode("bert")).logits, journey.LABELS)
            (loss + made.extra_loss(net)).backward()
            torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1).step()
            made.after_step(net, step, 20)

    straight = wrapped(made)
    run(straight, range(1, cut + 1))
    weights = {n: p.detach().clone() for n, p in straight.named_parameters() if p.requires_grad}
    state = {n: t.clone() for n, t in made.state(straight).items()}
    assert all(isinstance(t, torch.Tensor) for t in state.values())
    run(straight, range(cut + 1, 21))
    resumed = wrapped(made, seed=77)
    for name, tensor in weights.items():
        resumed.get_parameter(name).data.copy_(tensor)
    made.restore(resumed, state)
    run(resumed, range(cut + 1, 21))
    assert all(torch.equal(p, resumed.get_parameter(n)) for n, p in straight.named_parameters() if p.requires_grad)


def test_adalora_in_a_run_too_short_for_a_budget_keeps_its_ranks() -> None:
    made = LoRA.model_validate({"variant": "adalora", "r": 2})
    net = wrapped(made)
    journey.train(made, net, tiny.encode("bert"), range(1, 3), total=2)
    assert net.peft_config["default"].rank_pattern is None


@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_pissa_is_saved_as_plain_lora_of_twice_the_rank(variant: str, tmp_path: Path) -> None:
    made = LoRA.model_validate({"init": "pissa", "variant": variant, "r": 4})
    net = wrapped(made)
    made.save(net, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 8
    assert config["init_lora_weights"] is True
    assert config["use_rslora"] is (variant == "rslora")
    batch = tiny.encode("bert")
    back = made.load(tiny.fresh("bert"), BERT, tmp_path)
    assert journey.gap(journey.answers(back, batch), journey.answers(tiny.fresh("bert"), batch)) <= 1e-6


def test_learnt_says_how_far_and_in_how_many_directions() -> None:
    for spec in ("lora", "dora", "pissa", "vera", "adalora"):
        trip = journey.travel(spec, "bert")
        (table,) = trip.made.learnt(trip.net, BERT, tiny.tokenizer("bert"))
        assert len(table.rows) == 24
        sizes = [row[1] for row in table.rows]
        ranks = [row[2] for row in table.rows]
        assert all(isinstance(s, float) and 0 < s < 2 for s in sizes)
        assert all(isinstance(r, float) and 0.99 < r <= 33 for r in ranks)


def test_pissa_reports_the_same_change_before_and_after_saving(tmp_path: Path) -> None:
    trip = journey.travel("pissa", "bert")
    back = trip.reload(tmp_path)
    live, saved = (trip.made.learnt(net, BERT, None)[0].rows for net in (trip.net, back))
    for one, two in zip(live, saved, strict=True):
        assert one[0] == two[0]
        assert one[1] == pytest.approx(two[1], rel=1e-3)


def test_the_saved_config_names_the_public_base(tmp_path: Path) -> None:
    net = tiny.fresh("bert")
    net.config.tunesmith_base = "sentence-transformers/all-MiniLM-L6-v2"
    made = LoRA()
    made.save(made.apply(net, BERT), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert config["task_type"] == "SEQ_CLS"
    assert config["inference_mode"] is True
    assert config["modules_to_save"] == ["pooler", "classifier", "score"]
    assert {p.name for p in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    LoRA(targets="qv").save(wrapped(LoRA(targets="qv")), tmp_path)
    return tmp_path


def test_files_that_do_not_fit_are_refused_with_the_tensor(saved: Path) -> None:
    made, tensors = LoRA(targets="qv"), load_file(saved / "adapter_model.safetensors")
    key = next(iter(sorted(tensors)))

    def loads(changed: dict[str, torch.Tensor], family: str = "bert") -> None:
        save_file(changed, saved / "adapter_model.safetensors", metadata={"format": "pt"})
        made.load(tiny.fresh(family), family_of(family), saved)

    loads(tensors)
    with pytest.raises(TunesmithError, match=rf"1 missing, such as {key}"):
        loads({k: t for k, t in tensors.items() if k != key})
    with pytest.raises(TunesmithError, match="1 unexpected, such as more"):
        loads(tensors | {"more": torch.zeros(1)})
    with pytest.raises(TunesmithError, match=r"has shape \(1, 2\), this base and method have"):
        loads(tensors | {key: torch.zeros(1, 2)})


def test_a_folder_of_another_method_or_of_nothing_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="this plan's method saves IA3"):
        IA3().load(tiny.fresh("bert"), BERT, saved)
    with pytest.raises(TunesmithError, match=r"adapter_config\.json is missing"):
        LoRA().load(tiny.fresh("bert"), BERT, tmp_path / "nothing")


def test_merging_a_half_precision_base_rounds_once() -> None:
    made = LoRA(r=4)
    net = made.apply(tiny.fresh("bert").to(torch.bfloat16), BERT)
    for name, parameter in net.named_parameters():
        if ".lora_B." in name:
            assert parameter.dtype == torch.float32
            parameter.data.normal_(std=0.1)
    module = plain(net).bert.encoder.layer[0].output.dense
    exact = module.base_layer.weight.float() + module.get_delta_weight("default")
    folded = made.fold(net)
    weight = folded.bert.encoder.layer[0].output.dense.weight
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight, exact.detach().to(torch.bfloat16))


def test_broken_weights_are_not_merged() -> None:
    made = LoRA()
    net = wrapped(made)
    next(p for n, p in net.named_parameters() if ".lora_B." in n).data.fill_(float("nan"))
    with pytest.raises(TunesmithError, match="cannot merge: NaNs detected"):
        made.fold(net)
