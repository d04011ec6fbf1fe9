"""The engine on one machine: Optuna in one SQLite file.

This process alone asks and tells; workers train. The sampler of trial n is drawn from (seed, n), so that a search that
was killed goes on with what it would have tried: with one worker the whole search is a function of the seed. A trial
that ran when the search was killed is taken up from the checkpoint in its folder.

TPE: Bergstra et al. 2011, multivariate and grouped by branch (Falkner et al. 2018). ASHA: Li et al. 2020, 1810.05934,
in the form that stops and never resumes. Hyperband: Li et al. 2018, 1603.06560, over brackets of ASHA.
"""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.search.attempt import Standing
from tunesmith.search.tuning.bench import RUNGS, Bench
from tunesmith.search.tuning.ranges import Range, Value
from tunesmith.search.tuning.tried import Tried, of_standing, ranked

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

FILE = "search.sqlite"
STARTING = 10
"""Random trials before TPE has seen enough."""


@contextmanager
def quiet() -> Iterator[Any]:
    """Optuna, without its log and its notes on what is experimental. Raises TunesmithError where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise TunesmithError("tune needs the library optuna, which is not installed. Run: pip install "
                             "'tunesmith[tune]'") from error  # fmt: skip
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield optuna
    finally:
        optuna.logging.set_verbosity(level)


def suggest(trial: "Trial", each: Range) -> Value:
    """A value of a range, by Optuna."""
    found: Value
    if each.kind == "choice":
        found = trial.suggest_categorical(each.name, each.labels)
    elif each.whole:
        found = trial.suggest_int(each.name, int(each.low), int(each.high), log=each.logarithmic)
    else:
        found = trial.suggest_float(each.name, each.low, each.high, log=each.logarithmic)
    return found


def storage_in(folder: Path) -> Any:
    """Where a study is kept."""
    return f"sqlite:///{folder / FILE}"


def sampler_of(name: str, seed: int) -> "BaseSampler":
    """The sampler of that name."""
    from optuna import samplers

    if name == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=STARTING, multivariate=True, group=True)


def pruner_of(name: str) -> "BasePruner":
    """The pruner of that name, in ninths of a run."""
    from optuna import pruners

    if name == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    return pruners.NopPruner()


def search(bench: Bench) -> list[Tried]:
    """Try as many settings as were asked for and time allows, going on with what was tried before."""
    with quiet():
        return _Search(bench).run()


class _Search:
    """A study, and the trials that are being trained."""

    def __init__(self, bench: Bench) -> None:
        import optuna

        self.bench = bench
        self.study = optuna.create_study(
            storage=storage_in(bench.folder), study_name="tune", load_if_exists=True,
            direction="maximize" if bench.higher else "minimize", pruner=pruner_of(bench.asked.pruner),
        )  # fmt: skip
        running = optuna.trial.TrialState.RUNNING
        self.left = [t.number for t in self.study.get_trials(deepcopy=False) if t.state == running]
        """Trials that a killed call left behind."""
        self.live: dict[int, tuple[Any, list[int]]] = {}
        """{number: (trial, ninths that are still ahead)}."""

    def run(self) -> list[Tried]:
        bench, total = self.bench, self.bench.asked.trials
        begun = len(self.study.get_trials(deepcopy=False))
        with bench.progress.bar("tuning", total, "trials", begun - len(self.left)) as bar:
            while True:
                while bench.crew.free and not bench.stopping and (self.left or self._begun < total):
                    self._next()
                if not bench.crew.working:
                    break
                if self._took(*bench.crew.done()):
                    best = ranked(self.tried(), higher=bench.higher)
                    bar.advance(1, f"best {best[0].value:.4f}" if best else None)
                bench.clock.keep()
        return self.tried()

    @property
    def _begun(self) -> int:
        return len(self.study.get_trials(deepcopy=False))

    def _next(self) -> None:
        """Begin a trial, or take up one that was left."""
        import optuna

        number = self.left.pop(0) if self.left else self._begun
        self.study.sampler = sampler_of(self.bench.asked.sampler, (self.bench.seed * 1_000_003 + number) % 2**32)
        known = [t for t in self.study.get_trials(deepcopy=False) if t.number == number]
        trial = optuna.trial.Trial(self.study, known[0]._trial_id) if known else self.study.ask()
        values = self.bench.space.fill(lambda each: suggest(trial, each))[1]
        try:
            self.bench.plan(values)
        except TunesmithError as error:
            self._fail(trial, str(error), None)
            return
        self.live[number] = trial, list(self.bench.rungs)
        self._go(number)

    def _go(self, number: int) -> None:
        trial, ahead = self.live[number]
        plan = self.bench.plan(self.bench.space.fill(lambda each: trial.params[each.name])[1])
        self.bench.crew.start(number, plan, self.bench.place(number), RUNGS[ahead[0]])

    def _took(self, number: int, standing: Standing | None) -> bool:
        """What a piece of training came to; whether its trial is over."""
        trial, ahead = self.live[number]
        if standing is None:  # told to stop; it can go on
            del self.live[number]
            return False
        value = of_standing(standing)
        self._note(trial, standing)
        if standing.failed or value is None:
            self._fail(trial, standing.failed or "its metric is undefined on the validation rows", standing)
        elif standing.finished:
            self.study.tell(trial, value)
        elif self._pruned(trial, ahead.pop(0), value):
            self._tell(trial, "PRUNED")
            shutil.rmtree(self.bench.place(number) / "checkpoints", ignore_errors=True)
        elif self.bench.stopping:
            del self.live[number]
            return False
        else:
            self._go(number)
            return False
        del self.live[number]
        return True

    def _pruned(self, trial: "Trial", ninths: int, value: float) -> bool:
        # a kill between the pruner's note and what is told trains this trial further than it needed: no result changes
        if ninths not in self.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(value, ninths)
        return trial.should_prune()

    def _note(self, trial: "Trial", standing: Standing) -> None:
        told = ("seconds", "cpu_seconds", "share", "reason")
        trial.set_user_attr("standing", {key: getattr(standing, key) for key in told})

    def _fail(self, trial: "Trial", why: str, standing: Standing | None) -> None:
        trial.set_user_attr("failed", why)
        self._tell(trial, "FAIL")
        if standing is None:
            self.bench.progress.advance(1)

    def _tell(self, trial: "Trial", state: str) -> None:
        import optuna

        self.study.tell(trial, state=optuna.trial.TrialState[state])

    def tried(self) -> list[Tried]:
        """All trials so far."""
        return [self._told(trial) for trial in self.study.get_trials(deepcopy=False)]

    def _told(self, trial: "FrozenTrial") -> Tried:
        state = {"COMPLETE": "done", "PRUNED": "stopped", "FAIL": "failed"}.get(trial.state.name, "open")
        seen = trial.intermediate_values
        value = trial.value if state == "done" else seen[max(seen)] if seen else None
        about = trial.user_attrs.get("standing", {})
        reason = trial.user_attrs.get("failed") or about.get("reason") or ""
        place = self.bench.place(trial.number).relative_to(self.bench.folder)
        return Tried(trial.number, dict(trial.params), state, value, about.get("share", 0.0),  # type: ignore[arg-type]
                     about.get("seconds", 0.0), about.get("cpu_seconds", 0.0), reason, str(place))  # fmt: skip


def distributions(ranges: Sequence[Range]) -> dict[str, Any]:
    """Optuna's word for ranges, by name."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for each in ranges:
        if each.kind == "choice":
            found[each.name] = CategoricalDistribution(each.labels)
        elif each.whole:
            found[each.name] = IntDistribution(int(each.low), int(each.high), log=each.logarithmic)
        else:
            found[each.name] = FloatDistribution(each.low, each.high, log=each.logarithmic)
    return found
