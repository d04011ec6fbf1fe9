"""The robustness card: perturbed rows keep labels and tags, the clean metric is the run's own, costs are told."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import jobs
from kit import TinyBases
from tunesmith.cli import main
from tunesmith.data import Record, Roles
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import robustness
from tunesmith.evaluation.judge import Judge
from tunesmith.model import load
from tunesmith.plan_text import make_plan
from tunesmith.prepare import prepare
from tunesmith.replies import REPLIES
from tunesmith.steps._perturbing import Perturbation, usual

ROLES = Roles(("text",), "label")
TEXTS = (
    "Pump A-12 leaks oil, 0.5 MPa; don't run (it's hot)!",
    "水泵漏油，压力下降到0.3MPa，没有异响在。",
    "?!",
    "",
    "well-known a,b",
)
ALL = usual("classes")


def rows(*texts: str) -> list[Record]:
    return [Record(i, "t.csv", i + 1, i + 2, {"text": t, "label": "a"}) for i, t in enumerate(texts)]


def texts_of(each: Perturbation, records: list[Record], seed: int = 0) -> list[Any]:
    return [r.cells["text"] for r in each.applied(records, ROLES, seed)[0]]


@pytest.mark.parametrize("each", ALL, ids=lambda p: p.label)
def test_a_perturbation_is_a_function_of_the_row_and_the_seed(each: Perturbation) -> None:
    made, changed = each.applied(rows(*TEXTS), ROLES, 0)
    texts = [r.cells["text"] for r in made]
    assert changed == sum(a != b for a, b in zip(texts, TEXTS, strict=True)) > 0
    assert texts == texts_of(each, rows(*TEXTS))
    assert texts[1:2] == texts_of(each, rows(*TEXTS)[1:2]), "whatever stands beside it"
    assert [r.cells["label"] for r in made] == ["a"] * len(TEXTS)
    assert all(bool(a.strip()) == bool(b.strip()) for a, b in zip(texts, TEXTS, strict=True)), "none is emptied"
    if each.name in ("keyboard", "slip", "ocr"):
        assert all(kept in texts[0] for kept in ("A-12", "0.5 MPa", "don't")), "what makes the label right stays"
        long = rows("the motor of this fan hums at night and stops when somebody opens the door")
        assert len({texts_of(each, long, seed)[0] for seed in range(6)}) > 1


def test_what_each_makes() -> None:
    def one(text: str, **asked: Any) -> Any:
        return texts_of(Perturbation(**asked), rows(text))[0]

    assert one(TEXTS[0], name="upper") == TEXTS[0].upper() and one(TEXTS[0], name="lower") == TEXTS[0].lower()
    assert one(TEXTS[0], name="punctuation") == "Pump A-12 leaks oil 0.5 MPa don't run it's hot"
    assert one(TEXTS[1], name="punctuation") == "水泵漏油压力下降到0.3MPa没有异响在"
    assert one("a b c d e f g h i j k", name="cut") == "a b c d e f"
    assert one("a b c d e f g h i j", name="cut", keep=0.1) == "a"
    assert one("水泵漏油了", name="cut") == "水泵漏"
    swapped = one(TEXTS[1], name="sound", rate=1.0)
    assert len(swapped) == len(TEXTS[1]) and swapped != TEXTS[1]


def test_tags_follow_the_words() -> None:
    cells = {"text": "EU rejects German calls", "w": [0, 2, 3, 10, 11, 17, 18, 23], "t": ["B-O", "O", "B-M", "I-M"]}
    record, roles = Record(0, "t", 1, 1, cells), Roles(("text",), "t", words="w")  # type: ignore[arg-type]
    for each in (Perturbation(name="slip", rate=1.0), Perturbation(name="ocr", rate=1.0), Perturbation(name="upper")):
        made: Any = each.applied([record], roles, 0)[0][0].cells
        said = [made["text"][a:b] for a, b in zip(made["w"][::2], made["w"][1::2], strict=True)]
        assert made["t"] == cells["t"] and " ".join(said) == made["text"] != cells["text"]
        assert said[2] != "German", "a name may be mistyped, too"


def test_what_cannot_be_said_is_refused() -> None:
    tree = {"base": "minilm", "data": "x.csv", "evaluate": {"robustness": ["cut"]}}
    for task, asked, told in (
        ("tag", ["cut"], "takes words away"), ("generate", True, "task generate has none"),
        ("classify", [{"name": "upper", "rate": 0.2}], "rate has no effect on upper"),
        ("classify", ["upper", "upper"], "upper stands twice"), ("image", True, "task image has none"),
        ("classify", ["keybord"], "Did you mean 'keyboard'"),
    ):  # fmt: skip
        with pytest.raises(TunesmithError, match=told):
            make_plan({**tree, "task": task, "evaluate": {"robustness": asked}})
    assert [p.name for p in make_plan({**tree, "task": "tag", "evaluate": {"robustness": True}}).evaluate
            .perturbations("tags")] == ["keyboard", "slip", "ocr", "sound", "shape", "upper", "lower"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("robust")
    once = {"save_every": "1 epoch", "log_every": "1 epoch"}
    plan = jobs.tree(
        tiny_bases["bert"], jobs.write_tickets(top / "t.csv", 120), top / "run", epochs=6, lr=0.003, **once
    )
    plan["method"] = "full"
    page = (Path(__file__).parent.parent.parent / "docs" / "robustness.md").read_text("utf-8")
    asked = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0])["evaluate"][
        "robustness"
    ]
    plan["evaluate"] |= {"robustness": [*asked, "sound"]}
    plan["data"] = {"train": plan["data"], "test": 0.25}
    jobs.run_job(plan)
    return top / "run"


def test_the_card_of_a_run(run: Path) -> None:
    measured = json.loads((run / "metrics.json").read_text())
    card, clean = measured["robustness"], measured["metrics"]["test"]
    assert card["split"] == "test" and list(card["perturbations"]) == [
        "keyboard 0.1", "slip 0.2", "upper", "punctuation", "cut 0.1", "sound 0.1",
    ]  # fmt: skip

    assert "no text" in card["perturbations"]["sound 0.1"]["skipped"]
    for each in (each for each in card["perturbations"].values() if "skipped" not in each):
        minus = each["metrics"]["macro_f1"]["value"] - clean["macro_f1"]["value"]
        assert each["difference"]["value"] == pytest.approx(minus)
        assert each["difference"]["low"] <= minus <= each["difference"]["high"] and each["p_holm"] >= each["p"]
    costs = {n: e["difference"]["value"] for n, e in card["perturbations"].items() if "skipped" not in e}
    assert card["worst"]["perturbation"] == min(costs, key=lambda name: costs[name]) and min(costs.values()) < -0.1
    page, told = (run / "report.html").read_text("utf-8"), (run / "MODEL_CARD.md").read_text("utf-8")
    assert "When texts come otherwise" in page and "costs most" in page and "costs most" in told
    assert "the first 10% of the words" in told


def test_the_clean_metric_is_the_runs_own(run: Path) -> None:
    model = load(run / "model")
    test = prepare(model.plan).splits["test"]
    own = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    answers = robustness.answered(model, test)
    assert Judge(model.plan, model.facts).full(answers) == own
    by_name = {each.label: (records, changed) for each, records, changed in robustness.copies(model.plan, test)}
    again = robustness.answered(model, by_name["cut 0.1"][0])
    assert np.array_equal(again.truth, answers.truth)


def test_an_existing_run_on_a_file(run: Path, tmp_path: Path, capsys: Any) -> None:
    data = jobs.write_tickets(tmp_path / "new.csv", 30, seed=8)
    words = ["evaluate", str(run), "--data", str(data)]
    assert main([*words, "--robustness", "[slip, {name: cut, keep: 0.2}]", "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    REPLIES["evaluate"].model_validate(reply)
    assert list(reply["robustness"]["perturbations"]) == ["slip 0.1", "cut 0.2"] and reply["robustness"]["rows"] == 30
    assert main([*words, "--robustness"]) == 0
    assert "minus clean" in capsys.readouterr().out
    assert main([*words, "--robustness", "[nonsense]"]) == 1
    assert "no choice named 'nonsense'" in capsys.readouterr().err


def test_the_worst_and_whether_it_may_be_chance() -> None:
    def one(value: float, p: float) -> dict[str, Any]:
        return {"difference": {"value": value, "low": value, "high": value}, "p_holm": p}

    found = {"slip 0.1": one(-0.01, 0.4), "cut 0.1": one(-0.3, 0.01), "sound 0.1": {"skipped": "…"}}
    assert robustness.worst(found, "macro_f1", 0.95) == {"perturbation": "cut 0.1", "beyond_chance": True}
    assert robustness.worst({"slip 0.1": one(-0.01, 0.4)}, "macro_f1", 0.95) == {
        "perturbation": "slip 0.1", "beyond_chance": False,
    }  # fmt: skip
    assert robustness.worst({"slip 0.1": one(-0.01, 0.4)}, "mae", 0.95) is None, "a lower error costs nothing"
