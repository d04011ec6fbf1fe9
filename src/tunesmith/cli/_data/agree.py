"""Say how far several annotators agree, and write what they say together.

A column for each (`--annotators ann,bob,eve`), or a row for each label (`--item id --annotator who --label label`).
"""

import argparse
from pathlib import Path
from typing import Any

from tunesmith.cli import say, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Words of `data agree`."""
    parser.add_argument("file", help="data file")
    parser.add_argument("--annotators", default="", help="a column for each, with commas between")
    parser.add_argument("--item", default=None, help="column that names the item, where a row is one label")
    parser.add_argument("--annotator", default=None, help="column that names the annotator, where a row is one label")
    parser.add_argument("--label", default=None, help="column of the label, where a row is one label")
    parser.add_argument("--scale", default="nominal", choices=["nominal", "ordinal", "interval"],
                        help="nominal: labels differ or not; ordinal: by ranks; interval: by numbers")  # fmt: skip
    parser.add_argument("--order", default="", help="ordinal labels that are no numbers, from low to high, with commas")
    parser.add_argument("--how", default="majority", choices=["majority", "dawid_skene", "one_coin"],
                        help="how one label is made of several")  # fmt: skip
    parser.add_argument("--sure", type=float, default=0.8, help="a consensus below this probability is uncertain")
    parser.add_argument("--out", type=Path, default=None, help="file for the consensus, such as consensus.csv")


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure, and write."""
    from tunesmith.flows import agree

    reply = agree(
        asked.file, annotators=_words(asked.annotators), item=asked.item, annotator=asked.annotator, label=asked.label,
        scale=asked.scale, order=_words(asked.order), how=asked.how, sure=asked.sure, out=asked.out,
    )  # fmt: skip
    say(asked, _told(reply))
    return reply


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


MEANINGS = {
    "agreement": "how often two annotators of an item say the same",
    "krippendorff_alpha": "the same without luck: 0 is guessing, 1 is perfect; .8 is reliable, below .667 is not",
    "fleiss_kappa": "the same for labels without an order, and the usual number for many annotators",
}


def _told(reply: dict[str, Any]) -> str:
    who = reply["annotators"]
    lines = [f"{reply['file']}: {reply['items']} items, {len(who)} annotators, {len(reply['labels'])} labels, "
             f"taken as {reply['scale']}; ranges have {reply['level']:.0%} confidence", ""]  # fmt: skip
    whole = [[name, *_number(reply[name]), meaning] for name, meaning in MEANINGS.items()]
    lines += [table(["number", "value", "range", "what it means"], whole), ""]
    some = sorted(who, key=lambda each: each["agreement"]["value"] or 0)[:20]
    rows = [[w["annotator"], w["items"], *_number(w["agreement"]), _short(w["alpha_without"])] for w in some]
    head = ["annotator", "items", "agreement", "range", "alpha without"]
    lines += ["each with the rest, the least agreeing first. Where alpha is clearly higher without somebody, ask what "
              "they understood differently", table(head, rows), ""]  # fmt: skip
    if reply["pairs"]:
        pairs = [[p["a"], p["b"], p["items"], *_number(p["cohen_kappa"])] for p in reply["pairs"]]
        lines += ["each two, without luck (Cohen's kappa)", table(["", "", "items", "kappa", "range"], pairs), ""]
    classes = [[c["label"], c["given"], *_number(c["agreement"]), _number(c["kappa"])[0]] for c in reply["classes"]]
    lines += ["each label: where one says it, how often another does (kappa: without luck). A low one is badly defined",
              table(["label", "given", "agreement", "range", "kappa"], classes), ""]  # fmt: skip
    made = reply["consensus"]
    lines.append(f"consensus by {made['how']}: {made['uncertain']} items below {made['sure']:g}")
    lines += [f"  item {row['item']}: {row['consensus']} {row['confidence']:.2f}" for row in made["first"]]
    lines += [f"note: {note}" for note in reply["notes"]]
    if made["out"]:
        lines.append(f"written to {made['out']}: learn from one label (task.label=consensus) or from the doubt, too "
                     "(task.label=soft)")  # fmt: skip
    return "\n".join(lines)


def _number(value: dict[str, float | None]) -> list[str]:
    if value["low"] is None or value["high"] is None:
        return [_short(value["value"]), "-"]
    return [_short(value["value"]), f"[{value['low']:.3f}, {value['high']:.3f}]"]


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
