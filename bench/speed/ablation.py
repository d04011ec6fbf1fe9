"""What each lever is worth: `python bench/speed/ablation.py [JOB …] [--rows N] [--reps N]`.

Every switch of the plan's `engine` section off alone and on alone, arms in turn in one process (every second
repetition backwards), so that imports are paid once. Memory is not measured here
(`run.py ablation-full` runs each arm in a process of its own and does). The machine's best matrix product is measured
in the same process before and after. What a job needs at least is what is left to multiply with every shortcut, as
`engine/savings.py` counts it; its time on the best product is the physical limit.
"""

import argparse
import json
import os
import sys
from tempfile import TemporaryDirectory
from typing import Any

import contest
import limit
import rows as data
import run
from contest import Arm, Job
from meter import Laps, Meter
from standing import RESULTS

JOBS = ("ablation-full", "ablation-lora", "ablation-layers2", "ablation-lora2")


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", default=JOBS, metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--reps", type=int, default=3)
    asked = parser.parse_args()
    if not os.environ.get("OMP_NUM_THREADS"):  # read when torch is imported: start anew with it
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **run.ONE_THREAD, **run.QUIET})
    context = run._context(run.ROOT / "src")
    for job in contest.chosen(list(asked.jobs)):
        _measure(job, data.prepare(job.data, asked.rows, 2), asked.reps, context)
    return 0


def _measure(job: Job, rows: data.Rows, reps: int, context: dict[str, Any]) -> None:
    import ours

    arms = [arm for arm in job.arms if _rests(job) or "cache" not in arm.name]
    ask = run._ask(job, arms[0], 0, rows, whole=False) | {"rows": json.loads(rows.file.read_text(encoding="utf-8"))}
    ready = ours._ready(ask, ours._plan(ask, {}), Laps())
    _once(job, arms[0], ask, ready)  # warm
    peak = _peak(ask["config"])
    for rep in range(reps):
        for arm in arms if rep % 2 == 0 else arms[::-1]:
            before = run._now()
            answer = _once(job, arm, run._ask(job, arm, rep, rows, whole=False), ready)
            line = {"job": job.name, "arm": arm.name, "kind": "train", "rep": rep, "epochs": job.epochs, **rows.about}
            line |= {**context, "method": job.method, "extrapolated": False, "laps": {}, **answer, **before}
            peak = max(peak, _peak(ask["config"])) if arm.name == "all on" else peak
            line |= {"gemm_best": peak, "load_after": os.getloadavg()[0]}
            RESULTS.mkdir(exist_ok=True)
            run._append(RESULTS / f"{job.group}.jsonl", line)
            print(f"{job.name} {arm.name} rep {rep}: {line['cpu']:.2f} CPU s", flush=True)


def _rests(job: Job) -> bool:
    """Whether blocks never move, so that there is something to keep."""
    return job.method["name"] in ("head", "layers") or "top" in job.method


def _once(job: Job, arm: Arm, ask: dict[str, Any], ready: Any) -> dict[str, Any]:
    """One run with an empty trunk cache, and what it needed at least where every shortcut is taken."""
    import ours

    from tunesmith.engine.batches import Batches
    from tunesmith.engine.savings import operations, sizes_of
    from tunesmith.engine.shortcuts import HeadShortcuts

    meter, plan = Meter(), ours._plan(ask | {"options": arm.options}, {})
    with TemporaryDirectory(prefix="tunesmith-ablation-") as folder:
        os.environ["TUNESMITH_CACHE"] = folder
        model, about = ours._run(plan, ready, ask["lr"], Laps(), meter)
    cost = meter.told()
    found = {**about, **{name: cost[name] for name in ("cpu", "user", "wall")}}
    if arm.name == "all on":
        shortcuts, batches = model.shortcuts, Batches(ready.learn.ids, contest.BATCH, None, 0)
        assert isinstance(shortcuts, HeadShortcuts), "the jobs classify"
        ways, plain = shortcuts.ways(ready.learn, batches, job.epochs)
        sizes = sizes_of(model.net.auto, model.family, shortcuts.resting())
        found |= {"least_flops": operations(sizes, ways[-1][1]) * job.epochs}
        found |= {"padded_flops": operations(sizes, plain) * job.epochs}
    return found


def _peak(config: dict[str, Any]) -> float:
    """GFLOP/s of the best product."""
    limit.SECONDS = 1.0
    products = limit.limit({"config": config}, Laps())["gemm"].values()
    return float(max(each["best"] for each in products))


if __name__ == "__main__":
    sys.exit(main())
