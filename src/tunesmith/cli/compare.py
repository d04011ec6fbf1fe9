"""Is B better than A? Paired tests of runs or versions on the same rows, with a verdict that says how sure it is."""

import argparse
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `compare`."""
    parser.add_argument("arms", nargs="*", metavar="A B", help="runs, model folders or versions (name@number), all "
                        "compared with the first. With --log names of versions, with --scores of columns")  # fmt: skip
    parser.add_argument("--arm", nargs="+", action="append", default=[], metavar=("NAME", "RUN"),
                        help="an arm of several seeds of one recipe; again for each arm")  # fmt: skip
    parser.add_argument("--data", help="labelled file that all arms answer; without it, the stored predictions of runs "
                        "on the same test rows")  # fmt: skip
    parser.add_argument("--metric", help="metric to decide by; the plan's first unless named")
    parser.add_argument("--margin", type=float, help="differences within it do not matter, in the unit of the metric: "
                        "0.01 is one point of accuracy")  # fmt: skip
    parser.add_argument("--by", action="append", default=[], metavar="COLUMN", help="compare part by part, too: a "
                        "column of the file, length, or class; again for further ones")  # fmt: skip
    parser.add_argument("--level", type=float, default=0.95, help="of intervals; 1 - level is the false-alarm rate")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap draws and permutations")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--show", type=int, default=5, help="rows to print on which the arms disagree")
    parser.add_argument("--out", help="write all rows on which they disagree (.csv, .jsonl, .parquet)")
    parser.add_argument("--log", help="live A/B: JSON Lines of answers {id, version} and later outcomes {id, outcome}")
    parser.add_argument("--scale", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of the outcomes of --log (0 1)")
    parser.add_argument("--scores", help="many data sets: a table with a data set a row and a method a column")
    parser.add_argument("--online", action="store_true", help="allow fetching the base from the hub")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Compare."""
    from tunesmith import flows
    from tunesmith.errors import TunesmithError
    from tunesmith.progress import Progress

    _refuse(asked)
    if asked.log:
        scale = tuple(asked.scale or (0.0, 1.0))
        reply = flows.compare_log(asked.log, *asked.arms, scale=scale, margin=asked.margin, level=asked.level)
    elif asked.scores:
        reply = flows.compare_scores(asked.scores, *asked.arms, metric=asked.metric, margin=asked.margin,
                                     level=asked.level)  # fmt: skip
    else:
        arms = flows.arms_of(asked.arms)
        for name, *runs in asked.arm:
            if not runs or name in arms:
                raise TunesmithError(f"--arm {name}: name an arm once, and its runs behind the name")
            arms[name] = runs
        reply = flows.compare(
            arms, asked.data, by=asked.by, metric=asked.metric, margin=asked.margin, level=asked.level,
            resamples=asked.resamples, seed=asked.seed, out=asked.out, online=asked.online,
            progress=Progress(silent=asked.json),
        )  # fmt: skip
    say(asked, told(reply, asked.show))
    return reply


def _refuse(asked: argparse.Namespace) -> None:
    """Words that have no effect."""
    from tunesmith.errors import TunesmithError

    way = "--log" if asked.log else "--scores" if asked.scores else ""
    idle = {"--data": asked.data, "--arm": asked.arm, "--by": asked.by, "--out": asked.out}
    idle |= {"--metric": asked.metric, "--scores": asked.scores} if asked.log else {}
    wrong = [word for word, given in idle.items() if given] if way else []
    if wrong or (asked.scale and not asked.log):
        raise TunesmithError(f"{(wrong or ['--scale'])[0]} has no effect {'with ' + way if way else 'without --log'}: "
                             "remove it")  # fmt: skip


def told(reply: dict[str, Any], show: int) -> str:
    """Verdicts first, then where and on which rows."""
    lines = [each["sentence"] for each in reply.get("comparisons", [reply])]
    for each in reply.get("comparisons", []):
        if effect := each.get("effect"):
            value = "undefined" if effect["value"] is None else f"{effect['value']:+.2f} ({effect['size']})"
            lines.append(f"  {each['b']}: {each['test']}, effect {effect['name']} {value}")
        lines += [f"  note: {note}" for note in each.get("notes", [])]
    for by, parts in reply.get("slices", {}).items():
        rows = [
            [value, part["rows"], each["b"], _number(each["difference"]["value"], "+"), _number(each["p_adjusted"]),
             each["verdict"].replace("_", " ")]
            for value, part in parts.items() for each in part["comparisons"] or [_untested()]
        ]  # fmt: skip
        lines += ["", table([by, "rows", "arm", "difference", "p (Holm)", "verdict"], rows)]
    for name, rows in reply.get("disagreements", {}).items():
        if rows and show:
            lines += ["", f"{reply['against']} and {name} disagree, most informative first:"]
            lines += [f"  {r['place']}: truth {_short(r['truth'])}, {reply['against']} {_short(r['a'])}, {name} "
                      f"{_short(r['b'])}  {_short(r['text'])}" for r in rows[:show]]  # fmt: skip
    for name, each in reply.get("versions", {}).items():
        lines.append(f"  {name}: {each['outcomes']} outcomes of {each['answers']} answers, mean {each['mean']:.3f}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in reply["warnings"])])


def _untested() -> dict[str, Any]:
    return {"b": "", "difference": {"value": None}, "p_adjusted": None, "verdict": "too few rows to test"}


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"


def _short(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
