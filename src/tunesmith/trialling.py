"""Trial: does it help to make training rows? The plan with and without the steps that do, over several seeds.

    seed s:  one split  ->  without: trained, asked          the same held-out rows, in the same order
                        ->  with:    trained, asked          (each: every step alone, too)

Each run leaves its answers in a folder of its own, so that a killed trial goes on where it was. Nothing is proven and
no model is kept: a trial answers one question.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.bases.find import Found
from tunesmith.data import Record
from tunesmith.data.record import MADE
from tunesmith.data.rows import ids
from tunesmith.earlier import earlier_in
from tunesmith.errors import TunesmithError
from tunesmith.evaluation.helping import CLEAN, Answered, Asked, judged, perturbed, sentence
from tunesmith.evaluation.judge import answers_of, better
from tunesmith.evaluation.robustness import copies
from tunesmith.files import read_json, replacing, write_json
from tunesmith.metrics import Answers
from tunesmith.model import Model
from tunesmith.plan import Plan
from tunesmith.plan_rules import objections
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.run import Run
from tunesmith.steps import STEPS
from tunesmith.steps._making import Making
from tunesmith.tasks import Array, Facts

WITHOUT, WITH = "without", "with"
DONE = "trial.json"


@dataclass(frozen=True)
class Trial:
    """What is tried, and where it is kept."""

    plan: Plan
    found: Found
    folder: Path
    seeds: int
    arms: Mapping[str, Plan]

    @property
    def runs(self) -> Iterator[tuple[int, str]]:
        """(seed, arm) in the order in which they are made: a seed is whole before the next begins."""
        return ((self.plan.train.seed + i, arm) for i in range(self.seeds) for arm in self.arms)

    def at(self, seed: int, arm: str) -> Path:
        """The folder of a run."""
        return self.folder / f"seed-{seed}" / arm

    def of(self, seed: int, arm: str) -> Plan:
        """The plan of a run."""
        plan = self.arms[arm]
        return plan.model_copy(update={"train": plan.train.model_copy(update={"seed": seed})})


def arms_of(plan: Plan, rows: int | None, each: bool) -> dict[str, Plan]:
    """{without, with, and with `each` every step alone}; with so many training rows. Raises TunesmithError where no
    step makes rows, or an arm is no plan."""
    own, all_names = _making(plan), [step.name for step in plan.steps]
    if not own:
        known = ", ".join(name for name in STEPS.names() if issubclass(STEPS.find(name), Making))
        raise TunesmithError(
            "steps: none of them makes training rows, so there is nothing to try. The plan has "
            f"{', '.join(all_names) or 'none'}. Add one of {known}, such as steps=[{', '.join([*all_names, 'eda'])}]"
        )
    if plan.task.kind == "several":
        raise TunesmithError(f"task: {plan.task.name} has an answer for each of several tasks. Try each task by itself")
    kept: dict[str, set[str]] = {WITHOUT: set(), WITH: set(own)}
    if each and len(own) > 1:
        kept |= {name: {name} for name in own}
    arms = {}
    for arm, names in kept.items():
        steps = list(plan.steps)
        if rows is not None:
            steps.insert(all_names.index(own[0]), STEPS.find("sample").model_validate({"rows": rows}))
        chosen = tuple(s for s in steps if not isinstance(s, Making) or s.name in names)
        arms[arm] = plan.model_copy(update={"steps": chosen})
        if found := objections(arms[arm]):
            raise TunesmithError(f"the plan {arm} {'these steps' if arm == WITH else 'them'}: {'; '.join(found)}")
    return arms


def _making(plan: Plan) -> list[str]:
    """Names of the steps that make rows."""
    return [step.name for step in plan.steps if isinstance(step, Making)]


def carry_out(trial: Trial, progress: Progress, stop: Stop) -> dict[str, Any]:
    """Make the runs that are not made yet, and say what all of them say: the reply of `data trial`."""
    warnings = _made(trial, progress, stop)
    plan, seeds = trial.plan, [trial.plan.train.seed + i for i in range(trial.seeds)]
    asked = Asked(metric=plan.metric_names[0], resamples=plan.evaluate.resamples, seed=plan.train.seed,
                  level=plan.evaluate.level)  # fmt: skip
    progress.say("trial: comparing")
    found = [answered(trial, seed, progress) for seed in seeds]
    arms = judged(found, asked)
    about = {arm: [read_json(trial.at(seed, arm) / DONE) for seed in seeds] for arm in arms}
    for arm, told in arms.items():
        told |= {"steps": _making(trial.arms[arm]), "made": [each["made"] for each in about[arm]]}
    rows = {"train": [each["train"] for each in about[WITHOUT]], "judged": [len(each.rows) for each in found]}
    reply = {
        "folder": str(trial.folder), "metric": asked.metric, "better": better([asked.metric])[asked.metric],
        "level": asked.level, "split": found[0].split, "seeds": seeds, "rows": rows, "arms": arms,
        "said": [sentence(arm, told, arms[WITHOUT], asked) for arm, told in arms.items() if arm != WITHOUT],
        "robustness": perturbed(found, asked), "warnings": warnings,
    }  # fmt: skip
    write_json(trial.folder / "reply.json", reply)
    return reply


def _made(trial: Trial, progress: Progress, stop: Stop) -> list[str]:
    """Make what is not made yet; returns all warnings."""
    runs, warnings = list(trial.runs), dict[str, None]()
    for number, (seed, arm) in enumerate(runs):
        folder = trial.at(seed, arm)
        if not (folder / DONE).is_file():
            stop.check(f"after {number} of {len(runs)} runs")
            progress.say(f"trial: run {number + 1} of {len(runs)}: seed {seed}, {arm}{_left(trial, runs, number)}")
            _run(trial, seed, arm, progress, stop)
        told = read_json(folder / DONE)
        first = read_json(trial.at(seed, WITHOUT) / DONE)
        if told["held_out"] != first["held_out"]:
            raise TunesmithError(f"trial: seed {seed}: {arm} was judged on other rows than {WITHOUT}. A step changes "
                                 "held-out rows: which? Try the steps one by one with --each")  # fmt: skip
        warnings |= dict.fromkeys(told["warnings"])
    return list(warnings)


def _left(trial: Trial, runs: Sequence[tuple[int, str]], number: int) -> str:
    """How long the runs before took says how long the rest will."""
    took = [read_json(f)["seconds"] for run in runs if (f := trial.at(*run) / DONE).is_file()]
    if not took:
        return ""
    seconds = sum(took) / len(took) * (len(runs) - number)
    return f"; about {seconds / 60:.0f} min left" if seconds > 90 else f"; about {seconds:.0f} s left"


def _run(trial: Trial, seed: int, arm: str, progress: Progress, stop: Stop) -> None:
    """Train one arm with one seed and keep what it answers."""
    from tunesmith.job import begin, learn
    from tunesmith.work import Work, decide

    began, run = time.monotonic(), Run(trial.at(seed, arm))
    before = earlier_in(trial.found.folder, trial.found.name)
    prepared = prepare(trial.of(seed, arm), progress, before)
    made = _refuse_leaks(prepared)
    work = Work(run, prepared, trial.found, progress, stop, began, list(prepared.notes), before)
    model, encoded = begin(work)
    learn(work, model, encoded)
    model = decide(model, encoded["validation"])
    split = _judged(prepared)
    _keep(run.file("answers.npz"), model, prepared.splits[split], encoded[split])
    write_json(run.file("facts.json"), model.facts.model_dump(mode="json"))
    about = {"held_out": _digests(prepared), "train": len(prepared.splits["train"]) - made, "made": made,
             "split": split, "seconds": time.monotonic() - began, "warnings": work.warnings}  # fmt: skip
    write_json(run.file(DONE), about)
    shutil.rmtree(run.file("checkpoints"), ignore_errors=True)


def _keep(file: Path, model: Model, records: Sequence[Record], encoded: Any) -> None:
    """What the network says of the judged rows, and of their perturbed copies where the plan asks for them."""
    said: dict[str, Any] = {CLEAN: model.outputs(encoded)}
    for each, rows, changed in copies(model.plan, records):
        if changed:
            said[each.label] = model.outputs(model.encode(rows, model.plan.task.roles()))
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **said)


def _judged(prepared: Prepared) -> str:
    return "test" if "test" in prepared.splits else "validation"


def _refuse_leaks(prepared: Prepared) -> int:
    """How many rows were made; each of a training row, and none of them is held out."""
    strange = [r.place for name, rows in prepared.splits.items() if name != "train" for r in rows if MADE in r.cells]
    made = [r for r in prepared.splits["train"] if MADE in r.cells]
    strange += [r.place for r in made if prepared.ledger.split(r.id) != "train"]
    if strange:
        raise TunesmithError(f"trial: {len(strange)} rows were made of rows that are held out, such as {strange[0]}. A "
                             "step reaches beyond the training rows: take it out")  # fmt: skip
    return len(made)


def _digests(prepared: Prepared) -> dict[str, str]:
    """What is held out, split by split: rows, their order and their cells."""
    found = {}
    for name, rows in prepared.splits.items():
        if name != "train":
            digest = blake2b(digest_size=16)
            for record in rows:
                digest.update(f"{record.id}\0{sorted(record.cells.items())!r}\0".encode("utf-8", "surrogatepass"))
            found[name] = digest.hexdigest()
    return found


def answered(trial: Trial, seed: int, progress: Progress) -> Answered:
    """The answers of all arms of a seed, made anew of what each run kept."""
    plan = trial.of(seed, WITHOUT)
    prepared = prepare(plan, progress, earlier_in(trial.found.folder, trial.found.name), learn=False)
    plan, split = prepared.plan, _judged(prepared)
    if _digests(prepared) != read_json(trial.at(seed, WITHOUT) / DONE)["held_out"]:
        raise TunesmithError(f"trial: the held-out rows of seed {seed} are not those of {trial.at(seed, WITHOUT)}")
    versions = {CLEAN: prepared.splits[split]} | {
        p.label: rows for p, rows, n in copies(plan, prepared.splits[split]) if n
    }
    tokenizer, roles = plan.task.processor(trial.found), plan.task.roles()
    found = Answered(split, np.empty(0, np.int64))
    for arm in trial.arms:
        folder = trial.at(seed, arm)
        facts = Facts.model_validate(read_json(folder / "facts.json"))
        with np.load(folder / "answers.npz", allow_pickle=False) as said:
            outputs: dict[str, Array] = {name: said[name] for name in said.files}
        encoded = {name: plan.task.encode(rows, roles, tokenizer, facts) for name, rows in versions.items()}
        found.answers[arm] = {n: answers_of(plan.task, outputs[n], e, facts) for n, e in encoded.items()}
    found.rows = _rows_of(found.answers[WITHOUT][CLEAN], prepared.splits[split])
    return found


def _rows_of(answers: Answers, records: Sequence[Record]) -> NDArray[np.int64]:
    """Ids of rows; where rows depend on each other (candidates of a question), the first id of those."""
    known = ids(records)
    if answers.rows != len(known):
        raise TunesmithError("trial: an answer of this task is not one of a row, and rows are what is compared")
    if answers.groups is None:
        return known
    _, group = np.unique(answers.groups, return_inverse=True)
    first = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, group, known)
    return first[group]
