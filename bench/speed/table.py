"""Turn the result lines into docs/benchmarks.md and docs/benchmarks.svg: `python bench/speed/table.py`.

Every measured number comes from bench/speed/results/*.jsonl; only the floors (floors.py) are numbers of ours.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import picture
from conditions import conditions, differences, head
from floors import FLOORS, Floor
from standing import Measured, Spread, read_all, standings

DOCS = Path(__file__).parent.parent.parent / "docs"
REAL = ("banking77", "mwo")
Sections = Sequence[Measured]


def main() -> None:
    """Write the page and the picture."""
    lines = read_all()
    found = standings(lines)
    used = [line for each in found for arm in each.arms for line in each.lines(arm)]
    training = [each for each in found if each.some["kind"] == "train" and not each.job.startswith("ablation")]
    on_texts = [each for each in training if not each.job.startswith(REAL)]
    drawn = picture.bars(on_texts)
    parts = [
        head(used), "![Ratios to the peer](benchmarks.svg)\n" if drawn else "", conditions(used), floors(found),
        section("Training", TRAINING, on_texts, training_row),
        section("Training on real data", REAL_TRAINING, [each for each in training if each.job.startswith(REAL)], training_row),
        section("Language models", LANGUAGE, [e for e in found if e.some["kind"] == "sft"], language_row),
        section("Before training", BEFORE, [e for e in on_texts if e.some["epochs"] == 1], before_row),
        section("Searches", SEARCHES, [e for e in found if e.some["kind"] == "search"], search_row),
        section("Prediction", PREDICTION, [e for e in found if e.some["kind"] == "predict"], prediction_row),
        section("What each lever is worth", LEVERS, [e for e in found if e.job.startswith("ablation")], lever_row),
        limit(found), differences(used),
    ]  # fmt: skip
    (DOCS / "benchmarks.md").write_text("\n".join(filter(None, parts)).rstrip() + "\n", encoding="utf-8")
    if drawn:
        (DOCS / "benchmarks.svg").write_text(drawn, encoding="utf-8")
    print(f"docs/benchmarks.md: {len(used)} of {len(lines)} lines, {len(found)} jobs")


def times(spread: Spread | None) -> str:
    """A ratio with its spread, as `3.02x (2.95 to 3.10)`."""
    if spread is None:
        return "not measured"
    span = f" ({spread.low:.3g} to {spread.high:.3g})" if spread.count > 1 else ""
    return f"{spread.median:.3g}x{span}"


def plain(spread: Spread | None, form: str = ".3g") -> str:
    """A median without its spread."""
    return "" if spread is None else f"{spread.median:{form}}"


def row(*cells: object) -> list[str]:
    """The rows of a table, of which there is one here."""
    return ["| " + " | ".join(str(cell) for cell in cells) + " |"]


def section(title: str, header: str, found: Sections, rows: Callable[[Measured], Iterable[str]]) -> str:
    """A table under its title; empty where nothing was measured."""
    if not found:
        return ""
    words, columns = header.rsplit("\n", 1)
    lines = [line for each in sorted(found, key=_order) for line in rows(each)]
    return "\n".join([f"## {title}\n", f"{words}\n", columns, "|" + " --- |" * (columns.count("|") - 1), *lines, ""])


def _order(each: Measured) -> tuple[str, int, int]:
    return each.job.rsplit("-", 1)[0], each.some["epochs"], each.some["rows"]


def floors(found: Sections) -> str:
    """Every floor, and whether it is reached."""
    rows = [line for floor in FLOORS for line in _floor_row(floor, found)]
    columns = "| job | floor | measured | rows | runs | reached |"
    words = (
        "What we aim at against Trainer with its defaults, unless the job says otherwise; on the most rows measured."
    )
    return "\n".join(["## Floors\n", f"{words}\n", columns, "|" + " --- |" * 6, *rows, ""])


def _floor_row(floor: Floor, found: Sections) -> list[str]:
    reached = floor.reached(found)
    if reached is None:
        return row(floor.words, f"{floor.least:g}x", "not measured", "", "", "")
    each, ratio = reached
    verdict = "met" if ratio.median >= floor.least else "**missed**"
    mark = " (extrapolated)" if each.extrapolated else ""
    rows = each.some["test" if each.some["kind"] == "predict" else "rows"]
    return row(floor.words, f"{floor.least:g}x", times(ratio) + mark, f"{rows:,}", ratio.count, verdict)


TRAINING = """CPU seconds of training, peer / ours: median over paired repetitions, with the smallest and the largest.
"defaults" and "best options" are the two ways to run Trainer. "user" leaves out what the kernel takes, most of it for
giving and taking memory, which is dear in a virtual machine. Memory is the peak of anonymous memory during training.
Accuracy is on held-out rows, median and span over repetitions: ours / defaults / best options.
| job | epochs | rows | ours, CPU s | against defaults | against best options | user, defaults | user, best | wall, defaults | wall, best | memory, defaults | memory, best | accuracy | runs |"""
REAL_TRAINING = "As above, on public data sets.\n" + TRAINING.rsplit("\n", 1)[1]
SEEDS = 5
RATIOS = tuple((field, arm) for field in ("cpu", "user", "wall", "peak_mb") for arm in ("trainer", "trainer best"))


def training_row(each: Measured) -> list[str]:
    """A job; and, where it stands beside, the classical answer that is another method."""
    some, cost = each.some, plain(each.values("ours", "cpu"))
    ratios = [times(each.ratio(arm, field=field)) for field, arm in RATIOS]
    quality = " / ".join(_accuracy(each, arm) for arm in ("ours", "trainer", "trainer best"))
    found = row(each.job, some["epochs"], f"{some['rows']:,}", cost, *ratios, quality, len(each.lines("ours")))
    other = "sentence-transformers"
    if each.lines(other):
        name = f"{each.job}, {other} + logistic regression (another method)"
        ratios = [times(each.ratio(other, field=field)) if arm == "trainer" else "" for field, arm in RATIOS]
        quality = f"{_accuracy(each, 'ours')} / {_accuracy(each, other)}"
        found += row(name, "", f"{some['rows']:,}", cost, *ratios, quality, len(each.lines(other)))
    if hub := each.lines("adapters"):
        name = f"{each.job}, AdapterHub (transformers {hub[0]['peer_versions']['transformers']})"
        ratios = [times(each.ratio("adapters", field=field)) if arm == "trainer" else "" for field, arm in RATIOS]
        quality = f"{_accuracy(each, 'ours')} / {_accuracy(each, 'adapters')}"
        found += row(name, some["epochs"], f"{some['rows']:,}", cost, *ratios, quality, len(hub))
    return found


def _accuracy(each: Measured, arm: str) -> str:
    spread = each.values(arm, "accuracy")
    if spread is None:
        return "not measured"
    span = f" [{spread.low:.3f}, {spread.high:.3f}]" if spread.count > 1 else ""
    return f"{spread.median:.3f}{span}{_better(each, arm)}"


def _better(each: Measured, arm: str) -> str:
    """Ours less theirs, seed by seed, where there are five or more: mean and p of a paired t-test."""
    ours = {line["rep"]: line["accuracy"] for line in each.lines("ours")}
    pairs = [(ours[li["rep"]], li["accuracy"]) for li in each.lines(arm) if li["rep"] in ours]
    if arm == "ours" or len(pairs) < SEEDS:
        return ""
    from scipy.stats import ttest_rel

    mine, theirs = zip(*pairs, strict=True)
    apart = sum(a - b for a, b in pairs) / len(pairs)
    return f" (ours {apart:+.3f}, p = {ttest_rel(mine, theirs).pvalue:.2f}, {len(pairs)} seeds)"


LANGUAGE = """LoRA on every linear layer of a language model (Qwen2 of random weights, 256 wide, 8 blocks; the job names its
vocabulary and the percentage of each row that is a prompt and not learnt). "trainer" is transformers' Trainer with
PEFT; "trl" SFTTrainer with its defaults (bf16 autocast, which this machine emulates, and gradient checkpointing), "trl
packing" the same with packed rows of 1,024 tokens (other rows in a step), "trl best" without both and padding-free.
Extra memory is the peak of anonymous memory during training above what was held when the network was loaded; we aim at
less than a fifth of Trainer's at 70 % prompt. Losses are compared step by step: same rows, same LoRA at the start.
| job | who | CPU s | CPU, who / ours | user, who / ours | extra memory, MB | ours / who | largest difference of losses | computed in | runs |"""


def language_row(each: Measured) -> list[str]:
    """Every arm of a language model's job."""
    found = []
    for arm in each.arms:
        lines = each.lines(arm)
        extra = Spread.of([line["peak_mb"] - line["start_mb"] for line in lines])
        own = {line["rep"]: line["peak_mb"] - line["start_mb"] for line in each.lines("ours")}
        shares = [own[li["rep"]] / (li["peak_mb"] - li["start_mb"]) for li in lines if li["rep"] in own]
        share = Spread.of(shares)
        ratios = ("1", "1") if arm == "ours" else (times(each.ratio(arm)), times(each.ratio(arm, field="user")))
        found += row(
            each.job, arm, plain(each.values(arm, "cpu")), *ratios, plain(extra, ",.0f"),
            "" if arm == "ours" or share is None else f"{share.median:.1%}", _apart(each, arm), lines[0]["precision"],
            len(lines),
        )  # fmt: skip
    return found


def _apart(each: Measured, arm: str) -> str:
    """Largest difference of the losses of steps that hold the same rows."""
    own = each.arms.get("ours", {})
    pairs = [(own[li["rep"]]["losses"], li["losses"]) for li in each.lines(arm) if li["rep"] in own and "steps" in li]
    differences = [abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)]
    if arm == "ours":
        return ""
    return f"{max(differences):.0e}" if differences else "other rows in a step"


BEFORE = """CPU seconds before the first step, medians: not part of any ratio above.
| job | rows | import, ours | import, Trainer | load, ours | load, Trainer | tokenise, ours | tokenise, Trainer |"""


def before_row(each: Measured) -> list[str]:
    """Imports, loading and tokenising of both sides."""
    cells = [
        plain(Spread.of([line["laps"].get(part, 0.0) for line in each.lines(arm)]), ".2f")
        for part in ("import", "load", "tokenise")
        for arm in ("ours", "trainer")
    ]
    return row(each.job, f"{each.some['rows']:,}", *cells)


SEARCHES = """All configurations of a search: ours in one process, the peer as runs one after another. "extrapolated" means
that one of the peer's runs was measured and multiplied by the number of configurations. Accuracy is that of the
configuration that both sides ran.
| search | configurations | epochs | rows | ours, CPU s | against defaults | extrapolated | memory | accuracy | runs |"""


def search_row(each: Measured) -> list[str]:
    """A search."""
    some = each.some
    configurations = next((line["runs"] for line in each.lines("ours")), "")
    return row(
        each.job, configurations, some["epochs"], f"{some['rows']:,}", plain(each.values("ours", "cpu")),
        times(each.ratio("trainer")), "yes" if each.extrapolated else "no", times(each.ratio("trainer", field="peak_mb")),
        " / ".join(_accuracy(each, arm) for arm in ("ours", "trainer")), len(each.lines("ours")),
    )  # fmt: skip


PREDICTION = """Labels for texts at their natural lengths, tokenisation included on all sides. "same answers" is the share of
texts with the label that ours gives, from the same untrained head.
| who | texts | texts a CPU second | CPU s, who / ours | memory | same answers | runs |"""


def prediction_row(each: Measured) -> list[str]:
    """Each way to predict."""
    found = []
    for arm in each.arms:
        lines = each.lines(arm)
        speed = Spread.of([line["texts"] / line["cpu"] for line in lines])
        ratio = ("1", "1") if arm == "ours" else (times(each.ratio(arm)), times(each.ratio(arm, field="peak_mb")))
        name = f"{arm} (vectors only)" if lines[0].get("other_method") else arm
        found += row(name, f"{lines[0]['texts']:,}", plain(speed), *ratio, _agreement(each, arm), len(lines))
    return found


def _agreement(each: Measured, arm: str) -> str:
    mine, theirs = each.arms.get("ours", {}), each.arms[arm]
    pairs = [(mine[rep], theirs[rep]) for rep in mine.keys() & theirs.keys() if "predicted" in theirs[rep]]
    same = [a == b for x, y in pairs for a, b in zip(x["predicted"], y["predicted"], strict=True)]
    return f"{sum(same) / len(same):.1%}" if same and arm != "ours" else ""


LEVERS = """CPU seconds of training with levers switched / with all on, which is the plan's default; below 1 a lever costs. "x off"
is all but one, "x alone" one and nothing else (the last block at read positions and the cache need packed rows), without
the self-check; "all off" is our own plain way, which pads rows of similar length together. The self-check costs the same
in every run and weighs much in these short ones. The limit is the time that the fastest product of the same process needs for what is left to multiply when every shortcut is
taken (`engine/savings.py`); share is how much of an arm's time that is. All arms ran in one process, in turn
(`python bench/speed/ablation.py`), so memory and accuracy are only given where `run.py` measured the job.
| job | epochs | rows | switched | CPU s | switched / all on | memory | accuracy | best product, GFLOP/s | share of the limit | runs |"""


def lever_row(each: Measured) -> list[str]:
    """Each switch of a job."""
    some = each.some
    return [
        line
        for arm in each.arms
        for line in row(
            each.job.removeprefix("ablation-"), some["epochs"], f"{some['rows']:,}", arm, plain(each.values(arm, "cpu")),
            times(each.ratio(arm, over="all on")), times(each.ratio(arm, over="all on", field="peak_mb")),
            _accuracy(each, arm), *_of_limit(each, arm), len(each.lines(arm)),
        )
    ]  # fmt: skip


def _of_limit(each: Measured, arm: str) -> tuple[str, str]:
    """Best product of the process, and the share of an arm's time that what must be multiplied takes at that speed."""
    needed = next((line["least_flops"] for line in each.lines("all on") if "least_flops" in line), None)
    lines = [line for line in each.lines(arm) if "gemm_best" in line]
    if needed is None or not lines:
        return "", ""
    best = max(line["gemm_best"] for line in each.lines("all on"))
    share = Spread.of([needed / 1e9 / best / line["cpu"] for line in lines])
    return plain(Spread.of([best])), "" if share is None else f"{share.median:.0%}"


def limit(found: Sections) -> str:
    """The machine's own limit, and how near the full fine-tune comes to it."""
    measured = [each for each in found if each.job == "limit"]
    if not measured:
        return ""
    lines = measured[-1].lines("gemm")
    rows = []
    for name, about in lines[0]["gemm"].items():
        medians = Spread.of([line["gemm"][name]["median"] for line in lines])
        rows += row(
            name,
            " x ".join(str(n) for n in about["shape"]),
            plain(medians),
            max(li["gemm"][name]["best"] for li in lines),
        )
    peak = max(line["gemm"][name]["best"] for line in lines for name in line["gemm"])
    words = "How fast one thread multiplies fp32 matrices here: the model's own products at about the tokens of a batch, and a large square."
    columns = "| product | shape | median GFLOP/s | best GFLOP/s |"
    used = [line for each in found if each.job.startswith("full-") for line in _share_rows(each, peak)]
    return "\n".join(
        ["## The physical limit\n", f"{words}\n", columns, "|" + " --- |" * 4, *rows, "", *_shares(used, peak)]
    )


def _shares(rows: list[str], peak: float) -> list[str]:
    if not rows:
        return []
    words = (
        "Useful work is three forward passes over the real tokens (forward, and twice as much backward), as plain "
        "computing needs it: padding does not count, and what a shortcut leaves out is not deducted. "
        f"Share of the best product above, {peak:.4g} GFLOP/s:"
    )
    return [f"{words}\n", "| job | rows | who | useful GFLOP/s | share |", "|" + " --- |" * 5, *rows, ""]


def _share_rows(each: Measured, peak: float) -> list[str]:
    work = next((3 * line["forward_flops"] * line["epochs"] / 1e9 for line in each.lines("ours")), None)
    if work is None:
        return []
    speeds = {arm: Spread.of([work / line["cpu"] for line in each.lines(arm)]) for arm in each.arms}
    return [
        line
        for arm, speed in speeds.items()
        if speed is not None
        for line in row(each.job, f"{each.some['rows']:,}", arm, plain(speed), f"{speed.median / peak:.0%}")
    ]


if __name__ == "__main__":
    main()
