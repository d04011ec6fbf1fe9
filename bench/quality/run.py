"""Quality of every method on real data: `python bench/quality/run.py SET [METHOD …]`, results appended as JSON lines.

Sets: mwo (repeated stratified folds), banking77, sst2, goemotions, sts. A line that is already there is not measured
again, so the work can be cut off and continued; `python bench/quality/table.py` turns the lines into docs/results.md.
One thread and one process by default: run two sets side by side on two cores.
"""

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from sets import SETS, Split

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what is asked and not yet known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("methods", nargs="*", help="methods, all of the set's without them")
    parser.add_argument("--folds", type=int, default=None, help="mwo: number of (repeat, fold) pairs to run")
    parser.add_argument("--seeds", type=int, default=1, help="seeds on sets with a test file of their own")
    parser.add_argument("--rows", type=int, default=None, help="at most so many training rows (said in the table)")
    asked = parser.parse_args()
    about = SETS[asked.set]
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{asked.set}.jsonl"
    known = {key(json.loads(line)) for line in file.read_text().splitlines()} if file.is_file() else set()
    for split in about.splits(folds=asked.folds, seeds=asked.seeds, rows=asked.rows):
        for method in asked.methods or about.methods:
            line = {"set": asked.set, "method": method, "split": split.name, "rows": len(split.train)}
            if key(line) in known:
                continue
            line |= baseline(about, split, method) if method in BASELINES else fine_tuned(about, split, method)
            with file.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(f"{asked.set} {split.name} {method}: {line['metrics']} in {line['seconds']:.0f} s", flush=True)
    return 0


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two measurements the same."""
    return line["set"], line["method"], line["split"], line["rows"]


BASELINES = ("majority", "dictionary", "tfidf", "tfidf_svm", "probe")


def fine_tuned(about: Any, split: Split, method: str) -> dict[str, Any]:
    """Train on the split with the settings of the set; judge its test rows. Where the set has choices, one is made
    first, on the training rows alone."""
    if not about.choices:
        return trained(about.plan(method, split), split)
    began = time.process_time()
    inner = within(split)
    found = [trained(about.plan(method, inner, choice), inner)["metrics"]["accuracy"] for choice in about.choices]
    best = int(np.argmax(found))
    choosing = time.process_time() - began
    line = trained(about.plan(method, split, about.choices[best]), split)
    return line | {"choice": best, "inner": [round(float(f), 4) for f in found], "seconds_choosing": choosing}


def within(split: Split) -> Split:
    """A split of the training rows alone: every fourth row of each class, in their order, is judged on."""
    seen: dict[str, int] = {}
    learn, judged = list[Any](), list[Any]()
    for record in split.train:
        label = str(record.cells["label"])
        seen[label] = seen.get(label, 0) + 1
        (judged if seen[label] % 4 == 0 else learn).append(record)
    return Split(f"{split.name}, inside", learn, learn[::10], judged, split.seed)


def trained(asked: dict[str, Any], split: Split) -> dict[str, Any]:
    """Train a plan on the split; judge its test rows."""
    from tunesmith.bases.load import load_tokenizer
    from tunesmith.engine.network import count
    from tunesmith.evaluation.judge import Judge, answers_of
    from tunesmith.model import build
    from tunesmith.plan_text import make_plan
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop
    from tunesmith.work import decide

    plan = make_plan(asked)
    task, roles = plan.task, plan.task.roles()
    found = plan.base.found()
    tokenizer = load_tokenizer(found)
    split = taken_in(task, split)
    facts = task.study(split.train, roles)
    encoded = {n: task.encode(getattr(split, n), roles, tokenizer, facts) for n in ("train", "validation", "test")}
    model = build(plan, facts, found, tokenizer)
    judge = Judge(plan, facts)
    held = encoded["validation"]
    job = Job(model, encoded["train"], held, lambda lo: judge.quick(lo, held), Path(), save=False)
    state = Loop(job).run()
    model = decide(model, encoded["validation"])
    answers = answers_of(task, model.outputs(encoded["test"]), encoded["test"], model.facts)
    return {
        "metrics": Judge(plan, model.facts).quick(model.outputs(encoded["test"]), encoded["test"]),
        "intervals": Judge(plan, model.facts).full(answers),
        **stored(answers),
        "seconds": state.cpu_seconds,
        "best_step": state.best_step,
        "steps": state.step,
        "parameters": count(model.net.train()),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lr": model.learning_rate,
    }


def baseline(about: Any, split: Split, name: str) -> dict[str, Any]:
    """A baseline on the same rows."""
    from tunesmith.evaluation.baselines import majority, tfidf
    from tunesmith.evaluation.compared import texts_of
    from tunesmith.evaluation.judge import Judge
    from tunesmith.metrics import Answers
    from tunesmith.plan_text import make_plan

    plan = make_plan(about.plan("head", split))
    task, roles = plan.task, plan.task.roles()
    if task.kind == "tags":
        return of_words(plan, taken_in(task, split), name)
    facts = task.study(split.train, roles)
    train, test = (truth_of(task, rows, roles, facts) for rows in (split.train, split.test))
    texts = [texts_of(rows, roles) for rows in (split.train, split.test)]
    began = time.process_time()
    if name == "tfidf_svm":
        predicted, scores = svm(texts[0], train, texts[1]), None
    elif name == "majority":
        made = majority(train, len(test), task.kind, len(facts.labels))
        predicted, scores = made.predicted, made.scores
    else:
        made = tfidf(texts[0], train, texts[1], task.kind, len(facts.labels))
        predicted, scores = made.predicted, made.scores
    seconds = time.process_time() - began
    answers = Answers(task.kind, test, predicted, scores, facts.labels)
    names = [m for m in plan.metric_names if scores is not None or m not in ("log_loss", "ece", "roc_auc")]
    judge = Judge(
        plan.model_copy(update={"evaluate": plan.evaluate.model_copy(update={"metrics": tuple(names)})}), facts
    )
    found = judge.full(answers)
    return {
        "metrics": {n: v["value"] for n, v in found.items()}, "intervals": found, "predicted": compact(predicted),
        "truth": compact(test), "seconds": seconds,
    }  # fmt: skip


def taken_in(task: Any, split: Split) -> Split:
    """The rows as the task reads them."""
    train, validation, test = (list(task.taken_in(rows)) for rows in (split.train, split.validation, split.test))
    return replace(split, train=train, validation=validation, test=test)


def of_words(plan: Any, split: Split, name: str) -> dict[str, Any]:
    """The most frequent tag, of all words or of each."""
    from tunesmith.evaluation.baselines import dictionary, majority
    from tunesmith.evaluation.judge import Judge
    from tunesmith.metrics import Answers
    from tunesmith.tasks.tag import words_of

    facts = plan.task.study(split.train, plan.task.roles())
    train, test = (words_of(rows, facts.labels, labelled=True) for rows in (split.train, split.test))
    assert train.tags is not None and test.tags is not None
    began = time.process_time()
    if name == "majority":
        made = majority(train.tags, len(test), "tags", len(facts.labels))
    else:
        made = dictionary(train.said(), train.tags, test.said())
    seconds = time.process_time() - began
    answers = Answers("tags", test.tags, made.predicted, None, facts.labels + test.strange, words=test)
    found = Judge(plan, facts).full(answers)
    metrics = {n: v["value"] for n, v in found.items()}
    return {"metrics": metrics, "intervals": found, **stored(answers), "seconds": seconds}


def stored(answers: Any) -> dict[str, Any]:
    """Truth and predictions that a paired test can be made from; of tags those that are not O, by their word."""
    if answers.words is None:
        return {"predicted": compact(answers.predicted), "truth": compact(answers.truth)}
    sides = {"predicted": answers.predicted, "truth": answers.truth}
    found = {name: [[int(i), int(tags[i])] for i in np.flatnonzero(tags)] for name, tags in sides.items()}
    return found | {"words": answers.words.counts.tolist(), "labels": list(answers.labels)}


def truth_of(task: Any, rows: Any, roles: Any, facts: Any) -> np.ndarray:
    """Targets without tokenising."""

    class NoTokens:
        pad_token_id = eos_token_id = 0

        def __call__(self, first: list[str], *rest: Any, **more: Any) -> dict[str, Any]:
            return {"input_ids": [[0]] * len(first)}

    truth: np.ndarray = task.truth(task.encode(rows, roles, NoTokens(), facts), facts)
    return truth


def svm(train: list[str], truth: np.ndarray, test: list[str]) -> np.ndarray:
    """Word 1-2 and character 1-5 TF-IDF with a linear SVM: the classical answer to small text data."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
    line = make_pipeline(make_union(words, letters), LinearSVC(C=1.0, random_state=0)).fit(train, truth)
    found: np.ndarray = line.predict(test)
    return found


def compact(values: np.ndarray) -> list[Any]:
    """Predictions that a paired test can be made from; multilabel rows as lists of label numbers."""
    if values.ndim == 2:
        return [[int(c) for c in np.flatnonzero(row)] for row in values]
    return [round(float(v), 4) if values.dtype.kind == "f" else int(v) for v in values]


if __name__ == "__main__":
    sys.exit(main())
