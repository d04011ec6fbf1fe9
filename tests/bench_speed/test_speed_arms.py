"""Both sides of a job do the same: they train the same weights, take the same steps, and are charged alike."""

import time

import contest
import numpy as np
import peers
import pytest
import texts
from limit import forward_flops
from meter import Laps, Meter

import tiny
from tunesmith.bases.family import family_of
from tunesmith.bases.load import quiet
from tunesmith.methods import METHODS

OWN = ("head", "layers1", "layers2", "lora2", "lora", "adapter", "full")


def trainable(net: object) -> dict[str, tuple[int, ...]]:
    return {n: tuple(p.shape) for n, p in net.named_parameters() if p.requires_grad}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OWN)
def test_peer_trains_what_ours_trains(name: str) -> None:
    method = dict(contest.METHODS[name])
    ours = METHODS.find(method["name"]).model_validate(method).apply(tiny.fresh("bert"), family_of("bert"))
    with quiet():  # PEFT asks transformers for names that are on their way out
        theirs = peers.tuned(tiny.fresh("bert"), method)
    assert sorted(trainable(ours).items()) == sorted(trainable(theirs).items())


def test_peer_mirrors_the_defaults_of_our_lora() -> None:
    ours = METHODS.find("lora").model_validate(contest.METHODS["lora"])
    with quiet():
        config = peers.tuned(tiny.fresh("bert"), contest.METHODS["lora"]).peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (ours.r, ours.alpha, ours.dropout)


def test_jobs_are_found_by_name_and_by_group() -> None:
    assert [job.name for job in contest.chosen(["lora"])] == ["lora-1", "lora-3", "lora-10"]
    assert [job.name for job in contest.chosen(["full-3", "predict"])] == ["full-3", "predict"]
    assert len(contest.chosen([])) == len({job.name for job in contest.JOBS})
    with pytest.raises(SystemExit, match="no job 'lorra'. Known: head"):
        contest.chosen(["lorra"])


def test_plans_hold_no_evaluation_before_the_end() -> None:
    job = contest.chosen(["full-3"])[0]
    assert job.steps(33) == 9
    assert job.plan(4, 256)["train"] | {"evaluate_every": "3 epochs", "keep": "last"} == job.plan(4, 256)["train"]


def test_padding_of_equal_rows_is_nothing_and_of_one_long_row_is_its_length() -> None:
    assert texts.padding_factors(np.full(40, 7)) == {"8": 1.0, "16": 1.0, "32": 1.0}
    assert texts.padding_factors(np.array([10] + [1] * 7))["8"] == pytest.approx(80 / 17, abs=0.01)


def test_work_of_a_row_counts_attention_by_its_own_length() -> None:
    config = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 2}
    token = 2 * (4 * 16 + 2 * 32)
    assert forward_flops([3, 5], config) == 2 * (8 * token + 4 * 4 * (9 + 25))


def test_meter_charges_its_block_alone_and_sees_its_peak() -> None:
    meter = Meter()
    with meter:
        held = np.ones(40 * 2**17)
        time.sleep(0.12)
        del held
    first = meter.told()
    np.ones(80 * 2**17).sum()
    assert meter.told() == first
    assert first["peak_mb"] - first["start_mb"] > 30
    assert 0 <= first["cpu"] < first["wall"]
    laps = Laps()
    laps.lap("import")
    assert laps.parts["import"] > 0
