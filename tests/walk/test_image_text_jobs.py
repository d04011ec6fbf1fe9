"""Whole jobs on images and captions: from chance to search that works, the report, predict, a kill, the page's plan."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import jobs
import towers
import tunesmith
from tunesmith.errors import TunesmithError

PAGE = Path(__file__).parent.parent.parent / "docs" / "tasks" / "image_text.md"
SENTENCES = [towers.caption(s, "{}", p, "large", 0) for s in towers.SHAPES for p in towers.PLACES]
RECALLS = [f"{way}_recall_at_1" for way in ("image_to_text", "text_to_image")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towers.captioned(tmp_path_factory.mktemp("small") / "data", each=2, captions=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towers.make("clip", tmp_path_factory.mktemp("base") / "clip")


def tree(base: Path, data: Path, run: Path, **more: Any) -> dict[str, Any]:
    train = {"epochs": 1, "batch": 16, "save_every": "1 step", "log_every": "1 step", "lr": 0.003}
    return {
        "task": {"name": "image_text", **more.pop("task", {})}, "base": str(base), "method": "full", "run": str(run),
        "data": {"train": str(data / "train.csv"), "test": str(data / "test.csv")}, "evaluate": {"resamples": 100},
        **more, "train": train | more.get("train", {}),
    }  # fmt: skip


def taught(family: str, top: Path) -> tuple[Path, dict[str, Any]]:
    """(data, the reply) of a tiny base drawn at random that learns words for pictures; the run is in `top/run`."""
    data = towers.captioned(top / "data", each=32)
    made = towers.make(family, top / "base", width=32, depth=2, dropout=0.0)
    asked = {"label": "colour", "templates": SENTENCES}
    train = {"epochs": 16, "batch": 64, "keep": "last", "patience": None, "evaluate_every": "16 epochs",
             "save_every": "16 epochs"}  # fmt: skip
    return data, jobs.run_job(tree(made, data, top / "run", task={"zero_shot": asked}, train=train))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    top = tmp_path_factory.mktemp("clip")
    return (top, *taught("clip", top))


def check_taught(run: Path, reply: dict[str, Any]) -> None:
    """From chance to 0.9 and more on held-out combinations of shape, colour and place; colours by their names."""
    for name in RECALLS:
        assert reply["metrics"]["test"][name]["value"] >= 0.9
        assert reply["baselines"]["untuned"]["test"][name]["value"] <= 0.25
        assert reply["baselines"]["chance"]["test"][name]["value"] <= 0.25
    assert reply["proof"]["plain"] and reply["proof"]["bits"]
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["zero_shot"]
    assert found["classes"] == sorted(towers.COLOURS) and found["rows"] == 24
    assert found["after"]["value"] >= 0.9 and found["before"]["value"] < 0.6
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Classes by their names" in page and "This model classifies them better than its base" in page
    assert "to bring the vectors of images and of their captions near each other" in page


def test_words_find_pictures_of_combinations_that_were_never_seen(clip: tuple[Path, Path, dict[str, Any]]) -> None:
    check_taught(clip[0] / "run", clip[2])


@pytest.mark.slow
def test_so_they_do_with_siglip(tmp_path: Path) -> None:
    check_taught(tmp_path / "run", taught("siglip", tmp_path)[1])


@pytest.mark.faults
def test_a_kill_costs_nothing(base: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with steps in several pieces, dropout, several captions an image, and a tower that rests."""
    from tunesmith.training.loop import Loop

    more: dict[str, Any] = {"method": "lora", "evaluate": {"resamples": 100, "baselines": []},
                            "train": {"micro_tokens": 150, "keep": "last"}}  # fmt: skip
    whole = jobs.run_job(tree(base, small, tmp_path / "whole", task={"towers": "image"}, **more))
    after = Loop._after_step

    def dies(loop: Loop) -> None:
        after(loop)
        if loop.state.step == 3:
            raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_after_step", dies)
        with pytest.raises(KeyError):
            jobs.run_job(tree(base, small, tmp_path / "killed", task={"towers": "image"}, **more))
    again = jobs.run_job(tree(base, small, tmp_path / "killed", task={"towers": "image"}, **more))
    assert again["status"] == "resumed"
    assert again["weights_sha256"] == whole["weights_sha256"] and again["golden_sha256"] == whole["golden_sha256"]
    about = json.loads((tmp_path / "whole" / "provenance.json").read_text(encoding="utf-8"))
    assert any("text_model never moves; its vectors are computed once a row" in line for line in about["engine"])


def test_the_plan_of_the_page_runs_and_predicts(base: Path, small: Path, tmp_path: Path) -> None:
    """As it stands there, on another base and other pictures; the saved model opens in transformers and PEFT alone."""
    plans = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    plan = next(p for p in (yaml.safe_load(text) for text in plans) if "base" in p)
    run = tmp_path / "run"
    plan |= {"base": str(base), "run": str(run), "evaluate": {"resamples": 100}}
    plan["data"] = {name: str(small / Path(file).name) for name, file in plan["data"].items()}
    plan["data"]["test"] = str(_leaky(small))
    plan["task"]["vectors"] = True
    reply = jobs.run_job(plan, apart=True)
    assert reply["status"] == "done" and reply["proof"]["plain"]
    assert set(reply["baselines"]) == {"chance", "untuned"}
    measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["without_leaks"]["test"]
    assert measured["left_out"] == 2 and set(measured["metrics"]) == set(reply["metrics"]["test"])
    page_ = (run / "report.html").read_text(encoding="utf-8")
    assert "bring a file of training rows" in page_ and "Rows with one file" in page_
    tunesmith.predict(run, small / "test.csv", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    first = rows[0]
    near = sum(a * b for a, b in zip(first["image_vector"], first["text_vector"], strict=True))
    assert first["prediction"] == pytest.approx(near, abs=1e-5) and len(first["image_vector"]) == 16
    assert _by_transformers(run / "model", base, small / first["image"], first["caption"]) == pytest.approx(
        first["logit"], abs=1e-4
    )
    found = tunesmith.evaluate(run, small / "leaky.csv")
    assert found["metrics"][RECALLS[0]]["value"] == pytest.approx(reply["metrics"]["test"][RECALLS[0]]["value"])


def _leaky(small: Path) -> Path:
    """The test file, and two training images with captions that no training row has."""
    test, train = (list(csv.reader((small / f"{name}.csv").read_text().splitlines())) for name in ("test", "train"))
    extra = [[train[place][0], f"a photo of a {what}", "red"] for place, what in ((1, "ring at the top"), (9, "cross"))]
    with (small / "leaky.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(test + extra)
    return small / "leaky.csv"


def test_images_on_both_sides_are_counted_whatever_their_captions(base: Path, small: Path, tmp_path: Path) -> None:
    from tunesmith.checking import Deep, findings_in
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare

    plan = tree(base, small, tmp_path / "run")
    plan["data"]["test"] = str(_leaky(small))
    prepared = prepare(make_plan(plan))
    found = prepared.leaks.about()["splits"]["test"]
    assert found["leaked"] == 2 and found["files"] and len(found["listed"]) == 2
    first = found["listed"][0]
    assert first["twin"].endswith("train.csv:2") and "leaky.csv:" in first["row"] and first["similarity"] == 1
    assert any("bring a file of training rows" in note for note in prepared.notes)
    plan["data"]["near"] = "remove"
    cleaned = prepare(make_plan(plan))
    assert cleaned.leaks.about()["splits"]["test"]["leaked"] == 0
    gone = len(prepared.splits["train"]) - len(cleaned.splits["train"])
    assert cleaned.ledger.summary()["reasons"]["the same file stands in test"] == gone >= 2
    deep = Deep(prepared.splits["test"], None, {})
    told = [f for f in findings_in(prepared.splits["train"], prepared.roles, prepared.plan.task, deep)
            if f["kind"] == "near_overlap"]  # fmt: skip
    assert [f["rows"] for f in told] == [2] and "whatever the text" in told[0]["remedy"]


def _by_transformers(model: Path, base: Path, image: Path, caption: str) -> float:
    """What anybody gets of a saved adapter, with transformers' own processor."""
    import torch
    from peft import PeftModel
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    from tunesmith.bases.load import quiet

    images: Any = AutoImageProcessor.from_pretrained(model, backend="pil")  # type: ignore[no-untyped-call]
    words = AutoTokenizer.from_pretrained(model)([caption], return_tensors="pt")
    pixels = images(images=[Image.open(image)], return_tensors="pt")
    with quiet():
        net: Any = PeftModel.from_pretrained(AutoModel.from_pretrained(base), str(model)).eval()
    with torch.inference_mode():
        return float(net(**words, **pixels).logits_per_image[0, 0])


def test_what_was_forgotten_is_told(clip: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    """Classes of another file, before and after: a base that knew the colours, taught wrong captions far too fast."""
    top, data, _ = clip
    rows = list(csv.DictReader((data / "train.csv").read_text(encoding="utf-8").splitlines()))[::2]
    said = [r["caption"] for r in rows]
    lines = [f'{r["image"]},"{other}"' for r, other in zip(rows, said[200:] + said[:200], strict=True)]
    (data / "wrong.csv").write_text("image,caption\n" + "\n".join(lines) + "\n", encoding="utf-8")
    asked = {"label": "colour", "file": str(data / "test.csv"), "templates": SENTENCES}
    plan = tree(
        top / "run" / "model", data, tmp_path / "run", train={"batch": 64, "epochs": 4, "keep": "last", "lr": 0.03}
    )
    plan |= {"task": {"name": "image_text", "zero_shot": asked}, "data": str(data / "wrong.csv")}
    reply = jobs.run_job(plan | {"evaluate": {"resamples": 100, "baselines": []}})
    assert any("zero-shot accuracy fell from" in w for w in reply["warnings"])
    assert "classifies them worse than its base" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_captions_of_one_image_stay_on_one_side(base: Path, small: Path, tmp_path: Path) -> None:
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare

    plan = tree(base, small, tmp_path / "run")
    prepared = prepare(make_plan(plan | {"data": str(small / "train.csv")}))
    seen = [{r.cells["pixels"] for r in rows} for rows in prepared.splits.values()]
    assert len(seen) == 3 and not set.intersection(*seen) and sum(map(len, seen)) == len(set.union(*seen))
    assert prepared.plan.task.text == "caption" and prepared.plan.task.image == "image"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"steps": ["dedup"]}, "opened by the step pictures"),
        ({"steps": ["clean", "pictures"]}, "captions are learnt as they are"),
        ({"task": {"name": "image_text", "pool": "mean"}}, "pool: mean is for texts"),
        ({"base": {"name": "x", "layers": 2}}, "base.layers is for bases that read text"),
        ({"train": {"checkpointing": "on"}}, "checkpointing"),
        ({"penalties": ["rdrop"]}, "penalties on outputs"),
        ({"method": {"name": "layers", "sparse": {"by": "fisher", "share": 0.1}}}, "alone a row is compared"),
        ({"task": {"name": "image_text", "zero_shot": {"label": "x", "templates": ["a photo"]}}}, "needs {} once"),
        ({"task": {"name": "embed"}, "evaluate": {"metrics": [RECALLS[0]]}}, "this task reads no images"),
    ],
)
def test_rules_between_parts(more: dict[str, Any], why: str) -> None:
    from tunesmith.plan_text import make_plan

    with pytest.raises(TunesmithError, match=re.escape(why)):
        make_plan({"task": "image_text", "base": "x", "data": "y", **more})


def test_bases_that_do_not_fit_are_named(small: Path, tmp_path: Path) -> None:
    made = towers.make("clip", tmp_path / "base")
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["eos_token_id"] = 2
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TunesmithError, match="its tokenizer ends a text with 3: the rest would never be read"):
        towers.made(made, small)
    with pytest.raises(TunesmithError, match=r"resnet sees images.*Families that can: clip, siglip"):
        import pictures

        towers.made(pictures.make("resnet", tmp_path / "resnet"), small)
    with pytest.raises(TunesmithError, match="clip makes comparable vectors of images and texts, and the task"):
        from tunesmith.bases.family import family_of

        family_of("clip", "classify")
