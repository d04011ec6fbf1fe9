"""Compare our engine with its peers: `python bench/speed/run.py [JOB …] [--rows N] [--reps N]`.

Each arm of a job runs in a process of its own, on one thread, arms in turn (A B A B …), and is charged for its training
alone: imports, tokenising and loading are measured apart. A line goes into results/*.jsonl as soon as an arm is done;
the same command goes on where it was cut off. A line counts for the code it was measured with: after a change of the
engine all arms of a job are measured anew, so that what is compared ran under the same load.
`python bench/speed/table.py` turns the lines into docs/benchmarks.md. One run at a time, and nothing else beside it.
"""

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import contest
import environments
import rows as data
from contest import Arm, Job
from standing import RESULTS, read

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MEASURED_CODE = ("engine", "training", "methods", "bases", "tasks", "model.py", "peft.py", "plan.py", "settings.py")
"""What of src/tunesmith can change the time of an arm; comments cannot."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
QUIET = {
    "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error",
    "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What all measurements of a command share."""

    code: Path
    """A copy of src/ as it was at the start: editing goes on while a round takes hours."""
    context: dict[str, Any]
    """Machine, versions and code, for every line."""
    arms: tuple[str, ...] = ()
    """All of a job's without any."""
    whole_search: bool = False
    again: bool = False


def main() -> int:
    """Measure what is asked and not yet known; 1 when an arm failed."""
    asked = _asked()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no arm goes on alone when we are ended
    failed, jobs = 0, contest.chosen(asked.jobs)
    known = list(dict.fromkeys(arm.name for job in jobs for arm in job.arms))
    if strangers := sorted(set(asked.arms or ()) - set(known)):
        raise SystemExit(f"no arm {', '.join(strangers)} in these jobs. Known: {', '.join(known)}")
    for peer in asked.peer:
        if reason := environments.make(peer):
            print(f"peer {peer}: skipped, {reason}", flush=True)
    with TemporaryDirectory(prefix="tunesmith-speed-code-") as folder:
        code = Path(shutil.copytree(ROOT / "src", Path(folder) / "src", ignore=shutil.ignore_patterns("__pycache__")))
        bench = Bench(code, _context(code), tuple(asked.arms or ()), asked.whole_search, asked.again)
        for job in jobs:
            if not asked.epochs or job.kind != "train" or job.epochs in asked.epochs:
                failed += _all_arms(job, _rows(job, asked), asked.reps, bench)
    return int(failed > 0)


def _rows(job: Job, asked: argparse.Namespace) -> data.Rows:
    if job.kind == "sft":
        return data.for_language(job.data, min(asked.rows, contest.SFT_ROWS))
    return data.prepare(job.data, asked.rows, asked.test)


def _all_arms(job: Job, rows: data.Rows, reps: int, bench: Bench) -> int:
    """Every arm in turn, again and again; how many failed."""
    asked = [arm for arm in job.arms if not bench.arms or arm.name in bench.arms]
    arms = [arm for arm in asked if _can_run(job, arm, rows)]
    return sum(not measured(job, arm, rep, rows, bench) for rep in range(reps) for arm in arms)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="such as full, lora-3, predict; all without them")
    parser.add_argument("--rows", type=int, default=640, help="training rows (640; the texts have 3,200)")
    parser.add_argument("--test", type=int, default=800, help="held-out rows (800)")
    parser.add_argument("--reps", type=int, default=3, help="times that each arm runs, each with another seed (3)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these, such as ours trainer 'trainer best'")
    parser.add_argument("--epochs", type=int, nargs="+", help="only training jobs of so many epochs")
    parser.add_argument(
        "--whole-search", action="store_true", help="run the peers' searches in full (else one run x 8)"
    )
    parser.add_argument("--peer", nargs="+", default=[], help="make the environment of such peers first: adapters")
    parser.add_argument("--again", action="store_true", help="measure also what is known")
    return parser.parse_args()


def _can_run(job: Job, arm: Arm, rows: data.Rows) -> bool:
    """Whether an arm can be measured here; says why not."""
    from tunesmith.plan import Plan

    reason = ""
    if arm is contest.BEST and rows.train < contest.GROUPED:
        reason = f"of fewer than {contest.GROUPED} rows it groups next to nothing by length"
    if environments.python(arm.side) is None:
        reason = f"its environment is not there; --peer {arm.side} makes it"
    if arm.side == "sentence_transformers" and find_spec("sentence_transformers") is None:
        reason = "sentence-transformers is not installed"
    if arm.side == "ours" and arm.options and "engine" not in Plan.model_fields:
        reason = "this version's plan has no section `engine` to switch levers with"
    if reason:
        print(f"{job.name} {arm.name}: skipped, {reason}", flush=True)
    return not reason


def measured(job: Job, arm: Arm, rep: int, rows: data.Rows, bench: Bench) -> bool:
    """Run an arm unless its line is there, and append its line. False when it failed."""
    file = RESULTS / f"{job.group}.jsonl"
    line = {"job": job.name, "arm": arm.name, "kind": job.kind, "rep": rep, "epochs": job.epochs}
    line |= rows.about | bench.context
    if not bench.again and any(_key(line) == _key(other) for other in read(file)):
        return True
    before = _now()
    answer = _run(arm.side, _ask(job, arm, rep, rows, bench.whole_search), bench.code)
    if answer is None:
        return False
    if steps := _missed_steps(job, answer, rows.train):
        print(f"{job.name} {arm.name}: took {answer['steps']} steps instead of {steps}; not stored", flush=True)
        return False
    line |= {"method": job.method, "extrapolated": False, **answer, **before, "load_after": os.getloadavg()[0]}
    RESULTS.mkdir(exist_ok=True)
    _append(file, line)
    print(_summary(line), flush=True)
    return True


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two measurements the same."""
    return line["job"], line["arm"], line["rep"], line["digest"], line["source"]


def _now() -> dict[str, Any]:
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "load_before": os.getloadavg()[0]}


def _missed_steps(job: Job, answer: dict[str, Any], rows: int) -> int | None:
    """How many optimizer steps the arm should have taken, where it took another number of them."""
    steps = job.steps(rows) * max(1, len(job.varied))
    return steps if "steps" in answer and job.kind in ("train", "search", "sft") and answer["steps"] != steps else None


def _append(file: Path, line: dict[str, Any]) -> None:
    torn = file.is_file() and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as stream:
        stream.write("\n" * torn + json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _summary(line: dict[str, Any]) -> str:
    if line["kind"] == "limit":
        return f"limit: {line['gemm']}"
    quality = f", accuracy {line['accuracy']:.3f}" if "accuracy" in line else ""
    mark = ", extrapolated" if line["extrapolated"] else ""
    return (
        f"{line['job']} {line['arm']} rep {line['rep']}: {line['cpu']:.2f} CPU s, {line['wall']:.2f} s, "
        f"{line['peak_mb']:.0f} MB{quality}{mark}"
    )


def _ask(job: Job, arm: Arm, rep: int, rows: data.Rows, whole: bool) -> dict[str, Any]:
    """Everything that the process of an arm needs to know."""
    from tunesmith.bases.find import find
    from tunesmith.engine.batches import order

    base, rate = find(rows.base), contest.learning_rate(job)
    varied = [{"method": each["method"], "lr": rate * each["rate"]} for each in job.varied]
    first = order(rows.train, rep, 0).tolist() if job.kind == "sft" else []
    plain = [i for i, each in enumerate(job.varied) if each["rate"] == 1.0 and each["method"].get("r", 8) == 8]
    return {
        "kind": job.kind, "side": arm.side, "options": arm.options, "file": str(rows.file), "lr": rate,
        "plan": job.plan(rep, rows.about["longest"]) | {"base": rows.base}, "order": first, "steps": job.steps(rows.train), "base": str(base.folder),
        "config": base.config, "varied": varied, "main": plain[0] if plain else 0, "whole": whole,
    }  # fmt: skip


def _run(side: str, ask: dict[str, Any], code: Path) -> dict[str, Any] | None:
    """The answer of a fresh process with an empty cache; None, and its last words, when it failed."""
    folder = Path(mkdtemp(prefix="tunesmith-speed-"))
    cache = folder / "cache"
    cache.mkdir()
    (folder / "ask.json").write_text(json.dumps(ask), encoding="utf-8")
    path = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": path, "TMPDIR": str(folder)}
    settings["TUNESMITH_CACHE"] = str(cache)
    words = [
        environments.python(side) or sys.executable,
        str(HERE / "arm.py"),
        str(folder / "ask.json"),
        str(folder / "answer.json"),
    ]
    try:
        done = subprocess.run(words, env=settings, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{side}: failed\n{done.stderr[-3000:]}", flush=True)
            return None
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
        return answer | {"cache_mb": round(size / 2**20, 1)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _context(code: Path) -> dict[str, Any]:
    """Machine, versions and code: what a number depends on beside the job."""
    from tunesmith.files import digest_json
    from tunesmith.machine import machine, versions

    folder = code / "tunesmith"
    files = [file for name in MEASURED_CODE for file in sorted([folder / name, *(folder / name).rglob("*.py")])]
    text = {str(file.relative_to(folder)): ast.dump(ast.parse(file.read_text())) for file in files if file.is_file()}
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    about = {k: v for k, v in machine().items() if k in ("cpu", "features", "memory_gb", "platform")}
    return {
        "source": digest_json(text)[:12], "commit": commit.stdout.strip(), "threads": 1, "batch": contest.BATCH, "device": "cpu",
        "machine": {**about, "cores": os.cpu_count()}, "versions": versions() | _peer_versions(),
    }  # fmt: skip


def _peer_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("sentence-transformers",):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    sys.exit(main())
