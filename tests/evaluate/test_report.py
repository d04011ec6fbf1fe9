"""The report page and the model card: complete, escaped, self-contained, equal for equal input."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from fake_runs import EVIL, MANY, TAGS, TEXTS_ZH, TWO_ZH, build

from tunesmith.errors import TunesmithError
from tunesmith.evaluate.card import write_card
from tunesmith.evaluate.report import write_report
from tunesmith.evaluate.report_blocks import p_value, percent
from tunesmith.evaluate.report_read import named, read
from tunesmith.evaluate.report_verdict import paired, verdict

RUNS: dict[str, dict[str, Any]] = {
    "english": {},
    "chinese": {"labels": TWO_ZH, "texts": TEXTS_ZH},
    "multilabel": {"task": "multilabel", "labels": TAGS},
    "regress": {"task": "regress", "labels": ()},
}
EVERYWHERE = {
    "verdict", "warnings", "results", "data", "learning", "mistakes", "slices", "learnt", "cost", "proof", "settings",
    "provenance",
}  # fmt: skip
SOMEWHERE = {
    "english": {"classes", "confusion", "per-class", "confidence"},
    "chinese": {"classes", "confusion", "per-class", "confidence"},
    "multilabel": {"per-class", "confidence"},
    "regress": {"confusion"},
}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Nesting(HTMLParser):
    """Fails on tags that are not closed in order; collects what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()} closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def parsed(page: str) -> Nesting:
    """The page, its nesting checked."""
    found = Nesting()
    found.feed(page)
    found.close()
    assert not found.open, f"never closed: {found.open}"
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The four runs with their pages."""
    folder = tmp_path_factory.mktemp("runs")
    found = {name: build(folder / name, **how) for name, how in RUNS.items()}
    for run in found.values():
        write_report(run)
    return found


@pytest.fixture
def run(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the English run that a test may spoil."""
    return Path(shutil.copytree(runs["english"], tmp_path / "run"))


def page_of(run: Path) -> str:
    """The page, drawn afresh."""
    return write_report(run).read_text("utf-8")


def change(run: Path, name: str, **values: Any) -> None:
    """Set keys of a JSON file of a run."""
    path = run / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_every_section_is_there(runs: dict[str, Path], name: str) -> None:
    page = parsed((runs[name] / "report.html").read_text("utf-8"))
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert set(ids) == EVERYWHERE | SOMEWHERE[name]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {f"#{one}" for one in ids} <= links


@pytest.mark.parametrize("name", RUNS)
def test_nothing_comes_from_outside(runs: dict[str, Path], name: str) -> None:
    text = (runs[name] / "report.html").read_text("utf-8")
    page = parsed(text)
    assert not {"script", "link", "iframe", "img", "object", "use", "image"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert all((attributes.get(key) or "#").startswith("#") for key in ("href", "src", "xlink:href", "srcset"))
        assert not any(key.startswith("on") for key in attributes)
    assert not re.search(r"https?://|url\(|@import|@font-face", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("name", RUNS)
def test_each_picture_has_words(runs: dict[str, Path], name: str) -> None:
    text = (runs[name] / "report.html").read_text("utf-8")
    for tag, attributes in parsed(text).tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    for group in re.findall(
        r'<div class="figures">.*?</div>\n(?=<p class="how">|\n|<)|<figure>.*?</figure>', text, re.S
    ):
        assert "How to read" in text[text.index(group) :][: len(group) + 200]


@pytest.mark.parametrize("name", RUNS)
def test_equal_input_gives_equal_bytes(runs: dict[str, Path], name: str) -> None:
    first = (runs[name] / "report.html").read_bytes()
    assert write_report(runs[name]).read_bytes() == first


def test_a_large_run_stays_small(tmp_path: Path) -> None:
    for task, labels in (("classify", tuple(f"card_payment_{i}" for i in range(77))), ("regress", ())):
        run = build(tmp_path / task, task, labels, rows=5000, test=False, baselines=False)
        page = write_report(run)
        assert page.stat().st_size < 1_500_000


def test_the_verdict_says_it_in_words(runs: dict[str, Path]) -> None:
    words = parsed((runs["english"] / "report.html").read_text("utf-8")).text
    accuracy = json.loads((runs["english"] / "metrics.json").read_text("utf-8"))["metrics"]["test"]["accuracy"]["value"]
    assert f"On 140 unseen rows, it is right {accuracy:.0%}".replace("%", "\u00a0%").replace(
        "\u00a0", " "
    ) in words.replace("\u00a0", " ")
    assert "Always giving the most frequent answer would give" in words
    assert "word-count model" in words
    assert "chance" in words


def test_verdicts_follow_the_paired_tests(run: Path) -> None:
    def told(**differences: tuple[float, float]) -> str:
        change(run, "metrics", paired={
            name: {"split": "test", "metric": "macro_f1", "test": "paired bootstrap", "p": p,
                   "difference": {"value": value, "low": value - 0.1, "high": value + 0.1}}
            for name, (value, p) in differences.items()
        })  # fmt: skip
        return verdict(read(run)).tone

    assert told(majority=(0.5, 0.001), tfidf=(0.1, 0.01)) == "good"
    assert told(majority=(0.5, 0.001), tfidf=(0.01, 0.6)) == "unsure"
    assert told(majority=(0.5, 0.001), tfidf=(-0.2, 0.001)) == "bad"
    assert told() == "unsure"
    # Three comparisons: 0.03 alone would count, corrected it does not.
    assert told(majority=(0.5, 0.03), tfidf=(0.1, 0.03), probe=(0.1, 0.03)) == "unsure"


def test_lower_can_be_better(run: Path) -> None:
    change(run, "metrics", paired={"tfidf": {"split": "test", "metric": "log_loss", "p": 0.001, "test": "t",
                                             "difference": {"value": -0.3, "low": -0.4, "high": -0.2}}})  # fmt: skip
    (one,) = paired(read(run))
    assert one.gain == 0.3
    assert verdict(read(run)).tone == "good"


def test_the_ledger_adds_up_or_says_that_it_does_not(run: Path) -> None:
    assert "It adds up: 1 458 rows" in parsed(page_of(run)).text.replace("\u202f", " ").replace("\u00a0", " ")
    data = json.loads((run / "data.json").read_text("utf-8"))
    data["ledger"]["rows"] += 1
    change(run, "data", ledger=data["ledger"])
    assert "It does not add up" in page_of(run)


def test_the_ledger_of_the_data_package_is_read(run: Path) -> None:
    fates = {"train": 7, "validation": 1, "test": 1, "unplaced": 0, "duplicate": 1, "dropped": 0, "malformed": 0}
    change(run, "data", ledger={"rows": 10, "fates": fates, "reasons": {}, "truncated": {"rows": 2, "tokens_lost": 9},
                                "changes": {"clean": {"whitespace": 3}}})  # fmt: skip
    words = parsed(page_of(run)).text
    assert "It adds up: 10" in words
    assert "clean: whitespace" in words


def test_hostile_names_and_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    labels = (EVIL, "</script><script>alert(2)</script>", "a&b \"'")
    run = build(tmp_path / "run", labels=labels, texts=(EVIL, "</style><b>x</b>"))
    plan = yaml.safe_load((run / "plan.yaml").read_text("utf-8"))
    plan["task"]["label"] = plan["base"]["name"] = EVIL
    (run / "plan.yaml").write_text(yaml.safe_dump(plan), "utf-8")
    (run / "warnings.json").write_text(json.dumps([EVIL]), "utf-8")
    learnt = [{"caption": EVIL, "header": [EVIL], "rows": [[EVIL]]}]
    (run / "learnt.json").write_text(json.dumps(learnt), "utf-8")
    change(run, "provenance", command=["tunesmith", EVIL], reason=EVIL)
    change(run, "metrics", slices={EVIL: {EVIL: {"rows": 3}}})
    page = parsed(page_of(run))
    assert not {"img", "script"} & {tag for tag, _ in page.tags}
    assert page.text.count(EVIL) > 10
    card = write_card(run).read_text("utf-8")
    body = card.split("---\n", 2)[2]
    assert "<img" not in re.sub(r"\\<", "", body)


def test_chinese_stays_readable(runs: dict[str, Path]) -> None:
    text = (runs["chinese"] / "report.html").read_text("utf-8")
    assert all(label in text for label in TWO_ZH)
    assert "Noto Sans CJK SC" in text
    assert "主轴运转" in text


def test_validation_alone_is_called_kind(tmp_path: Path) -> None:
    run = build(tmp_path / "run", test=False)
    words = parsed(page_of(run)).text
    assert "validation rows" in words
    assert "A test split" in words


@pytest.mark.parametrize("file", ["facts.json", "data.json", "history.jsonl", "metrics.json", "predictions.parquet",
                                  "learnt.json", "warnings.json", "provenance.json"])  # fmt: skip
@pytest.mark.parametrize("name", RUNS)
def test_a_missing_file_leaves_a_page(runs: dict[str, Path], tmp_path: Path, name: str, file: str) -> None:
    run = Path(shutil.copytree(runs[name], tmp_path / "run"))
    (run / file).unlink()
    assert len(parsed(page_of(run)).tags) > 50
    assert write_card(run).is_file()


def test_the_plan_alone_makes_a_page(run: Path) -> None:
    for file in run.iterdir():
        if file.name != "plan.yaml":
            file.unlink()
    words = parsed(page_of(run)).text
    assert "Nothing was measured." in words
    assert "No reload proof is stored" in words
    assert write_card(run).is_file()


def test_undefined_values_are_told(run: Path) -> None:
    none = {"value": None, "low": None, "high": None}
    metrics = {split: {"macro_f1": none, "accuracy": none} for split in ("validation", "test")}
    change(run, "metrics", metrics=metrics, baselines={"majority": metrics, "tfidf": {}},
           paired={"tfidf": {"split": "test", "metric": "macro_f1", "difference": none, "p": None, "test": "x"}})  # fmt: skip
    assert "undefined" in parsed(page_of(run)).text
    assert write_card(run).is_file()


def test_without_baselines(tmp_path: Path) -> None:
    run = build(tmp_path / "run", baselines=False)
    assert "compared with nothing simple" in parsed(page_of(run)).text


def test_probabilities_may_be_missing(run: Path) -> None:
    table = pq.read_table(run / "predictions.parquet")
    bare = table.drop_columns([name for name in table.column_names if name.startswith("p:")])
    pq.write_table(bare.drop_columns(["text", "source", "row", "line"]), run / "predictions.parquet")
    page = parsed(page_of(run))
    ids = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert "confidence" not in ids
    assert "confusion" in ids


def test_labels_that_training_never_saw(run: Path) -> None:
    table = pq.read_table(run / "predictions.parquet").to_pydict()
    table["truth"] = ["new kind" if i % 20 == 0 else t for i, t in enumerate(table["truth"])]
    import pyarrow as pa

    pq.write_table(pa.table(table), run / "predictions.parquet")
    assert "(unknown label)" in parsed(page_of(run)).text


def test_one_row_and_one_class(tmp_path: Path) -> None:
    run = build(tmp_path / "run", labels=MANY[:3], rows=2, baselines=False)
    assert parsed(page_of(run)).tags


def test_a_history_cut_by_a_kill_is_read(run: Path) -> None:
    path = run / "history.jsonl"
    path.write_text(path.read_text("utf-8")[:-9], "utf-8")
    assert "Learning curves" in page_of(run)
    path.write_text("{broken\n" + path.read_text("utf-8"), "utf-8")
    with pytest.raises(TunesmithError, match=r"history\.jsonl:1: not JSON"):
        write_report(run)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="not a run folder"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", RUNS)
def test_the_card_tells_measured_facts(runs: dict[str, Path], name: str) -> None:
    card = write_card(runs[name]).read_text("utf-8")
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "license" not in told
    stored = json.loads((runs[name] / "metrics.json").read_text("utf-8"))["metrics"]
    listed = {
        one["dataset"]["split"]: {m["type"]: m["value"] for m in one["metrics"]}
        for one in told["model-index"][0]["results"]
    }
    assert listed == {s: {m: v["value"] for m, v in t.items() if v["value"] is not None} for s, t in stored.items()}
    assert "## Results" in body
    assert "&id" not in front


@pytest.mark.parametrize(
    ("part", "expected"),
    [("lora", "lora"), ({"name": "lora", "r": 8}, "lora"), (["lora", {"name": "adapter"}], "lora + adapter"), (None, "?"),
     ({"name": "mixed", "parts": ["lora", {"name": "bitfit"}]}, "lora + bitfit")],
)  # fmt: skip
def test_parts_are_named(part: Any, expected: str) -> None:
    assert named(part) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "0"), (1.0, "100"), (0.844, "84"), (0.999, "99.9"), (0.99996, "99.996"), (0.0004, "0.04")],
)
def test_percent_is_not_rounded_to_all_or_nothing(share: float, expected: str) -> None:
    assert percent(share) == f"{expected}\u00a0%"


def test_p_values() -> None:
    assert [p_value(p).replace("\u00a0", " ") for p in (0.0004, 0.0123, 0.5)] == ["p < 0.001", "p = 0.012", "p = 0.5"]


def test_colours_have_contrast() -> None:
    css = (Path(__file__).parents[2] / "src/tunesmith/evaluate/templates/report.css").read_text("utf-8")

    def luminance(colour: str) -> float:
        channel = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for mode in css.split(":root {")[1:3]:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", mode))
        for paper in ("paper", "soft"):
            for ink in ("ink", "muted", "model", "wrong", "good", "amber"):
                light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
