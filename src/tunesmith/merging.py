"""Merge: fold what a method added into the base, or several tuned models of one base into one.

Both write a plain model folder: weights in float32 (or bfloat16, measured), tokenizer, our card, the golden batch, what
was done (`merge.json`), and a model card. It appears only after a fresh process has opened it and answered alike.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.data.table import read
from tunesmith.errors import TunesmithError
from tunesmith.files import MANIFEST, digest_folder, write_folder, write_json, write_text
from tunesmith.golden import read_golden, write_golden
from tunesmith.methods import METHODS
from tunesmith.model import Model, fresh, read_card, save
from tunesmith.plan import Plan
from tunesmith.progress import Progress
from tunesmith.reference import refer
from tunesmith.tasks import Facts

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.engine.task_vectors import How

MERGE = "merge.json"
HOWS = ("linear", "ties", "dare_linear", "dare_ties", "average")
Dtype = Literal["fp32", "bf16"]
Load = Callable[[Path], Model]


@dataclass(frozen=True)
class Part:
    """A tuned model to merge."""

    name: str
    folder: Path
    """Its model folder."""
    golden: Path
    weight: float = 1.0


def find_golden(name: str, folder: Path) -> Path:
    """The golden batch beside or inside a model folder. Raises TunesmithError where there is none."""
    for place in (folder / "golden", folder.parent / "golden"):
        if (place / "golden.safetensors").is_file():
            return place
    raise TunesmithError(f"merge: {name} has no golden batch to prove the result with. Name the run folder itself")


def refuse_taken(out: Path) -> None:
    """Nothing that is there is written over."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise TunesmithError(f"--out: {out} is there already. Choose a new folder")


def fold_objection(plan: Plan) -> str | None:
    """Why a model cannot become one network of the base's own architecture; None where it can."""
    if plan.tower is not None:
        return "it reads images with a second network (tower), which has no part in the base"
    return plan.method.fold_objection()


def folded(model: Model) -> Model:
    """The same answers from the base's own architecture. Uses up the model."""
    if fault := model.plan.method.fold_objection():
        raise TunesmithError(f"merge: {fault}")
    model.net.auto = model.plan.method.fold(model.net.auto)
    plan = model.plan.model_copy(update={"method": METHODS.make("full")})
    return Model(plan, model.facts, model.base, model.net, model.tokenizer)


def fold_run(part: Part, out: Path, dtype: Dtype, load: Load, progress: Progress) -> dict[str, Any]:
    """One tuned model without its adapter: {out, how, dtype, parts, seconds, proof}."""
    plan, _, _ = read_card(part.folder)
    if fault := fold_objection(plan):  # before anything large is loaded
        raise TunesmithError(f"merge: {fault}. Keep the run as it is: `tunesmith chat` and `predict` open it")
    refuse_taken(out)
    progress.say(f"folding {part.name} into its base")
    model = folded(load(part.folder))

    def golden(folder: Path) -> None:
        shutil.copytree(part.golden, folder / "golden", ignore=shutil.ignore_patterns(MANIFEST))

    about = {"how": "fold", "parts": [_told(part)], "density": None, "seed": None}
    return _written(model, out, dtype, about, golden, progress)


@dataclass(frozen=True)
class Recipe:
    """How several models become one."""

    how: 'How | Literal["average"]'
    density: float | None = None
    """Share of each task vector that ties and dare keep; half of it unless given."""
    seed: int = 0
    """Of what dare drops."""


def merge_runs(
    parts: Sequence[Part], recipe: Recipe, out: Path, dtype: Dtype, load: Load, progress: Progress
) -> dict[str, Any]:
    """Several tuned models of one base as one, by their task vectors (see `engine.task_vectors`); or, of adapters that
    do not fold, by the mean of their weights."""
    from tunesmith.engine.task_vectors import DENSITY

    how, density, seed = recipe.how, recipe.density, recipe.seed
    warnings = refuse_strangers(parts, how)
    _check_numbers(parts, how, density)
    refuse_taken(out)
    density = DENSITY if density is None and how not in ("linear", "average") else density
    if how == "average":
        model = _averaged(parts, load, progress)
    else:
        model = _combined(parts, Recipe(how, density or 1.0, seed), load, progress)
    records = [record for part in parts for record in read_golden(part.golden)[0]]

    def golden(folder: Path) -> None:
        labelled = model.plan.task.talks or model.plan.task.kind == "text"
        encoded = model.encode(records, model.plan.task.roles(labelled=labelled))
        refer(model, {"rows": encoded})
        write_golden(folder / "golden", model, encoded, range(len(records)), records)
        (folder / "golden" / MANIFEST).unlink()  # the folder around it has one of all its files

    drawn = seed if how.startswith("dare") else None
    about = {"how": how, "parts": [_told(p) for p in parts], "density": density, "seed": drawn}
    return _written(model, out, dtype, about, golden, progress) | {"warnings": warnings}


def _combined(parts: Sequence[Part], recipe: Recipe, load: Load, progress: Progress) -> Model:
    """The merged network, in memory, with the plan and facts of the first part."""
    import torch

    from tunesmith.engine.task_vectors import combine

    first: Model | None = None
    changed: list[dict[str, Tensor]] = []
    heads: list[dict[str, Tensor]] = []
    base: dict[str, Tensor] = {}
    for part in parts:
        progress.say(f"folding {part.name} into its base")
        model = folded(load(part.folder))
        if first is None:
            first = model
            untouched: Any = fresh(model.plan, model.facts, model.base, model.tokenizer)
            base = dict(untouched.state_dict())
        own = {n: p.detach() for n, p in model.net.auto.named_parameters()}
        heads.append({n: p for n, p in own.items() if model.family.is_head(n)})
        changed.append({n: p for n, p in own.items() if n not in heads[-1] and not torch.equal(p, base[n])})
    assert first is not None, "somebody gave parts"
    weights = [part.weight for part in parts]
    progress.say(f"merging {sum(map(len, changed))} changed weights: {recipe.how}")
    how: Any = recipe.how
    made = combine(base, changed, weights, how, recipe.density or 1.0, recipe.seed)
    for name in heads[0]:  # a head is new in every run: there is no base to measure its change from
        shares = [w / sum(weights) * h[name] for w, h in zip(weights, heads, strict=True)]
        made[name] = torch.stack(shares).sum(0)
    with torch.no_grad():
        for name, parameter in first.net.auto.named_parameters():
            parameter.copy_(made.get(name, base.get(name, parameter)))
    return first


def _averaged(parts: Sequence[Part], load: Load, progress: Progress) -> Model:
    """The first model with the weighted mean of what all of them learnt (AdapterSoup, Chronopoulou et al. 2023,
    https://arxiv.org/abs/2302.07027); every tensor that is the same in all stays as it is."""
    import torch

    first: Model | None = None
    learnt: list[dict[str, Tensor]] = []
    for part in parts:
        progress.say(f"reading what {part.name} learnt")
        model = load(part.folder)
        first = first or model
        learnt.append(dict(model.net.auto.named_parameters()))
    assert first is not None, "somebody gave parts"
    shares = [part.weight / sum(p.weight for p in parts) for part in parts]
    with torch.no_grad():
        for name, parameter in first.net.auto.named_parameters():
            if any(not torch.equal(own[name], parameter) for own in learnt):
                mean = torch.stack([share * own[name] for share, own in zip(shares, learnt, strict=True)]).sum(0)
                parameter.copy_(mean)
    return first


def _average_objection(plans: Sequence[Plan]) -> str | None:
    """Why the weights of these adapters have no mean that means something; None where they have."""
    method = plans[0].method
    if not type(method).averages:
        return f"--how average is for adapters that cannot be folded, and {method.name} can be merged by --how linear"
    if any(plan.tower is not None for plan in plans):
        return "a second network (tower) reads images beside the text, and has no mean with the adapters"
    bare = [plan.method.model_copy(update={"start": None}) for plan in plans]
    if any(other != bare[0] for other in bare):
        return "the adapters have different settings, so that their weights do not correspond. Average runs of one plan"
    return None


def refuse_strangers(parts: Sequence[Part], how: str = "linear") -> list[str]:
    """Warnings on models that can be merged. Raises TunesmithError where they cannot be one."""
    cards = [(part.name, *read_card(part.folder)) for part in parts]
    name, plan, facts, card = cards[0]
    warnings = []
    if how == "average":
        if fault := _average_objection([theirs for _, theirs, _, _ in cards]):
            raise TunesmithError(f"merge: {fault}")
        if len({(theirs.method.start, theirs.train.seed) for _, theirs, _, _ in cards}) > 1:
            warnings.append("the adapters did not begin alike (train.seed, method.start), and a mean of weights wants "
                            "that: the same unit may stand for something else in each. Look at --data")  # fmt: skip
    for other, theirs, known, own in cards:
        if how != "average" and (fault := fold_objection(theirs)):
            hint = ". Use --how average" if type(theirs.method).averages else ""
            raise TunesmithError(f"merge: {other}: {fault}{hint}")
        reasons = [
            ("bases", card["base"]["digest"] != own["base"]["digest"] or plan.base.layers != theirs.base.layers),
            ("tasks", plan.task.name != theirs.task.name or plan.task.pool != theirs.task.pool),
            ("labels", facts.labels != known.labels),
            ("scales of their numbers", (facts.center, facts.scale) != (known.center, known.scale)),
            ("chat templates", _template(facts) != _template(known)),
        ]  # fmt: skip
        if different := [what for what, differ in reasons if differ]:
            raise TunesmithError(
                f"merge: {name} and {other} have different {' and '.join(different)}, so their weights do not mean "
                "the same. Merge runs of one base, one task and one set of labels"
            )
        if known.side is not None and getattr(theirs.task, "vector", False):
            raise TunesmithError(f"merge: {other} reads side columns as a vector, which has no part in the base")
        if facts.thresholds != known.thresholds:
            warnings.append(f"decision thresholds of {other} differ; those of {name} are kept, and fit it alone")
    return warnings


def _template(facts: Facts) -> str:
    return facts.template.text if facts.template else ""


def _check_numbers(parts: Sequence[Part], how: str, density: float | None) -> None:
    if how in ("linear", "average") and density is not None:
        raise TunesmithError(f"--density has no effect with --how {how}: remove it, or choose ties or dare")
    if density is not None and not 0 < density <= 1:
        raise TunesmithError(f"--density: {density} is not a share above 0 and at most 1")
    weights = [part.weight for part in parts]
    if how.endswith("ties") and min(weights) <= 0:
        raise TunesmithError("--weights: an average by ties wants weights above 0")
    if abs(sum(weights)) < 1e-6:
        raise TunesmithError("--weights: they add up to 0, and heads are averaged by their share of the sum")


def _told(part: Part) -> dict[str, Any]:
    plan, _, _ = read_card(part.folder)
    return {"name": part.name, "method": plan.method.name, "weight": part.weight, "sha256": digest_folder(part.folder)}


def _written(
    model: Model, out: Path, dtype: Dtype, about: dict[str, Any], golden: Callable[[Path], None], progress: Progress
) -> dict[str, Any]:
    """Write the folder, prove it, and only then let it appear; the reply."""
    import torch

    from tunesmith.evaluation.merge_card import card_text
    from tunesmith.merge_proof import prove_merged_apart

    reply: dict[str, Any] = {"out": str(out), "dtype": dtype, **about, "warnings": []}

    def fill(folder: Path) -> None:
        golden(folder)
        if dtype == "bf16":
            model.net.auto.to(torch.bfloat16)
        save(model, folder)
        progress.say("proving: a fresh process opens the merged model and must answer the same")
        reply["proof"] = prove_merged_apart(folder, dtype)
        base = {"name": model.base.public_name, "digest": model.base.digest}
        write_json(folder / MERGE, {k: v for k, v in reply.items() if k not in ("out", "warnings")} | {"base": base})
        write_text(folder / "MODEL_CARD.md", card_text(out.name, base["name"], model.plan.task.name, reply))

    reply["manifest_sha256"] = write_folder(out, fill)
    return reply


def compare(parts: Sequence[Part], out: Path, data: Path, load: Load, progress: Progress) -> dict[str, Any]:
    """Each part and the merged model on one labelled file, and paired tests of merged against part, with p-values
    corrected for their number (Holm)."""
    from tunesmith.asking import answers_on
    from tunesmith.evaluation.compared import corrected, paired
    from tunesmith.evaluation.judge import Judge

    model = load(out)
    table, by = read(data, model.plan.data.format), Judge(model.plan, model.facts)
    mine, warnings = answers_on(model, table, progress)
    theirs = {}
    for part in parts:
        theirs[part.name], _ = answers_on(load(part.folder), table, progress)
    tests = corrected(paired(by, mine, theirs, data.name))
    metrics = {"merged": by.full(mine), **{name: by.full(each) for name, each in theirs.items()}}
    return {"data": str(data), "rows": mine.rows, "metrics": metrics, "paired": tests, "warnings": warnings}
