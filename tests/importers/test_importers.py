"""Configurations of other tools become plans, and each of their keys is accounted for exactly once."""

import copy
import importlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.flows import import_plan
from tunesmith.importers import Imported, convert, detect, names
from tunesmith.importers._account import Account
from tunesmith.importers._read import Tree, leaves, read_tree
from tunesmith.methods import METHODS
from tunesmith.plan import Base, Data
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.settings import Train
from tunesmith.tasks import TASKS

CONFIGS = Path(__file__).parent / "configs"
FILES = {
    "llamafactory/sft.yaml": "llamafactory", "llamafactory/dpo.yaml": "llamafactory", "axolotl_sft.yaml": "axolotl",
    "axolotl_dpo.yaml": "axolotl", "autotrain_text.yml": "autotrain", "autotrain_dpo.yml": "autotrain",
    "firefly_sft.json": "firefly", "xtuner_qlora.py": "xtuner", "xturing.yaml": "xturing",
    "xturing_peft.yaml": "xturing",
}  # fmt: skip


def made(name: str) -> Imported:
    return convert(CONFIGS / name, CONFIGS)


def of(folder: Path, text: str, name: str = "config.yaml") -> Imported:
    (folder / name).write_text(text, encoding="utf-8")
    return convert(folder / name, folder)


def keys_of(file: Path) -> set[str]:
    tree = read_tree(file)
    return {*leaves(tree.values), *tree.unread}


def listed(imported: Imported) -> list[str]:
    """Keys in the account; what a dataset_info.json says stands under its own name."""
    piles = (imported.carried, imported.not_carried, imported.without_effect)
    return [each["key"] for pile in piles for each in pile if not each["key"].startswith("dataset_info.json")]


def why(imported: Imported, key: str) -> str:
    return next(e["why"] for e in (*imported.not_carried, *imported.without_effect) if e["key"] == key)


# every file


def test_every_tool_has_an_example() -> None:
    assert set(FILES.values()) == set(names())


@pytest.mark.parametrize(("name", "tool"), FILES.items())
def test_the_tool_is_recognised(name: str, tool: str) -> None:
    assert detect(CONFIGS / name) == tool


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_accounted_for_once(name: str) -> None:
    account = listed(made(name))
    assert len(account) == len(set(account))
    assert set(account) == keys_of(CONFIGS / name)


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_a_plan(name: str, tmp_path: Path) -> None:
    """Whole plans where the task exists; of others every section that this version knows."""
    imported = import_plan(CONFIGS / name, tmp_path / "plan.yaml")
    assert yaml.safe_load((tmp_path / "plan.yaml").read_text(encoding="utf-8")) == imported.plan
    tree = json.loads(json.dumps(imported.plan))
    tree["data"].setdefault("train", "rows.jsonl")
    METHODS.find(tree["method"]["name"]).model_validate(tree["method"])
    known = tree | {"base": {k: v for k, v in tree["base"].items() if k in Base.model_fields},
                    "train": {k: v for k, v in tree["train"].items() if k in Train.model_fields}}  # fmt: skip
    unknown = {*tree["base"], *tree["train"]} - {*known["base"], *known["train"]}
    assert unknown <= {"quant", "neftune"}, "settings that are agreed on and not there yet"
    Data.model_validate(known["data"])
    Train.model_validate(known["train"])
    task = tree["task"]["name"]
    assert task in TASKS.names()
    make_plan(known)
    refused = imported.refused or ""
    assert unknown or not refused or ("train" not in imported.plan["data"] and refused.startswith("data.train"))


@pytest.mark.parametrize(("name", "tool"), FILES.items())
def test_a_value_of_any_kind_ends_in_the_account_or_in_one_clear_error(name: str, tool: str) -> None:
    tree, module = read_tree(CONFIGS / name), importlib.import_module(f"tunesmith.importers.{tool}")
    odd = ([1, 2], {"a": {"b": 1}}, "nonsense", "", -1, 0, 2.5, float("inf"), True, [{"a": 1}], [])
    for key, value in product(leaves(tree.values), odd):
        changed = copy.deepcopy(tree.values)
        spot: Any = changed
        *folders, last = key.split(".")
        for step in folders:
            spot = spot[int(step)] if isinstance(spot, list) else spot[step]
        spot[last] = value
        account = Account(Tree(changed, tree.used), tool, CONFIGS / name, CONFIGS)
        try:
            module.convert(account)
        except TunesmithError:
            continue
        plan, piles = account.finished(), (account.carried, account.not_carried, account.without_effect)
        assert {e["key"] for pile in piles for e in pile} >= set(leaves(changed))
        json.dumps([plan, *piles], allow_nan=False)


# what a plan gets


def test_llamafactory_fine_tuning() -> None:
    imported = made("llamafactory/sft.yaml")
    plan = imported.plan
    assert plan["base"] == {"name": "meta-llama/Meta-Llama-3-8B-Instruct", "quant": "nf4"}
    assert plan["task"] == {"name": "generate", "format": "auto", "template": "llama3", "max_tokens": 1024}
    assert plan["method"] == {"name": "lora", "variant": "dora", "r": 16, "targets": ["q_proj", "v_proj"], "plus": 16.0,
                              "dropout": 0.0, "alpha": 32}  # fmt: skip
    assert plan["data"]["train"] == ["llamafactory/data/help_desk.json", "talks.json"]
    train = plan["train"]
    assert (train["batch"], train["lr"], train["epochs"], train["schedule"]) == (16, 1e-4, 3, "cosine")
    assert (train["warmup"], train["precision"], train["neftune"]) == (0.1, "bf16", 5)
    assert (train["save_every"], train["evaluate_every"]) == ("500 steps", "250 steps")
    lost = {e["key"] for e in imported.not_carried}
    assert lost == {"trust_remote_code", "max_samples", "report_to", "some_new_switch",
                    "dataset_info.json: talks.columns.messages"}  # fmt: skip
    assert "one device" in why(imported, "deepspeed") and "packs attention" in why(imported, "flash_attn")
    assert "another method" in why(imported, "freeze_trainable_layers")


def test_llamafactory_preferences_with_a_number_of_steps() -> None:
    plan = made("llamafactory/dpo.yaml").plan
    assert plan["task"]["loss"] == "simpo" and plan["task"]["beta"] == 0.2
    assert plan["method"] == {"name": "layers", "top": 4, "kinds": ["attention", "feed_forward"]}
    assert (plan["train"]["max_steps"], plan["train"]["schedule"], plan["train"]["warmup"]) == (200, "constant", 0.0)
    assert plan["train"]["epochs"] >= 200, "else the epochs could end first"


@pytest.mark.parametrize(
    ("stage", "task"),
    [
        ("pt", {"name": "generate", "format": "text", "learn": "all"}), ("kto", {"name": "prefer", "loss": "kto"}),
        ("rm", {"name": "reward"}), ("dpo", {"name": "prefer", "loss": "dpo"}),
    ],
)  # fmt: skip
def test_stages(stage: str, task: dict[str, str], tmp_path: Path) -> None:
    plan = of(tmp_path, f"model_name_or_path: gpt2\nstage: {stage}\ndataset: rows\n").plan
    assert task.items() <= plan["task"].items()


@pytest.mark.parametrize(
    ("tool", "text", "task"),
    [
        ("llamafactory", "stage: dpo\npref_loss: simpo\nsimpo_gamma: 1.2\npref_ftx: 0.3",
         {"name": "prefer", "loss": "simpo", "gamma": 1.2, "sft_weight": 0.3}),
        ("llamafactory", "stage: dpo\ndpo_label_smoothing: 0.2", {"loss": "dpo", "label_smoothing": 0.2}),
        ("llamafactory", "stage: kto\nkto_chosen_weight: 1.5\nkto_rejected_weight: 0.5",
         {"loss": "kto", "desirable": 1.5, "undesirable": 0.5}),
        ("axolotl", "rl: simpo\nsimpo_gamma: 0.8\ncpo_alpha: 0.5",
         {"loss": "simpo", "gamma": 0.8, "sft_weight": 0.5}),
        ("axolotl", "rl: dpo\nrpo_alpha: 0.4\ndpo_label_smoothing: 0.1",
         {"loss": "dpo", "sft_weight": 0.4, "label_smoothing": 0.1}),
        ("axolotl", "rl: kto\nkto_desirable_weight: 2\nkto_undesirable_weight: 0.7",
         {"loss": "kto", "desirable": 2, "undesirable": 0.7}),
        ("axolotl", "reward_model: true\ncenter_rewards_coefficient: 0.01", {"name": "reward", "centering": 0.01}),
    ],
)  # fmt: skip
def test_what_losses_are_set_to_is_carried(tool: str, text: str, task: dict[str, Any], tmp_path: Path) -> None:
    base = {"llamafactory": "model_name_or_path: gpt2\ndataset: rows\n",
            "axolotl": "base_model: gpt2\ndatasets: [{path: rows.jsonl}]\n"}[tool]  # fmt: skip
    imported = of(tmp_path, base + text + "\n")
    assert task.items() <= imported.plan["task"].items()
    given = {line.split(":")[0] for line in text.split("\n")}
    assert given <= {e["key"] for e in imported.carried}
    make_plan(imported.plan)


def test_a_setting_of_another_loss_has_no_effect(tmp_path: Path) -> None:
    text = "model_name_or_path: gpt2\ndataset: rows\nstage: dpo\nsimpo_gamma: 1.2\nkto_chosen_weight: 2.0\n"
    imported = of(tmp_path, text)
    assert "belongs to simpo" in why(imported, "simpo_gamma") and "belongs to kto" in why(imported, "kto_chosen_weight")


def test_what_the_file_leaves_open_is_the_other_tools_default(tmp_path: Path) -> None:
    imported = of(tmp_path, "model_name_or_path: gpt2\nstage: sft\nlora_rank: 4\ndataset: rows\n")
    train, method = imported.plan["train"], imported.plan["method"]
    assert (train["lr"], train["epochs"], train["batch"], train["seed"], train["weight_decay"]) == (5e-5, 3, 8, 42, 0.0)
    assert (method["r"], method["alpha"]) == (4, 8), "alpha is twice the rank there"
    assert "LLaMA-Factory's own defaults" in imported.notes[-1] and "learning_rate" in imported.notes[-1]
    assert (train["keep"], train["patience"], imported.plan["data"]["test"]) == ("last", None, None)


def test_the_first_layers_alone(tmp_path: Path) -> None:
    text = "model_name_or_path: gpt2\nstage: sft\nfinetuning_type: freeze\nfreeze_trainable_layers: -2\ndataset: x\n"
    assert of(tmp_path, text).plan["method"]["pattern"] == r"\.(0|1)\."


def test_axolotl() -> None:
    imported = made("axolotl_sft.yaml")
    plan = imported.plan
    assert plan["task"] == {"name": "generate", "learn": "all", "format": "auto", "max_tokens": 2048}
    assert plan["base"]["quant"] == "nf4" and plan["method"]["targets"] == "all"
    assert plan["data"]["train"] == ["rows.jsonl", "someone/some_chats"] and plan["data"]["validation"] == 0.1
    train = plan["train"]
    assert (train["batch"], train["warmup"], train["evaluate_every"]) == (8, "10 steps", "0.25 epochs")
    assert (train["optimizer"], train["patience"], train["precision"]) == ("adamw8bit", 2, "auto")
    assert "paged out" in " ".join(imported.notes), "the same update, and the difference is said"
    dpo = made("axolotl_dpo.yaml")
    assert dpo.plan["task"] == {"name": "prefer", "loss": "orpo", "beta": 0.1, "template": "chatml", "max_tokens": 1024}
    assert (dpo.plan["train"]["epochs"], dpo.plan["train"]["clip"]) == (1, None)
    assert dpo.plan["method"]["variant"] == "rslora"
    assert {e["key"] for e in dpo.not_carried} == {"optimizer", "lr_scheduler"}


def test_autotrain_on_texts_is_a_whole_plan(tmp_path: Path) -> None:
    imported = import_plan(CONFIGS / "autotrain_text.yml", tmp_path / "plan.yaml")
    assert imported.refused is None
    plan = read_plan(tmp_path / "plan.yaml")
    assert (plan.task.name, plan.task.text, plan.task.label) == ("classify", "text", "stars")  # type: ignore[attr-defined]
    assert len(read(Path(plan.data.train[0].file)).rows) == 2, "named from the folder of the plan"
    assert (plan.train.batch, plan.train.patience, plan.train.keep) == (16, 5, "best")
    assert Path(str(plan.data.validation)).is_file()


def test_autotrain_on_preferences() -> None:
    plan = made("autotrain_dpo.yml").plan
    assert plan["task"] == {"name": "prefer", "loss": "dpo", "template": "auto", "max_tokens": 1024, "beta": 0.1}
    assert plan["method"]["r"] == 16 and plan["base"]["quant"] == "nf4"


def test_firefly() -> None:
    plan = made("firefly_sft.json").plan
    assert plan["method"] == {"name": "lora", "targets": "all", "r": 64, "alpha": 16, "dropout": 0.05}
    assert plan["base"]["quant"] == "nf4" and plan["train"]["warmup"] == "100 steps" and plan["train"]["clip"] == 0.3


def test_xturing() -> None:
    imported = made("xturing.yaml")
    assert imported.plan["base"] == {"name": "gpt2", "quant": "int8"}
    assert (imported.plan["train"]["lr"], imported.plan["train"]["batch"]) == (3e-3, 16), "the section wins"
    assert why(imported, "defaults.learning_rate") == "gpt2_lora_int8 says otherwise"
    assert imported.next_command("plan.yaml") == "tunesmith train plan.yaml data.train=FILE"
    assert made("xturing_peft.yaml").plan["method"]["targets"] == ["q_proj", "v_proj"]


# XTuner's Python


def test_xtuner_is_read_and_never_run() -> None:
    imported = made("xtuner_qlora.py")
    plan = imported.plan
    assert plan["task"] == {"name": "generate", "format": "alpaca", "max_tokens": 2048, "template": "auto"}
    assert plan["data"]["train"] == "rows.jsonl" and plan["base"]["quant"] == "nf4"
    assert (plan["train"]["batch"], plan["train"]["warmup"], plan["train"]["schedule"]) == (16, 0.03, "cosine")
    assert (plan["train"]["lr"], plan["train"]["precision"], plan["train"]["seed"]) == (2e-4, "fp16", 7)
    assert not Path("was_run.txt").exists() and not (CONFIGS / "was_run.txt").exists()
    assert "have to be run" in why(imported, "sampler")
    assert sum(e["key"].startswith("line ") for e in imported.not_carried) == 2
    assert why(imported, "lr") == "only a name: its value stands in optim_wrapper"


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.system('touch was_run.txt')", "x = __import__('os').system('touch was_run.txt')",
        "x = [open('was_run.txt', 'w') for _ in (1,)]", "x = dict(**open('was_run.txt', 'w'))",
        "x = f'{open(\"was_run.txt\", \"w\")}'", "class A:\n    open('was_run.txt', 'w')",
        "x = 9\n" + "x = x * x\n" * 60, "x = 'a' * 10 ** 9", "x = 1 / 0",
    ],
)  # fmt: skip
def test_python_that_would_have_to_run_is_reported(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    tree = read_tree(tmp_path / "config.py")
    assert tree.unread or "Unread" in repr(tree.values["x"])
    assert not (tmp_path / "was_run.txt").exists()


# what is written and said


def test_the_header_says_where_the_plan_comes_from(tmp_path: Path) -> None:
    out = tmp_path / "plan.yaml"
    import_plan(CONFIGS / "llamafactory/sft.yaml", out)
    text = out.read_text(encoding="utf-8")
    assert text.startswith("# Made by `tunesmith import` from sft.yaml, a configuration of LLaMA-Factory.")
    assert "# - max_samples = 1000: " in text and "# Next: tunesmith train plan.yaml\n" in text
    before = out.read_bytes()
    import_plan(CONFIGS / "llamafactory/sft.yaml", out)
    assert out.read_bytes() == before
    with pytest.raises(TunesmithError, match=r"exists and holds something else. Name another file with --out"):
        import_plan(CONFIGS / "firefly_sft.json", out)


@pytest.mark.parametrize("end", ["\\n", "\\u2028", "\\x85", "\\r"])
def test_nothing_in_a_value_or_key_ends_a_comment(end: str, tmp_path: Path) -> None:
    text = f'model_name_or_path: gpt2\nstage: sft\ndataset: a\n"odd{end}run": "x{end}task: classify{end}"\n'
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    imported = import_plan(tmp_path / "config.yaml", tmp_path / "plan.yaml")
    assert yaml.safe_load((tmp_path / "plan.yaml").read_text(encoding="utf-8")) == imported.plan


def test_secrets_are_not_shown() -> None:
    for name, secret in (("llamafactory/sft.yaml", "very-secret"), ("autotrain_text.yml", "hf_not_for_logs")):
        shown = json.dumps(made(name).reply())
        assert "(hidden)" in shown and secret not in shown


def test_files_that_are_missing_are_kept_and_named() -> None:
    imported = made("llamafactory/sft.yaml")
    assert any("'talks.json' is not on this machine" in note for note in imported.notes)


def test_names_in_the_public_dataset_info(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "llamafactory_demo"
    if not folder.is_dir():
        pytest.skip("the demo data of LLaMA-Factory is not here")
    text = f"model_name_or_path: gpt2\nstage: sft\ndataset: identity,alpaca_en_demo\ndataset_dir: {folder}\n"
    plan = of(tmp_path, text).plan
    assert plan["task"]["format"] == "alpaca"
    assert [(tmp_path / file).resolve().name for file in plan["data"]["train"]] == ["identity.json",
                                                                                    "alpaca_en_demo.json"]  # fmt: skip
    assert all((tmp_path / file).is_file() for file in plan["data"]["train"])
    wiki = f"model_name_or_path: gpt2\nstage: pt\ndataset: wiki_demo\ndataset_dir: {folder}\n"
    assert of(tmp_path, wiki).plan["task"]["format"] == "text"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_name_or_path: x\nstage: ppo\n", r"stage: ppo: has no task in Tunesmith. Known: sft, pt"),
        ("model_name_or_path: x\nstage: sft\nfinetuning_type: oft\n", "finetuning_type: oft: has no method"),
        ("base_model: x\ndatasets: [{path: a}]\nrl: grpo\n", "rl: grpo: has no loss in the task prefer"),
        ("task: image-classification\nbackend: local\n", "task: image-classification: has no task"),
        ("gpt2: {learning_rate: 1}\nopt: {learning_rate: 1}\n", "one of 2 models: gpt2, opt. Keep the section of one"),
        ("a: 1\n", r"which tool's configuration is this\? .* Known: AutoTrain"),
        ("a: 1\na: 2\n", r"config.yaml:2:1: the key 'a' stands twice"), ("- a\n", "is a mapping of settings"),
        ("a: [\n", r"config.yaml:2:1"), ("a: 2025-02-30\n", "a value cannot be read"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_no_plan_can_stand_for_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=told):
        of(tmp_path, text)


def test_aliases_cannot_blow_up(tmp_path: Path) -> None:
    bomb = "base_model: x\nl0: &l0 {a: 1, b: 2, c: 3, d: 4}\n"
    bomb += "".join(f"l{i}: &l{i} {{a: *l{i - 1}, b: *l{i - 1}, c: *l{i - 1}, d: *l{i - 1}}}\n" for i in range(1, 30))
    with pytest.raises(TunesmithError, match="more than 20000 settings"):
        of(tmp_path, f"{bomb}datasets: []\n")
    with pytest.raises(TunesmithError, match="larger than 1 MiB"):
        of(tmp_path, "a: " + "x" * (1 << 20))
