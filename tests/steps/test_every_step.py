"""Every step of the folder with every text task that does not refuse it: deterministic, every row accounted for,
labels, spans and soft labels kept, held-out rows as they were unless the step says that it is for them, too.

Steps and tasks are listed from their folders, so that a new one is tried here, or fails for want of rows and settings.
By default steps that make rows without a model meet every task, the others two or three; all pairs run under the mark
`slow`.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from test_augmentation import stuttered

import augmenting
from kit import TinyBases
from tunesmith.data import Record
from tunesmith.data.record import MADE, SOFT
from tunesmith.errors import TunesmithError
from tunesmith.plan_text import make_plan
from tunesmith.prepare import Prepared, prepare
from tunesmith.steps import STEPS
from tunesmith.steps._making import Making
from tunesmith.tasks import TASKS

SAID = (
    "The pump A-12 leaks oil, see https://plant.example/a and mail ann@plant.example", "the motor of fan 3 is too hot",
    "cafÃ© noir on the belt of the hall", "水泵漏油需要更換密封件", "The   belt <b>slips</b> and is loud at night",
    "the bearing is worn\nSent from my phone", "the sensor reads nothing at all", "電機溫度過高請檢查軸承",
    "the team wins the match after a late goal", "Sent from my phone\nthe player scored twice in the cup", "soup",
    "pressure drops below the limit of the valve and the alarm rings", "the team wins the match after a late goal",
)  # fmt: skip
HELD = (
    "the pump stands   still; write to bob@plant.example or https://plant.example/b",
    "风机停了,请檢查",
    "cafÃ© on the floor",
    "Sent from my phone\nok",
)
CLASSES = ("leak", "heat", "sport")
SOFT_LABEL = json.dumps({"heat": 0.7, "leak": 0.3})


def tokens(text: str) -> list[str]:
    return text.split()


def row(task: str, text: str, i: int) -> dict[str, Any]:
    """Row i of a task about a text."""
    label = CLASSES[i % 3] if i % 4 else "leak"
    made: dict[str, dict[str, Any]] = {
        "classify": {"text": text, "label": SOFT_LABEL if i == 1 else label},
        "domain": {"text": text, "label": label}, "masked": {"text": text},
        "multilabel": {"text": text, "label": [label] * (i % 2)}, "regress": {"text": text, "label": i / 2},
        "multi": {"text": text, "kind": label, "hours": float(i)},
        "tag": {"tokens": tokens(text), "tags": ["B-x" if n == 1 else "O" for n, _ in enumerate(tokens(text))]},
        "generate": {"instruction": text, "output": f"so it is, {i}"},
        "embed": {"anchor": text, "positive": f"it: {i}"},
        "prefer": {"prompt": text, "chosen": f"yes {i}", "rejected": f"no {i}"},
        "reward": {"prompt": text, "chosen": f"yes {i}", "rejected": f"no {i}"}, "texts": {"text": f"{text}. " * 4},
    }  # fmt: skip
    return made[task]


INNER = {"text": "text", "label": "label"}
TASK: dict[str, Any] = {
    "domain": {"name": "domain", "task": {"name": "classify", **INNER}},
    "texts": {"name": "generate", "format": "text"},
    "multi": {"name": "multi", "tasks": {"kind": {"name": "classify", "text": "text", "label": "kind"},
                                         "hours": {"name": "regress", "text": "text", "label": "hours"}}},
    "tag": {"name": "tag", "tokens": "tokens", "label": "tags", "scheme": "bio"},
}  # fmt: skip
TEXT_TASKS = [
    *(n for n in TASKS.names() if not (TASKS.find(n).sees or TASKS.find(n).hears or n == "image_text")),
    "texts",
]
SETTINGS: dict[str, dict[str, Any]] = {
    "backtranslate": {"prefixes": ["", ""]}, "boilerplate": {"lines": ["Sent from my phone"]}, "length": {"least": 6},
    "language": {"languages": ["en"]}, "sample": {"rows": 6},
    "chinese": {"to": "simplified"}, "noise": {"rate": 0.5}, "mask": {"how": "cut", "rate": 0.4},
    "chunk": {"overlap": 4},
    "paraphrase": {"prompt": "{text}", "max_tokens": 20}, "balance": {"how": "over"}, "pictures": {}, "sounds": {},
}  # fmt: skip
OF_FILES = {
    "pictures": "opens images", "sounds": "opens recordings", "mix": "mix", "outliers": "outliers",
}  # fmt: skip
"""Steps that have no use for one file of texts without side columns: each says so (their own tests run them)."""


class Ground:
    """Files of every task, and plans on them, each prepared once without the step that is tried."""

    def __init__(self, folder: Path, bases: TinyBases) -> None:
        self.folder, self.bases = folder, bases
        self.plain: dict[str, Prepared] = {}
        fixes = ["row,text,decision", f"4,{SAID[3]},sport"]
        (folder / "groups.csv").write_text(augmenting.GROUPS, encoding="utf-8")
        (folder / "fixes.csv").write_text("\n".join(fixes), encoding="utf-8")

    def plan(self, task: str, *steps: dict[str, Any]) -> Any:
        folder = self.folder / task
        if not folder.is_dir():
            folder.mkdir()
            for name, said in (("train", SAID), ("held", HELD[:2]), ("test", HELD[2:])):
                lines = (json.dumps(row(task, text, i), ensure_ascii=False) for i, text in enumerate(said))
                (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            (folder / "target.jsonl").write_text('{"text": "the crane creaks"}\n{"text": "the hoist groans"}\n')
        asked = dict(TASK.get(task, {"name": task}))
        asked |= {"target": str(folder / "target.jsonl")} if task == "domain" else {}
        base = "llama language" if TASKS.find(asked["name"]).talks else "bert language" if task == "masked" else "bert"
        asked |= {"max_tokens": 24} if task in ("texts", "masked") else {}
        return make_plan({
            "task": asked, "base": str(self.bases[base]), "steps": list(steps),
            "data": {"train": str(folder / "train.jsonl"), "validation": str(folder / "held.jsonl"),
                     "test": str(folder / "test.jsonl")},
        })  # fmt: skip

    def step(self, name: str) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if name in ("synonyms", "eda"):
            more["resource"] = str(self.folder / "groups.csv")
        if name == "relabel":
            more["file"] = str(self.folder / "fixes.csv")
        if name in ("contextual", "backtranslate", "paraphrase"):
            there = {"contextual": "bert language", "backtranslate": "t5 language", "paraphrase": "llama language"}[
                name
            ]
            more["there" if name == "backtranslate" else "base"] = str(self.bases[there])
        return {"name": name, **SETTINGS.get(name, {}), **more}

    def without(self, task: str) -> Prepared:
        if task not in self.plain:
            self.plain[task] = prepare(self.plan(task))
        return self.plain[task]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_bases: TinyBases) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"), tiny_bases)


def makes(name: str) -> bool:
    return issubclass(STEPS.find(name), Making)


def refused(name: str, task: str, ground: Ground) -> str | None:
    """Why the step is no step of that task."""
    try:
        ground.plan(task, ground.step(name))
    except TunesmithError as error:
        return str(error)
    return None


def tasks_of(name: str, *, every: bool) -> list[str]:
    if every or (makes(name) and not STEPS.find(name).base_settings):
        return TEXT_TASKS
    if makes(name):  # with a model
        return ["classify", "tag", "generate"]
    others = [task for task in TEXT_TASKS if task != "classify"]
    return ["classify", others[zlib.crc32(name.encode()) % len(others)], *(["texts"] if name == "chunk" else [])]


def check(name: str, ground: Ground, monkeypatch: pytest.MonkeyPatch, *, every: bool) -> None:
    """The step with some tasks, or with every one."""
    for module in ("backtranslate", "paraphrase"):
        monkeypatch.setattr(f"tunesmith.steps.{module}.written", stuttered)
    pytest.importorskip({"repair": "ftfy", "chinese": "opencc"}.get(name, "numpy"))
    tried = 0
    for task in tasks_of(name, every=every):
        if (why := refused(name, task, ground)) is not None:
            assert name in why or OF_FILES.get(name, "\0") in why, why
            continue
        try:
            found = prepare(ground.plan(task, ground.step(name)))
        except TunesmithError as error:  # what only the rows tell
            assert str(error).startswith(f"steps.{name}: "), error
            continue
        plain, tried = ground.without(task), tried + 1
        check_rows(name, task, plain, found)
        again = prepare(ground.plan(task, ground.step(name)))
        assert told(again) == told(found), f"{name} with {task} is not deterministic"
    assert tried or name in OF_FILES, f"no task takes {name}"


def told(found: Prepared) -> Any:
    """All rows of every split as they go on, and what the ledger says of them."""
    rows = {name: [(r.id, r.cells, r.weight) for r in each] for name, each in found.splits.items()}
    return rows, found.ledger.changes, found.ledger._arrow().to_pydict()


def check_rows(name: str, task: str, plain: Prepared, found: Prepared) -> None:
    ledger, step = found.ledger, STEPS.find(name)
    assert sum(ledger.counts().values()) == len(ledger) == len(plain.ledger), "every row has one fate"
    kept = {r.id for rows in found.splits.values() for r in rows}
    pieces = sum(ledger._arrow().to_pydict()["pieces"])
    assert kept | {r.id for r in found.bare} == {i for i in range(len(ledger)) if ledger.fate(i) == "kept"}
    same = [cells(found.splits[held]) == cells(plain.splits[held]) for held in ("validation", "test")]
    assert all(same) if step.scope in ("pool", "train") else pieces or not all(same), (name, task, same)
    new = [r for r in found.splits["train"] if MADE in r.cells]
    assert len(new) == ledger.added()
    idle = any(what.startswith("copies left out") for what in ledger.changes.get(name, ()))
    assert bool(new) == makes(name) or idle, (name, task)
    if makes(name):
        assert cells(r for r in found.splits["train"] if MADE not in r.cells) == cells(plain.splits["train"])
        made = dict(enumerate(ledger._arrow().to_pydict()["made"]))
        assert {i: n for i, n in made.items() if n} == {i: sum(r.id == i for r in new) for i in {r.id for r in new}}
        check_labels(new, plain)


def check_labels(new: list[Record], plain: Prepared) -> None:
    """What was made has the label of its row: as a class, a distribution, an answer, or tags on their words."""
    own, roles = {r.id: r for r in plain.splits["train"]}, plain.roles
    for made in new:
        before, after = own[made.id].cells, made.cells
        assert after.get(SOFT) == before.get(SOFT) and made.weight == own[made.id].weight
        assert set(after) - {MADE} == set(before)
        if roles.words is None:
            assert roles.label is None or after[roles.label] == before[roles.label]
            continue
        assert [spans(made.cells, roles)] == [spans(before, roles)], "the words of each span, in their order"


def spans(cells_: Any, roles: Any) -> list[tuple[str, str]]:
    text, flat, tags = cells_[roles.texts[0]], cells_[roles.words], cells_[roles.label]
    return [(text[a:b], tag) for a, b, tag in zip(flat[::2], flat[1::2], tags, strict=True) if tag != "O"]


def cells(rows: Any) -> list[Any]:
    return [(r.id, r.cells, r.weight) for r in rows]


@pytest.mark.parametrize("name", STEPS.names())
def test_every_step(name: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    check(name, ground, monkeypatch, every=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS.names())
def test_every_step_with_every_task(name: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    check(name, ground, monkeypatch, every=True)


def test_a_distribution_is_among_the_rows(ground: Ground) -> None:
    assert sum(SOFT in r.cells for r in ground.without("classify").splits["train"]) == 1
