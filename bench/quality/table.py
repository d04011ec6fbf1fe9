"""Turn the measured lines into docs/results.md: `python bench/quality/table.py`.

Repeated folds: mean over folds with a corrected interval, and the corrected resampled t-test against TF-IDF with a
linear SVM on the same folds (Nadeau & Bengio 2003). Own test files: bootstrap interval over rows and a paired
bootstrap against TF-IDF with logistic regression. Nothing is written here that is not in results/*.jsonl.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from sets import LAST, SETS

from tunesmith.data.words import Words
from tunesmith.evaluation.significance import corrected_t, holm, paired_bootstrap, paired_permutation
from tunesmith.metrics import METRICS, Answers

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "results.md"
TITLES = {
    "mwo": ("mwo_failure_mode", "626 maintenance work orders, 22 failure modes, repeated stratified 5-fold"),
    "mwo_mean": ("mwo_failure_mode, mean pooling", "the same folds; the head reads means (`pool: mean`)"),
    "mwo_chosen": (
        "mwo_failure_mode, settings chosen inside the folds",
        "the same folds; top 3 blocks, mean pooling, 25 epochs; label smoothing (0 or 0.1) chosen in each fold by a "
        "quarter of its own training rows",
    ),
    "mwo_shipped": ("mwo_failure_mode, shipped split", "564 rows to learn from, the 62 shipped test rows"),
    "banking77": ("banking77", "77 intents, its own test file of 3,080 rows"),
    "sst2": ("sst2", "sentence sentiment, its own test file of 1,821 rows"),
    "sizes": (
        "sst2, by the number of rows",
        "at least 64 steps of 32 rows whatever the number of rows, judged on the first 800 test rows; an interval counts "
        "these rows and not which ones were learnt from",
    ),
    "goemotions": ("goemotions", "28 emotions, several a row, its own test file of 5,427 rows"),
    "wnut17": (
        "wnut17",
        "new names in noisy text, 6 types: learnt from 2017's training tweets, tested on its 1,287 later texts; an "
        "answer is right where both its ends and its type are",
    ),
    "mwo_ner": (
        "mwo_ner",
        "maintenance work orders, 14 types of spans, its own test file of 401; where its two annotators differ, "
        "the longer mark counts",
    ),
    "sts": ("STS", "similarity of sentence pairs: learnt from SemEval 2012 to 2014, tested on 2015 and 2016"),
}
VECTORS = {
    "cranfield": ("Cranfield, retrieval", "1,400 abstracts of aerodynamics; three fifths of 225 queries with their "
                  "relevance to learn from, a tenth to pick the epoch, the rest to judge on, over all abstracts (their first 64 "
                  "tokens; BM25 reads them whole). With 135 queries to learn from, the tuned model is ahead of both, and "
                  "by less than 68 queries can tell apart",
                  ("ndcg_at_10", "map", "mrr_at_10", "recall_at_10")),
    "sts_embed": ("STS, vectors", "cosine of vectors (task `embed`, loss cosent) against scores: learnt from SemEval 2012 "
                  "to 2014, tested on 2015 and 2016", ("spearman", "pearson")),
}  # fmt: skip
"""Whole runs of `retrieval.py`."""
SPANS = ("wnut17", "mwo_ner")
MAIN = {
    **dict.fromkeys(SPANS, ("span_f1", "span_macro_f1")),
    "goemotions": ("macro_f1", "micro_f1"),
    "sts": ("spearman", "pearson"),
}
FOLDED = ("mwo", "mwo_mean", "mwo_chosen")
"""Sets without a test file worth the name: their lines are folds."""
ALL_FOLDS = 25
BASELINES = ("majority", "dictionary", "tfidf", "tfidf_svm")


def main() -> None:
    """Write the page."""
    parts = [HEAD, overview()]
    for name in TITLES:
        file = HERE / "results" / f"{name}.jsonl"
        if file.is_file():
            parts.append(section(name, [json.loads(line) for line in file.read_text().splitlines()]))
    for name in VECTORS:
        file = HERE / "results" / f"{name}.jsonl"
        if file.is_file():
            parts.append(vectors(name, [json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "domain.jsonl").is_file():
        parts.append(domains([json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "instalments.jsonl").is_file():
        parts.append(instalments([json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "brands.jsonl").is_file():
        parts.append(cameras([json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "several.jsonl").is_file():
        parts.append(several([json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "packing.jsonl").is_file():
        parts.append(packing([json.loads(line) for line in file.read_text().splitlines()]))
    if (file := HERE / "results" / "augment.jsonl").is_file():
        parts.append(augmentation([json.loads(line) for line in file.read_text().splitlines()]))
    PAGE.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    print(f"{PAGE.name}: {len(parts) - 2} data sets")


HEAD = """# Results on real data

Written by `python bench/quality/table.py` from the lines in `bench/quality/results/`, which
`python bench/quality/run.py SET` measures and appends. Base: `minilm` (22.7 M parameters). Methods run with their
default settings and learning rates, unless a section says that settings were chosen inside the folds; a tenth of the
training rows picks the epoch. Times are CPU
seconds of training on one core of a shared AMD EPYC (AVX2); read them as ratios. "trained" leaves nothing out: it is
the share of all parameters that move, head included.

Not measured yet: the full training files of sst2, STS and goemotions (the "rows" column says how many rows were learnt
from). The lines are appended by running the same commands again. Each line but those of folds is one seed:
its interval counts the test rows, and not which rows, order and head were drawn. Images (MNIST digits) and their captions
are measured on the pages of their tasks: [image](tasks/image.md#measured), [image_text](tasks/image_text.md#measured).

## The main job, resuming, speed of the commands

Two cores (AMD EPYC, AVX2), November 2026:

- `make demo` on the bundled tickets (upper four blocks of `minilm`, seven epochs): 150 s of training, 178 s in all
  after set-up on an idle machine (343 s beside two benchmarks), 1,139 MB at most. Accuracy on 210 held-out rows 0.914
  [0.876, 0.948], TF-IDF 0.862 [0.814, 0.905]; macro F1 0.869 against 0.775, paired bootstrap p = 0.07.
- `kill -9` at 200 random moments of a run that saves every step (`make test-faults`): 200 of 200 went on by
  themselves and ended with the same weights, golden batch and journal, bit for bit (519 s).
- Contract matrix, 12 methods x 3 tasks x 7 architectures (`make test-slow`): 240 hold, 12 are refused by name
  (bitfit and its mix on Llama, prefix on DistilBERT and DeBERTa).
- `tunesmith --help`: 0.06 s of CPU, 0.17 s wall; a typo in a plan is answered after 0.63 to 0.91 s (twelve runs). No torch is
  imported for either.
"""


MEMORY = {
    "full": "full", "head": "head", LAST: LAST, "layers": "layers (top 2)", "lora": "lora r8, all", "adapter": "adapter (houlsby, 16)",
    "prefix": "prefix 20", "ptuning": "p-tuning 20", "prompt": "prompt 20", "bitfit": "bitfit", "ia3": "ia3",
}  # fmt: skip


def overview() -> str:
    """The table of methods as handbooks have it, but measured: share, quality, memory, time, when to prefer."""
    from tunesmith.methods import METHODS

    memory = json.loads((HERE.parent / "claims.json").read_text(encoding="utf-8"))["memory"]
    file = HERE / "results" / "mwo.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    rows = ["## Methods at a glance\n", "Accuracy on mwo_failure_mode (below, with intervals), memory and CPU time of one step "
            "of 32 rows of 64 tokens (docs/handbook-claims.md).\n",
            "| method | trained, head included | accuracy | memory of a step, MB | CPU s of a step | prefer it when |",
            "|" + " --- |" * 6]  # fmt: skip
    beside = {"head": [LAST]}
    for name in [each for known in METHODS.names() for each in (known, *beside.get(known, ()))]:
        own = [line for line in lines if line["method"] == name]
        values = [line["metrics"]["accuracy"] for line in own]
        share = f"{own[0]['parameters']['trainable'] / own[0]['parameters']['total']:.2%}" if own else "not measured"
        quality = f"{np.mean(values):.3f} ({len(values)} folds)" if values else "not measured"
        step = memory.get(MEMORY.get(name, ""))
        cost = f"{step['mb']:.0f} | {step['seconds']:.2f}" if step else "not measured | not measured"
        rows.append(f"| {name} | {share} | {quality} | {cost} | {METHODS.find(name.split(',')[0]).prefer} |")
    return "\n".join(rows)


def vectors(name: str, lines: list[dict[str, Any]]) -> str:
    """One data set of whole runs: each method, and what stood beside it, with paired tests."""
    title, told, metrics = VECTORS[name]
    out = [f"\n## {title}\n\n{told[0].upper()}{told[1:]}. Intervals over queries or pairs; paired bootstrap.\n",
           f"| what | {' | '.join(metrics)} | tuned minus this | p | trained | CPU s |", "|" + " --- |" * (len(metrics) + 5)]  # fmt: skip

    def cells(found: dict[str, Any]) -> str:
        shown = ("{value:.3f} [{low:.3f}, {high:.3f}]".format(**found[m]) for m in metrics)
        return " | ".join(shown)

    for line in lines:
        share = line["parameters"]["trainable"] / line["parameters"]["total"]
        out.append(
            f"| {line['method']}, {line['rows']} rows | {cells(line['metrics'])} | | | {share:.1%} | {line['seconds']:.0f} |"
        )
        for baseline, found in line["baselines"].items():
            test = line["paired"][baseline]
            apart = "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**test["difference"])
            out.append(f"| {baseline} | {cells(found)} | {apart} | {test['p']:.3f} | | |")
    return "\n".join(out)


DOMAINS = """
## Films to tweets

Task `domain`: 300 film reviews of sst2 (good, bad) are the source, tweets of tweeteval/emotion the target (joy and
optimism good, anger and sadness bad). Every arm learns for as many steps of 32 rows, with the two highest blocks; "mix" has
100 tweets with a label among them, 3 in 10 rows of a step, the others 300 tweets without one. Judged on 700 tweets, by seeds
that draw the rows, too; against the source alone: paired t-test over seeds, uncorrected for the number of arms. Distance:
proxy A-distance between held-out films and tweets, before training and after. Measured by `python bench/quality/domain.py`.
"""


PRETRAINED = """
"pretrained" is the source alone on a base that first read 3,000 of the tweets with words hidden (task `masked`, a new head,
one epoch of full tuning); its head reads means, as that of "source alone, means" does, and it is compared with that.
"""


def domains(lines: list[dict[str, Any]]) -> str:
    """Arms of `domain.py`: means over seeds, each seed paired with the source alone."""
    from scipy.stats import ttest_rel

    arms: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        arms.setdefault(line["arm"], {})[line["seed"]] = line
    head = (
        "| arm | macro F1 | accuracy | macro F1 by seed | against source alone | p | distance before | after | seeds |"
    )
    out = [DOMAINS + PRETRAINED * ("pretrained" in arms), head, "|" + " --- |" * 9]
    for arm, found in arms.items():
        alone = arms.get("source alone, means" if arm == "pretrained" else "source alone", {})
        both = [] if arm.startswith("source alone") else sorted(set(found) & set(alone))
        mine, theirs = (np.array([x[s]["metrics"]["macro_f1"] for s in both]) for x in (found, alone))
        p = f"{ttest_rel(mine, theirs).pvalue:.3f}" if len(both) > 2 else ""
        apart = f"{(mine - theirs).mean():+.3f}" if both else ""
        each = [[f["metrics"][m] for f in found.values()] for m in ("macro_f1", "accuracy")]
        near = [np.mean([f["distance"][when] for f in found.values()]) for when in ("before", "after")]
        out.append(
            f"| {arm} | {np.mean(each[0]):.3f} | {np.mean(each[1]):.3f} | {', '.join(f'{v:.3f}' for v in each[0])} | {apart} "
            f"| {p} | {near[0]:.2f} | {near[1]:.2f} | {len(found)} |"
        )
    return "\n".join(out)


INSTALMENTS = """
## Tweets in instalments

Three instalments of 240 tweets of tweeteval, each with labels of its own: emotions (4), irony (2), offence (2); a model
answers with all labels that it has met, and is not told which instalment a tweet is from. "plain" learns the second and
third from their own rows; "replay" has three old rows in ten, out of at most 200 that the version kept; "joint" learns all
three at once, as often, which no instalment can, and what it is worth at the end is all that can be told of it. 150 held-out tweets
each; `minilm`, its highest block, 6 epochs; seeds draw the rows, too, and both arms start from one first instalment.
Forgetting: how far accuracy on earlier instalments is below the best it was; backward transfer: how far it is from what it
was when they were learnt; with three instalments and no gain in between, one is the other with its sign turned. Accuracy:
the mean over all three at the end. p: paired t-test over seeds. Measured by `python bench/quality/instalments.py`.
"""


CAMERAS = """
## One adapter for all cameras, or one for each

MNIST digits as three cameras see them (plain, inverted, turned by a quarter), 300 of each to learn from and 300 of each to
be judged on; MobileNetV1 0.25 pretrained on ImageNet, 64 x 64 pixels, bottleneck adapters, about as many steps in every run.
The arms are those of [brands](brands.md). Accuracy, mean over seeds, which draw the digits, too; against "shared": mean
difference with a 95 % interval over seeds (paired t), its p, and p after Holm's correction for four arms. Settings were not
searched for. `python bench/quality/brands.py`.
"""


def cameras(lines: list[dict[str, Any]]) -> str:
    """Arms of `brands.py`, each seed paired with the shared adapter."""
    names = list(lines[0]["cameras"])
    out = [CAMERAS, f"| arm | accuracy | {' | '.join(names)} | against shared | p | p, Holm | seeds |",
           "|" + " --- |" * (len(names) + 6)]  # fmt: skip
    arms: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda each: each["seed"]):
        arms.setdefault(line["arm"], []).append(line)
    values = {arm: [x["metrics"]["accuracy"]["value"] for x in own] for arm, own in arms.items()}
    others = {arm: _apart(own, values["shared"]) for arm, own in values.items() if arm != "shared" and len(own) > 2}
    fixed = dict(zip(others, holm([p for _, p in others.values()]), strict=True))
    for arm, own in arms.items():
        each = " | ".join(f"{np.mean([x['cameras'][c]['value'] for x in own]):.3f}" for c in names)
        told = f"{others[arm][0]} | {others[arm][1]:.3f} | {fixed[arm]:.3f}" if arm in others else " | |"
        out.append(f"| {arm} | {np.mean(values[arm]):.3f} | {each} | {told} | {len(own)} |")
    return "\n".join(out)


def _apart(mine: list[float], theirs: list[float]) -> tuple[str, float]:
    """(mean difference over seeds with its interval, p of the paired t-test)."""
    from scipy.stats import t, ttest_rel

    apart = np.array(mine) - np.array(theirs)
    half = t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    p = float(ttest_rel(mine, theirs).pvalue) if half else 1.0
    return f"{apart.mean():+.3f} [{apart.mean() - half:+.3f}, {apart.mean() + half:+.3f}]", p


SEVERAL = """
## Three tasks on one backbone

Emotion (4 classes), irony and offence (2 each) of TweetEval, 300 rows of each to learn from, `minilm` with its two highest
blocks; "alone" is the same network with one task (the product trains it beside), p of its paired bootstrap on the test
rows of one run. One seed, so that the table says what happened, and not what would happen again.
`python bench/quality/several.py [PENALTY]`.
"""


def several(lines: list[dict[str, Any]]) -> str:
    """Runs of `several.py`: each task in company and alone."""
    out = [
        SEVERAL,
        "| loss weights, gradients | joint | task | together | alone | together minus alone | p |",
        "|" + " --- |" * 7,
    ]
    for line in lines:
        for name, told in line["alone"].items():
            by = told["difference"]
            out.append(
                f"| {', '.join(line['penalties']) or 'fixed'} | {line['metrics']['joint']['value']:.3f} | {name} | "
                f"{told['together']:.3f} | {told['alone']:.3f} | {by['value']:+.3f} [{by['low']:+.3f}, {by['high']:+.3f}] | "
                f"{told['p']:.3f} |"
            )
    return "\n".join(out)


PACKING = """
## Packed and padded rows, with dropout

Packed rows draw other dropout masks than padded ones, and draw them more cheaply (`engine/dropout.py`); without dropout both
compute the same (tests, 1e-10). Five seeds of two jobs, everything else equal. The interval is of the mean difference over
seeds (paired t); "p, rows": all test rows of all seeds, swapped row by row. `python bench/quality/packing.py`.
"""


def packing(lines: list[dict[str, Any]]) -> str:
    """Both ways of `packing.py`, paired by seed and by row."""
    out = [PACKING, "| set | method | packed | padded | packed minus padded | p, seeds | p, rows | CPU s, padded / packed | seeds |",
           "|" + " --- |" * 9]  # fmt: skip
    for name in dict.fromkeys(line["set"] for line in lines):
        both = {w: {x["seed"]: x for x in lines if (x["set"], x["engine"]) == (name, w)} for w in ("packed", "padded")}
        seeds = sorted(set(both["packed"]) & set(both["padded"]))
        mine, theirs = ([both[w][s] for s in seeds] for w in ("packed", "padded"))
        told = _against(mine, theirs)
        spent = np.median([b["seconds"] / a["seconds"] for a, b in zip(mine, theirs, strict=True)])
        means = (np.mean([x["metrics"]["accuracy"] for x in each]) for each in (mine, theirs))
        out.append(f"| {name} | {mine[0]['method']} | " + " | ".join(f"{m:.3f}" for m in means)
                   + f" | {told} | {spent:.2f}x | {len(seeds)} |")  # fmt: skip
    return "\n".join(out)


def _against(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """Difference of accuracies with its interval over seeds, the p of seeds, and that of rows."""
    from scipy.stats import t

    apart = np.array([a["metrics"]["accuracy"] - b["metrics"]["accuracy"] for a, b in zip(mine, theirs, strict=True)])
    if len(apart) < 3:
        return f"{apart.mean():+.3f} | | "
    half = t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    p = _by_seeds(mine, theirs)
    return f"{apart.mean():+.3f} [{apart.mean() - half:+.3f}, {apart.mean() + half:+.3f}] | {p:.2f} | {_by_rows(mine, theirs):.2f}"


def _by_seeds(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    from scipy.stats import ttest_rel

    a, b = ([x["metrics"]["accuracy"] for x in each] for each in (mine, theirs))
    return 1.0 if a == b else float(ttest_rel(a, b).pvalue)


def _by_rows(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    truth = np.concatenate([x["truth"] for x in mine])
    labels = tuple(map(str, range(int(truth.max()) + 1)))
    sides = (
        Answers("classes", truth, np.concatenate([x["predicted"] for x in each]), None, labels)
        for each in (mine, theirs)
    )
    return paired_permutation(METRICS.make("accuracy"), *sides).p


AUGMENT = """
## Augmentation

Does it help? Each arm is the plan without augmentation plus one step (one copy of each training row) or one penalty (mixup,
cutoff, smote), and makes as many steps of 16 rows: what differs is what rows look like, not how long is learnt. `lora` and
`full` on the English sets are not measured yet. Accuracy, mean over the seeds, which draw
rows, head and order; difference to "none" with a 95 % interval over seeds (paired t), its p, and that p after Holm's correction
for all arms of a set and method. "p, rows" swaps test rows of all seeds one by one: it asks about these trained networks, and
not about training again. mwo: 22 failure modes, about 500 rows (first fold of five repeats). banking10, banking50: 10 and 50 rows of
each of 20 intents. thucnews50: Chinese headlines of 10 kinds, 50 rows of each, a network of two blocks of random weights.
`tfidf` learns from the rows that a step made, too. Synonyms: Open English WordNet and Cilin. `python
bench/quality/augment.py SET`.
"""


def augmentation(lines: list[dict[str, Any]]) -> str:
    """Arms of `augment.py`, each seed paired with the one without augmentation."""
    out = [
        AUGMENT,
        "| set | method | arm | accuracy | against none | p, seeds | p, rows | p, Holm | seeds |",
        "|" + " --- |" * 9,
    ]
    for name, method in dict.fromkeys((line["set"], line["method"]) for line in lines):
        arms: dict[str, dict[int, Any]] = {}
        for line in lines:
            if (line["set"], line["method"]) == (name, method):
                arms.setdefault(line["arm"], {})[line["seed"]] = line
        plain = arms.pop("none")
        out.append(
            f"| {name} | {method} | none | {np.mean([x['metrics']['accuracy'] for x in plain.values()]):.3f} | | | | | {len(plain)} |"
        )
        paired = {a: sorted(set(own) & set(plain)) for a, own in arms.items()}
        sides = {
            a: ([arms[a][s] for s in both], [plain[s] for s in both]) for a, both in paired.items() if len(both) > 2
        }
        fixed = dict(zip(sides, holm([_by_seeds(*both) for both in sides.values()]), strict=True))
        for arm, (mine, theirs) in sides.items():
            out.append(f"| {name} | {method} | {arm} | {np.mean([x['metrics']['accuracy'] for x in mine]):.3f} | "
                       f"{_against(mine, theirs)} | {fixed[arm]:.2f} | {len(mine)} |")  # fmt: skip
    return "\n".join(out)


def instalments(lines: list[dict[str, Any]]) -> str:
    """Arms of `instalments.py`: means over seeds, each seed paired with plain sequential tuning."""
    from scipy.stats import ttest_rel

    names = ("forgetting", "backward_transfer", "accuracy")
    arms: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        arms.setdefault(line["arm"], {})[line["seed"]] = line
    head = (
        "| arm | forgetting | backward transfer | accuracy at the end | forgetting by seed | on its own rows at once |"
    )
    out = [INSTALMENTS, head + " CPU s | seeds |", "|" + " --- |" * 8]
    for arm, found in arms.items():
        each = {name: np.array([line[name] for line in found.values()], dtype=float) for name in names}
        own = np.mean([np.mean([row[-1] for row in line["values"]]) for line in found.values()])
        out.append(
            f"| {arm} | {' | '.join(_known(each[n].mean()) for n in names)} | "
            f"{', '.join(filter(None, map(_known, each['forgetting'])))} | {'' if arm == 'joint' else f'{own:.3f}'} | "
            f"{np.mean([line['seconds'] for line in found.values()]):.0f} | {len(found)} |"
        )
    plain = arms.get("plain", {})
    for arm, found in arms.items():
        both = sorted(set(found) & set(plain))
        if arm == "plain" or len(both) < 3:
            continue
        for name in names if arm != "joint" else ("accuracy",):
            mine, theirs = (np.array([x[seed][name] for seed in both]) for x in (found, plain))
            test = ttest_rel(mine, theirs)
            low, high = test.confidence_interval()
            out.append(
                f"\n{arm} against plain, {name.replace('_', ' ')}: {(mine - theirs).mean():+.3f} "
                f"[{low:+.3f}, {high:+.3f}], p = {test.pvalue:.2g} ({len(both)} seeds)."
            )
    return "\n".join(out)


def _known(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def section(name: str, lines: list[dict[str, Any]]) -> str:
    """One data set."""
    title, told = TITLES[name]
    first, second = MAIN.get(name, ("accuracy", "macro_f1"))
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["method"], 0 if name in FOLDED else line["rows"]), []).append(line)
    beside = "dictionary" if name in SPANS else "tfidf_svm" if name.startswith("mwo") else "tfidf"
    reference = {k[1]: v for k, v in groups.items() if k[0] == beside}
    rows = [row(name, key, found, (first, second), reference) for key, found in groups.items()]
    rows.sort(key=lambda r: -r["value"] if np.isfinite(r["value"]) else math.inf)
    corrected = holm([r["p"] for r in rows if r["p"] is not None])
    for each in rows:
        each["p_corrected"] = corrected.pop(0) if each["p"] is not None else None
    versus = {"dictionary": "word list", "tfidf_svm": "TF-IDF + SVM"}.get(beside, "TF-IDF")
    header = f"| method | rows | {first} | {second} | against {versus} | p (Holm) | trained | CPU s | runs |"
    lines_out = [f"\n## {title}\n\n{told[0].upper()}{told[1:]}.\n", header, "|" + " --- |" * 9]
    told_rows = [told_row(r) for r in rows]
    if name in FOLDED:
        every = {k: v for (k, _), v in groups.items() if len(v) == ALL_FOLDS and k not in BASELINES}
        told_rows += [f"\n{k}: {by_orders(v, reference[0])}" for k, v in every.items()]
    return "\n".join(lines_out + told_rows)


def row(
    name: str, key: tuple[str, int], found: list[dict[str, Any]], metrics: tuple[str, str], reference: Any
) -> dict[str, Any]:
    """Numbers of one method on one amount of rows."""
    first, second = metrics
    values = np.array([f["metrics"][first] for f in found], dtype=float)
    others = np.array([f["metrics"].get(second) or math.nan for f in found], dtype=float)
    counts = found[0].get("parameters")
    out = {
        "method": key[0], "rows": int(np.mean([f["rows"] for f in found])), "value": values.mean(),
        "second": others.mean(), "seconds": float(np.mean([f["seconds"] for f in found])), "runs": len(found),
        "trained": None if counts is None else counts["trainable"] / counts["total"], "p": None, "against": None,
    }  # fmt: skip
    base = reference.get(key[1])
    if name in FOLDED:
        out["low"], out["high"] = fold_interval(values)
        return out | (against_folds(found, base, first) if base and key[0] != "tfidf_svm" else {})
    interval = found[0]["intervals"][first]
    out["low"], out["high"] = (math.nan if interval[end] is None else interval[end] for end in ("low", "high"))
    return out | (against_rows(found[0], base[0], name, first) if base and base[0] is not found[0] else {})


def fold_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean over repeated 5-fold scores, with the correction for overlapping training rows."""
    from scipy.stats import t

    if len(values) < 5:  # two folds say next to nothing of the spread
        return math.nan, math.nan
    spread = math.sqrt((1 / len(values) + 0.25) * values.var(ddof=1)) * t.ppf(0.975, len(values) - 1)
    return values.mean() - spread, values.mean() + spread


def against_folds(found: list[dict[str, Any]], base: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Difference to the reference on the folds that both have."""
    theirs = {b["split"]: b["metrics"][metric] for b in base}
    pairs = [(f["metrics"][metric], theirs[f["split"]]) for f in found if f["split"] in theirs]
    if len(pairs) < 3:
        return {}
    mine, other = zip(*pairs, strict=True)
    test = corrected_t(mine, other, 0.2)
    return {"against": test.value, "p": test.p}


def by_orders(found: list[dict[str, Any]], base: list[dict[str, Any]]) -> str:
    """The other paired test of repeated folds, in words: each row's share of right answers over the repeats, ours and
    theirs swapped row by row. It asks whether these rows are answered better, where the test over folds asks whether
    other training rows would lead to a better model, too."""
    splits = {s.name: [r.id for r in s.test] for s in SETS["mwo"].splits(folds=25, seeds=1, rows=None)}
    theirs = {b["split"]: b for b in base}
    rows, right = [], []
    for line in found:
        if (other := theirs.get(line["split"])) is None:
            continue
        rows += splits[line["split"]]
        right += [(a == t, b == u) for a, t, b, u in zip(line["predicted"], line["truth"], other["predicted"],
                                                         other["truth"], strict=True)]  # fmt: skip
    ours, them = (np.array(side, dtype=np.int64) for side in zip(*right, strict=True))
    all_right = np.ones(len(ours), dtype=np.int64)
    a, b = (Answers("classes", all_right, side, labels=("wrong", "right")) for side in (ours, them))
    test = paired_permutation(METRICS.make("accuracy"), a, b, resamples=10_000, groups=[str(r) for r in rows])
    return (
        f"Row by row ({len(set(rows))} rows, {len(found)} folds, rows swapped whole in a permutation test): "
        f"accuracy {test.value:+.3f}, p = {test.p:.4f}."
    )


def against_rows(mine: dict[str, Any], other: dict[str, Any], name: str, metric: str) -> dict[str, Any]:
    """Paired bootstrap over test rows, from the stored predictions."""
    if name in SPANS:
        a, b = (_tags(x) for x in (mine, other))
    elif name == "goemotions":
        a, b = (_sets(x) for x in (mine, other))
    elif name == "sts":
        a, b = (Answers("numbers", np.array(x["truth"], float), np.array(x["predicted"], float)) for x in (mine, other))
    else:
        a, b = (Answers("classes", np.array(x["truth"]), np.array(x["predicted"])) for x in (mine, other))
    found = paired_bootstrap(METRICS.make(metric), a, b)
    return {"against": found.value, "p": found.p} if np.isfinite(found.value) else {}


def _tags(line: dict[str, Any]) -> Answers:
    offsets = np.concatenate([[0], np.cumsum(line["words"])])
    sides = [np.zeros(offsets[-1], dtype=np.int64) for _ in range(2)]
    for tags, found in zip(sides, (line["truth"], line["predicted"]), strict=True):
        for place, tag in found:
            tags[place] = tag
    places = np.zeros(offsets[-1], dtype=np.int32)
    words = Words([""] * len(line["words"]), offsets, places, places)
    return Answers("tags", sides[0], sides[1], labels=tuple(line["labels"]), words=words)


def _sets(line: dict[str, Any]) -> Answers:
    width = 1 + max(c for rows in (line["truth"], line["predicted"]) for row in rows for c in row)
    width = max(width, 28)
    out = []
    for rows in (line["truth"], line["predicted"]):
        matrix = np.zeros((len(rows), width), dtype=np.int64)
        for i, row in enumerate(rows):
            matrix[i, row] = 1
        out.append(matrix)
    return Answers("multilabel", out[0], out[1])


def told_row(r: dict[str, Any]) -> str:
    """A line of the table."""
    span = "" if math.isnan(r["low"]) else f" [{r['low']:.3f}, {r['high']:.3f}]"
    against = "" if r["against"] is None else f"{r['against']:+.3f}"
    p = "" if r["p_corrected"] is None else f"{r['p_corrected']:.3f}"
    trained = "" if r["trained"] is None else f"{r['trained']:.2%}"
    second = "" if math.isnan(r["second"]) else f"{r['second']:.3f}"
    value = f"{r['value']:.3f}" if np.isfinite(r["value"]) else "undefined"
    return (
        f"| {r['method']} | {r['rows']} | {value}{span} | {second} | {against} | {p} | {trained} | "
        f"{r['seconds']:.0f} | {r['runs']} |"
    )


if __name__ == "__main__":
    main()
