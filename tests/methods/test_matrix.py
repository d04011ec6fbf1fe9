"""Every method on every family: what it starts as, what moves, and that every way back gives the same answers."""

from pathlib import Path

import journey
import pytest
import torch
from journey import answers, gap
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

import tiny
from tunesmith.bases.family import family_of
from tunesmith.errors import TunesmithError

PAIRS = [
    pytest.param(spec, family, marks=() if spec in journey.MAIN or family in ("bert", "llama") else pytest.mark.slow)
    for spec in journey.SPECS
    for family in tiny.FAMILIES
    if not journey.refused(spec, family)
]
# transformers 5.23 warns about what PEFT 0.21 reads; here PEFT is called as users call it
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
EXACT = {"vera": 1e-6, "pissa": 3e-6, "pissa-rslora": 3e-6}


@pytest.mark.parametrize(("spec", "family"), PAIRS)
def test_a_method_starts_as_the_base_moves_what_it_says_and_comes_back_equal(
    spec: str, family: str, tmp_path: Path
) -> None:
    trip = journey.travel(spec, family)
    starts_as_the_base(spec, trip)
    moves_exactly_what_it_says(trip)
    back = trip.reload(tmp_path / "saved")
    again = answers(back, trip.batch)
    assert gap(again, trip.end) <= 1e-6 * max(1.0, float(trip.end.abs().max()))
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())
    assert {p.suffix for p in (tmp_path / "saved").iterdir()} <= {".json", ".safetensors"}
    if trip.made.ecosystem == "plain":
        opens_without_us(trip, tmp_path / "saved")
    padding_does_not_matter(trip, back)
    folds_to_the_same(trip, back)


def starts_as_the_base(spec: str, trip: journey.Journey) -> None:
    if any(word in spec for word in journey.VIRTUAL):
        assert torch.isfinite(trip.start).all()
    else:
        assert gap(trip.start, trip.base) <= EXACT.get(spec, 0.0)


def moves_exactly_what_it_says(trip: journey.Journey) -> None:
    assert not trip.lost
    assert trip.moving
    after = trip.net.state_dict()
    assert after.keys() == trip.before.keys()
    moved = {name for name in after if not torch.equal(after[name], trip.before[name])}
    assert moved <= trip.moving
    still = {name for name in trip.moving - moved if not name.endswith(("down.default.weight", "down.default.bias"))}
    assert not still, "weight decay alone would have moved these"
    assert gap(trip.end, trip.start) > 1e-2


def opens_without_us(trip: journey.Journey, folder: Path) -> None:
    """No code of ours between the files and the answers."""
    if (folder / "adapter_config.json").is_file():
        net = PeftModel.from_pretrained(tiny.fresh(trip.family, seed=98), folder)
    else:
        net = AutoModelForSequenceClassification.from_pretrained(folder)
    assert gap(answers(net, trip.batch), trip.end) <= 1e-6 * max(1.0, float(trip.end.abs().max()))


def padding_does_not_matter(trip: journey.Journey, net: torch.nn.Module) -> None:
    alone = [answers(net, tiny.encode(trip.family, [text]))[0] for text in tiny.TEXTS]
    padded = answers(net, trip.batch)
    difference = gap(torch.stack(alone), padded)
    if trip.made.needs_equal_lengths(family_of(trip.family)):
        assert difference > 1e-3, "then this method need not ask for rows of equal length"
    else:
        assert difference <= 5e-6 * max(1.0, float(padded.abs().max()))


def folds_to_the_same(trip: journey.Journey, net: torch.nn.Module) -> None:
    if not trip.made.can_fold():
        with pytest.raises(TunesmithError, match="cannot be merged into its base"):
            trip.made.fold(net)
        return
    plain = trip.made.fold(net)
    reference = tiny.fresh(trip.family)
    assert type(plain) is type(reference)
    assert plain.state_dict().keys() == reference.state_dict().keys()
    assert gap(answers(plain, trip.batch), trip.end) <= 1e-5 * max(1.0, float(trip.end.abs().max()))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_still_blocks_are_those_below_everything_that_moves(family: str) -> None:
    def still(spec: dict[str, object]) -> int:
        made = journey.METHODS.find(str(spec["name"])).model_validate(spec)
        net = made.apply(tiny.fresh(family), family_of(family))
        return made.still(net, family_of(family))

    assert still({"name": "full"}) == 0
    assert still({"name": "head"}) == 4
    assert still({"name": "layers", "top": 1}) == 3
    assert still({"name": "layers", "freeze": 3}) == 3
    assert still({"name": "layers", "top": 1, "embeddings": True}) == 0
    assert still({"name": "gradual", "depth": 3}) == 1
    assert still({"name": "lora", "top": 3}) == 1
    assert still({"name": "ia3", "top": 2}) == 2
    assert still({"name": "adapter", "top": 2, "reduction_factor": 4}) == 2
    assert still({"name": "prompt", "tokens": 4}) == 0
