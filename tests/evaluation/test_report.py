"""The report page and the model card: complete, escaped, self-contained, equal for equal input."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from fake_runs import EVIL, MANY, TWO_ZH, build
from report_pages import RUNS, change, page_of, parsed

from tunesmith.errors import TunesmithError
from tunesmith.evaluation import card
from tunesmith.evaluation.report import write_report
from tunesmith.evaluation.report_read import read

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
    for section in text.split("<section")[1:]:
        figures = section.count("<figure>")
        assert "How to read these" in section or section.count("How to read this.") == figures


@pytest.mark.parametrize("name", RUNS)
def test_equal_input_gives_equal_bytes(runs: dict[str, Path], name: str) -> None:
    first = (runs[name] / "report.html").read_bytes()
    assert page_of(runs[name]).encode() == first


def test_a_large_run_stays_small(tmp_path: Path) -> None:
    for task, labels in (("classify", tuple(f"card_payment_{i}" for i in range(77))), ("regress", ())):
        run = build(tmp_path / task, task, labels, rows=5000, test=False, baselines=False)
        assert len(page_of(run).encode()) < 1_500_000


def test_the_ledger_adds_up_or_says_that_it_does_not(run: Path) -> None:
    assert "It adds up: 1 458 rows" in parsed(page_of(run)).text
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
    body = card.render(read(run)).split("---\n", 2)[2]
    assert "<img" not in re.sub(r"\\<", "", body)


def test_chinese_stays_readable(runs: dict[str, Path]) -> None:
    text = (runs["chinese"] / "report.html").read_text("utf-8")
    assert all(label in text for label in TWO_ZH)
    assert "Noto Sans CJK SC" in text
    assert "主轴运转" in text


@pytest.mark.parametrize("file", ["facts.json", "data.json", "history.jsonl", "metrics.json", "predictions.parquet",
                                  "learnt.json", "warnings.json", "provenance.json"])  # fmt: skip
@pytest.mark.parametrize("name", RUNS)
def test_a_missing_file_leaves_a_page(runs: dict[str, Path], tmp_path: Path, name: str, file: str) -> None:
    run = Path(shutil.copytree(runs[name], tmp_path / "run"))
    (run / file).unlink()
    assert len(parsed(page_of(run)).tags) > 50
    assert card.render(read(run))


def test_the_plan_alone_makes_a_page(run: Path) -> None:
    for file in run.iterdir():
        if file.name != "plan.yaml":
            file.unlink()
    words = parsed(page_of(run)).text
    assert "Nothing was measured." in words
    assert "No reload proof is stored" in words
    assert card.render(read(run))


def test_undefined_values_are_told(run: Path) -> None:
    none = {"value": None, "low": None, "high": None}
    metrics = {split: {"macro_f1": none, "accuracy": none} for split in ("validation", "test")}
    paired_none = {"split": "test", "metric": "macro_f1", "difference": none, "p": None, "test": "x"}
    baselines = {"majority": metrics, "tfidf": {}}
    change(run, "metrics", metrics=metrics, baselines=baselines, paired={"tfidf": paired_none})
    assert "undefined" in parsed(page_of(run)).text
    assert card.render(read(run))


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


def test_very_few_rows(tmp_path: Path) -> None:
    run = build(tmp_path / "run", labels=MANY[:3], rows=3, baselines=False)
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


def test_colours_have_contrast() -> None:
    css = (Path(__file__).parents[2] / "src/tunesmith/evaluation/templates/report.css").read_text("utf-8")

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


def test_leaks_stand_beside_the_raw_metrics(tmp_path: Path) -> None:
    run = build(tmp_path / "run")
    raw = json.loads((run / "metrics.json").read_text("utf-8"))["metrics"]["test"]
    less = {name: {"value": 0.125, "low": 0.1, "high": 0.15} for name in raw}
    listed = [{"row": EVIL, "twin": "train.csv:7", "similarity": 0.93}]
    change(run, "data", near={"splits": {"test": {"leaked": 4, "crowded": 2, "listed": listed}}})
    change(run, "metrics", without_leaks={"test": {"rows": 136, "left_out": 4, "metrics": less},
                                          "validation": {"rows": 140, "left_out": 0}})  # fmt: skip
    told = parsed(page_of(run)).text
    assert "4 of 140 rows of test (2.9%) are near-duplicates of training rows" in told
    assert "2 rows too common in wording" in told
    assert "0.125 0.100 to 0.150" in told
    assert EVIL in told
    assert "No row of validation is a near-duplicate of a training row." in told
    assert "4 near-duplicates of training rows left out" in card.render(read(run))
    change(run, "metrics", without_leaks={"test": {"skipped": "data.near=ignore"}})
    assert (
        "Near-duplicates between test and the training rows were not looked for: data.near=ignore."
        in parsed(page_of(run)).text
    )
