"""Many processes, and processes that are killed: numbers without gaps, and versions that are absent or complete."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunesmith.registry import schema
from tunesmith.registry.store import Store

HEAD = """
import json, os, signal, sys, time, traceback
from pathlib import Path
from tunesmith.registry import blobs, schema, store
from tunesmith.registry.store import Store
root, folder = Path(sys.argv[1]), Path(sys.argv[2])
"""
FORK = """
jobs = json.loads(sys.argv[3])
start, go = os.pipe()
children = []
for number, (code, argument) in enumerate(jobs):
    child = os.fork()
    if not child:
        os.close(go)
        os.read(start, 1)  # returns when the parent closes its end
        sys.stdout = open(f"{root}.out-{number}", "w")
        try:
            exec(code)
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    children.append(child)
os.close(go)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""
REGISTER = """
chosen = Store(root)
for turn in range(2):
    print(chosen.register(folder, "tickets", lineage={"who": argument}, metrics={"turn": turn}).number)
"""
OPEN = """
chosen = Store(root)
print(chosen.open(chosen.resolve("tickets@1")))
"""
OPEN_AND_STAY = """
looks, look = [], store.faults
def late(target, files):
    wrong = look(target, files)
    looks.append(wrong)
    if wrong and len(looks) == 2:  # about to move the folder away
        time.sleep(0.05 + 0.05 * int(argument))
    return wrong
store.faults = late
chosen = Store(root)
path = chosen.open(chosen.resolve("tickets@1"))
end = time.monotonic() + 0.4
while time.monotonic() < end:
    assert (path / "card.json").read_text() == "{}"
print(path)
"""
COLLECT = """
chosen = Store(root)
for turn in range(15):
    chosen.collect(grace=0)
"""
NUM_STEPS = 12
"""Before and after each of two blobs, two PRAGMA, BEGIN, two SELECT, two INSERT, COMMIT."""
KILL_AT = """
import sqlite3
left = [1] * int(argument)
def strike():
    if left:
        left.pop()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
class Dying(sqlite3.Connection):
    def execute(self, *a):
        strike()
        return super().execute(*a)
    def executemany(self, *a):
        strike()
        return super().executemany(*a)
chosen = Store(root)
connect = sqlite3.connect
sqlite3.connect = lambda *a, **k: connect(*a, factory=Dying, **k)
put = blobs.Blobs.put
def late(self, source):
    strike()
    entry = put(self, source)
    strike()
    return entry
blobs.Blobs.put = late
print(chosen.register(folder, "tickets", lineage={}, metrics={"turn": 1}).number)
"""
WRITE_UNTIL_KILLED = """
chosen = Store(root)
for turn in range(100_000):
    version = chosen.register(folder, "tickets", lineage={"who": sys.argv[3]}, metrics={"turn": turn})
    chosen.alias("tickets", "production", version.number)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "adapter.safetensors").write_bytes(b"weights" * 1000)
    (made / "card.json").write_text("{}")
    return made


@pytest.fixture
def crew(tmp_path: Path, folder: Path) -> "Crew":
    """Processes on one registry."""
    return Crew(tmp_path / "registry", folder)


class Crew:
    """Runs pieces of code in processes of their own that all begin at the same moment."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder

    def start(self, code: str, argument: str) -> subprocess.Popen[str]:
        """One new Python."""
        return subprocess.Popen(
            [sys.executable, "-c", HEAD + code, str(self.root), str(self.folder), argument],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    def ends(self, jobs: list[tuple[str, str]]) -> list[int]:
        """Fork a process for each (code, argument); their exit codes."""
        out, error = self.start(FORK, json.dumps(jobs)).communicate(timeout=60)
        assert not error, error
        return list(json.loads(out))

    def say(self, jobs: list[tuple[str, str]]) -> list[list[str]]:
        """The words that each process printed; all must end well."""
        assert self.ends(jobs) == [0] * len(jobs)
        return [Path(f"{self.root}.out-{i}").read_text().split() for i in range(len(jobs))]


def test_sixteen_processes_lose_nothing(crew: Crew) -> None:
    """C3 and C4: on an empty root, one migration, and 32 numbers without gap or double, each with its own content."""
    told = crew.say([(REGISTER, str(i)) for i in range(16)])
    assert sorted(int(n) for numbers in told for n in numbers) == list(range(1, 33))
    store = Store(crew.root)
    for who, numbers in enumerate(told):
        for turn, number in enumerate(numbers):
            version = store.resolve(f"tickets@{number}")
            assert (version.lineage, version.metrics) == ({"who": str(who)}, {"turn": turn})
            assert store.verify(version) == []
    with schema.reading(crew.root / "store.db") as link:
        assert [row[0] for row in link.execute("SELECT name FROM migrations ORDER BY name")] == list(schema.MIGRATIONS)
        assert link.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert link.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_eight_starters_bring_an_old_store_up_to_date_once(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: a store of the first migration alone, with a version in it."""
    old = dict(list(schema.MIGRATIONS.items())[:1])
    monkeypatch.setattr(schema, "MIGRATIONS", old)
    Store(crew.root).register(crew.folder, "tickets", lineage={}, metrics={})
    monkeypatch.undo()
    slow = "look = schema._applied\nschema._applied = lambda *a: (look(*a), time.sleep(0.01))[0]\n"
    crew.say([(slow + "Store(root).alias('tickets', f'a{argument}', 1)", str(i)) for i in range(8)])
    store = Store(crew.root)
    assert len(store.aliases("tickets")) == 8 and store.verify(store.resolve("tickets@a0")) == []


def test_registering_opening_and_collecting_at_once(crew: Crew) -> None:
    """C6: collection with no grace at all takes nothing that a registration or a reader needs."""
    Store(crew.root).register(crew.folder, "tickets", lineage={}, metrics={})
    told = crew.say(
        [(REGISTER, "0"), (REGISTER, "1"), (REGISTER, "2"), (REGISTER, "3"), *[(COLLECT, "")] * 2, *[(OPEN, "")] * 3]
    )
    assert sorted(int(n) for numbers in told[:4] for n in numbers) == list(range(2, 10))
    assert len({line for lines in told[6:] for line in lines}) == 1
    store = Store(crew.root)
    assert [store.verify(version) for version in store.list()] == [[]] * 9


def test_killed_at_each_step_of_a_registration(crew: Crew) -> None:
    """K5: around each blob, before each SQL statement: the version is absent, and the next run makes it whole."""
    store = Store(crew.root)
    first = store.register(crew.folder, "tickets", lineage={}, metrics={})
    (crew.folder / "adapter.safetensors").write_bytes(b"new weights")
    assert crew.ends([(KILL_AT, str(step)) for step in range(NUM_STEPS)]) == [-9] * NUM_STEPS
    assert store.list() == [first] and store.verify(first) == []
    assert crew.say([(KILL_AT, str(NUM_STEPS))]) == [["2"]]
    assert [str(version) for version in store.list()] == ["tickets@1", "tickets@2"]
    assert all(store.verify(version) == [] for version in store.list())


def test_killed_between_blob_and_row_leaves_only_orphans(crew: Crew) -> None:
    """The blobs are there, the row is not; they are collected, and a registration after that is whole."""
    store = Store(crew.root)
    code = "Store._accept = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n" + REGISTER
    assert crew.ends([(code, "0")]) == [-9] and store.list() == []
    assert len(list(crew.root.glob("blobs/sha256/*/*"))) == 3
    assert store.collect().num_blobs == 0  # young: the writer might still live
    assert store.collect(grace=0).num_blobs == 3
    version = store.register(crew.folder, "tickets", lineage={}, metrics={})
    assert version.number == 1 and store.verify(version) == []


def test_a_reader_sees_whole_versions_while_a_writer_is_killed(crew: Crew) -> None:
    """C7: at every moment the numbers have no gap and the alias points at one of them."""
    store = Store(crew.root)
    store.register(crew.folder, "tickets", lineage={}, metrics={"turn": 1})
    for who in range(3):
        before = len(store.list())
        writer = crew.start(WRITE_UNTIL_KILLED, str(who))
        end = time.monotonic() + 30
        while len(store.list()) < before + 5 and time.monotonic() < end:
            numbers = [version.number for version in store.list("tickets")]
            assert numbers == list(range(1, len(numbers) + 1))
            assert store.aliases("tickets").get("production", 1) <= len(store.list("tickets"))
        writer.kill()
        assert writer.communicate()[1] == "" and writer.returncode == -9
        assert all(store.verify(version) == [] for version in store.list()[-3:])
    assert len(store.list()) >= 16


def test_a_damaged_folder_is_made_anew_by_many_at_once(crew: Crew) -> None:
    """All readers get the same healthy folder, nobody takes it away again, and nothing is left lying about."""
    store = Store(crew.root)
    version = store.register(crew.folder, "tickets", lineage={}, metrics={})
    target = store.open(version)
    (target / "card.json").chmod(0o600)
    (target / "card.json").write_text("evil")
    assert crew.say([(OPEN_AND_STAY, str(i)) for i in range(6)]) == [[str(target)]] * 6
    assert (target / "card.json").read_text() == "{}"
    assert [path.name for path in (crew.root / "folders").iterdir()] == [version.digest]
