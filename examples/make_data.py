"""Write the demonstration tickets and manuals in examples/data from hand-written material, byte for byte."""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml

DATA = Path(__file__).resolve().parent / "data"
COLUMNS = ["machine", "brand", "part", "text", "failure", "severity", "downtime_hours", "repair_steps"]
SEVERITIES = ["low", "medium", "high", "critical"]
PREFIXES = {"P": "P", "C": "C", "F": "F", "V": "CV", "H": "HP", "M": "MX", "K": "PK", "R": "CH", "T": "MC"}
FLEET = {"P": 12, "C": 5, "F": 6, "V": 9, "H": 4, "M": 5, "K": 6, "R": 4, "T": 5}
BEARINGS = ["6208-2RS", "6312 C3", "22212 EK", "NU 316", "6309 C3", "32210", "7210 BEP", "UC 211", "6205-2Z"]

# Rows per class before warts, and the class's pull on severity and on the log of downtime,
# in the order in which the material files list their classes.
ROWS = {
    "en": [297, 222, 195, 165, 138, 120, 95, 65, 48, 35],
    "zh": [205, 160, 140, 120, 100, 90, 70, 50, 38, 27],
}
SEVERITY_PULL = [-0.2, 0.5, 0.4, -0.7, 0.3, -0.2, 0.2, 0.0, -0.1, 0.4]
DOWNTIME_PULL = [0.3, 1.4, 0.9, -0.3, 0.4, 0.1, 0.8, 0.6, -0.1, 1.3]
# The class a careless colleague would have typed instead (index by index).
CONFUSED_WITH = [9, 6, 3, 2, 5, 0, 1, 1, 3, 0]


@dataclass
class Cue:
    """One decisive observation with the machines, parts and repairs that go with it."""

    kinds: str
    parts: list[str]
    text: str
    repairs: list[str]
    number: int


@dataclass
class Material:
    """All phrases of one language."""

    language: str
    cues: dict[str, list[Cue]]
    shared: dict[str, list[str]]
    ruled_out: dict[str, tuple[str, list[str]]]
    suspected: dict[str, tuple[str, list[str]]]
    whole: list[list[str]]
    long_ticket: str
    style: dict = field(default_factory=dict)


# ---------------------------------------------------------------- reading the material


def lines_of(block: str) -> list[str]:
    """Return the non-empty lines of a YAML block."""
    return [line.strip() for line in block.splitlines() if line.strip()]


def read_groups(block: str, first_number: int) -> list[Cue]:
    """Parse the '@KINDS | parts' groups of one failure class."""
    cues: list[Cue] = []
    kinds, parts, repairs = "*", [], []
    for line in lines_of(block):
        if line.startswith("@"):
            left, right = line[1:].split("|", 1)
            kinds, parts, repairs = left.strip(), [part.strip() for part in right.split(";")], []
        elif line.startswith(">"):
            repairs.append(line[1:].strip())
        else:
            cues.append(Cue(kinds, parts, line, repairs, first_number + len(cues)))
    return cues


def read_tagged(block: str) -> tuple[str, list[str]]:
    """Parse a phrase list whose first line may restrict the machine kinds."""
    lines = lines_of(block)
    if lines[0].startswith("@"):
        return lines[0][1:], lines[1:]
    return "*", lines


def load_material(language: str) -> Material:
    """Read material_<language>.yaml."""
    raw = yaml.safe_load((DATA / f"material_{language}.yaml").read_text(encoding="utf-8"))
    cues: dict[str, list[Cue]] = {}
    raw["style"]["synonyms"] = read_synonyms(raw["style"]["same_meaning"])
    for place, (failure, block) in enumerate(raw["cues"].items()):
        cues[failure] = read_groups(block, place * 1000)
    return Material(
        language=language,
        cues=cues,
        shared={name: lines_of(block) for name, block in raw["shared"].items()},
        ruled_out={name: read_tagged(block) for name, block in raw["ruled_out"].items()},
        suspected={name: read_tagged(block) for name, block in raw["suspected"].items()},
        whole=[[cell.strip() for cell in line.split(" | ")] for line in lines_of(raw["whole_tickets"])],
        long_ticket=" ".join(raw["long_ticket"].split()),
        style=raw["style"],
    )


# ---------------------------------------------------------------- filling in phrases


def part_number(rng: random.Random) -> str:
    """Return an invented spare-part number."""
    head = rng.choice(["HV", "BX", "TF", "ZD", "OK", "KV"])
    return f"{head}-{rng.randint(10000, 99999)}" + rng.choice(["", "", "-B", "/2", ".01"])


def clock(rng: random.Random) -> str:
    """Return a time of day as technicians type it."""
    return f"{rng.randint(0, 23):02d}:{rng.choice([0, 5, 10, 15, 20, 30, 35, 40, 50]):02d}"


def slot_value(name: str, rng: random.Random, language: str) -> str:
    """Return a random value for one slot."""
    gap = " " if language == "en" and rng.random() < 0.75 else ""
    degree = "°C" if language == "en" else "℃"
    ohm = "kohm" if language == "en" else "kΩ"
    tables = {
        "bar": lambda: f"{rng.uniform(1.5, 9.5):.1f}{gap}" + "bar",
        "mpa": lambda: f"{rng.uniform(0.2, 1.6):.{rng.choice([1, 2])}f}{gap}MPa",
        "hot": lambda: f"{rng.randint(84, 128)}{degree}",
        "warm": lambda: f"{rng.randint(31, 52)}{degree}",
        "cold": lambda: f"-{rng.uniform(1.5, 14):.1f}{degree}",
        "mms": lambda: f"{rng.uniform(1.1, 4.6):.1f}{gap}mm/s",
        "mmsh": lambda: f"{rng.uniform(8.5, 19):.1f}{gap}mm/s",
        "mm": lambda: f"{rng.uniform(0.2, 1.9):.1f}{gap}mm",
        "amp": lambda: f"{rng.randint(9, 62)}{gap}A",
        "volt": lambda: f"{rng.randint(372, 412)}{gap}V",
        "kohm": lambda: f"{rng.randint(3, 90)}{gap}{ohm}",
        "hz": lambda: f"{rng.randint(24, 50)}{gap}Hz",
        "rpm": lambda: f"{rng.choice([720, 960, 1450, 1480, 2900, 3600])}{gap}rpm",
        "lmin": lambda: f"{rng.randint(4, 90) * 10}{gap}l/min",
        "pct": lambda: f"{rng.choice([5, 8, 10, 15, 20, 25, 30])}{gap}%",
        "min": lambda: str(rng.choice([5, 8, 10, 12, 15, 20, 25, 30, 40, 45])),
        "n": lambda: str(rng.randint(2, 6)),
        "wo": lambda: str(rng.randint(40100, 48999)),
        "time": lambda: clock(rng),
        "pn": lambda: part_number(rng),
        "bpn": lambda: rng.choice(BEARINGS),
    }
    return tables[name]()


def read_synonyms(block: str) -> dict[str, list[str]]:
    """Parse 'phrase / phrase / phrase' lines into a table from the first phrase to all of them."""
    groups = [[word.strip() for word in line.split(" / ")] for line in lines_of(block)]
    return {group[0]: group for group in groups}


def paraphrase(text: str, material: Material, rng: random.Random) -> str:
    """Keep only the first clause of an observation now and then, and swap words of like meaning."""
    head, comma, _ = text.partition(material.style["comma"])
    enough = size_of(head) >= material.style["clause_size"]
    if comma and enough and "[" not in head and rng.random() < material.style["one_clause"]:
        text = head
    table = material.style["synonyms"]
    edge = r"\b" if material.language == "en" else ""
    pattern = edge + "(" + "|".join(sorted(table, key=len, reverse=True)) + ")" + edge
    pieces = re.split(r"(\[[^\]]*\]|<[a-z]+>)", text)
    pieces[::2] = [re.sub(pattern, lambda m: rng.choice(table[m.group(1)]), piece) for piece in pieces[::2]]
    return "".join(pieces)


def size_of(text: str) -> int:
    """Count the words of an English or the characters of a Chinese clause."""
    return len(text.split()) if " " in text else len(text)


def fill(phrase: str, rng: random.Random, language: str) -> str:
    """Choose one alternative of every [a|b] and a value for every <slot>."""
    phrase = re.sub(r"\[([^\[\]]*\|[^\[\]]*)\]", lambda m: rng.choice(m.group(1).split("|")), phrase)
    phrase = re.sub(r"<([a-z]+)>", lambda m: slot_value(m.group(1), rng, language), phrase)
    return re.sub(r"(\d)th\b", lambda m: m.group(1) + {"2": "nd", "3": "rd"}.get(m.group(1), "th"), phrase)


# ---------------------------------------------------------------- composing one text


def suits(phrase: str, kind: str, material: Material) -> bool:
    """Say whether a phrase makes sense on this kind of machine."""
    return all(kind in kinds for pattern, kinds in material.style["fits"] if re.search(pattern, phrase))


def other_failures(tagged: dict, failure: str, kind: str, count: int, draw: tuple) -> list[str]:
    """Draw phrases that talk about failures this ticket does not have."""
    rng, material = draw
    names = [name for name, (kinds, _) in tagged.items() if name != failure and (kinds == "*" or kind in kinds)]
    chosen = [tagged[name][1] for name in rng.sample(names, count)]
    fitting = [[phrase for phrase in phrases if suits(phrase, kind, material)] for phrases in chosen]
    return [rng.choice(phrases) for phrases in fitting if phrases]


def pick_kind(cue: Cue, material: Material, rng: random.Random) -> str:
    """Choose a kind of machine on which the cue can happen."""
    kinds = list(FLEET) if cue.kinds == "*" else list(cue.kinds)
    return rng.choice([kind for kind in kinds if suits(cue.text, kind, material)] or kinds)


def drop_clash(symptom: str, phrases: list[str], clashes: list[list[str]]) -> list[str]:
    """Drop phrases that would contradict the symptom, such as 'trips hot' with 'not hot at all'."""
    for left, right in clashes:
        if re.search(left, symptom):
            phrases = [phrase for phrase in phrases if not re.search(right, phrase)]
    return phrases


def plan_segments(cue: str, failure: str, kind: str, material: Material, rng: random.Random) -> tuple[list[str], str]:
    """Choose the clauses of a ticket and say whether its symptom marks a stop ('!') or not ('~')."""
    if rng.random() < 0.13:
        return [cue], ""
    shared, style = material.shared, material.style
    before, after, mark = [], [], ""
    if rng.random() < 0.48:
        fitting = [line for line in shared["symptoms"] if suits(line, kind, material)]
        mark, symptom = rng.choice(fitting).split(" ", 1)
        (before if rng.random() < 0.8 else after).append(symptom)
    count = rng.choices([0, 1, 2, 3], [60, 28, 10, 2])[0]
    others = other_failures(material.ruled_out, failure, kind, count, (rng, material))
    others = drop_clash(" ".join(before + after + [cue]), others, style["clashes"])
    (before if rng.random() < 0.45 else after).extend(others)
    draw = rng.random()
    if draw < 0.18:
        for guess in other_failures(material.suspected, failure, kind, 1, (rng, material)):
            cue = guess + rng.choice(style["but"]) + cue
    elif draw < 0.32:
        cue = rng.choice(shared["joiners"]) + style["space"] + cue
    if rng.random() < 0.3:
        before.insert(0, rng.choice(shared["openers"]))
    if rng.random() < 0.36:
        after.append(rng.choice(shared["actions"]))
    return [*before, cue, *after], mark


def capital(text: str) -> str:
    """Upper-case the first letter and leave the rest alone."""
    return text[:1].upper() + text[1:]


def join_segments(segments: list[str], separator: str, sentences: bool, space: str) -> str:
    """Join clauses; one that ends in ':' or ',' runs on into the next."""
    text = ""
    for segment in segments:
        if not text:
            glue = ""
        elif text[-1] in ":,：，!":
            glue = space
        else:
            glue = separator
        text += glue + (capital(segment) if sentences and (not text or glue == separator) else segment)
    return text


def misspell(word: str, rng: random.Random) -> str:
    """Swap, drop or double one inner letter."""
    place = rng.randrange(1, len(word) - 2)
    draw = rng.random()
    if draw < 0.45:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if draw < 0.8:
        return word[:place] + word[place + 1 :]
    return word[: place + 1] + word[place] + word[place + 1 :]


def abbreviate(text: str, table: dict[str, str], rate: float, rng: random.Random) -> str:
    """Replace some of the words in the table by their short forms."""
    pattern = r"\b(" + "|".join(sorted(table, key=len, reverse=True)) + r")\b"
    return re.sub(pattern, lambda m: table[m.group(1)] if rng.random() < rate else m.group(1), text)


def render_en(segments: list[str], material: Material, rng: random.Random) -> str:
    """Write the clauses down the way one English-typing technician would."""
    separator = rng.choices([". ", ", ", " - ", "; ", " ", " / ", "... "], [42, 26, 10, 7, 8, 4, 3])[0]
    sentences = separator in (". ", "... ") and rng.random() < 0.8
    text = join_segments(segments, separator, sentences, " ")
    if rng.random() < 0.4:
        text = abbreviate(text, material.style["short"], rng.choice([0.35, 0.7, 1.0]), rng)
    typo_rate = rng.choices([0.0, 0.03, 0.09], [60, 30, 10])[0]
    text = re.sub(r"\b[a-z]{5,}\b", lambda m: misspell(m.group(), rng) if rng.random() < typo_rate else m.group(), text)
    if rng.random() < 0.06:
        shout = text.upper()
        return shout.replace("MPA", "MPa").replace("MM/S", "mm/s").replace("HZ", "Hz")
    if not sentences and rng.random() < 0.35:
        text = capital(text)
    if (sentences and rng.random() < 0.75) or rng.random() < 0.1:
        text += rng.choices([".", "!", ".."], [90, 6, 4])[0]
    return text


def render_zh(segments: list[str], material: Material, rng: random.Random) -> str:
    """Write the clauses down the way one Chinese-typing technician would."""
    separator = rng.choices([",", "。", " ", ";", "、", "..."], [52, 22, 14, 6, 3, 3])[0]
    text = join_segments(segments, separator, False, "")
    draw = rng.random()
    full = str.maketrans(",:;!()", "，：；！（）")
    if draw < 0.6:
        text = text.translate(full)
    elif draw < 0.75:
        text = "".join(c.translate(full) if rng.random() < 0.5 else c for c in text)
    if rng.random() < 0.12:
        table = material.style["short"]
        wrong = rng.choice(list(table))
        text = text.replace(wrong, table[wrong])
    if (separator == "。" and rng.random() < 0.8) or rng.random() < 0.15:
        text += "。"
    return text


RENDER = {"en": render_en, "zh": render_zh}


# ---------------------------------------------------------------- building rows


def build_fleet(material: Material) -> dict[str, list[tuple[str, str]]]:
    """Return the machine ids and brands of every machine kind."""
    rng = random.Random(f"fleet-{material.language}")
    base = 0 if material.language == "en" else 20
    fleet = {}
    for kind, count in FLEET.items():
        start, width = (100 + base * 5, 3) if kind == "P" else (base, 2)
        ids = [f"{PREFIXES[kind]}-{start + i + 1:0{width}d}" for i in range(count)]
        fleet[kind] = [(machine, rng.choice(material.style["brands"])) for machine in ids]
    return fleet


def rate(place: int, mark: str, rng: random.Random) -> tuple[str, float]:
    """Draw severity and downtime for the class at this place and a stop/run mark."""
    score = SEVERITY_PULL[place] + {"!": 0.9, "~": -0.4, "": 0.0}[mark] + rng.gauss(0, 0.8)
    level = sum(score > edge for edge in (-0.5, 0.6, 1.9))
    hours = math.exp(DOWNTIME_PULL[place] + 0.5 * level - 0.6 + rng.gauss(0, 0.5))
    step = 0.1 if hours < 1 else 0.5 if hours < 8 else 1.0
    return SEVERITIES[level], max(0.1, round(round(hours / step) * step, 1))


def one_row(cue: Cue, failure: str, place: int, material: Material, fleet: dict, rng: random.Random) -> dict:
    """Compose one complete ticket around a cue."""
    language = material.language
    kind = pick_kind(cue, material, rng)
    machine, brand = rng.choice(fleet[kind])
    observation = paraphrase(cue.text, material, rng)
    segments, mark = plan_segments(observation, failure, kind, material, rng)
    segments = [fill(segment, rng, language) for segment in segments]
    severity, hours = rate(place, mark, rng)
    repair = fill(rng.choice(cue.repairs), rng, language)
    if rng.random() < 0.3:
        repair += material.style["space"] + fill(rng.choice(material.style["closings"]), rng, language)
    return {
        "machine": machine,
        "brand": brand,
        "part": rng.choice(cue.parts if rng.random() < 0.8 else material.style["parts"][kind]),
        "text": RENDER[language](segments, material, rng),
        "failure": failure,
        "severity": severity,
        "downtime_hours": f"{hours:g}",
        "repair_steps": repair,
        "cue": cue.number,
    }


def written_rows(material: Material, fleet: dict) -> list[dict]:
    """Return the tickets that were written by hand as a whole."""
    brands = {machine: brand for group in fleet.values() for machine, brand in group}
    rows = []
    for number, (failure, machine, part, hours, severity, text, repair) in enumerate(material.whole):
        values = [machine, brands[machine], part, text, failure, severity, hours, repair]
        rows.append({**dict(zip(COLUMNS, values, strict=True)), "cue": -1 - number})
    machine = fleet["P"][0][0]
    third = list(material.cues)[2]
    repair = fill(material.cues[third][0].repairs[0], random.Random(1), material.language)
    values = [machine, brands[machine], "", material.long_ticket, third, "high", "11", repair]
    return [*rows, {**dict(zip(COLUMNS, values, strict=True)), "cue": -1000}]


def composed_rows(material: Material, fleet: dict, rng: random.Random) -> list[dict]:
    """Compose the tickets of every class, using its cues in turn so that none dominates."""
    rows, seen = [], set()
    written = Counter(row[0] for row in material.whole)
    for place, (failure, cues) in enumerate(material.cues.items()):
        wanted = ROWS[material.language][place] - written[failure]
        order: list[Cue] = []
        while wanted > 0:
            order = order or rng.sample(cues, len(cues))
            row = one_row(order.pop(), failure, place, material, fleet, rng)
            if row["text"].lower() not in seen:
                seen.add(row["text"].lower())
                rows.append(row)
                wanted -= 1
    return rows


# ---------------------------------------------------------------- planting warts


def near_copy(text: str, rng: random.Random) -> str:
    """Return the text with only case, spacing or punctuation changed."""
    choices = [text.upper(), text.lower(), text + " ", text + ".", text.replace(" ", "  ", 1), text.replace(",", " ,")]
    choices += ["  " + text, text.rstrip(".。") + "!", text.replace("，", ","), text.replace(",", "，")]
    return rng.choice([choice for choice in choices if choice != text])


def plant_characters(rows: list[dict], rng: random.Random) -> dict[str, int]:
    """Put HTML remnants, non-breaking spaces and full-width digits into a few texts."""
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    plans = [
        ("html_amp", r" and |&(?!amp)| w/ ", lambda m: " &amp; ", 4),
        ("html_br", r"\. |。|, |，", lambda m: "<br>", 4),
        ("nbsp", r"(\d) ?(bar|MPa|mm|A|V|Hz)\b", lambda m: f"{m.group(1)}\u00a0{m.group(2)}", 8),
        ("full_width_digits", r"\d+", lambda m: m.group().translate(wide), 6),
    ]
    counts, used = {}, set()
    for name, pattern, put, wanted in plans:
        free = [i for i, row in enumerate(rows) if i not in used and row["cue"] >= 0]
        fits = [i for i in free if re.search(pattern, rows[i]["text"])]
        chosen = rng.sample(fits, min(wanted, len(fits)))
        used.update(chosen)
        for i in chosen:
            rows[i]["text"] = re.sub(pattern, put, rows[i]["text"], count=1)
        counts[name] = len(chosen)
    return counts


def plant_parts(rows: list[dict], rng: random.Random) -> None:
    """Empty some part cells and put placeholder strings into others."""
    values = [""] * 28 + ["NA"] * 5 + ["null"] * 4 + ["007"] * 3
    fits = [row for row in rows if row["cue"] >= 0]
    for row, value in zip(rng.sample(fits, len(values)), values, strict=True):
        row["part"] = value


def plant_copies(rows: list[dict], material: Material, rng: random.Random) -> dict[str, int]:
    """Append exact copies, near copies, and copies with another label."""
    failures = list(material.cues)
    size = len(rows)
    plan = {"exact_copy": round(size * 0.03), "near_copy": round(size * 0.02), "conflict": round(size * 0.01)}
    sources = iter(rng.sample([row for row in rows if row["cue"] >= 0], sum(plan.values())))
    for name, count in plan.items():
        for _ in range(count):
            copy = dict(next(sources))
            if name == "near_copy":
                copy["text"] = near_copy(copy["text"], rng)
            if name == "conflict":
                copy["failure"] = failures[CONFUSED_WITH[failures.index(copy["failure"])]]
            rows.append(copy)
    return plan


def build(language: str) -> tuple[list[dict], dict[str, int]]:
    """Return all rows of one language in file order and the number of planted warts."""
    material = load_material(language)
    fleet = build_fleet(material)
    rng = random.Random(f"tickets-{language}")
    rows = composed_rows(material, fleet, rng)
    counts = plant_characters(rows, rng)
    rows += written_rows(material, fleet)
    plant_parts(rows, rng)
    counts.update(plant_copies(rows, material, rng))
    rng.shuffle(rows)
    for value in ("", "NA", "null", "007"):
        counts["part=" + (value or "(empty)")] = sum(row["part"] == value for row in rows)
    return rows, counts


# ---------------------------------------------------------------- writing and measuring


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write the ticket columns as UTF-8 CSV with line feeds."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_manual(language: str, path: Path) -> int:
    """Write the manual sections of one language as JSON lines."""
    raw = yaml.safe_load((DATA / "material_manual.yaml").read_text(encoding="utf-8"))[language]
    lines = []
    for number, section in enumerate(raw, start=1):
        record = {
            "id": f"{language}-{number:02d}",
            "title": section["title"],
            "section_text": " ".join(section["text"].split()),
            "questions": section["questions"],
            "terms": section["terms"],
        }
        lines.append(json.dumps(record, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(lines)


def normal_form(text: str) -> str:
    """Return the text without case, space and punctuation, for finding duplicates."""
    return re.sub(r"[\W_]+", "", text.lower())


def measure(rows: list[dict]) -> dict[str, float]:
    """Score TF-IDF with logistic regression, by random folds and by folds that never share a cue."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline, make_union

    unique = list({normal_form(row["text"]): row for row in reversed(rows)}.values())[::-1]
    texts, labels = [row["text"] for row in unique], [row["failure"] for row in unique]
    groups = [row["cue"] for row in unique]
    scores = {"rows": len(unique)}
    for name, folds in [
        ("random", StratifiedKFold(5, shuffle=True, random_state=0)),
        ("by_cue", StratifiedGroupKFold(5, shuffle=True, random_state=0)),
    ]:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        model = make_pipeline(make_union(words, chars), LogisticRegression(C=10, max_iter=1000))
        parts = folds.split(texts, labels, groups if name == "by_cue" else None)
        guess = cross_val_predict(model, texts, labels, cv=list(parts))
        scores[f"{name}_macro_f1"] = round(f1_score(labels, guess, average="macro"), 3)
        scores[f"{name}_accuracy"] = round(accuracy_score(labels, guess), 3)
    return scores


def main() -> None:
    """Rewrite the data files and, when asked, print the measured scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="also print TF-IDF scores (needs scikit-learn)")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write into")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for language, suffix in (("en", ""), ("zh", "_zh")):
        rows, counts = build(language)
        write_csv(options.out / f"tickets{suffix}.csv", rows)
        print(f"tickets{suffix}.csv: {len(rows)} rows", dict(Counter(row["failure"] for row in rows).most_common()))
        print("  planted:", counts, "most rows per cue:", Counter(row["cue"] for row in rows).most_common(1)[0][1])
        print(f"manual{suffix}.jsonl:", write_manual(language, options.out / f"manual{suffix}.jsonl"), "sections")
        if options.measure:
            print("  TF-IDF:", measure(rows))


if __name__ == "__main__":
    main()
