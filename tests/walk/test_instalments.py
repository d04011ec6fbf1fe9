"""Learning in instalments: a version is the base, new rows and classes come, and what it knew is kept and measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import pictures
import small
from jobs import WORDS, run_job, tree
from kit import TinyBases
from tunesmith import beside, flows
from tunesmith.earlier import drawn, earlier_in, forgetting
from tunesmith.errors import TunesmithError
from tunesmith.model import load, saved

MORE = {"crack": ["split", "broken", "torn", "gap"], "rust": ["brown", "flakes", "corroded", "pits"]}


def write(path: Path, words: dict[str, list[str]], rows: int = 90, seed: int = 1) -> Path:
    generator = np.random.default_rng(seed)
    lines = ["text,label"]
    for i in range(rows):
        label = list(words)[i % len(words)]
        lines.append(f"{' '.join(generator.choice(words[label], 3))} part {path.stem} {i},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def first(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A first instalment of three classes, registered as tickets@1, with 30 rows kept."""
    folder = tmp_path_factory.mktemp("instalments")
    patch = pytest.MonkeyPatch()
    patch.setenv("TUNESMITH_REGISTRY", str(folder / "registry"))
    data = write(folder / "old.csv", WORDS)
    plan = tree(tiny_bases["bert"], data, folder / "one", epochs=8, lr=5e-3) | {
        "method": "full", "replay": {"keep": 30},
    }  # fmt: skip
    reply = run_job(plan)
    flows.register(folder / "one", "tickets")
    yield {"folder": folder, "reply": reply, "plan": plan}
    patch.undo()


def second(first: dict[str, Any], name: str, words: dict[str, list[str]] = MORE, **more: Any) -> dict[str, Any]:
    folder = first["folder"]
    data = write(folder / f"new-{name}.csv", words, seed=7)
    plan = tree(Path("tickets@1"), data, folder / name, epochs=3, lr=2e-3) | {"method": "full", **more}
    return plan | {"base": "tickets@1"}


def test_a_first_instalment_keeps_rows_only_when_asked(first: dict[str, Any]) -> None:
    kept = earlier_in(first["folder"] / "one" / "model", "one")
    assert kept.rows is not None and len(kept.rows.read_text().splitlines()) == 30
    assert [len(t) for t in kept.tests] == [9] and kept.names == ["one"]
    plain = dict(first["plan"], run=str(first["folder"] / "plain"))
    plain.pop("replay")
    run_job(plain)
    assert not (first["folder"] / "plain" / "model" / "instalments").exists()


def test_a_tuned_base_answers_as_before_and_new_classes_are_added(first: dict[str, Any]) -> None:
    from tunesmith.data.table import read
    from tunesmith.model import build, facts_for
    from tunesmith.plan_text import make_plan
    from tunesmith.prepare import prepare

    plan = make_plan(second(first, "grow", replay={"share": 0.3}))
    found = plan.base.found()
    prepared = prepare(plan, before=earlier_in(found.folder, found.name))
    old = load(saved("tickets@1"))
    facts = facts_for(prepared.plan, prepared.splits["train"], prepared.roles, found, old.tokenizer)
    assert facts.labels == (*old.facts.labels, "crack", "rust")
    assert facts.notes["instalment"] == "goes on from tickets@1: 3 labels known, 2 new"
    new = build(prepared.plan, facts, found, old.tokenizer)
    rows = old.plan.task.taken_in(small.records(label=["?"] * len(small.TEXTS)))
    roles = old.plan.task.roles(labelled=False)
    torch.testing.assert_close(
        torch.tensor(new.outputs(new.encode(rows, roles))[:, :3]), torch.tensor(old.outputs(old.encode(rows, roles))),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    table = read(str(first["folder"] / "one" / "model" / "instalments" / "rows.jsonl"))
    share = sum(r.source.startswith("tickets@1") for r in prepared.splits["train"]) / len(prepared.splits["train"])
    assert len(table.rows) == 30 and share == pytest.approx(0.3, abs=0.02)


def test_labels_are_carried_over_by_name_never_by_number(first: dict[str, Any]) -> None:
    from tunesmith.bases.find import find
    from tunesmith.bases.load import load_net

    torch.manual_seed(0)
    found = find("tickets@1")
    names = dict(enumerate(["noise", "crack", "heat"]))
    made: Any = load_net(found, num_labels=3, id2label=names, label2id={n: i for i, n in names.items()})
    old = load(saved("tickets@1"))
    weight = old.net.auto.classifier.weight
    for place, name in ((0, "noise"), (2, "heat")):
        assert torch.equal(made.classifier.weight[place], weight[old.facts.labels.index(name)])
    assert not any(torch.equal(made.classifier.weight[1], row) for row in weight), "a new label gets a fresh row"


@pytest.mark.slow
def test_replay_forgets_less_than_going_on_without(first: dict[str, Any]) -> None:
    found = {}
    for name, replay in (("with", {"share": 0.4, "keep": 30}), ("without", {"keep": 30})):
        plan = second(first, f"forget-{name}", replay=replay)
        plan["train"] |= {"epochs": 10, "patience": None, "keep": "last"}
        reply = run_job(plan)
        results = json.loads((first["folder"] / f"forget-{name}" / "metrics.json").read_text())["instalments"]
        assert [len(row) for row in results["values"]] == [1, 2] and results["names"] == ["one", f"forget-{name}"]
        assert results["values"][0][0]["value"] is not None and reply["metrics"]["test"]
        found[name] = results["forgetting"]
        page = (first["folder"] / f"forget-{name}" / "report.html").read_text()
        assert "What it still knows of earlier data" in page and "(backward transfer)" in page
    assert found["with"] < found["without"]
    kept = earlier_in(first["folder"] / "forget-with" / "model", "two")
    rows = kept.rows.read_text().splitlines()  # type: ignore[union-attr]
    assert len(rows) == 30 and sum("part old" in line for line in rows) == 15, "each instalment has its share"


def compared(first: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """A second instalment of one epoch, which knows one of its classes already."""
    short = {"epochs": 1, "save_every": "9 steps", "log_every": "1 step", "batch": 32, "lr": 2e-3}
    plan = second(first, name, {**MORE, "leak": WORDS["leak"]}, train=short, **more)
    return plan | {"data": {"train": plan["data"], "near": "ignore"}}


BESIDE: dict[str, Any] = {"replay": {"share": 0.2, "keep": 30, "beside": ["plain", "joint"]},
                          "penalties": [{"name": "l2sp", "base": 0.1}]}  # fmt: skip


def test_plain_and_joint_stand_beside_the_run(first: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compared(first, "beside", **BESIDE)
    begun: list[Path] = []
    run, real = first["folder"] / "beside", beside.fresh

    def stopped(work: Any, *rest: Any) -> Any:
        begun.append(work.found.folder)
        if len(begun) == 2:
            raise TunesmithError("stopped before joint")
        return real(work, *rest)

    def losses() -> list[str]:
        lines = (run / "beside" / "plain" / "history.jsonl").read_text().splitlines()
        return [line for line in lines if "loss" in line]

    monkeypatch.setattr(beside, "fresh", stopped)
    with pytest.raises(TunesmithError, match="stopped before joint"):
        run_job(plan)
    learnt = losses()
    run_job(plan)
    assert learnt and losses() == learnt, "what was trained is taken up again"
    assert begun[-1] == Path(first["plan"]["base"]).resolve() != begun[0], "joint begins from the first base"
    metrics = json.loads((run / "metrics.json").read_text())
    arms, own = metrics["beside"]["arms"], metrics["instalments"]["values"][-1]
    assert arms["plain"]["forgetting"] is not None and arms["joint"]["forgetting"] is None
    assert (arms["plain"]["old"], arms["joint"]["old"], arms["joint"]["of"]) == (0, 30, 72)
    assert arms["joint"]["rows"] == arms["plain"]["rows"] + 30 > metrics["beside"]["rows"] > arms["plain"]["rows"]
    for one in arms.values():
        for where, k in (("earlier", 0), ("here", 1)):
            known = one[where]["difference"]
            assert known["value"] == pytest.approx(own[k]["value"] - one["values"][k]["value"])
            assert known["low"] <= known["value"] <= known["high"] and one[where]["p_holm"] >= one[where]["p"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "This run minus" in page and "of 72 once learnt" in page.replace("\u00a0", " ")
    assert "not on all earlier data" in page
    matrix = json.loads((run / "model" / "instalments" / "matrix.json").read_text())
    assert matrix["learnt"] == [72, arms["plain"]["rows"]]


@pytest.mark.slow
def test_plain_is_the_run_of_that_plan_without_its_remedies(first: dict[str, Any]) -> None:
    plan = compared(first, "remedied", **BESIDE)
    run_job(plan)
    found = json.loads((first["folder"] / "remedied" / "metrics.json").read_text())["beside"]["arms"]["plain"]
    run_job(compared(first, "plainly") | {"data": plan["data"]})
    alone = json.loads((first["folder"] / "plainly" / "metrics.json").read_text())["instalments"]
    assert found["values"] == alone["values"][-1] and found["forgetting"] == alone["forgetting"]


def test_what_cannot_stand_beside_a_run_is_refused(first: dict[str, Any], tmp_path: Path) -> None:
    plan = second(first, "alone", replay={"beside": ["plain"]})
    with pytest.raises(TunesmithError, match=r"replay\.beside: plain would be this very plan"):
        run_job(plan)
    start = {"name": "lora", "start": str(first["folder"] / "one")}
    with pytest.raises(TunesmithError, match=r"joint begins from the first base, where method\.start"):
        run_job(plan | {"replay": {"beside": ["joint"]}, "method": start})
    with pytest.raises(TunesmithError, match="kept no held-out rows of an earlier instalment"):
        run_job(first["plan"] | {"replay": {"keep": 30, "beside": ["joint"]}, "run": str(tmp_path / "first")})
    moved = tmp_path / "version"
    shutil.copytree(first["folder"] / "one" / "model", moved)
    card = json.loads((moved / "tunesmith.json").read_text())
    card["plan"]["base"]["name"] = str(tmp_path / "gone")
    (moved / "tunesmith.json").write_text(json.dumps(card))
    with pytest.raises(TunesmithError, match=r"joint begins from the base that .*, and .*gone is not here"):
        run_job(plan | {"base": str(moved), "replay": {"beside": ["joint"]}, "run": str(tmp_path / "run")})
    card["plan"]["base"]["name"], card["base"]["digest"] = first["plan"]["base"], "0" * 64
    (moved / "tunesmith.json").write_text(json.dumps(card))
    with pytest.raises(TunesmithError, match="is no longer what it was then"):
        run_job(plan | {"base": str(moved), "replay": {"beside": ["joint"]}, "run": str(tmp_path / "run")})


@pytest.mark.parametrize("penalty", [{"name": "ewc", "strength": 1e5}, {"name": "distill", "share": 0.5}])
def test_penalties_on_old_knowledge_train_and_resume(penalty: dict[str, Any], first: dict[str, Any]) -> None:
    plan = second(first, f"penalty-{penalty['name']}", {**MORE, "leak": WORDS["leak"]}, penalties=[penalty])
    reply = run_job(plan)
    assert reply["status"] == "done" and run_job(plan)["status"] == "already_done"


def test_rows_that_are_judged_again_are_not_learnt_from(first: dict[str, Any]) -> None:
    held = earlier_in(first["folder"] / "one" / "model", "one").tests[0]
    plan = second(first, "leaky", {**MORE, "leak": WORDS["leak"]})
    path = first["folder"] / "new-leaky.csv"
    text = str(held[0].cells["text"])
    path.write_text(path.read_text() + f"{text},leak\n", encoding="utf-8")
    reply = run_job(plan)
    assert any("the held-out rows of instalment 1" in w for w in reply["warnings"])


def test_what_cannot_be_is_refused(first: dict[str, Any], tiny_bases: TinyBases) -> None:
    data = first["folder"] / "old.csv"
    plan = tree(tiny_bases["bert"], data, first["folder"] / "no") | {"replay": {"share": 0.2}}
    with pytest.raises(TunesmithError, match=r"kept no rows to replay.*replay\.file.*replay\.keep: 200"):
        run_job(plan)
    with pytest.raises(TunesmithError, match="has no effect without replay.share"):
        run_job(plan | {"replay": {"file": str(data)}})
    with pytest.raises(TunesmithError, match="distill has no teacher: base .* is not tuned"):
        run_job(tree(tiny_bases["bert"], data, first["folder"] / "n2") | {"penalties": ["distill"]})
    with pytest.raises(TunesmithError, match="there are no old rows to look at"):
        run_job(tree(tiny_bases["bert"], data, first["folder"] / "n3") | {"method": "full", "penalties": ["ewc"]})
    run_job(tree(tiny_bases["bert"], data, first["folder"] / "thin"))
    flows.register(first["folder"] / "thin", "thin")
    with pytest.raises(TunesmithError, match=r"thin@1 is an adapter.*tunesmith merge thin@1 --out"):
        run_job(second(first, "n4") | {"base": "thin@1"})


def test_a_version_remembers_its_parent(first: dict[str, Any]) -> None:
    run_job(second(first, "child", {**MORE, "leak": WORDS["leak"]}))
    version = flows.register(first["folder"] / "child", "tickets")
    assert version.lineage["parent"] == "tickets@1"


def test_the_measures_of_forgetting_are_their_formulas() -> None:
    assert forgetting([[0.9]]) == {"backward_transfer": None, "forgetting": None}
    found = forgetting([[0.9], [0.7, 0.8], [0.6, 0.9, 1.0]])
    assert found["backward_transfer"] == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)
    assert found["forgetting"] == pytest.approx(((0.9 - 0.6) + (0.8 - 0.9)) / 2)


def test_what_was_undefined_is_left_out_and_not_counted_as_nought() -> None:
    nan = float("nan")
    found = forgetting([[0.9], [0.7, nan], [0.6, 0.9, 1.0]])
    assert found["backward_transfer"] == pytest.approx(0.6 - 0.9), "nothing was known of the second when it was learnt"
    assert found["forgetting"] == pytest.approx(0.9 - 0.6)
    assert forgetting([[nan], [0.5, 0.5]]) == {"backward_transfer": None, "forgetting": None}


def test_pictures_are_kept_with_the_model_and_may_go_from_where_they_were(tmp_path: Path) -> None:
    base = pictures.make("resnet", tmp_path / "resnet")
    data = [pictures.shapes(tmp_path / name, each=each) for name, each in (("old", 6), ("new", 5))]
    plans = [
        {
            "task": "image", "base": str(base), "data": str(folder), "method": "full", "run": str(tmp_path / run),
            "evaluate": {"resamples": 100, "baselines": []}, "train": {"epochs": 1, "batch": 8, "lr": 0.01},
            "replay": {"keep": 6},
        }
        for folder, run in zip(data, ("one", "two"), strict=True)
    ]  # fmt: skip
    run_job(plans[0])
    kept = tmp_path / "one" / "model" / "instalments"
    cells = [json.loads(line) for line in (kept / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(cells) == 6 and all((kept / each["image"]).is_file() for each in cells)
    assert str(tmp_path) not in (kept / "rows.jsonl").read_text(encoding="utf-8"), "nobody learns where they lay"
    shutil.rmtree(data[0])
    (tmp_path / "one").rename(tmp_path / "moved")
    reply = run_job(plans[1] | {"base": str(tmp_path / "moved"), "replay": {"keep": 6, "share": 0.3},
                                "penalties": ["ewc"]})  # fmt: skip
    assert reply["equality"] == "bits"
    again = tmp_path / "two" / "model" / "instalments"
    rows = [json.loads(line)["image"] for line in (again / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 6 and {each["image"] for each in cells} & set(rows), "old ones stay among them"
    assert all((again / row).is_file() for row in rows)
    matrix = json.loads((tmp_path / "two" / "metrics.json").read_text())["instalments"]
    assert [len(line) for line in matrix["values"]] == [1, 2]


def test_the_plans_of_the_page_run(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "registry"))
    for seed, (name, words) in enumerate({"january": WORDS, "february": MORE, "tickets": WORDS}.items()):
        path = write(tmp_path / f"{name}.csv", words, rows=45, seed=seed)
        path.write_text(path.read_text(encoding="utf-8").replace("text,label", "text,failure"), encoding="utf-8")
    page = (Path(__file__).parents[2] / "docs" / "instalments.md").read_text(encoding="utf-8")
    january, february, beside_it, smaller = (yaml.safe_load(b.partition("```")[0]) for b in page.split("```yaml\n")[1:])
    usual = {"train": {"epochs": 1, "batch": 16, "lr": 0.005}, "evaluate": {"resamples": 100, "baselines": []}}
    run_job(usual | january | {"base": str(tiny_bases["bert"])})
    flows.register(Path(january["run"]), "tickets")
    assert beside_it | {"replay": february["replay"]} == february, "the same plan, with what it is compared with"
    run_job(usual | beside_it | {"run": "runs/large"})
    report = (tmp_path / "runs" / "large" / "report.html").read_text(encoding="utf-8")
    assert "What it still knows of earlier data" in report and "backward transfer" in report
    assert "This run minus" in report
    reply = run_job(usual | smaller | {"base": {"name": str(tiny_bases["bert"]), "layers": 1}, "run": "runs/small"})
    assert reply["parameters"]["total"] < json.loads(Path("runs/large/reply.json").read_text())["parameters"]["total"]


def test_rows_are_drawn_the_same_way_every_time() -> None:
    rows = small.records()
    assert drawn(rows, 4) == drawn(rows, 4) and len(drawn(rows, 4)) == 4 and drawn(rows, 99) == rows
