"""What perturbed texts cost: the metrics of the same model on the same rows, mistyped, in capitals, cut short.

    judged rows -> a perturbed copy -> the plan's rewriting steps -> answers, judged as the clean ones were
                                                                       |
                                        perturbed minus clean, by the paired bootstrap, Holm over all perturbations

A perturbed text goes through the steps that rewrite every row (`clean`, `urls` …), because in use it would.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.data import Record
from tunesmith.data.ledger import Ledger
from tunesmith.evaluation.compared import corrected, paired
from tunesmith.evaluation.judge import Judge, answers_of
from tunesmith.metrics import METRICS, Answers
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.steps._perturbing import Perturbation
from tunesmith.steps._rewriting import Rewriting


def copies(plan: Plan, records: Sequence[Record]) -> Iterator[tuple[Perturbation, Sequence[Record], int]]:
    """(perturbation, the labelled rows as it makes them, how many of them changed), in the order of the plan."""
    roles, seed = plan.task.roles(), plan.train.seed
    for each in plan.evaluate.perturbations(plan.task.kind):
        rows, changed = each.applied(records, roles, seed)
        for step in plan.steps if changed else ():
            if isinstance(step, Rewriting):
                rows = step.run(rows, roles, Ledger(), seed)
        yield each, rows, changed


def answered(model: Model, records: Sequence[Record]) -> Answers:
    """What a model answers to labelled rows, beside the truth."""
    encoded = model.encode(records, model.plan.task.roles())
    return answers_of(model.plan.task, model.outputs(encoded), encoded, model.facts)


def measured(
    model: Model, records: Sequence[Record], clean: Answers, split: str, progress: Progress
) -> dict[str, Any]:  # fmt: skip
    """For metrics.json: {split, rows, metric, perturbations: {label: {name, degree, rows_changed, metrics, difference,
    p, p_holm}}, worst}; of one that changes no text {name, degree, skipped}. `clean` are the answers to the rows as
    they are; the difference is perturbed minus clean, on the plan's first metric."""
    by, found, tests = Judge(model.plan, model.facts), dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
    for each, rows, changed in copies(model.plan, records):
        found[each.label] = {"name": each.name, "degree": each.degree}
        if not changed:
            found[each.label]["skipped"] = "it changes no text of these rows"
            continue
        progress.say(f"judging: the same rows, {each.label}")
        answers = answered(model, rows)
        test = paired(by, answers, {"clean": clean}, split)["clean"]
        tests[each.label] = {"difference": test["difference"], "p": test["p"]}
        found[each.label] |= {"rows_changed": changed, "metrics": by.full(answers)}
    for label, test in corrected(tests).items():
        found[label] |= test
    metric = model.plan.metric_names[0]
    told = {"split": split, "rows": len(records), "metric": metric, "perturbations": found}
    return told | {"worst": worst(found, metric, model.plan.evaluate.level)}


def worst(found: Mapping[str, Mapping[str, Any]], metric: str, level: float) -> dict[str, Any] | None:
    """{perturbation, beyond_chance} of the one that costs most; None where none costs anything."""
    sign = -1 if METRICS.find(metric).better == "higher" else 1
    costs = {label: sign * each["difference"]["value"] for label, each in found.items()
             if each.get("difference") and each["difference"]["value"] is not None}  # fmt: skip
    label = max(costs, key=lambda name: costs[name], default=None)
    if label is None or costs[label] <= 0:
        return None
    p = found[label].get("p_holm")
    return {"perturbation": label, "beyond_chance": p is not None and p < 1 - level}


def sentence(card: Mapping[str, Any]) -> str:
    """Which perturbation costs most, and whether beyond chance."""
    told = card["worst"]
    tried = sum("skipped" not in each for each in card["perturbations"].values())
    if told is None:
        return "None of the perturbations costs anything." if tried else "No perturbation changes a text of these rows."
    cost = abs(card["perturbations"][told["perturbation"]]["difference"]["value"])
    chance = "beyond chance" if told["beyond_chance"] else "which may be chance"
    return f"{told['perturbation']} costs most: {cost:.3f} of {card['metric']}, {chance} ({tried} tests, corrected)."
