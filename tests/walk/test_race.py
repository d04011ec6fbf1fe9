"""`race`: arms that are really trained, on the same rows; a stopped race goes on; the page's commands run."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import jobs
import tunesmith
from kit import TinyBases
from tunesmith.cli import main
from tunesmith.errors import Interrupted, TunesmithError
from tunesmith.methods import METHODS, Method
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.progress import Progress
from tunesmith.replies import REPLIES
from tunesmith.search.racing.runner import Trainer

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "racing.md"
SILENT = Progress(silent=True)


def tree(base: Path, folder: Path, **more: Any) -> dict[str, Any]:
    data = jobs.write_tickets(folder / "t.csv", 90)
    made = jobs.tree(base, data, folder / "run", epochs=3, lr=0.003, save_every="1 epoch", log_every="1 epoch")
    return made | {"data": {"train": str(data), "validation": 0.2, "test": 0.3}, "method": "full"} | more


def test_a_stopped_race_goes_on_and_a_finished_one_answers_at_once(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(tree(tiny_bases["bert"], tmp_path)))
    words = [str(tmp_path / "plan.json"), "--methods", "full", "head", "--no-grid", "--seeds", "1", "--budget", "1h"]
    real, calls = Trainer.advance, list[str]()

    def stopped(self: Trainer, arm: Any, seed: int, rate: Any, until: float) -> Any:
        calls.append(f"{arm.name} {seed} {until:.2f}")
        if len(calls) == 4:
            raise Interrupted("stopped at step 7 of 9", 143)
        return real(self, arm, seed, rate, until)

    monkeypatch.setattr(Trainer, "advance", stopped)
    assert main(["race", *words, "--quiet"]) == 143
    assert main(["race", *words, "--json", "--quiet"]) == 0
    reply = json.loads(capsys.readouterr().out)
    REPLIES["race"].model_validate(reply)
    assert len(set(calls)) == len(calls) - 1, "only the piece that was stopped ran again"
    assert reply["status"] == "done" and reply["rows"] == 27 and reply["split"] == "test"
    assert {line["arm"] for line in reply["ranking"]} == {"full", "head"}
    by = {line["arm"]: line for line in reply["ranking"]}
    assert by["full"]["trainable_share"] == 1 > by["head"]["trainable_share"] > 0
    assert all(0 < line["share"] <= 1 and line["answer_ms"] > 0 for line in by.values() if line["test"])
    assert by["full"]["course"][0]["share"] == pytest.approx(1 / 9, abs=0.12)
    folder = Path(reply["folder"])
    won = read_plan(folder / "best.yaml")
    assert won.method.name == reply["recommended"] and won.train.evaluate_every == "0.3333 epochs"
    assert reply["said"][0] in (folder / "race.html").read_text().replace("&#39;", "'")
    assert not list(folder.glob("arms/*/*/checkpoints")), "nothing is left that only going on needs"
    spent = len(calls)
    assert main(["race", *words, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == reply | {"status": "already_done"} and len(calls) == spent


def test_seeds_learn_from_the_same_rows(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from tunesmith.progress import Stop
    from tunesmith.search.ground import Ground

    plan = make_plan(tree(tiny_bases["bert"], tmp_path))
    ground = Ground(SILENT, Stop(), rows_seed=0)
    other = plan.model_copy(update={"train": plan.train.model_copy(update={"seed": 1})})
    one, two = (ground.work(each, tmp_path, 0.0) for each in (plan, other))
    assert one.prepared.splits is two.prepared.splits and two.plan.train.seed == 1
    assert ground.known(one) is ground.known(two)


def test_words_that_cannot_be(tiny_bases: TinyBases, tmp_path: Path, capsys: Any) -> None:
    plan = make_plan(tree(tiny_bases["bert"], tmp_path))
    for words, says in (
        ({"budget": "soon"}, "--budget: 'soon' is no amount of time"),
        ({"memory": "8"}, "--memory: '8' is no amount of memory"),
        ({"seeds": 0}, "--seeds is 1 or more"),
        ({"methods": ["expand"]}, "expand cannot run here: method: expand: bert normalises"),
    ):
        with pytest.raises(TunesmithError, match=re.escape(says)):
            tunesmith.race(plan, progress=SILENT, **words)
    reply = tunesmith.race(plan, dry=True, progress=SILENT)
    REPLIES["race"].model_validate(reply)
    assert reply["ranking"][0]["arm"] == "full" and "expand" in reply["refused"] and reply["recommended"] is None
    assert not (tmp_path / "run-race").exists(), "a dry race leaves nothing"


def test_the_page_tells_the_settings_that_methods_name() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| ([^|]+=[^|]+|rate[^|]*) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: [each.strip() for each in re.split(r",\s", settings)] for name, settings in rows}
    for name in METHODS.names():
        grid = METHODS.find(name).grid
        spelt = [
            f"rate x {'1/3' if change['rate'] < 1 else '3'}"
            if "rate" in change
            else " ".join(f"{key}={value}" for key, value in change.items())
            for change in grid
        ]
        assert spelt == told["all others" if grid is Method.grid else name], name


@pytest.mark.slow
def test_the_commands_of_the_page(
    tiny_bases: TinyBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    plan = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0])
    lines = (ROOT / "examples" / "data" / "tickets.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "tickets.csv").write_text("".join(lines[:131]), encoding="utf-8")
    (tmp_path / "plan.yaml").write_text(
        yaml.safe_dump(plan | {"base": str(tiny_bases["bert"]), "train": {"epochs": 3}})
    )
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for line in blocks[1].splitlines():
        assert main(shlex.split(line)[1:]) == 0
    said = capsys.readouterr().out
    assert "page: runs/" in said and "train it: tunesmith train runs/" in said
    assert re.search(r"\d+ arms: 11% of the steps by 360 s, 33% of the steps by 660 s", said)
