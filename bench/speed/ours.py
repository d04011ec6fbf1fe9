"""Our side of a job, through the objects that the product itself uses: plan, model, loop, `Model.logits`."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from limit import forward_flops
from meter import Laps, Meter

if TYPE_CHECKING:
    from tunesmith.bases.find import Found
    from tunesmith.model import Model
    from tunesmith.plan import Plan
    from tunesmith.tasks import Encoded, Facts


@dataclass
class Ready:
    """What does not depend on the configuration: rows as tokens."""

    base: "Found"
    tokenizer: Any
    facts: "Facts"
    learn: "Encoded"
    test: "Encoded"
    few: "Encoded"
    """Two rows for the evaluation that the loop always ends with: peers do not evaluate, so ours may not cost."""


def train(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """One fine-tuning run; what it cost, and how good the result is on the held-out rows."""
    plan, meter = _plan(ask, {}), Meter()
    ready = _ready(ask, plan, laps)
    model, about = _run(plan, ready, ask["lr"], laps, meter)
    lengths = [int(count) for count in ready.learn.lengths]
    about |= {"accuracy": _accuracy(model, ready), "forward_flops": forward_flops(lengths, model.base.config)}
    laps.lap("judge")
    return about | meter.told() | {"tokens": sum(lengths)}


def search(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Every configuration in this one process, so that whatever the engine keeps is shared."""
    meter, found = Meter(), []
    ready = _ready(ask, _plan(ask, ask["varied"][0]), laps)
    for varied in ask["varied"]:
        model, about = _run(_plan(ask, varied), ready, varied["lr"], laps, meter)
        found.append(about | {"accuracy": _accuracy(model, ready)})
        laps.lap("judge")
    accuracies = [each["accuracy"] for each in found]
    same: dict[str, Any] = found[ask["main"]]
    return same | meter.told() | {"accuracies": accuracies, "runs": len(found), "steps": sum(f["steps"] for f in found)}


def predict(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Labels for all held-out texts, tokenisation included. The head is untrained: that changes no time."""
    plan, meter = _plan(ask, {}), Meter()
    ready = _ready(ask, plan, laps)
    model = _built(plan, ready)
    roles = plan.task.roles(labelled=False)
    records = _records(ask["rows"]["test"])
    laps.lap("load")
    model.outputs(model.encode(records[:8], roles))
    laps.lap("warm up")
    with meter:
        logits_NC = model.outputs(model.encode(records, roles))
    laps.lap("predict")
    return meter.told() | {"texts": len(records), "predicted": [int(i) for i in logits_NC.argmax(-1)], **_told(model)}


def _plan(ask: dict[str, Any], varied: dict[str, Any]) -> "Plan":
    from tunesmith.plan import Plan
    from tunesmith.plan_text import make_plan

    tree = ask["plan"] | {"method": ask["plan"]["method"] | varied.get("method", {})}
    if "lr" in varied:
        tree["train"] = tree["train"] | {"lr": varied["lr"]}
    if "engine" in Plan.model_fields and ask["options"]:
        tree["engine"] = ask["options"]
    return make_plan(tree)


def _ready(ask: dict[str, Any], plan: "Plan", laps: Laps) -> Ready:
    import accelerate  # noqa: F401  # what the loop imports late is paid here, as Trainer's own imports are
    import torch  # noqa: F401
    from transformers import AutoModelForSequenceClassification  # noqa: F401

    import tunesmith.training.loop  # noqa: F401
    from tunesmith.bases.load import load_tokenizer

    laps.lap("import")
    base = plan.base.found()
    tokenizer = load_tokenizer(base)
    laps.lap("load")
    roles = plan.task.roles()
    learn, test = _records(ask["rows"]["train"]), _records(ask["rows"]["test"])
    facts = plan.task.study(learn, roles)
    encoded = [plan.task.encode(rows, roles, tokenizer, facts) for rows in (learn, test, learn[:2])]
    laps.lap("tokenise")
    return Ready(base, tokenizer, facts, *encoded)


def _records(pairs: list[list[str]]) -> list[Any]:
    from tunesmith.data import Record

    return [Record(i, "rows", i + 1, i + 1, {"text": text, "label": label}) for i, (text, label) in enumerate(pairs)]


def _built(plan: "Plan", ready: Ready) -> "Model":
    from tunesmith.model import build

    return build(plan, ready.facts, ready.base, ready.tokenizer)


def _run(plan: "Plan", ready: Ready, rate: float, laps: Laps, meter: Meter) -> tuple["Model", dict[str, Any]]:
    """Build (not metered) and train (metered, everything that the engine prepares for itself included)."""
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    model = _built(plan, ready)
    assert abs(model.learning_rate / rate - 1) < 1e-9, f"ours trains with {model.learning_rate}, peers with {rate}"
    job = Job(
        model, ready.learn, ready.few, lambda _: dict.fromkeys(plan.metric_names, 0.0), Path(mkdtemp()), save=False
    )
    laps.lap("load")
    with meter:
        state = Loop(job).run()
    laps.lap("train")
    return model, {"steps": state.step, "lr": rate, **_told(model)}


def _told(model: "Model") -> dict[str, Any]:
    from tunesmith.engine.network import count
    from tunesmith.engine.precision import choose

    engine = getattr(model.plan, "engine", None)
    counts = count(model.net)
    return {
        "trainable": counts["trainable"], "total": counts["total"], "precision": choose(model.plan.train.precision),
        "engine": None if engine is None else engine.model_dump(mode="json"),
    }  # fmt: skip


def _accuracy(model: "Model", ready: Ready) -> float:
    predicted = model.outputs(ready.test).argmax(-1)
    return float((predicted == ready.test.targets).mean())
