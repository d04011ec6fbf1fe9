"""Model: plan + facts + network + processor. The thing that is trained, saved, opened again and asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunesmith.bases.family import (
    EncoderDecoder,
    Family,
    SightedLanguage,
    SoundFamily,
    TwoTowers,
    VisionFamily,
    family_of,
    plain,
)
from tunesmith.bases.find import Found
from tunesmith.bases.sighted import text_of
from tunesmith.data import Record, Roles
from tunesmith.dialogue.virtual import Virtual
from tunesmith.errors import TunesmithError
from tunesmith.files import MANIFEST, read_json, verify_folder, write_json
from tunesmith.plan import Plan
from tunesmith.plan_text import make_plan
from tunesmith.tasks import Array, Encoded, Facts, Tick, no_tick
from tunesmith.tasks._language import LanguageTask
from tunesmith.tasks._pixels import FOLDER
from tunesmith.version import __version__

if TYPE_CHECKING:
    from tunesmith.engine.network import Network
    from tunesmith.engine.shortcuts import Shortcuts
    from tunesmith.engine.tower import Sight, Tower
    from tunesmith.engine.words import LabelWords
    from tunesmith.methods import Method

CARD = "tunesmith.json"
SIDE = "side.safetensors"
FORMAT = 1
CHANNELS = 243
"""The width that learning rates take convolutional bases for: full tuning gets 5e-4. MobileNetV1 on 540 digits, five
epochs: accuracy .50 with the 5e-5 of a transformer, .88 with 1e-3, and .20 with 3e-3."""


class Half(NamedTuple):
    """A network inside the whole one, and the method under which it learns."""

    path: str
    """What its parameters are called before their own names."""
    method: "Method"
    auto: Any
    family: Family
    rate: float
    """Peak learning rate."""


@dataclass
class Model:
    """A network that answers a task."""

    plan: Plan
    facts: Facts
    base: Found
    net: "Network"
    tokenizer: Any

    @property
    def family(self) -> Family:
        """Where things are in this architecture."""
        return family_for(self.plan, self.base)

    @property
    def _places(self) -> bool:
        """Whether virtual tokens stand within its rows."""
        return self.facts.template is not None and self.facts.template.virtual is not None

    @property
    def equal_lengths(self) -> bool:
        """Whether rows of different length must not share a forward pass."""
        return self.plan.method.needs_equal_lengths(self.family)

    @cached_property
    def shortcuts(self) -> "Shortcuts[Any]":
        """How the network is run here."""
        from tunesmith.engine.dictation import DictationWay
        from tunesmith.engine.language_shortcuts import LanguageShortcuts
        from tunesmith.engine.rested import RestedShortcuts
        from tunesmith.engine.seq2seq import Seq2SeqWay
        from tunesmith.engine.seq2seq_shortcuts import Seq2SeqShortcuts
        from tunesmith.engine.shortcuts import HeadShortcuts
        from tunesmith.engine.sighted import SightedShortcuts
        from tunesmith.engine.towers import TowerShortcuts

        family, pad_id = self.family, self.tokenizer.pad_token_id
        if isinstance(family, EncoderDecoder):
            how = (
                partial(DictationWay, processor=self.tokenizer) if family.hears else partial(Seq2SeqWay, pad_id=pad_id)
            )
            return Seq2SeqShortcuts(self.net, family, self.plan, how)
        if isinstance(family, (SoundFamily, VisionFamily)):
            return RestedShortcuts(self.net, family, self.plan)
        if isinstance(family, TwoTowers):
            return TowerShortcuts(self.net, family, self.plan, pad_id)
        if isinstance(family, SightedLanguage):
            return SightedShortcuts(self.net, family, self.plan, pad_id)
        kind = LanguageShortcuts if self.plan.task.talks else HeadShortcuts
        return kind(self.net, family, self.plan, pad_id, equal=self.equal_lengths)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: the plan's, or the method's default fitted to the base."""
        return self.halves[0].rate

    @cached_property
    def halves(self) -> "list[Half]":
        """The base's network, and that of the second tower, if there is one."""
        plan, tower = self.plan, self.net.tower
        rate = plan.learning_rate
        if plan.train.lr == "auto":
            rate = fitted_rate(plan.method, self.family, self.base, self.net.auto)
        found = [Half("auto.", plan.method, self.net.auto, self.family, rate)]
        if tower is not None:
            assert plan.tower is not None, "a plan that has one"
            rate = plan.tower.lr if plan.tower.lr != "auto" else fitted_rate(
                tower.method, tower.family, tower.sight.found, tower.net.auto
            )  # fmt: skip
            found.append(Half("tower.net.auto.", tower.method, tower.net.auto, tower.family, rate))
        return found

    def is_head(self, name: str) -> bool:
        """Whether a parameter of the network belongs to what is new for the task."""
        if name in ("side.weight", "tower.absent") or name.startswith("beside."):
            return True
        return any(h.family.is_head(name.removeprefix(h.path)) for h in self.halves if name.startswith(h.path))

    def encode(self, records: Sequence[Record], roles: Roles, tick: Tick = no_tick) -> Encoded:
        """Rows as this network reads them."""
        encoded = self.plan.task.encode(records, roles, self.tokenizer, self.facts, tick)
        return encoded if self.net.tower is None else self.net.tower.sight.look(encoded, records, roles)

    def outputs(self, encoded: Encoded, tick: Callable[[int], None] = lambda _: None) -> Array:
        """What the network says of each row (or of its words), (N, C) float32: logits, or what the task reads."""
        from tunesmith.engine.answers import answer_rows

        if self.plan.task.talks and not self._places:
            encoded = encoded.worded(int(text_of(self.base.config)["vocab_size"]))
        self.shortcuts.prove(encoded)
        task = self.plan.task

        def read(rows: Encoded) -> Array:
            return answer_rows(self.shortcuts.way_for(rows), task, self.net, rows, tick=tick)

        return task.settled(read(encoded), encoded, read)

    def write(
        self, records: Sequence[Record], tick: Tick = no_tick, *, decode: Any = None, account: Any = None
    ) -> Array:
        """The texts that the model answers rows with, (N,) objects; deterministic in the plan's seed. `decode`: in
        another way than the plan's; `account` (engine.constrained) is kept of answers with a schema."""
        from tunesmith.engine.generation import write

        task = self.plan.task
        assert isinstance(task, LanguageTask), "only tasks on conversations write"
        asked = task.encode(records, task.roles(labelled=False), self.tokenizer, self.facts)
        reads = self.family.decodes  # an encoder is told what is padding
        together = reads or not (self.equal_lengths or self.plan.method.num_front())
        return write(self.net, self.tokenizer, asked, decode or task.decode, self.facts.end, self.plan.train.seed,
                     together=together, tick=tick, account=account)  # fmt: skip

    def with_facts(self, facts: Facts) -> "Model":
        """The same model with other facts (thresholds)."""
        made = replace(self, facts=facts)
        made.__dict__["shortcuts"] = self.shortcuts  # proven already, and its caches serve on
        return made


def fitted_rate(method: "Method", family: Family, base: Found, auto: Any) -> float:
    """A method's default learning rate, for this base. `auto`: the network that it stands in."""
    rate, power = method.auto_rate(), type(method).width_power
    if isinstance(family, VisionFamily) and not family.attends:
        return rate * (768 / CHANNELS) ** power
    width = family.width(base.config)
    return rate * min(4.0, (768 / width) ** power) * method.rate_scale(auto)


def family_for(plan: Plan, base: Found) -> Family:
    """The family of a base, seen as what the task makes of it."""
    return family_of(base.model_type, plan.task.purpose(base.model_type), base.config | plan.task.configured())


def facts_for(plan: Plan, records: Sequence[Record], roles: Roles, base: Found, tokenizer: Any) -> Facts:
    """What must be known before a network can be built and rows be encoded: of the training rows, of the base's
    tokenizer, and of the untouched base, where the task asks it. Deterministic in `plan.train.seed`."""
    task, family = plan.task, family_for(plan, base)
    facts = task.drawn(_grown(plan, task.study(records, roles), base), records, roles, plan.train.seed)
    facts = facts.model_copy(update={"encoder_decoder": family.decodes})
    facts = _placed(task.meet(facts, tokenizer, family), _virtual(plan, base))
    if not (blanks := task.blanks(tokenizer)):
        return facts
    asked = bare(plan, base, tokenizer, facts)
    return task.calibrated(asked.outputs(asked.encode(blanks, task.roles(labelled=False))), facts)


def _grown(plan: Plan, facts: Facts, base: Found) -> Facts:
    """Facts of an instalment, where the base is a tuned model of the same task: one that knows some of the labels, or
    whose rows are replayed. A model of other labels is a base like any other."""
    if not (base.folder / CARD).is_file():
        return facts
    before, earlier, _ = read_card(base.folder)
    if before.task.name != plan.task.name:
        return facts
    known = [name for name in facts.labels if name in earlier.labels]
    if facts.labels and not known and not plan.replay.rows:
        return facts
    grown = plan.task.grown(facts, earlier)
    if grown.labels:
        told = f"{len(earlier.labels)} labels known, {len(grown.labels) - len(earlier.labels)} new"
    else:
        told = "outputs mean what they meant"
    return grown.model_copy(update={"notes": {**grown.notes, "instalment": f"goes on from {base.name}: {told}"}})


def _virtual(plan: Plan, base: Found) -> Virtual | None:
    """The virtual tokens that stand within rows, if the method has any."""
    if (place := plan.method.placement()) == "start":
        return None
    return Virtual(place, plan.method.extra_tokens(), int(base.config["vocab_size"]))


def _placed(facts: Facts, virtual: Virtual | None) -> Facts:
    """Facts whose template writes these virtual tokens, or none."""
    if facts.template is None:
        return facts
    return facts.model_copy(update={"template": replace(facts.template, virtual=virtual)})


def build(plan: Plan, facts: Facts, base: Found, tokenizer: Any, sight: "Sight | None" = None) -> Model:
    """A fresh model with the method applied, ready to train. Deterministic in `plan.train.seed`. `sight`: of a plan
    with a second tower, where it is known already."""
    import torch

    from tunesmith.engine.tower import build_tower, sight_of

    check_sources(plan, base)
    for path, part in (("task", plan.task), ("method", plan.method)):
        if text := part.base_objection(family_for(plan, base)):
            raise TunesmithError(f"{path}: {text}")
    torch.manual_seed(plan.train.seed)
    auto = fresh(plan, facts, base, tokenizer)
    auto = plan.method.apply(auto, family_for(plan, base))
    net = _network(plan, facts, base, auto)
    _put_beside(net, plan, family_for(plan, base))
    if (sight := sight or sight_of(plan)) is not None:
        net.tower = build_tower(plan, facts, sight)
    return Model(plan, facts, base, net, tokenizer)


def check_sources(plan: Plan, base: Found) -> None:
    """Raise TunesmithError unless every run that a method takes weights from is done, whole, and of the same base."""
    halves: list[tuple[str, Method, Found, int | None]] = [("method", plan.method, base, plan.base.layers)]
    if plan.tower is not None and plan.tower.method.sources():
        halves.append(("tower.method", plan.tower.method, plan.tower.found(), None))
    for path, method, found, layers in halves:
        for run in method.sources():
            if not (Path(run).expanduser() / "reply.json").is_file():
                raise TunesmithError(f"{path}: {run} is no finished run: only one whose reload proof held can be used")
            card = read_json(saved(Path(run).expanduser()) / CARD)
            if card["base"]["digest"] != found.digest or card["plan"]["base"]["layers"] != layers:
                raise TunesmithError(
                    f"{path}: {run} learnt on another base than {found.name}, or on more or fewer blocks of it, and "
                    "what it learnt means nothing here. Name runs on this base"
                )


def _put_beside(net: "Network", plan: Plan, family: Family) -> None:
    """Give penalties what they train."""
    from tunesmith.engine.overhearing import layer_of

    for penalty in plan.penalties:
        if penalty.reads_states and (module := penalty.learns(layer_of(net.auto, family).in_features)) is not None:
            net.beside[penalty.name] = module


def _network(plan: Plan, facts: Facts, base: Found, auto: Any) -> "Network":
    from tunesmith.engine.network import Network
    from tunesmith.engine.pooling import read_mean, rest_pooler

    family, mean = family_for(plan, base), plan.task.pool == "mean"
    reads: Any = None if family.purpose != "embed" else "first" if mean else family.reads
    if mean:
        read_mean(auto, family)
    if mean:
        rest_pooler(auto, family)
    width = facts.side.width if facts.side else 0
    words = _words(plan, facts, base)
    net = Network(auto, width, plan.task.outputs(facts), mean=mean, words=words, reads=reads)
    net.statistics_move = plan.train.batch_norm == "moving"
    return net


def _words(plan: Plan, facts: Facts, base: Found) -> "LabelWords | None":
    from tunesmith.engine.words import LabelWords

    return None if facts.wording is None else LabelWords(facts.wording, family_for(plan, base))


def fresh(plan: Plan, facts: Facts, base: Found, tokenizer: Any) -> Any:
    """The base as transformers' Auto class, padding token set; with a new head and its labels, if the task has one."""
    from tunesmith.bases.load import load_net

    purpose = plan.task.purpose(base.model_type)
    family = family_for(plan, base)
    head = _headed(plan, facts, family, tokenizer)
    net = load_net(base, purpose=purpose, layers=plan.base.layers, start=facts.start, family=family, **head)
    for name, value in plan.task.configured().items():
        setattr(net.config, name, value)
    if purpose == "embed":
        from tunesmith.engine.pooling import shelve_pooler

        shelve_pooler(net)
    return net


def _headed(plan: Plan, facts: Facts, family: Family, tokenizer: Any) -> dict[str, Any]:
    """Fields of the base's configuration that a task sets."""
    head: dict[str, Any] = {}
    if family.headed:
        head = {"num_labels": plan.task.outputs(facts), "problem_type": plan.task.problem_type}
    head |= plan.task.config(facts)
    if facts.labels:
        head |= {"id2label": dict(enumerate(facts.labels)), "label2id": {n: i for i, n in enumerate(facts.labels)}}
    head.setdefault("pad_token_id", tokenizer.pad_token_id)
    return head


def hollow(plan: Plan, facts: Facts, base: Found, tokenizer: Any) -> Model:
    """The model that `build` makes, with shapes and no weights (torch's device meta), for a forecast before anything is
    loaded. It computes nothing."""
    import torch

    from tunesmith.bases.load import empty_net

    family = family_for(plan, base)
    head = _headed(plan, facts, family, tokenizer)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        auto: Any = plan.method.apply(empty_net(base, family, plan.base.layers, **head), family)
        return Model(plan, facts, base, _network(plan, facts, base, auto), tokenizer)


def untuned(model: Model) -> Model:
    """The same task answered by the base as it was, for comparison."""
    return bare(model.plan, model.base, model.tokenizer, model.facts)


def bare(plan: Plan, base: Found, tokenizer: Any, facts: Facts | None = None) -> Model:
    """The task answered by a base as it is; facts are those of its tokenizer unless given. Side vectors, which are
    learnt, count nothing there."""
    from tunesmith.methods import METHODS

    if facts is None:
        family = family_for(plan, base)
        facts = plan.task.meet(Facts(encoder_decoder=family.decodes), tokenizer, family)
    facts = _placed(facts, None)
    plan = plan.model_copy(update={"method": METHODS.make("full")})
    auto = fresh(plan, facts, base, tokenizer).eval().requires_grad_(False)
    net = _network(plan, facts.model_copy(update={"side": None}), base, auto)
    return Model(plan, facts, base, net, tokenizer)


def save(model: Model, folder: Path) -> None:
    """Write what changed in the ecosystem's formats, the tokenizer, and our card; safetensors only."""
    from safetensors.torch import save_file

    from tunesmith.bases.load import quiet

    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.plan.method.save(model.net.auto, folder)
        model.tokenizer.save_pretrained(folder)
    model.plan.task.lay_beside(model.net.auto, folder, model.facts)
    if model.net.side is not None:
        save_file({"weight": model.net.side.weight.detach().contiguous()}, str(folder / SIDE))
    if model.net.tower is not None:
        model.net.tower.save(folder / FOLDER)
    write_json(folder / CARD, _card(model))


def _card(model: Model) -> dict[str, Any]:
    seen = None if model.net.tower is None else model.net.tower.sight.found
    return {
        "tower": None if seen is None else {"name": seen.name, "digest": seen.digest},
        "format": FORMAT,
        "tunesmith": __version__,
        "plan": model.plan.anchored().model_dump(mode="json"),
        "facts": model.facts.model_dump(mode="json"),
        "base": {
            "name": model.base.name,
            "public_name": model.base.public_name,
            "digest": model.base.digest,
            "quant": model.base.quant,
            "rope": None if model.base.rope is None else model.base.rope.model_dump(),
        },
        "ecosystem": ecosystem(model.plan, model.family),
    }


def ecosystem(plan: Plan, family: Family | None = None) -> str:
    """plain: other tools open the saved model alone. tunesmith: it needs us, for the method, for side features
    or means, which other tools' classes do not read, or for 8-bit weights, which they multiply with rounded states; or
    because the base asks its convolutions what PEFT's layers around them do not tell."""
    ours = isinstance(family, VisionFamily) and family.asks_strides and plan.method.keeps_base()
    means = plan.task.pool == "mean" and plan.task.kind != "vectors"  # of which sentence-transformers knows
    ours = ours or plan.base.quant == "int8" or getattr(plan.task, "vector", False) or means
    ours = ours or plan.tower is not None
    return "tunesmith" if ours else plan.method.opens_in()


def read_card(folder: Path) -> tuple[Plan, Facts, dict[str, Any]]:
    """(plan, facts, card) of a saved model."""
    if not (folder / CARD).is_file():
        raise TunesmithError(f"{folder} is no model of Tunesmith: it has no {CARD}")
    card = read_json(folder / CARD)
    if card["format"] != FORMAT:
        raise TunesmithError(f"{folder}: written in format {card['format']}; this version reads format {FORMAT}")
    return make_plan(card["plan"]), Facts.model_validate(card["facts"]), card


def joined(host: Model, folder: Path, name: str) -> Model | None:
    """A saved model laid on the base of an open one, under a name of its own (see `Method.use`); None where it cannot
    be: another base, or a method that does not share. Both are then one network, of which one answers at a time."""
    from tunesmith.bases.load import load_tokenizer

    plan, facts, card = read_card(folder)
    same = card["base"]["digest"] == host.base.digest and plan.base.layers == host.plan.base.layers
    if not (same and plan.task.writes and host.plan.task.writes and plan.method.shares()):
        return None
    plan.method.join(host.net.auto, folder, name)
    return Model(plan, facts, host.base, host.net, load_tokenizer(replace(host.base, folder=folder)))


def saved(path: str | Path) -> Path:
    """The model folder of a run, a model folder itself, or that of a version such as tickets@3; its files are those
    that were written."""
    text, folder = str(path), Path(path).expanduser()
    if "@" in text and not folder.exists():
        from tunesmith.registry.store import Store

        store = Store()
        folder = store.open(store.resolve(text))
    for candidate in (folder / "model", folder):
        if (candidate / CARD).is_file():
            if (candidate / MANIFEST).is_file() and (wrong := verify_folder(candidate)):
                raise TunesmithError(f"{candidate} is damaged: {'; '.join(wrong[:3])}. Answers could differ: refused")
            return candidate
    raise TunesmithError(f"{path} is neither a run, nor a model folder, nor a registered version (name@number)")


def load(folder: Path, *, online: bool = False) -> Model:
    """Open a saved model for answering. Refuses another base than the one it was trained on."""
    plan, facts, card = read_card(folder)
    base = plan.base.found(online=online)
    _refuse_other(folder, plan.base.name, base, card["base"]["digest"])
    tokenizer = plan.task.processor(base, folder)
    auto = plan.method.load(fresh(plan, facts, base, tokenizer), family_for(plan, base), folder)
    net = _network(plan, facts, base, auto)
    _load_side(net, folder)
    net.tower = _load_tower(plan, facts, folder, card, online=online)
    net.eval().requires_grad_(False)
    return Model(plan, facts, base, net, tokenizer)


def _load_side(net: "Network", folder: Path) -> None:
    if net.side is None:
        return
    from safetensors.torch import load_file

    net.side.load_state_dict(load_file(str(folder / SIDE)), strict=True)


def _load_tower(plan: Plan, facts: Facts, folder: Path, card: dict[str, Any], *, online: bool) -> "Tower | None":
    from tunesmith.engine.tower import load_tower, sight_of

    if plan.tower is None:
        return None
    _refuse_other(folder, plan.tower.base, plan.tower.found(online=online), card["tower"]["digest"])
    sight = sight_of(plan, folder=folder)
    assert sight is not None, "the plan has a tower"
    return load_tower(plan, facts, sight, folder)


def _refuse_other(folder: Path, name: str, base: Found, digest: str) -> None:
    if base.digest != digest:
        raise TunesmithError(
            f"{folder}: trained on base {name} with digest {digest[:12]}, "
            f"but the one here has {base.digest[:12]}. Answers would differ: refused"
        )


def weights(model: Model) -> dict[str, Any]:
    """Every parameter that may move in this run, by name."""
    from tunesmith.engine.network import trainable

    if any(half.method.thaws() for half in model.halves):
        return dict(model.net.named_parameters())
    return dict(trainable(model.net))


def kept(model: Model) -> dict[str, Any]:
    """What a checkpoint holds: `weights`, and batch-norm statistics where they move."""
    from tunesmith.engine.statistics import statistics

    return weights(model) | statistics(model.net)


def restore(model: Model, tensors: dict[str, Any]) -> None:
    """Put checkpointed weights back, strictly: no name may be missing, added or of another shape."""
    import torch

    own = kept(model)
    if set(own) != set(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise TunesmithError(f"the weights do not belong to this plan: {len(odd)} names differ, such as {odd[0]}")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != tensors[name].shape:
                raise TunesmithError(
                    f"the weights do not belong to this plan: {name} has shape {tuple(tensors[name].shape)}, "
                    f"expected {tuple(parameter.shape)}"
                )
            parameter.copy_(tensors[name])


def trunk_of(model: Model) -> Any:
    """The headless base inside the network, as the method left it."""
    return plain(model.net.auto).get_submodule(model.family.trunk)


def rows_for_golden(encoded: Encoded, count: int = 16) -> list[int]:
    """Rows for the golden batch: spread over the lengths, shortest and longest included."""
    lengths = encoded.lengths
    if encoded.windows is not None:
        lengths = np.add.reduceat(lengths, encoded.windows.texts[:-1])
    by_length = np.argsort(lengths, kind="stable")
    picks = np.unique(np.linspace(0, len(by_length) - 1, min(count, len(by_length))).round().astype(int))
    return [int(by_length[p]) for p in picks]
