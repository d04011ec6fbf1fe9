"""Language models that see: tokens, labels and pixels are those of the library's own processor, losses and texts those
of its own forward pass; what is kept of a vision tower changes nothing; every method is saved and opened."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

import sighted
from kit import settings
from tunesmith.bases.load import quiet
from tunesmith.data.images import look
from tunesmith.engine.sighted import SightedWay
from tunesmith.errors import TunesmithError
from tunesmith.golden import EXACT, beside, error_of
from tunesmith.methods import METHODS
from tunesmith.model import ecosystem, load, save, weights
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.prove import plain_logits, plain_network
from tunesmith.tasks._language import dialogue_in
from tunesmith.training.given import Job
from tunesmith.training.loop import Loop

CLOSE = 1e-6


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("bases")
    return {family: sighted.make(family, top / family) for family in sighted.FAMILIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sighted.asked(tmp_path_factory.mktemp("asked"), 3)


def theirs(family: str, base: Path, record: Any) -> dict[str, torch.Tensor]:
    """What the library's processor makes of a row, answer and labels with it, as its documentation has it."""
    with quiet():
        library = AutoProcessor.from_pretrained(base)
    image, question, answer = look(Path(record.cells["photo"]), max_pixels=1 << 20).image, *_said(record)
    if family == "paligemma":
        return dict(library(images=image, text=f"<image>{question}", suffix=answer, return_tensors="pt"))
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = library.apply_chat_template(asked, add_generation_prompt=True)
    made = dict(library(images=image, text=text, add_special_tokens=False, return_tensors="pt"))
    words = library.tokenizer
    said = words(answer, add_special_tokens=False, return_tensors="pt")["input_ids"]
    said = torch.cat([said, torch.tensor([[words.eos_token_id]])], 1)
    labels = torch.cat([torch.full_like(made["input_ids"], -100), said], 1)
    ids = torch.cat([made["input_ids"], said], 1)
    return made | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def _said(record: Any) -> tuple[str, str]:
    dialogue = dialogue_in(record)
    return dialogue.asked().messages[-1].content, dialogue.answer()


@pytest.mark.parametrize("family", sighted.FAMILIES)
def test_rows_are_what_the_librarys_processor_makes(family: str, bases: dict[str, Path], data: Path) -> None:
    model, records = sighted.made(sighted.tree(bases[family], data))
    encoded = model.encode(records, model.plan.task.roles())
    asked = model.encode(records, model.plan.task.roles(labelled=False))
    for row, record in enumerate(records):
        wanted = theirs(family, bases[family], record)
        assert encoded.ids[row].tolist() == wanted["input_ids"][0].tolist()
        assert encoded.labels[row].tolist() == wanted["labels"][0].tolist()
        learnt = int((wanted["labels"] >= 0).sum())
        assert asked.ids[row].tolist() == wanted["input_ids"][0, :-learnt].tolist()
        if "token_type_ids" in wanted:
            assert encoded.types[row].tolist() == wanted["token_type_ids"][0].tolist()
        assert error_of(encoded.beside.pixels.values([row]).numpy(), wanted["pixel_values"].numpy()) <= CLOSE


@pytest.mark.parametrize("family", sighted.FAMILIES)
def test_losses_are_the_librarys_own(family: str, bases: dict[str, Path], data: Path) -> None:
    """A row at a time in the library; all in one pass here, with the head at labels alone and what the tower saw."""
    model, records = sighted.made(sighted.tree(bases[family], data))
    for name, parameter in model.net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    encoded = model.encode(records, model.plan.task.roles())
    model.net.eval()
    rows, task = list(range(len(records))), model.plan.task
    with torch.inference_mode():
        wanted = 0.0
        for record in records:
            given = theirs(family, bases[family], record)
            wanted += float(model.net.auto(**given).loss) * int((given["labels"] >= 0).sum())
        assert float(task.step_loss(model.shortcuts.plain, encoded, rows)) == pytest.approx(wanted, rel=CLOSE)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    way = model.shortcuts.way
    assert not model.shortcuts.refused and way.head and id(encoded) in way.kept
    with torch.inference_mode():
        assert float(task.step_loss(way, encoded, rows)) == pytest.approx(wanted, rel=CLOSE)
        assert model.outputs(encoded)[:, 0].sum() == pytest.approx(wanted, rel=CLOSE)


@pytest.mark.parametrize("family", sighted.FAMILIES)
def test_texts_are_what_the_library_generates(family: str, bases: dict[str, Path], data: Path) -> None:
    """One row at a time there, all at once here."""
    model, records = sighted.made(sighted.tree(bases[family], data))
    texts = model.write(records)
    for text, record in zip(texts, records, strict=True):
        given = theirs(family, bases[family], record)
        learnt = int((given.pop("labels") >= 0).sum())
        given = {n: t if n == "pixel_values" else t[:, :-learnt] for n, t in given.items()}
        ids = model.net.auto.generate(**given, max_new_tokens=8, do_sample=False)[0, given["input_ids"].shape[1] :]
        assert text == model.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert len(set(texts)) > 2, "answers depend on nothing"


def test_a_wrong_cache_is_found_out(bases: dict[str, Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, records = sighted.made(sighted.tree(bases["llava"], data))
    encoded, right = model.encode(records, model.plan.task.roles()), SightedWay.look
    monkeypatch.setattr(SightedWay, "look", lambda *a: right(*a) + 0.1)
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert any("differed from the library" in line for line in model.shortcuts.refused)
    assert not model.shortcuts.way.kept


PAIRS = list(itertools.product(METHODS.names(), sighted.FAMILIES))
REFUSED = {"prompt", "ptuning", "prefix", "expand"}
TIED = ("head", "paligemma")
"""Its head is its word table."""
SOME = [("lora", "paligemma"), ("full", "llava"), ("adapter", "llava")]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "family"), [(m, f) for m, f in PAIRS if m not in REFUSED and (m, f) != TIED])
def test_matrix(method: str, family: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    check_method(method, family, bases, data, tmp_path)


@pytest.mark.parametrize(("method", "family"), SOME)
def test_method(method: str, family: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    check_method(method, family, bases, data, tmp_path)


def check_method(method: str, family: str, bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """What is frozen stays, the vision tower above all; the saved model says the same, in other tools, too."""
    more = {"adapter": {"reduction_factor": 4}}.get(method) or settings(method, bases[family])
    train = {"epochs": 1, "batch": 6, "warmup": 0.0, "keep": "last"}
    model, records = sighted.made(sighted.tree(bases[family], data, method={"name": method, **more}, train=train))
    roles = model.plan.task.roles()
    encoded = model.encode(records, roles)
    before = {n: t.detach().clone() for n, t in model.net.state_dict().items()}
    moving = set(weights(model))
    Loop(Job(model, encoded, encoded, lambda _: {"perplexity": 0.0}, Path(), save=False)).run()
    after = model.net.state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed and not {n for n in changed if n not in moving and "lm_head" not in n}  # which may be the word table
    assert not [n for n in changed if "vision_tower" in n]
    outputs = model.outputs(encoded)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert error_of(again.outputs(again.encode(records, roles)), outputs) <= EXACT
    if ecosystem(model.plan, model.family) == "plain":
        from tunesmith.engine.batches import collate

        tensors = collate(encoded, range(len(encoded)), model.tokenizer.pad_token_id).inputs
        tensors |= {"seen": encoded.beside.pixels.values(range(len(encoded))), "logits": torch.from_numpy(outputs),
                    "labels": torch.from_numpy(beside(encoded.labels))}  # fmt: skip
        with torch.inference_mode():
            plain = plain_logits(plain_network(tmp_path / "model", model), model, tensors)
        assert error_of(plain, outputs) <= EXACT


@pytest.mark.parametrize("method", sorted(REFUSED))
def test_what_needs_a_text_alone_is_refused_before_anything_loads(
    method: str, bases: dict[str, Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tunesmith.model as models

    monkeypatch.setattr(models, "fresh", lambda *_: pytest.fail("the base was loaded"))
    with pytest.raises(TunesmithError, match="llava.*Use "):
        sighted.made(sighted.tree(bases["llava"], data, method=method))


def test_the_tower_learns_where_that_is_asked_and_can_be(bases: dict[str, Path], data: Path) -> None:
    model, records = sighted.made(sighted.tree(bases["llava"], data, method="full", task={"vision": "learn"}))
    assert any("vision_tower" in n for n in weights(model))
    encoded = model.encode(records, model.plan.task.roles())
    model.shortcuts.prove(encoded, learning=True)
    model.shortcuts.cache({"train": encoded}, Progress(silent=True))
    assert not model.shortcuts.taken and not model.shortcuts.way.kept
    model, records = sighted.made(sighted.tree(bases["llava"], data, method="layers", task={"vision": "learn"}))
    with pytest.raises(TunesmithError, match=r"task.vision: learn has no effect: layers moves nothing"):
        model.shortcuts.cache({"train": encoded}, Progress(silent=True))


@pytest.mark.parametrize(
    ("change", "fault"),
    (
        ({"task": {"vision": "learn"}}, "vision: learn has no effect under lora"),
        ({"task": {"learn": "all"}}, "learn: all would learn the question"),
        ({"task": {"image": None, "vision": "learn"}, "method": "full"}, "vision has no effect without images"),
        ({"steps": ["dedup"]}, "opened by the step pictures"),
        ({"train": {"neftune": 5}}, "train.neftune is for bases that read text"),
        ({"evaluate": {"metrics": ["f1"]}}, "f1 does not fit this task"),
        ({"replay": {"keep": 3}}, "replay is for texts alone"),
        ({"tower": {"base": "somewhere"}}, "reads no image beside a text"),
    ),
)
def test_what_does_not_go_with_images_is_refused_in_the_plan(change: dict[str, Any], fault: str, data: Path) -> None:
    with pytest.raises(TunesmithError, match=fault):
        make_plan(sighted.tree(Path("BASE"), data, **change))


def test_other_bases_and_rows_without_images_are_refused(bases: dict[str, Path], data: Path, tmp_path: Path) -> None:
    from tunesmith.bases.family import family_of

    with pytest.raises(TunesmithError, match="llama reads text, and the task gives it text beside images.*llava"):
        family_of("llama", "image_to_text")
    with pytest.raises(TunesmithError, match="llava writes about an image beside its text, and the task gives it text"):
        family_of("llava", "language")
    config = json.loads((bases["llava"] / "config.json").read_text())
    config["text_config"]["model_type"] = "gemma3n"
    with pytest.raises(TunesmithError, match="the text part of this llava is a gemma3n"):
        family_of("llava", "image_to_text", config)
    with pytest.raises(TunesmithError, match="base.layers is for bases that read text"):
        make_plan(sighted.tree(bases["llava"], data) | {"base": {"name": "somewhere", "layers": 1}})
    with pytest.raises(TunesmithError, match="head of this paligemma base is its word table"):
        sighted.made(sighted.tree(bases["paligemma"], data, method="head"))
    with pytest.raises(TunesmithError, match=r"max_tokens: an image takes 4 tokens of this base, and 10 leave no"):
        model, records = sighted.made(sighted.tree(bases["llava"], data, task={"max_tokens": 10}))
        model.encode(records, model.plan.task.roles())


def test_captions_need_no_question_and_questions_of_one_picture_stay_together(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    model, records = sighted.made(sighted.tree(bases["llava"], sighted.captioned(tmp_path / "c", 2)))
    assert dialogue_in(records[0]).messages[0].content == ""
    encoded = model.encode(records, model.plan.task.roles())
    said = model.tokenizer.decode(encoded.ids[0].tolist())
    assert said.count("<image>") == 4 and said.endswith("ASSISTANT: a red square at the left<|end_of_text|>")
    from tunesmith.prepare import prepare

    plan = make_plan(sighted.tree(bases["llava"], sighted.asked(tmp_path / "q", 12)))
    splits = prepare(plan).splits
    seen = [{r.cells["photo"] for r in rows} for rows in splits.values()]
    assert all(not (a & b) for a, b in itertools.combinations(seen, 2)) and sum(map(len, splits.values())) == 24


def test_files_of_other_tools_say_where_the_picture_stands(bases: dict[str, Path], tmp_path: Path) -> None:
    sighted.asked(tmp_path, 2)

    def rows(*said: Any) -> Path:
        lines = [{"photo": "photos/000.png", "conversations": s} for s in said]
        (tmp_path / "rows.json").write_text(json.dumps(lines))
        return tmp_path / "rows.json"

    def turn(*texts: str) -> list[dict[str, str]]:
        return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]

    data = rows(turn("<image>\nwhich ?", "red"), turn("which ?\n<image>", "red", "where ?", "left"))
    model, records = sighted.made(sighted.tree(bases["llava"], data))
    encoded = model.encode(records, model.plan.task.roles())
    texts = [model.tokenizer.decode(encoded.ids[row].tolist()) for row in range(2)]
    assert all(text.count("<image>") == 4 and "USER: <image>" in text for text in texts)
    assert (encoded.labels.flat >= 0).sum() < encoded.ids.size and np.all(encoded.labels.flat != 300)
    for wrong in (turn("<image><image> which ?", "red"), turn("a", "b", "<image> c", "d")):
        with pytest.raises(TunesmithError, match="<image> stands more than once, or within"):
            sighted.made(sighted.tree(bases["llava"], rows(wrong)))
