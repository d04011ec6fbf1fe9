"""The engine on a cluster: Ray Tune with its ASHA scheduler and Optuna as its searcher.

A trial is a Ray actor that calls `advance` in a folder which all machines see. What is learnt lies in that folder and
nowhere else: an actor that dies is started again and goes on from its checkpoint, and so does the whole search when
the process that began it was killed and the same command is given again (`Tuner.restore`). Ray keeps the state of
scheduler and searcher below `ray/` of the folder of the search.

Which trials are left early depends on when they come in, so unlike the embedded engine with one worker this one is no
function of the seed; every single trial is.
"""

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json
from tunesmith.plan import Plan
from tunesmith.progress import Progress, Stop
from tunesmith.search.attempt import Standing, advance
from tunesmith.search.ground import Ground
from tunesmith.search.tuning.bench import RUNGS, Bench
from tunesmith.search.tuning.embedded import quiet, sampler_of, suggest
from tunesmith.search.tuning.space import Space, Tree, Values
from tunesmith.search.tuning.tried import State, Tried, of_standing

JOB, NAME = "ray.json", "ray"
STORE = 200_000_000
"""Bytes of Ray's object store on this machine: nothing but settings and numbers goes through it."""
AGAIN = 3
"""So often an actor that died is started again."""
Planned = Callable[[Tree, Ground], Plan]


class Asker:
    """The space as Ray's searcher asks it; keys are r0, r1, … since Ray takes names with slashes apart."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self.tree, self.folder = tree, folder

    def __call__(self, trial: Any) -> dict[str, Any]:
        from dataclasses import replace

        keys = keys_of(Space(self.tree))
        Space(self.tree).fill(lambda each: suggest(trial, replace(each, name=keys[each.name])))
        return {"folder": self.folder}


def keys_of(space: Space) -> dict[str, str]:
    """{name of a range: its key}."""
    return {name: f"r{i}" for i, name in enumerate(space.ranges())}


def values_of(space: Space, config: dict[str, Any]) -> Values:
    """The values of a trial, by the names of their ranges."""
    return {name: config[key] for name, key in keys_of(space).items() if key in config}


def search(bench: Bench) -> list[Tried]:
    """Try as many settings as were asked for, going on with what an earlier call began."""
    with quiet(), redirect_stdout(sys.stderr), _cluster(bench):  # stdout is for the reply, and Ray greets there
        grid = _tuner(bench).fit()
        return [_told(bench, number, result) for number, result in enumerate(grid)]


@contextmanager
def _cluster(bench: Bench) -> Iterator[None]:
    """Ray, without its reports home, its dashboard and its log."""
    silent = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_CHDIR_TO_TRIAL_DIR": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
              "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0"}  # fmt: skip
    before = {name: os.environ.get(name) for name in silent}
    os.environ |= silent
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise TunesmithError("search.engine: ray needs the library ray, which is not installed. Run: pip install "
                             "'tunesmith[ray]'") from error  # fmt: skip
    asked, here = bench.asked, dict[str, Any]()
    if asked.address is None:
        workers = asked.workers if isinstance(asked.workers, int) else None
        here = {"include_dashboard": False, "object_store_memory": STORE, "num_cpus": workers}
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray itself sees to Ctrl-C; a kill is a killed head
    ray.init(address=asked.address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True,
             runtime_env={"env_vars": silent | {"OMP_NUM_THREADS": "1"}}, **here)  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, handler)
        os.environ |= {name: value for name, value in before.items() if value is not None}


def _tuner(bench: Bench) -> Any:
    tune, schedulers = import_module("ray.tune"), import_module("ray.tune.schedulers")
    searchers = import_module("ray.tune.search.optuna")
    asked, folder, mode = bench.asked, bench.folder.absolute(), "max" if bench.higher else "min"
    made = tune.with_parameters(_trainable(), planned=bench.planned)
    trainable = tune.with_resources(made, {"cpu": 1, "gpu": asked.gpus})
    job = {"tree": bench.space.tree, "rungs": bench.rungs, "online": bench.online, "trials": asked.trials}
    if (folder / JOB).is_file() and tune.Tuner.can_restore(folder / NAME):
        if (known := read_json(folder / JOB)["trials"]) != asked.trials:
            raise TunesmithError(f"search.trials: a search on Ray keeps the number that it began with, {known}. For "
                                 f"more choose another folder with run=…; got {asked.trials}")  # fmt: skip
        bench.progress.say("tuning: going on with the search on Ray")
        return tune.Tuner.restore(str(folder / NAME), trainable, resume_unfinished=True, restart_errored=True)
    write_json(folder / JOB, job)
    sampler = sampler_of(asked.sampler, bench.seed)
    left = None if asked.seconds is None else max(1.0, asked.seconds - bench.clock.seconds)
    asha = schedulers.ASHAScheduler(time_attr="ninths", max_t=9, grace_period=1, reduction_factor=3)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="value", mode=mode, num_samples=asked.trials, reuse_actors=True, time_budget_s=left,
            search_alg=searchers.OptunaSearch(space=Asker(bench.space.tree, str(folder)), metric="value", mode=mode,
                                    sampler=sampler),
            scheduler=schedulers.FIFOScheduler() if asked.pruner == "none" else asha,
            max_concurrent_trials=asked.workers if isinstance(asked.workers, int) else None,
        ),
        run_config=tune.RunConfig(name=NAME, storage_path=str(folder), verbose=0,
                                  failure_config=tune.FailureConfig(max_failures=AGAIN)),
    )  # fmt: skip


def _trainable() -> Any:
    """The actor, as a class that Ray knows what to do with; made here so that Ray is imported for those who use it."""
    trainable: Any = import_module("ray.tune").Trainable

    class Attempt(trainable):  # type: ignore[misc]
        """A trial: `step` trains to the next rung."""

        def setup(self, config: dict[str, Any], planned: Planned) -> None:
            job = read_json(Path(config["folder"]) / JOB)
            self.space, self.rungs, self.planned = Space(job["tree"]), job["rungs"], planned
            self.ground = Ground(Progress(silent=True), Stop(), online=job["online"])
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            """Another trial in the same process, which shares rows and base with the one before."""
            self.settings, self.ahead = new_config, list(self.rungs)
            return True

        def step(self) -> dict[str, Any]:
            ninths, folder = self.ahead.pop(0), Path(self.settings["folder"]) / "trials" / str(self.trial_id)
            return stepped(self.planned, self.space, self.ground, self.settings, folder, ninths)

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """What is learnt lies in the folder of the trial."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """It is found there."""

    return Attempt


def stepped(
    planned: Planned, space: Space, ground: Ground, config: dict[str, Any], folder: Path, ninths: int
) -> dict[str, Any]:
    """A trial at its next rung, as Ray reports it: a value, how far it is, whether it is over."""
    try:
        plan = planned(space.filled(values_of(space, config)), ground)
    except TunesmithError as error:
        return _report(ninths, None, str(error))
    found = advance(ground, plan, folder, RUNGS[ninths])
    return _report(ninths, found, found.failed)


def _report(ninths: int, found: Standing | None, failed: str | None) -> dict[str, Any]:
    value = None if found is None or failed else of_standing(found)
    failed = failed or ("its metric is undefined on the validation rows" if value is None else None)
    about = {} if found is None else {
        "share": found.share, "seconds": found.seconds, "cpu_seconds": found.cpu_seconds, "reason": found.reason,
    }  # fmt: skip
    over = found is None or found.finished or failed is not None
    return {"value": math.nan if value is None else value, "ninths": ninths, "done": over, "over": over,
            "failed": failed, **about}  # fmt: skip


def _told(bench: Bench, number: int, result: Any) -> Tried:
    found = result.metrics or {}
    values = values_of(bench.space, result.config or {})
    why = found.get("failed") or ("" if result.error is None else str(result.error).strip().splitlines()[-1])
    state: State = "failed" if why else "done" if found.get("over") else "stopped" if found else "open"
    if state == "stopped" and bench.clock.over:
        state = "open"
    value = found.get("value")
    value = None if value is None or not math.isfinite(value) else float(value)
    folder = f"trials/{found['trial_id']}" if "trial_id" in found else ""
    return Tried(number, values, state, value, found.get("share", 0.0), found.get("seconds", 0.0),
                 found.get("cpu_seconds", 0.0), why or found.get("reason", ""), folder)  # fmt: skip
