"""Bottleneck adapters in plain PEFT, after `import tunesmith.peft`."""

import subprocess
import sys
from pathlib import Path

import journey
import pytest
import torch
from journey import answers, gap
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, get_peft_model

import tiny
import tunesmith.peft
from tunesmith.bases.family import family_of
from tunesmith.errors import TunesmithError
from tunesmith.methods.adapter import Adapter

# transformers 5.23 warns about what PEFT 0.21 reads; here PEFT is called as users call it
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.mark.parametrize("place", ["houlsby", "pfeiffer", "parallel"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_plain_peft_opens_switches_and_switches_off(place: str, family: str, tmp_path: Path) -> None:
    ends, batch = {}, tiny.encode(family)
    for name, seed in (("one", 1), ("two", 2)):
        made = Adapter.model_validate({"place": place, "reduction_factor": 4})
        torch.manual_seed(seed)
        net = made.apply(tiny.fresh(family, seed=seed), family_of(family))
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        ends[name] = answers(net, batch)
        made.save(net, tmp_path / name)
    net = PeftModel.from_pretrained(tiny.fresh(family, seed=9), tmp_path / "one", adapter_name="one")
    net.load_adapter(tmp_path / "two", "two")
    for name in ("one", "two", "one"):
        net.set_adapter(name)
        assert gap(answers(net, batch), ends[name]) <= 1e-6
    with net.disable_adapter():
        assert gap(answers(net, batch), answers(tiny.fresh(family, seed=9), batch)) == 0.0
    net.delete_adapter("two")
    assert gap(answers(net, batch), ends["one"]) <= 1e-6


def test_peft_finds_base_and_adapter_by_itself(tmp_path: Path) -> None:
    trip = journey.travel("pfeiffer", "bert")
    trip.made.save(trip.net, tmp_path)
    net = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    assert gap(answers(net, trip.batch), trip.end) <= 1e-6
    light = PeftModel.from_pretrained(tiny.fresh("bert", seed=4), tmp_path, low_cpu_mem_usage=True)
    assert gap(answers(light, trip.batch), trip.end) <= 1e-6


def test_a_trainable_reload_goes_on_training(tmp_path: Path) -> None:
    trip = journey.travel("houlsby", "bert")
    trip.made.save(trip.net, tmp_path)
    net = PeftModel.from_pretrained(tiny.fresh("bert", seed=4), tmp_path, is_trainable=True)
    names = {n for n, p in net.named_parameters() if p.requires_grad}
    assert any("bottleneck_up" in n for n in names)
    assert not any("lora" in n for n in names)


def test_the_config_works_from_plain_peft_with_default_targets() -> None:
    config = tunesmith.peft.BottleneckConfig(task_type="SEQ_CLS", bottleneck_size=8)
    net = get_peft_model(tiny.fresh("distilbert"), config)
    assert sum(hasattr(m, "bottleneck_up") for m in net.modules()) == 8
    assert (
        gap(answers(net, tiny.encode("distilbert")), answers(tiny.fresh("distilbert"), tiny.encode("distilbert"))) == 0
    )


@pytest.mark.filterwarnings("ignore:You are trying to modify a model with PEFT for a second time")
@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")
def test_a_later_all_linear_lora_stands_around_adapters_and_not_inside() -> None:
    config = tunesmith.peft.BottleneckConfig(task_type="SEQ_CLS", bottleneck_size=8)
    inner = get_peft_model(tiny.fresh("llama"), config).get_base_model()
    net = get_peft_model(inner, LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"), adapter_name="later")
    names = [n for n, _ in net.named_parameters() if "lora_A" in n]
    assert len(names) == 4 * 7
    assert not any("bottleneck_" in n for n in names)


def test_merging_is_refused_with_the_reason() -> None:
    net = Adapter(reduction_factor=4).apply(tiny.fresh("bert"), family_of("bert"))
    with pytest.raises(TunesmithError, match="method 'adapter' cannot be merged into its base"):
        Adapter(reduction_factor=4).fold(net)
    with pytest.raises(NotImplementedError, match="not linear"):
        net.merge_adapter()


def test_a_factor_that_leaves_no_bottleneck_is_refused() -> None:
    with pytest.raises(TunesmithError, match=r"reduction_factor: 64 leaves no bottleneck in a base of width 32"):
        Adapter(reduction_factor=64).apply(tiny.fresh("bert"), family_of("bert"))


def test_half_precision_bases_keep_their_type() -> None:
    net = Adapter(reduction_factor=4).apply(tiny.fresh("llama").to(torch.bfloat16), family_of("llama"))
    assert {p.dtype for n, p in net.named_parameters() if "bottleneck" in n} == {torch.float32}
    assert answers(net, tiny.encode("llama")).isfinite().all()


def test_learnt_shows_which_adapters_do_something() -> None:
    trip = journey.travel("pfeiffer", "bert")
    (table,) = trip.made.learnt(trip.net, family_of("bert"), None)
    assert [row[0] for row in table.rows] == [f"{n}.output.LayerNorm" for n in range(4)]
    assert all(isinstance(row[2], float) and row[2] > 0 for row in table.rows)


@pytest.mark.slow
def test_without_the_import_plain_peft_does_not_know_the_type(tmp_path: Path) -> None:
    trip = journey.travel("pfeiffer", "bert")
    trip.made.save(trip.net, tmp_path)
    code = f"import peft; peft.PeftConfig.from_pretrained({str(tmp_path)!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "BOTTLENECK" in run.stderr
    run = subprocess.run([sys.executable, "-c", "import tunesmith.peft;" + code], check=False)
    assert run.returncode == 0
