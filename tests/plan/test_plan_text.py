"""Plans as text: read back as they were written, every mistake at once with its path, and nothing that can do harm."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.errors import TunesmithError
from tunesmith.methods import METHODS
from tunesmith.plan import Plan
from tunesmith.plan_text import MAX_BYTES, dump_plan, make_plan, read_plan
from tunesmith.steps import STEPS

SHORT = "task: classify\nbase: minilm\ndata: tickets.csv\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def told(tree: dict[str, Any]) -> str:
    """What is said of a wrong plan."""
    with pytest.raises(TunesmithError) as caught:
        make_plan({"task": "classify", "base": "minilm", "data": "t.csv"} | tree)
    return str(caught.value)


# there and back


def test_a_short_plan_has_every_default(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path / "p.yaml", SHORT))
    assert plan.base.name == "minilm" and plan.method.name == "lora"
    assert [s.name for s in plan.steps] == ["clean", "dedup"]
    assert plan.data.train[0].file == str(tmp_path / "tickets.csv"), "beside the plan, wherever it is read from"


@pytest.mark.parametrize("method", METHODS.names())
def test_the_resolved_plan_reads_back_as_the_same_plan(method: str, tmp_path: Path) -> None:
    part: Any = {"name": "mixed", "parts": ["lora", "bitfit"]} if method == "mixed" else method
    plan = make_plan({"task": "classify", "base": "minilm", "data": str(tmp_path / "t.csv"), "method": part})
    again = read_plan(written(tmp_path / "p.yaml", dump_plan(plan)))
    assert again == plan
    assert dump_plan(again) == dump_plan(plan)


def test_a_plan_that_sets_much_reads_back_too(tmp_path: Path) -> None:
    plan = make_plan(
        {
            "task": {"name": "classify", "decide": "cost", "costs": {"是": {"no": 2.5}}, "side_columns": ["a"]},
            "base": {"name": "minilm", "layers": 4},
            "data": {
                "train": [{"file": "/a.csv", "weight": 2}, "/b.csv"], "validation": "/v.csv", "test": None,
                "group": "machine",
            },
            "method": ["lora", {"name": "adapter", "reduction_factor": 4}],
            "steps": ["clean", "dedup", {"name": "balance", "how": "over"}],
            "train": {"warmup": "1 epoch", "schedule": "step", "factor": 0.1, "ema": 0.9, "best": "loss"},
            "evaluate": {"metrics": ["accuracy"], "baselines": [], "slices": ["brand"]},
            "run": "/runs/x",
        }
    )  # fmt: skip
    assert read_plan(written(tmp_path / "p.yaml", dump_plan(plan))) == plan


def test_a_list_of_methods_is_a_stack() -> None:
    plan = make_plan({"task": "classify", "base": "minilm", "data": "t.csv", "method": ["lora", "bitfit"]})
    assert plan.method.name == "mixed"
    assert [p.name for p in plan.method.parts] == ["lora", "bitfit"]  # type: ignore[attr-defined]


# words on the command line


def test_words_override_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "p.yaml", SHORT + "method: lora\ntrain: {epochs: 3}\n")
    plan = read_plan(path, ["method.r=4", "train.lr=1e-3", "train.seed=7", "data.test=null", "base.layers=2"])
    assert plan.method.name == "lora" and plan.method.r == 4  # type: ignore[attr-defined]
    assert (plan.train.epochs, plan.train.lr, plan.train.seed) == (3, 0.001, 7)
    assert plan.data.test is None and plan.base.layers == 2 and plan.base.name == "minilm"


def test_words_alone_are_a_plan_and_the_last_one_counts() -> None:
    plan = read_plan(None, ["task=regress", "base=minilm", "data=t.csv", "train.epochs=2", "train.epochs=5"])
    assert plan.task.name == "regress" and plan.train.epochs == 5


@pytest.mark.parametrize("word", ("train.epochs", "=5", " =5", "epochs 5"))
def test_a_word_that_is_no_setting_is_refused(word: str) -> None:
    with pytest.raises(TunesmithError, match=r"is not path=value \(such as train\.epochs=5"):
        read_plan(None, [word])


@pytest.mark.parametrize("value", ("[1, 2", "{a", "'x", "!!python/object:os.system ls", "*x", "2024-13-45", "0x_"))
def test_a_value_that_cannot_be_read_is_refused_with_its_path(value: str) -> None:
    with pytest.raises(TunesmithError, match=r"^train\.lr: "):
        read_plan(None, ["task=classify", "base=minilm", "data=t.csv", f"train.lr={value}"])


def test_a_value_nested_without_end_is_refused() -> None:
    with pytest.raises(TunesmithError, match="train.lr"):
        read_plan(None, ["task=classify", "base=minilm", "data=t.csv", "train.lr=" + "[" * 5000])


# mistakes


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    text = told({"train": {"epochs": 0, "lr": -1, "scedule": "linear"}, "method": {"name": "lora", "r": "x"}})
    assert text.startswith("the plan has 4 mistakes:")
    for start in ("train.epochs: ", "train.lr: ", "train: no setting named 'scedule'", "method.r: "):
        assert f"\n  - {start}" in text, text


@pytest.mark.parametrize(
    ("tree", "start", "near"),
    [
        ({"method": "lorra"}, "method: no method named 'lorra'", "lora"),
        ({"task": "clasify"}, "task: no task named 'clasify'", "classify"),
        ({"train": {"epoch": 3}}, "train: no setting named 'epoch'", "epochs"),
        ({"method": {"name": "lora", "alfa": 3}}, "method: no setting named 'alfa'", "alpha"),
        ({"trian": {}}, "plan: no setting named 'trian'", "train"),
        ({"train": {"schedule": "cosin"}}, "train.schedule: no choice named 'cosin'", "cosine"),
        ({"train": {"optimizer": "adam"}}, "train.optimizer: no choice named 'adam'", "adamw"),
        ({"data": {"train": "t.csv", "valdation": 0.2}}, "data: no setting named 'valdation'", "validation"),
        ({"data": {"train": [{"file": "a", "wieght": 1}]}}, "data.train.0: no setting named 'wieght'", "weight"),
        ({"evaluate": {"metrics": ["macro_f2"]}}, "evaluate.metrics: no metric named 'macro_f2'", "macro_f1"),
        ({"steps": ["dedupe"]}, "steps.0: no ", "dedup"),
        ({"steps": [{"name": "balance", "hw": "over"}]}, "steps.0: no setting named 'hw'", "how"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(tree: dict[str, Any], start: str, near: str) -> None:
    text = told(tree)
    assert text.startswith(start), text
    assert f"Did you mean '{near}'?" in text, text


def test_what_is_asked_for_and_not_given_is_named() -> None:
    with pytest.raises(TunesmithError) as caught:
        make_plan({})
    for field in ("task", "base", "data"):
        assert f"{field}: is asked for and not given" in str(caught.value)


@pytest.mark.parametrize("text", ("[]", "- a", "5", "''", "null", ""))
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="a plan is a mapping with at least task, base and data"):
        read_plan(written(tmp_path / "p.yaml", text))


def test_keys_that_are_no_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="7"):
        read_plan(written(tmp_path / "p.yaml", SHORT + "7: x\n"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(TunesmithError, match=r"cannot read the plan .*: "):
            read_plan(path)


def test_another_encoding_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"task: caf\xe9\n")
    with pytest.raises(TunesmithError, match=r"p\.yaml: not UTF-8 at byte 9"):
        read_plan(tmp_path / "p.yaml")


# harm


def test_a_key_given_twice_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"p\.yaml:5:3: the key 'lr' stands twice"):
        read_plan(written(tmp_path / "p.yaml", "task: classify\nbase: minilm\ntrain:\n  lr: 1\n  lr: 2\n"))
    with pytest.raises(TunesmithError, match=r"p\.yaml:2:1: the key 'task' stands twice"):
        read_plan(written(tmp_path / "p.yaml", "task: classify\ntask: regress\n"))


def test_aliases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"p\.yaml:2:7: aliases \(\*name\) are not read"):
        read_plan(written(tmp_path / "p.yaml", "task: &a classify\nbase: *a\n"))


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(TunesmithError, match="aliases"):
        read_plan(written(tmp_path / "p.yaml", "\n".join(lines)))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "tag", ("!!python/object/apply:os.system ['touch {}']", "!!python/name:os.system", "!!python/object/new:os.x []")
)
def test_tags_that_make_python_objects_run_nothing(tag: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"p\.yaml:4:6: could not determine a constructor"):
        read_plan(written(tmp_path / "p.yaml", SHORT + "run: " + tag.format(tmp_path / "ran") + "\n"))
    assert not (tmp_path / "ran").exists()


def test_two_megabytes_are_no_plan(tmp_path: Path) -> None:
    assert MAX_BYTES < 2_000_000
    with pytest.raises(TunesmithError, match="larger than 1 MiB"):
        read_plan(written(tmp_path / "p.yaml", SHORT + "#" * 2_000_000))


@pytest.mark.parametrize("depth", (2000, 100_000))
def test_endless_nesting_is_refused(depth: int, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"p\.yaml"):
        read_plan(written(tmp_path / "p.yaml", "task: " + "[" * depth))


@pytest.mark.parametrize("value", ("2024-13-45", "0x_", "9" * 5000, "2024-02-30 25:61:00"))
def test_values_that_yaml_itself_chokes_on_are_refused_in_words(value: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError):
        read_plan(written(tmp_path / "p.yaml", SHORT + f"run: {value}\n"))


def test_control_characters_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"p\.yaml"):
        read_plan(written(tmp_path / "p.yaml", SHORT + "run: a\x00b\n"))


def test_reading_a_plan_needs_no_torch() -> None:
    import subprocess

    code = "import sys; from tunesmith.plan_text import make_plan; make_plan({'task': 'classify', 'base': 'minilm', "
    code += "'data': 't.csv'}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_the_parts_that_a_plan_names_are_imported() -> None:
    import subprocess

    code = (
        "import sys; from tunesmith.plan_text import make_plan\n"
        "try: make_plan({'task': 'clasify', 'base': 'minilm', 'data': 't.csv', 'method': 'bitfit'})\n"
        "except Exception as error: assert 'classify' in str(error), error\n"
        "folders = ('tasks', 'methods', 'steps', 'penalties')\n"
        "named = [m.split('.') for m in sys.modules if m.startswith('tunesmith.')]\n"
        "print(*sorted(m[2] for m in named if len(m) == 3 and m[1] in folders and m[2][0] != '_'))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["bitfit", "head", "lora"], "lora and head: what stands unless told"


def test_a_part_of_another_kind_is_refused() -> None:
    with pytest.raises(TunesmithError, match="task: no task named 'dedup'"):
        make_plan({"task": STEPS.make("dedup"), "base": "minilm", "data": "t.csv"})


def test_the_resolved_plan_is_plain_yaml() -> None:
    plan = make_plan({"task": "classify", "base": "minilm", "data": "t.csv"})
    assert isinstance(yaml.safe_load(dump_plan(plan)), dict)
    assert Plan.model_validate(yaml.safe_load(dump_plan(plan))) == plan
