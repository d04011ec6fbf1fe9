"""The walk from a data file to a measured model that reloads. The whole Python API."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.bases.find import Found, find
from tunesmith.data.table import Table, read
from tunesmith.earlier import earlier_in
from tunesmith.errors import TunesmithError
from tunesmith.files import digest_folder, digest_json, write_json
from tunesmith.importers import Imported
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan, read_plan
from tunesmith.prepare import prepare
from tunesmith.prepared import Prepared
from tunesmith.progress import Progress, Stop
from tunesmith.run import Run, claim, identity, lease, place
from tunesmith.settings import require_libraries


@dataclass(frozen=True)
class Trained:
    """A finished run, as `train` returns it."""

    path: Path
    reply: dict[str, Any]

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """{split: {metric: {value, low, high}}}."""
        return dict(self.reply["metrics"])

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.path / "report.html"

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """Answers for some texts, in order."""
        return ask(self.path, [{"text": t} for t in texts])


def train(  # noqa: PLR0913 - the sections of a plan, by name
    task: Any = None,
    base: Any = None,
    data: Any = None,
    method: Any = None,
    *,
    plan: Plan | Path | str | None = None,
    steps: Any = None,
    penalties: Any = None,
    settings: dict[str, Any] | None = None,
    evaluate: dict[str, Any] | None = None,
    run: str | Path | None = None,
    online: bool = False,
    fork: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Fine-tune, measure, save and prove a model. `settings` is the plan's section `train`.

    The same call resumes an unfinished run and returns the stored result of a finished one.
    """
    asked = {"task": task, "base": base, "data": data, "method": method, "steps": steps, "penalties": penalties,
             "train": settings, "evaluate": evaluate, "run": str(run) if run else None}  # fmt: skip
    asked = {k: v for k, v in asked.items() if v is not None}
    if plan is None:
        plan = make_plan(asked)
    elif asked:
        raise TunesmithError("give either a plan or its sections, not both")
    elif not isinstance(plan, Plan):
        plan = read_plan(Path(plan))
    return train_plan(plan, online=online, fork=fork, progress=progress or Progress())


def train_plan(plan: Plan, *, online: bool = False, fork: bool = False, progress: Progress) -> Trained:
    """`train` for a plan that is already one."""
    began = time.monotonic()
    plan = pinned(plan)
    found = plan.base.found(online=online)
    require_libraries(plan.train)
    plan = fitted(plan, found)
    with Stop() as stop:
        prepared = prepare(plan, progress, earlier_in(found.folder, found.name))
        stop.check("before training")
        who = _who(plan, prepared, found, online)
        run = place(prepared.plan, who, fork=fork)
        with lease(run):
            claim(run, who)
            if (reply := run.reply) is not None:
                return Trained(run.path, reply | {"status": "already_done"})
            from tunesmith.job import carry_out

            reply = carry_out(run, prepared, found, progress, stop, began)
            write_json(run.file("reply.json"), reply)
    return Trained(run.path, reply)


def forecast(plan: Plan, *, online: bool = False) -> dict[str, Any]:
    """What `train` would take, without training and without loading a weight: {memory_mb, seconds, disk_mb, fits, said,
    …}, from the lengths of the rows, the base's config.json, and how fast this machine was found to be. `said` alone
    for bases that are not counted so."""
    from tunesmith.job import foresee

    plan = pinned(plan)
    found = plan.base.found(online=online)
    require_libraries(plan.train)
    plan = fitted(plan, found)
    return foresee(prepare(plan, Progress(silent=True), earlier_in(found.folder, found.name), learn=False), found)


def _who(plan: Plan, prepared: Prepared, found: Found, online: bool) -> dict[str, Any]:
    """What makes two runs the same."""
    from tunesmith.model import saved

    who = identity(prepared.plan, prepared.digests, found.digest)
    if teachers := [t for p in plan.penalties if (t := getattr(p, "teacher", None))]:
        who["teachers"] = [digest_folder(saved(t)) for t in teachers]
    if plan.method.start:  # another content under the same name is another run
        before = Run(Path(plan.method.start)).reply
        who["start"] = before["weights_sha256"] if before else "unfinished"
    halves = [plan.method] if plan.tower is None else [plan.method, plan.tower.method]
    if sources := [s for method in halves for s in method.sources()]:
        who["sources"] = [digest_folder(saved(s)) for s in sources]
    if plan.tower is not None:
        who["tower"] = plan.tower.found(online=online).digest
    return who


def pinned(plan: Plan) -> Plan:
    """The plan with a version by its number as its base: an alias may point elsewhere tomorrow."""
    if "@" not in plan.base.name or Path(plan.base.name).expanduser().exists():
        return plan
    from tunesmith.registry.store import Store

    version = Store().resolve(plan.base.name)
    return plan.model_copy(update={"base": plan.base.model_copy(update={"name": str(version)})})


def fitted(plan: Plan, found: Found) -> Plan:
    """The plan with `max_tokens` fitted to the base where it was not asked for. What cannot work with this base is
    refused before any weight is loaded."""
    from tunesmith.bases.load import max_positions
    from tunesmith.model import check_sources, family_for

    check_sources(plan, found)
    family = family_for(plan, found)
    for path, part in (("task", plan.task), ("method", plan.method)):
        if text := part.base_objection(family):
            raise TunesmithError(f"{path}: {text}")
    room = max_positions(found) - plan.method.extra_tokens()
    if room < 1:
        raise TunesmithError(
            f"method: its {plan.method.extra_tokens()} virtual tokens leave no place for a text: {plan.base.name} has "
            f"{max_positions(found)} places. Ask for fewer"
        )
    return plan.model_copy(update={"task": plan.task.within(room, plan.base.name)})


def load(path: str | Path, *, online: bool = False) -> Any:
    """A model: a run folder, its model/ folder, or a version such as tickets@3."""
    from tunesmith.model import load as load_model
    from tunesmith.model import saved

    return load_model(saved(path), online=online)


def ask(path: str | Path, rows: Sequence[dict[str, Any]], *, online: bool = False) -> list[Any]:
    """Answers for rows given as dictionaries; a single-text task also takes {"text": …}."""
    from tunesmith.asking import answers_for

    model = load(path, online=online)
    task = model.plan.task
    shown = task.roles(labelled=False).shown[0]
    column = getattr(task, "text", None) or ("text" if shown.startswith("tunesmith:") else shown)
    rows = [{column: r["text"]} if column not in r and set(r) == {"text"} else r for r in rows]
    columns = tuple(dict.fromkeys(k for r in rows for k in r))
    table = Table("rows", columns, [(0, dict(r)) for r in rows], (), "")
    return answers_for(model, table)["prediction"]


def predict(
    path: str | Path, data: str | Path, out: str | Path, *, prefix: str = "", online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """File to file: the input columns unchanged plus the answers. Resumes where an interrupted call stopped."""
    from tunesmith.asking import predict_file
    from tunesmith.model import saved

    progress = progress or Progress()
    model, digest = load(path, online=online), digest_folder(saved(path))
    with Stop() as stop:
        return predict_file(model, digest, Path(data), Path(out), prefix, progress, stop)


def evaluate(
    path: str | Path, data: str | Path, *, robustness: Any = False, online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Metrics with intervals of a model on a labelled file; with `robustness` (true, or a list of perturbations as in
    `evaluate.robustness`) those of perturbed copies of it, too."""
    from tunesmith.asking import evaluate_file

    return evaluate_file(load(path, online=online), Path(data), progress or Progress(), robustness)


def chat(*paths: str | Path, base: str | None = None, template: str = "auto", online: bool = False) -> Any:
    """A conversation with runs, versions or a base: `chat("runs/help").say("hello").content`."""
    from tunesmith.model import load as load_model
    from tunesmith.model import saved
    from tunesmith.talking import Talk
    from tunesmith.voices import untuned_voice, voices

    if not paths and base is None:
        raise TunesmithError("chat: with whom? Name a run or a version, or pass a base")
    found = [(_short_name(p), saved(p)) for p in paths]
    made = voices(found, lambda folder: load_model(folder, online=online))
    if base is not None:
        made.append(untuned_voice(find(base, online=online), template, made))
    return Talk(made)


def merge(  # noqa: PLR0913 - a recipe and where it goes
    paths: Sequence[str | Path], out: str | Path, *, how: str | None = None, weights: Sequence[float] | None = None,
    density: float | None = None, seed: int = 0, dtype: str = "fp32", data: str | Path | None = None,
    online: bool = False, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """One run folded into its base, or several of one base merged into one model folder; with `data` all are judged."""
    from tunesmith import merging
    from tunesmith.model import load as load_model

    _refuse_recipe(paths, how, weights, density)
    parts = _parts(paths, weights or [1 / len(paths)] * len(paths))

    def open_(folder: Path) -> Any:
        return load_model(folder, online=online)

    target, bar = Path(out).expanduser(), progress or Progress()
    kind: Any = dtype
    if how is None:
        reply = merging.fold_run(parts[0], target, kind, open_, bar)
    else:
        chosen: Any = how
        recipe = merging.Recipe(chosen, density, seed)
        reply = merging.merge_runs(parts, recipe, target, kind, open_, bar)
    judged = None if data is None else merging.compare(parts, target, Path(data), open_, bar)
    return reply | {"compared": judged}


def _refuse_recipe(
    paths: Sequence[str | Path], how: str | None, weights: Sequence[float] | None, density: float | None
) -> None:
    """A recipe is for several runs, and has a weight for each."""
    from tunesmith.merging import HOWS

    if how and len(paths) == 1:
        raise TunesmithError("merge: --how is for several runs. One run is folded into its base, without it")
    if not how and len(paths) > 1:
        raise TunesmithError(f"merge: how shall {len(paths)} runs become one? Pass --how {' | '.join(HOWS)}")
    if len(paths) == 1 and (weights or density is not None):
        raise TunesmithError("merge: --weights and --density have no effect on a single run: remove them")
    if weights is not None and len(weights) != len(paths):
        raise TunesmithError(f"--weights: {len(weights)} weights for {len(paths)} runs. Give one a run")


def _parts(paths: Sequence[str | Path], shares: Sequence[float]) -> list[Any]:
    """What is merged, each under a name of its own, with the golden batch beside it."""
    from tunesmith.merging import Part, find_golden
    from tunesmith.model import saved

    parts: list[Part] = []
    for path, weight in zip(paths, shares, strict=True):
        folder, name = saved(path), _short_name(path)
        twice = f"-{len(parts) + 1}" if name in {p.name for p in parts} else ""
        parts.append(Part(name + twice, folder, find_golden(name, folder), weight))
    return parts


def compare(  # noqa: PLR0913 - what is compared, and how
    arms: Mapping[str, Any] | Sequence[Any], data: str | Path | None = None, *, by: str | Sequence[str] | None = None,
    metric: str | None = None, margin: float | None = None, level: float = 0.95, resamples: int = 2000, seed: int = 0,
    out: str | Path | None = None, online: bool = False, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Several models on the same rows: a verdict on each against the first, metrics, parts, and the rows on which they
    disagree (all of them into `out`).

    An arm is a run; several, which are seeds of one recipe; or, with `by`, a run for each value of that column:
    {"shared": "runs/all", "own": {"acme": "runs/acme", "zeta": "runs/zeta"}}. Without `data` the stored predictions of
    runs are compared. `by`: columns, `length` or `class`. The key `table` of the reply is Markdown.
    """
    from tunesmith import comparing

    named = dict(arms) if isinstance(arms, Mapping) else arms_of(arms)
    if len(named) < 2:
        raise TunesmithError("compare: with what? Name at least two models")
    _check_asked(level, margin, resamples)
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    ways = comparing.Ways(metric, columns, comparing.Question(margin, level, resamples, seed))
    if data is not None:
        met = _answered(named, Path(data), columns, online, progress or Progress())
    elif split := [name for name, arm in named.items() if isinstance(arm, Mapping)]:
        raise TunesmithError(f"compare: {split[0]} has a model for each group, which answer a file: --data FILE")
    else:
        met = comparing.stored({name: _paths(arm) for name, arm in named.items()})
    reply = comparing.compare(met, ways)
    if out is not None:
        reply["out"] = str(comparing.write_rows(met, ways, Path(out)))
    return reply


def _check_asked(level: float, margin: float | None, resamples: int = 100) -> None:
    if not 0 < level < 1 or (margin is not None and margin <= 0) or resamples < 100:
        raise TunesmithError("compare: level lies between 0 and 1, margin above 0, resamples at 100 or more")


def _answered(named: Mapping[str, Any], data: Path, columns: Sequence[str], online: bool, progress: Progress) -> Any:
    """The answers of all arms to a file; the first column says which of an arm's models answers a row."""
    from tunesmith import comparing
    from tunesmith.model import load as load_model
    from tunesmith.model import saved

    def found(arm: Any) -> Any:
        if isinstance(arm, Mapping):
            return {str(value): saved(run) for value, run in arm.items()}
        return saved(arm) if isinstance(arm, str | Path) else [saved(run) for run in arm]

    first = columns[0] if columns and columns[0] not in comparing.OWN else None
    arms = {name: found(arm) for name, arm in named.items()}
    return comparing.asked(arms, data, first, lambda folder: load_model(folder, online=online), progress)


def arms_of(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Arms under the short names of their runs; those of one name are numbered."""
    arms: dict[str, Any] = {}
    for path in paths:
        name = _short_name(path)
        arms[f"{name}-{len(arms) + 1}" if name in arms else name] = path
    return arms


def _paths(arm: Any) -> list[Path]:
    return [Path(arm)] if isinstance(arm, str | Path) else [Path(each) for each in arm]


def compare_log(
    log: str | Path, *versions: str, scale: tuple[float, float] = (0.0, 1.0), margin: float | None = None,
    level: float = 0.95,
) -> dict[str, Any]:  # fmt: skip
    """A live A/B test over logged answers and later outcomes of two versions, which may be looked at any time."""
    from tunesmith.comparing.live import compare_log as compare_in

    _check_asked(level, margin)
    return compare_in(Path(log), versions, scale, margin, level)


def compare_scores(
    scores: str | Path, *methods: str, metric: str | None = None, margin: float | None = None, level: float = 0.95
) -> dict[str, Any]:
    """Methods by their scores on many data sets: a table with a data set a row and a method a column."""
    from tunesmith.comparing.over import compare_scores as compare_in

    _check_asked(level, margin)
    return compare_in(Path(scores), methods, metric, margin, level)


def _short_name(path: str | Path) -> str:
    """What a run is called among others: its folder's name, or the version as it is written."""
    text, folder = str(path), Path(path)
    if "@" in text and not folder.exists():
        return text
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def register(path: str | Path, name: str) -> Any:
    """Accept a finished run into the registry as the next version of a name. Raises TunesmithError for a run that is
    not done, or whose model is not what it wrote."""
    from tunesmith.model import saved
    from tunesmith.registry.store import Store

    run = Run(Path(path))
    if (run.path / "merge.json").is_file():
        return _register_merged(saved(run.path), name)
    reply = run.reply
    if reply is None:
        raise TunesmithError(f"{path} is not a finished run: only a run whose reload proof held can be a version")
    who = json_file(run.file("run.json"))
    lineage = {"base": who["base"], "data": who["data"], "plan": reply["plan_sha256"], "parent": _parent(run)}
    return Store().register(saved(run.path), name, lineage=lineage, metrics=reply["metrics"])


def _parent(run: Run) -> str | None:
    """The version that a run went on from."""
    name = read_plan(run.plan).base.name
    return name if "@" in name and not Path(name).exists() else None


def _register_merged(folder: Path, name: str) -> Any:
    """A merged folder is there only if its proof held."""
    from tunesmith.registry.store import Store

    about = json_file(folder / "merge.json")
    plan = json_file(folder / "tunesmith.json")["plan"]
    lineage = {"base": about["base"]["digest"], "data": None, "plan": digest_json(plan), "parent": None,
               "merge": {k: about[k] for k in ("how", "parts", "density", "seed", "dtype")}}  # fmt: skip
    return Store().register(folder, name, lineage=lineage, metrics={})


def json_file(path: Path) -> dict[str, Any]:
    """A JSON object from a file of ours."""
    from tunesmith.files import read_json

    return dict(read_json(path))


def check(  # noqa: PLR0913
    *files: str | Path, plan: Plan | None = None, base: str | None = None, page: str | Path | None = None,
    online: bool = False, again: bool = True, progress: Progress | None = None,
    checks: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What is in a data file and what is wrong with it; further files are held out. `page`: also draw it there.
    `again`: what was found before in the same bytes with the same settings is told without looking. `checks`: settings
    of some checks, such as {"toxic": {"words": "mine.txt"}}."""
    from tunesmith.checking import check_files

    found = find(base, online=online) if base else None
    reply = check_files([Path(f) for f in files], plan, found, progress or Progress(), checks or {}, again=again)
    if page is not None:
        from tunesmith.evaluation.data_page import write_data_page

        reply["page"] = str(write_data_page(reply, Path(page)))
    return reply


def doubts(
    data: str | Path, out: str | Path, *, words: Sequence[str] = (), base: str | None = None, online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """List the labels of a file that are probably wrong into `out`, to be decided about and applied with the step
    `relabel`. `words` are of a plan (task.label=failure)."""
    from tunesmith.labelling.doubts import doubts_in

    plan = plan_around(data, words, base)
    found = find(base, online=online) if base else None
    return doubts_in(Path(data), fitted(plan, found) if found else plan, found, Path(out), progress or Progress())


def agree(data: str | Path, **asked: Any) -> dict[str, Any]:
    """How far annotators agree, and what they say together; `asked` are fields of `labelling.agree.Agree`."""
    from tunesmith.labelling.agree import Agree, agree_in

    return agree_in(Path(data), Agree(**asked))


def plan_around(data: str | Path, words: Sequence[str], base: str | None) -> Plan:
    """A plan for a file that is only looked at: task classify and base minilm unless words say otherwise."""
    named = any(word.partition("=")[0] in ("task", "task.name") for word in words)
    task = () if named else ("task=classify",)
    return read_plan(None, [*task, f"data={data}", f"base={base or 'minilm'}", *words])


def preview(plan: Plan, *, count: int = 20, progress: Progress | None = None) -> dict[str, Any]:
    """What the plan's augmentation steps make of its training rows: about `count` pairs of before and after."""
    from tunesmith.previewing import preview as pairs_of

    return pairs_of(plan, count, progress or Progress(silent=True))


def trial(
    plan: Plan, *, seeds: int = 3, rows: int | None = None, each: bool = False, online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Whether the plan's augmentation steps help: it is trained with and without them over several seeds, from that of
    the plan on; with `each` every step alone, too, with `rows` on so many training rows. The same call goes on with an
    interrupted trial, and one with more seeds with a finished one."""
    from tunesmith.trialling import Trial, arms_of, carry_out

    if seeds < 2:
        raise TunesmithError("seeds: one seed says nothing of others. Take 2 or more; 3 to 5 are usual")
    arms_of(plan, rows, each)  # what cannot be tried is refused before a base is opened
    plan = pinned(plan)
    found, bar = plan.base.found(online=online), progress or Progress()
    require_libraries(plan.train)
    plan = fitted(plan, found)
    with Stop() as stop:
        prepared = prepare(plan, bar, earlier_in(found.folder, found.name), learn=False)
        who = _who(plan, prepared, found, online) | {"trial": {"rows": rows}}
        named = place(prepared.plan, who, fork=False).path
        run = Run(named.with_name(f"{named.name}-trial"))
        with lease(run):
            claim(run, who)
            return carry_out(Trial(plan, found, run.path, seeds, arms_of(plan, rows, each)), bar, stop)


def race(  # noqa: PLR0913 - what runs, what may be spent, what decides
    plan: Plan | Path | str, methods: Sequence[Any] | None = None, *, budget: str = "20m", memory: str | None = None,
    seeds: int = 3, margin: float | None = None, grid: bool = True, dry: bool = False, online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Methods, and settings of each (`grid`), on the plan's data within a budget of wall time ("20m"): the smallest one
    that is not significantly worse than the best, and loses no more than `margin` in the unit of the metric.

    `memory` ("8GB") stops what needs more, `seeds` is how often finalists are trained. The same call goes on with an
    interrupted race and answers with the stored result of a finished one. `dry`: only say what would run.
    """
    from tunesmith.search.ground import Ground
    from tunesmith.search.racing.start import Asked, Place, run_race
    from tunesmith.search.racing.start import dry as only_planned

    began, asked = time.monotonic(), Asked(methods, budget, memory, seeds, margin, grid)
    plan = pinned(plan if isinstance(plan, Plan) else read_plan(Path(plan)))
    found, bar = plan.base.found(online=online), progress or Progress()
    require_libraries(plan.train)
    own = fitted(plan, found)
    told = only_planned(plan, asked, lambda each: fitted(each, found))
    if dry:
        return told
    with Stop() as stop:
        ground = Ground(Progress(silent=True), stop, online=online, rows_seed=plan.train.seed)
        bar.say(f"race: {len(told['ranking'])} arms, {budget}")
        prepared = ground.work(own, Path(), began).prepared
        who = _who(own, prepared, found, online) | {"race": asked.who}
        named = place(prepared.plan, who, fork=False).path
        run = Run(named.with_name(f"{named.name}-race"))
        with lease(run):
            claim(run, who)
            if (reply := run.reply) is not None:
                return reply | {"status": "already_done"}
            place_of_it = Place(run.path, ground, began)
            return run_race(plan, asked, lambda each: fitted(each, found), place_of_it, prepared, bar)


def tune(
    plan: Path | str | Mapping[str, Any] | None, words: Sequence[str] = (), *, online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Search the ranges of a plan, given as a file or as nested dictionaries, with `words` over it. The same call goes
    on with an interrupted search, and one with more trials or a larger budget with a finished one."""
    from tunesmith.search.ground import Ground
    from tunesmith.search.tuning.opening import look
    from tunesmith.search.tuning.reading import tree_of

    tree, bar = tree_of(plan, words), progress or Progress()
    with Stop() as stop:
        ground = Ground(Progress(silent=True), stop, online=online)
        search = look(tree, planned, ground, bar)
        first, found = search.first, ground.found(search.first)
        prepared = prepare(first, bar, earlier_in(found.folder, found.name), learn=False)
        who = _who(prepared.plan, prepared, found, online) | {"tune": search.identity}
        named = place(prepared.plan, who, fork=False).path
        run = Run(named.with_name(f"{named.name}-tune"))
        with lease(run):
            claim(run, who)
            return search.carry_out(run.path, stop)


def planned(tree: dict[str, Any], ground: Any) -> Plan:
    """A plan from a tree, as a search trains it: with its base found and fitted to it."""
    made = pinned(make_plan(tree))
    require_libraries(made.train)
    return fitted(made, ground.found(made))


def advise(  # noqa: PLR0913 - what is advised on, and the wish
    plan: Plan, *, bases: Sequence[str] = (), memory: str | None = None, budget: str | None = None, switch: int = 1,
    fixed_base: bool = False, apply: str | Path | None = None, without: Sequence[str] = (), online: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Which method, settings and base for the plan's data and this machine, with reasons; nothing is trained.

    `memory` ("8GB") and `budget` ("20m") are limits, `switch` tasks share one base, whose weights `fixed_base` leaves
    alone. `apply`: write the recommended plan there. `without`: measured data sets that do not count.
    """
    from tunesmith import advising
    from tunesmith.advising.wishes import wish_of, written
    from tunesmith.job import foreseer
    from tunesmith.methods import METHODS

    wish = wish_of(memory, budget, switch, fixed_base=fixed_base)
    plan, bar = pinned(plan), progress or Progress()
    found = plan.base.found(online=online)
    # near-duplicates take long and change no advice; the plan's method may be one that this base refuses
    unwatched = plan.data.model_copy(update={"near": "ignore"})
    looked = plan.model_copy(update={"data": unwatched, "method": METHODS.make("full")})
    before = earlier_in(found.folder, found.name)
    prepared = prepare(fitted(looked, found), bar, before, learn=False)
    look = foreseer(prepared, found)

    def foreseen(each: Plan) -> dict[str, Any]:
        cut = each.task.model_dump(include={"max_tokens"})
        told = look(each.model_copy(update={"task": prepared.plan.task.model_copy(update=cut)}))
        return {name: told.get(name) for name in ("memory_mb", "seconds", "disk_mb")} | {"note": told["said"]}

    reply, best = advising.advise(
        plan, found, prepared, wish, lambda each: fitted(each, found), forecast=foreseen, named=bases, without=without,
        online=online, progress=bar,
    )  # fmt: skip
    return reply | {"plan": None if apply is None else str(written(best, reply, Path(apply)))}


def hardprompt(plan: Plan, asked: Any, *, online: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Search a prompt for a base that is not changed; `asked` is a `hardprompt.job.Asked`. The same call goes on with
    an interrupted search and makes no call twice. An endpoint needs no base: the plan's is not opened."""
    from tunesmith.hardprompt.job import carry_out, metric_of

    metric_of(plan, asked.metric)
    found = None
    if not asked.endpoint:
        found = find(plan.base.name, online=online)
        plan = fitted(plan, found)
    return carry_out(plan, found, asked, progress or Progress())


def import_plan(path: str | Path, out: str | Path | None = None) -> Imported:
    """Another tool's configuration as a plan, with an account of each of its keys.

    With `out` the plan is written there, and its data files are named from there. A file of another content is not
    written over. Raises TunesmithError where the tool is not recognised or has a task that Tunesmith lacks.
    """
    from tunesmith.importers import convert, written

    file = Path(out) if out is not None else None
    made = convert(Path(path), file.parent if file else None)
    if file:
        written(made, Path(path), file)
    return made


__all__ = [
    "Imported", "Plan", "Prepared", "Trained", "advise", "agree", "ask", "chat", "check", "compare", "compare_log",
    "compare_scores", "doubts", "evaluate", "forecast",
    "hardprompt", "import_plan", "load", "make_plan", "merge", "predict", "prepare", "preview", "race", "read",
    "read_plan", "register", "train", "train_plan", "trial", "tune",
]  # fmt: skip
