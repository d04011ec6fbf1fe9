"""The commands as a user types them: what they answer, what they write, how they end."""

import csv
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from jobs import write_tickets
from kit import TinyBases
from tunesmith.cli import main
from tunesmith.replies import REPLIES, schema_of


@pytest.fixture(autouse=True)
def _quick_proof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reload proof in this process (its own tests run it apart), and a registry of the test's own."""
    import tunesmith.prove as proving

    monkeypatch.setattr(proving, "prove_apart", proving.prove)
    monkeypatch.setenv("TUNESMITH_REGISTRY", str(tmp_path / "registry"))


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the JSON reply, stderr); stdout must hold one JSON object and nothing else."""
    capsys.readouterr()
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    reply = json.loads(out) if out else {}
    if code == 0:
        verb = words[0]
        validate(reply, schema_of(verb))
        REPLIES[verb].model_validate(reply)
    return code, reply, err


@pytest.fixture(scope="module")
def trained(tiny_bases: TinyBases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tunesmith.prove as proving

    folder = tmp_path_factory.mktemp("trained")
    data = write_tickets(folder / "tickets.csv")
    real, proving.prove_apart = proving.prove_apart, proving.prove
    try:
        words = ["train", "task=classify", f"base={tiny_bases['bert']}", f"data={data}", "method=lora"]
        settings = ["train.epochs=8", "train.batch=8", "train.lr=0.01", "evaluate.resamples=100"]
        assert main([*words, *settings, f"run={folder / 'run'}", "--quiet", "--json"]) == 0
    finally:
        proving.prove_apart = real
    return folder / "run"


def test_a_run_holds_what_the_design_says(trained: Path) -> None:
    expected = {
        "plan.yaml", "facts.json", "data.json", "ledger.parquet", "model", "checkpoints", "history.jsonl",
        "metrics.json", "golden", "predictions.parquet", "report.html", "provenance.json", "MODEL_CARD.md",
    }  # fmt: skip
    assert expected <= {p.name for p in trained.iterdir()}
    assert not [p for p in trained.rglob("*") if p.suffix in (".bin", ".pt", ".pkl")], "no pickles"


def test_train_answers_with_values_intervals_and_baselines(trained: Path) -> None:
    reply = json.loads((trained / "reply.json").read_text(encoding="utf-8"))
    REPLIES["train"].model_validate(reply)
    accuracy = reply["metrics"]["test"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert set(reply["baselines"]) == {"majority", "tfidf", "probe"}
    lines = [json.loads(line) for line in (trained / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["train_loss"] for line in lines if line["kind"] == "evaluation"]
    assert min(losses) < losses[0], "it learnt something"
    assert reply["proof"]["plain"] and reply["proof"]["plain_max_error"] <= 1e-5


def test_the_ledger_adds_up(trained: Path) -> None:
    ledger = json.loads((trained / "data.json").read_text(encoding="utf-8"))["ledger"]
    assert sum(ledger["fates"].values()) == ledger["rows"] == 90


def test_predict_keeps_every_cell_and_adds_probabilities(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ["id", "text", "note"],
        ["007", "oil drips", "NA"],
        ["1e5", "smoke, hot", 'say "hi"'],
        ["", "rattle 泵", "null"],
    ]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    code, reply, err = call(
        capsys, "predict", str(trained), "--data", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")
    )
    assert code == 0, err
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        out = list(csv.reader(stream))
    assert [row[:3] for row in out] == rows
    assert out[0][3:] == ["prediction", "confidence", "p:heat", "p:leak", "p:noise"]
    for row in out[1:]:
        probabilities = [float(p) for p in row[5:]]
        assert abs(sum(probabilities) - 1) < 1e-4
        assert row[3] == ["heat", "leak", "noise"][probabilities.index(max(probabilities))]
    assert reply["rows"] == 3


def test_an_interrupted_prediction_goes_on_where_it_stopped(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith import asking

    data = write_tickets(tmp_path / "in.csv", rows=30)
    monkeypatch.setattr(asking, "CHUNK", 7)
    real, calls = asking._answered, []

    def dying(*values: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*values)

    monkeypatch.setattr(asking, "_answered", dying)
    words = ("predict", str(trained), "--data", str(data), "--out")
    assert call(capsys, *words, str(tmp_path / "a.jsonl"))[0] == 130
    assert not (tmp_path / "a.jsonl").exists(), "no half result is visible"
    monkeypatch.setattr(asking, "_answered", real)
    code, reply, _ = call(capsys, *words, str(tmp_path / "a.jsonl"))
    assert (code, reply["resumed_at"]) == (0, 14)
    call(capsys, *words, str(tmp_path / "b.jsonl"))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_reserved_columns_are_refused_and_a_prefix_helps(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("text,prediction\noil,mine\n", encoding="utf-8")
    words = ("predict", str(trained), "--data", str(tmp_path / "in.csv"), "--out", str(tmp_path / "o.csv"))
    code, _, err = call(capsys, *words)
    assert code == 1 and "column 'prediction' of its own" in err and "--prefix" in err
    assert call(capsys, *words, "--prefix", "model_")[0] == 0
    assert (tmp_path / "o.csv").read_text(encoding="utf-8").startswith("text,prediction,model_prediction")


def test_evaluate_counts_labels_that_training_never_saw(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("text,label\noil drips,leak\nhot smoke,heat\nodd,martian\n", encoding="utf-8")
    code, reply, err = call(capsys, "evaluate", str(trained), "--data", str(tmp_path / "new.csv"))
    assert code == 0, err
    assert reply["rows"] == 3 and "1 rows have a label that training never saw" in reply["warnings"][0]


def test_a_registered_version_answers_by_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, reply, err = call(capsys, "register", str(trained), "--name", "tickets")
    assert code == 0, err
    assert (reply["name"], reply["number"]) == ("tickets", 1)
    data = write_tickets(tmp_path / "in.csv", rows=6)
    for where, out in (("tickets@1", "a.jsonl"), (str(trained), "b.jsonl")):
        assert call(capsys, "predict", where, "--data", str(data), "--out", str(tmp_path / out))[0] == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    code, _, err = call(capsys, "evaluate", "ticket@1", "--data", str(data))
    assert code == 1 and "tickets" in err


def test_data_check_and_the_lists_answer(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_tickets(tmp_path / "in.csv", rows=30)
    code, reply, err = call(capsys, "data", "check", str(data), "--page", str(tmp_path / "data.html"))
    assert code == 0 and reply["rows"] == 30, err
    assert "Class balance" in Path(reply["page"]).read_text(encoding="utf-8")
    code, reply, _ = call(capsys, "parts", "methods")
    assert {m["name"] for m in reply["methods"]} >= {"full", "lora", "adapter", "ia3", "mixed"}
    counts = {m["name"]: m["parameters"] for m in reply["methods"]}  # of the base that is usual, where it is installed
    assert reply["counted_on"] == "minilm" and 0 < counts["lora"]["trained"] < 0.05 * counts["lora"]["base"]
    assert all(m["fields"] and m["prefer"] for m in reply["methods"])
    assert call(capsys, "doctor")[0] == 0
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["method"]


def test_import_writes_a_plan_that_train_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(__file__).parent.parent / "importers" / "configs" / "autotrain_text.yml"
    code, reply, err = call(capsys, "import", str(file), "--out", str(tmp_path / "plan.yaml"))
    assert code == 0, err
    assert (reply["tool"], reply["refused"], reply["out"]) == ("autotrain", None, str(tmp_path / "plan.yaml"))
    assert "hub.push_to_hub" in {e["key"] for e in reply["not_carried"]}
    assert main(["import", str(file), "--out", str(tmp_path / "plan.yaml")]) == 0
    assert f"Next: tunesmith train {tmp_path / 'plan.yaml'}" in capsys.readouterr().out
    code, _, err = call(capsys, "train", str(tmp_path / "plan.yaml"), "base=nowhere")
    assert code == 1 and "nowhere" in err, "the plan itself is accepted"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["train", "task=clasify", "base=minilm", "data=x.csv"], 1, "no task named 'clasify'. Did you mean 'classify'"),
        (["train", "task=classify", "base=minilm", "data=nowhere.csv"], 1, "nowhere.csv"),
        (["train", "task=classify", "base=minilmm", "data=x.csv"], 1, "minilm"),
        (["train", "task=classify", "base=minilm", "data=x.csv", "method=lorra"], 1, "Did you mean 'lora'"),
        (["predict", "nowhere", "--data", "x", "--out", "y.csv"], 1, "neither a run, nor a model folder"),
        (["import", "nowhere.yaml"], 1, "cannot read nowhere.yaml"),
        (["schema", "trane"], 1, "Did you mean 'train'"),
    ],
)
def test_user_errors_are_one_clear_message(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, _, err = call(capsys, *words)
    assert got == code and told in err and "Traceback" not in err


def test_wrong_usage_ends_with_2() -> None:
    with pytest.raises(SystemExit) as end:
        main(["trane"])
    assert end.value.code == 2


def test_help_and_typos_import_no_torch() -> None:
    script = (
        "import sys; from tunesmith.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'peft', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for words in (
        ["--help"],
        ["train", "--help"],
        ["import", "nowhere.yaml"],
        ["train", "task=clasify", "base=minilm", "data=x"],
        ["schema"],
    ):
        subprocess.run([sys.executable, "-c", script, *words], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "limit", "told"),
    [
        (["--help"], 0.3, "VERB"),
        (["train", "task=classify", "base=minilm", "data=x", "method=lora", "method.rr=8"], 1.0, "rr"),
    ],
)
def test_help_and_typos_are_answered_at_once(words: list[str], limit: float, told: str, tmp_path: Path) -> None:
    """In seconds of the processor, of the best of three calls, the first of which writes the bytecode: what a machine
    does besides is none of ours."""
    world = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    world |= {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "tunesmith", *words]
        done = subprocess.run(command, env=world, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert told in done.stdout + done.stderr
        took.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(took) < limit, took


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m tunesmith schema --json | head -c 20"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout and not done.stderr
