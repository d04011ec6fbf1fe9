"""Memory of every step: what a further row costs, measured, is what the step says of itself.

Arrays go to files from the first row on, and whatever is worked on a piece at a time is worked on in small pieces, so
that a few hundred rows tell what millions do: traced is what Python and numpy hold, files are not.
"""

import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_augmentation import stuttered

import augmenting
import pictures
import sounds
import tiny
from kit import TinyBases
from tunesmith import prepare
from tunesmith.bases.find import find
from tunesmith.data import Record, Roles, stored
from tunesmith.data.format import Table
from tunesmith.data.ledger import Ledger
from tunesmith.data.record import DIGEST, SAMPLES
from tunesmith.progress import Progress
from tunesmith.steps import STEPS, Step
from tunesmith.tasks import TASKS

FEW, TIMES = 640, 3
"""So many that numbers of rows are beyond those that Python keeps at hand."""
FLAT, GROWS = 24.0, 100.0
"""Bytes that a further row may cost at most where memory is flat (less than any Python object in a list; 108 MB
from 500,000 to 5,000,000 rows), and costs at least where it grows."""
ROLES = Roles(("text",), "label", side=("hours",))
WORDS = ("pump", "belt", "motor", "valve", "leaks", "hums", "stops", "is hot", "again", "today", "<b>not</b>", "泵")
LINES = ["Sent from my phone"]
CASES: dict[str, dict[str, Any]] = {
    "balance": {"how": "over"}, "balance weights": {}, "balance under": {"how": "under"},
    "boilerplate": {"lines": LINES}, "chunk": {}, "dedup": {}, "dedup drop": {"conflicts": "drop"},
    "eda": {}, "language": {"languages": ["zh"]}, "length": {"least": 28},
    "mix": {"shares": [1, 3]}, "mix repeats": {"shares": [1, 1], "rows": 400, "repeats": 9},
    "outliers": {"how": "drop"}, "outliers clip": {}, "sample": {"rows": 400}, "mask": {"how": "cut"},
    "synonyms": {}, "templates": {}, "contextual": {"share": 0.05},
    "backtranslate": {"share": 0.05}, "paraphrase": {"share": 0.05},
}  # fmt: skip
SLOW = (
    "mask", "balance weights", "dedup", "pii", "eda", "noise", "synonyms", "contextual", "backtranslate", "paraphrase",
    "chunk", "boilerplate", "chinese", "clean", "repair", "sounds", "mix repeats", "templates", "pictures",
)  # fmt: skip
"""Tried under that mark: their way over the rows is that of another case, or takes many seconds."""
MODELS = {"contextual": ("base", "bert language"), "backtranslate": ("there", "t5 language"),
          "paraphrase": ("base", "llama language")}  # fmt: skip
NAMES = [name for name in STEPS.names() if name not in {case.split()[0] for case in CASES}]


@pytest.fixture(autouse=True)
def pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything into files, in small pieces."""
    for name, size in {
        "scratch.LIMIT": 0, "scratch._PIECE": 256, "scratch._BLOCK": 64, "scratch._SORTED": 128,
        "data.stored.PIECE": 64, "data.alike._PART": 128, "data.alike._HELD": 1024, "data.coded._HELD": 64,
        "data.numbers._PIECE": 64, "data._source._PIECE": 1024, "data._content._PIECE": 1024,
        "data.near._ROWS": 64, "data.near._PAIRS": 128, "data.near._BATCH": 4096,
        "data._bands._PAIRS": 128, "data.fences._LOOKED_AT": 33,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"tunesmith.{name}", size)
    gc.disable()  # when it looks for cycles is chance; what leaves cycles behind fails
    yield
    gc.enable()


def text(i: int) -> str:
    order = Random(i // 3 % 16)  # three rows of a text, one of them in capitals; every piece is like every other
    said = " ".join(order.choices(WORDS, k=6)) + f" {i // 3:05} {LINES[0]}"
    return said.upper() if i % 3 == 2 else said


def rows(count: int, files: dict[str, str]) -> tuple[Ledger, Sequence[Record]]:
    """So many rows in a file, in a ledger: of two sources, three labels, with a number that is wild now and then."""
    ledger = Ledger()
    lines = [(i + 2, {"text": text(i), "label": "aab"[i % 3] if i % 4 else "c", **files,
                      "hours": f"{1e6 if i % 8 == 0 else i % 48}"}) for i in range(count)]  # fmt: skip
    found = ledger.add(Table("a.csv", ("text",), stored.table_rows(lines[::2], bool), (), ""))
    other = ledger.add(Table("b.csv", ("text",), stored.table_rows(lines[1::2], bool), (), ""))
    return ledger, stored.records(record for each in (found, other) for record in each)


class Ground:
    """Files that steps ask for."""

    def __init__(self, folder: Path, bases: TinyBases) -> None:
        self.folder, self.bases = folder, bases
        (folder / "groups.csv").write_text(augmenting.GROUPS, encoding="utf-8")
        (folder / "fixes.csv").touch()
        pictures.shape("disc", np.random.default_rng(0)).save(folder / "one.png")
        sounds.write(folder / "one.wav", sounds.tone(440, 0.05, np.random.default_rng(0)))

    def step(self, case: str) -> Step:
        name, more = case.split(maxsplit=1)[0], dict[str, Any]()
        if name in ("synonyms", "eda"):
            more["resource"] = str(self.folder / "groups.csv")
        if name == "relabel":
            more["file"] = str(self.folder / "fixes.csv")
        if name in MODELS:
            more[MODELS[name][0]] = str(self.bases[MODELS[name][1]])
            more |= {"prefixes": ["", ""]} if name == "backtranslate" else {}
        return STEPS.make(name, CASES.get(case, {}) | more)

    def growth(self, case: str) -> float:
        """Bytes of memory for each further row."""
        step = self.step(case)
        self.peak(step, FEW if case in SLOW else 64)  # what is made once, or remembered of some words, is there
        few, many = self.peak(step, FEW), self.peak(step, FEW * TIMES)
        return (many - few) / (FEW * (TIMES - 1))

    def peak(self, step: Step, count: int) -> int:
        if step.name == "relabel":  # it holds decisions
            lines = [f"{'ab'[i % 2]}.csv,{i // 2 + 1},{text(i)},keep\n" for i in range(count)]
            (self.folder / "fixes.csv").write_text("source,row,text,decision\n" + "".join(lines), encoding="utf-8")
        files = {"pictures": {"file": str(self.folder / "one.png")}, "sounds": {"file": str(self.folder / "one.wav")}}
        ledger, records = rows(count, files.get(step.name, {}))
        roles = ROLES if step.name not in files else Roles(
            (DIGEST if step.name == "pictures" else SAMPLES,), "label", file="file")  # fmt: skip
        task = SimpleNamespace(kind="classes", reworded=reworded)
        if step.name == "chunk":
            task = TASKS.make("masked", {"text": "text", "max_tokens": 12})
        source = [SimpleNamespace(file=name) for name in ("a.csv", "b.csv")]
        plan = SimpleNamespace(task=task, steps=[step], data=SimpleNamespace(train=source),
                               base=SimpleNamespace(found=lambda: find(str(tiny.folder("bert")))))  # fmt: skip
        told: dict[str, Any] = {"plan": plan} if step.asks_plan else {}
        spare_tuples()
        tracemalloc.start()
        try:
            if step.scope == "learnt":
                records, told["learnt"] = step.learn(records, roles, ledger)
            for _ in step.run(records, roles, ledger, 1, **told):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def spare_tuples() -> None:
    """Python keeps up to 2,000 tuples of each length that nobody holds any more, to give them out again: no memory of
    rows, and none that is traced where they are there before."""
    for length in range(1, 21):
        [tuple([None] * length) for _ in range(2100)]


def reworded(record: Record, put: Any) -> Record:
    return Record(record.id, record.source, record.row, record.line, {"text": put(str(record.cells["text"]))})


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_bases: TinyBases) -> Ground:
    return Ground(tmp_path_factory.mktemp("memory"), tiny_bases)


def grown(case: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured is what the step says."""
    step = ground.step(case)
    pytest.importorskip({"repair": "ftfy", "chinese": "opencc"}.get(step.name, "numpy"))
    monkeypatch.setattr("tunesmith.bases.load.load_tokenizer", lambda found: tiny.tokenizer("bert"))
    for module in ("backtranslate", "paraphrase"):
        monkeypatch.setattr(f"tunesmith.steps.{module}.written", stuttered)
    if hasattr(step, "batch"):
        monkeypatch.setattr(type(step), "batch", 1)
    growth = ground.growth(case)
    assert (step.memory == "grows") == bool(step.holds)
    if step.memory == "flat":
        assert growth < FLAT
    else:
        told = step.held(FEW * TIMES) / (FEW * TIMES)
        assert growth > GROWS and told / 2 < growth < 2 * told


@pytest.mark.parametrize("case", [case for case in [*CASES, *NAMES] if case not in SLOW])
def test_memory_is_what_the_step_says(case: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(case, ground, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_memory_of_the_others(case: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(case, ground, monkeypatch)


class Holding(Step):
    """A step that says how much it will hold."""

    name: str = "holding"
    scope = "pool"
    memory = "grows"
    holds = "each row, to look at it again"

    def held(self, rows: int) -> int:
        return 1000 * rows

    def run(self, records: Sequence[Record], roles: Roles, ledger: Ledger, seed: int) -> Sequence[Record]:
        return list(records)


def test_what_a_step_will_hold_is_told_before_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    plan: Any = SimpleNamespace(steps=(Holding(), STEPS.make("clean")))
    assert prepare._held(plan, 10**6, Progress()) == []
    (note,) = prepare._held(plan, 5 * 10**6, Progress())
    assert note == "step holding will hold about 5.0 GB in memory: each row, to look at it again"
    assert capsys.readouterr().err == f"warning: {note}\n"
