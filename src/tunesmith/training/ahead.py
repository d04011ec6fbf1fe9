"""What a run will take, before anything is loaded: from its plan, the lengths of its rows and the base's config.json.

The network is built without weights, so that every method counts what it adds and moves by itself. Refuses a run whose
weights and smallest step do not fit, and finds the largest forward pass that does (`train.fit`). For networks that read
text with one stack of blocks; others are measured once they are loaded (`engine.fitting`).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from tunesmith.bases.family import EncoderDecoder, SightedLanguage, TwoTowers, plain
from tunesmith.bases.find import Found
from tunesmith.engine import memory, rates, savings
from tunesmith.engine.answers import MAX_TOKENS
from tunesmith.engine.batches import Batches
from tunesmith.engine.fitting import FILL, dropouts, holes
from tunesmith.engine.forecast import OPTIMIZER_BYTES, Forecast, Held, Shape, Step, forecast, shape_of, size
from tunesmith.engine.lessons import UNREAD
from tunesmith.errors import TunesmithError
from tunesmith.model import Model, hollow, weights
from tunesmith.plan import Plan
from tunesmith.tasks import Encoded, Facts
from tunesmith.training.checkpoint import KEEP
from tunesmith.training.pace import spoken

QUANTISED = {"nf4": 0.52, "int8": 1.0}
"""Bytes of a weight in the blocks."""
SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tokens of a forward pass that are tried. On a CPU no more than 2,048: larger pieces fall out of its cache."""


@dataclass(frozen=True)
class Ahead:
    """A run that has not begun."""

    model: Model
    """Without weights."""
    train: Encoded
    batches: Batches
    shape: Shape
    held: Held
    step: Step
    """The largest, at the plan's `micro_tokens`."""
    room: int
    """Bytes that are free."""
    blocks: int

    def of(self, tokens: int, **changes: Any) -> Forecast:
        """The forecast with so many tokens in a forward pass, but never less than the longest row."""
        most = max(self.step.longest, min(tokens, self.most))
        share = most / max(1, self.step.tokens)
        step = self.step._replace(
            tokens=most, reads=max(1, round(self.step.reads * share)), alone=tokens >= self.most, **changes
        )
        return forecast(self.shape, step, self.held)

    @property
    def most(self) -> int:
        """Tokens of the largest step."""
        front = self.model.plan.method.extra_tokens()
        return int(max(each.sum() for each in savings.lengths_of_steps(self.batches, front)))


def surely_fits(base: Found) -> bool:
    """Whether nothing can stand in the way: all weights, taken to be stored in 2 bytes each, with their gradients and
    the state of AdamW, take a tenth of what is free."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stored = sum(f.stat().st_size for f in base.folder.glob("*.safetensors"))
    return stored / 2 * 16 < memory.room(device) / 10


def look_ahead(plan: Plan, facts: Facts, base: Found, tokenizer: Any, train: Encoded) -> Ahead | None:
    """A run before it begins; None where its network is of another kind than this can count."""
    rows = train.inner or train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = _hollow(plan, facts, base, tokenizer)
    if made is None or not len(train):
        return None
    family, net = made.family, made.net
    blocks = family.block_list(net.auto)
    config: Any = plain(net.auto).config
    inside = sum(p.numel() for b in blocks for p in b.parameters() if p.ndim == 2)
    whole = sum(p.numel() for p in net.parameters())
    spared = 0.0 if plan.base.quant is None else (4 - QUANTISED[plan.base.quant]) * inside
    learning = [p.numel() for p in weights(made).values()]
    held = Held(
        weights=int(4 * whole - spared), whole=inside, learning=sum(learning), optimizer=plan.train.optimizer,
        widest=max(learning, default=0), average=plan.train.ema is not None,
    )  # fmt: skip
    batches = Batches(train.extents, plan.train.batch, plan.train.batch_tokens, plan.train.seed, train.blend)
    still = 0 if plan.method.thaws() else plan.method.still(net.auto, family)
    longest = int(rows.lengths.max()) + plan.method.extra_tokens()
    step = Step(
        tokens=longest, longest=longest, reads=1 if rows.labels is None else max(1, round(_learnt(rows) * longest)),
        above=len(blocks) - still, packed=plan.engine.pack and type(plan.method).packs, language=plan.task.talks,
        masked=rows.masking is not None, norms_learn=plan.method.moves_base(), last_at_reads=plan.engine.reads,
        answered=min(MAX_TOKENS, int(rows.ids.size)), holes=holes(device), **dropouts(config, plan.train.dropout),
    )  # fmt: skip
    shape = shape_of(config, family, len(blocks))
    return Ahead(made, train, batches, shape, held, step, memory.room(device), len(blocks))


def _hollow(plan: Plan, facts: Facts, base: Found, tokenizer: Any) -> Model | None:
    from tunesmith.model import family_for

    family = family_for(plan, base)
    others = isinstance(family, EncoderDecoder | TwoTowers | SightedLanguage) or family.sense != "text"
    if others or plan.tower is not None or plan.method.start or plan.method.sources():
        return None
    return hollow(plan, facts, base, tokenizer)


def _learnt(rows: Encoded) -> float:
    """Share of the tokens that are learnt."""
    assert rows.labels is not None, "asked of rows with labels"
    return float((rows.labels.flat != UNREAD).mean()) if rows.labels.size else 0.0


def settled(ahead: Ahead) -> Plan:
    """The plan with as many tokens in a forward pass as fit, where it asks for that. Raises TunesmithError where not
    even the smallest step fits."""
    plan, free = ahead.model.plan, ahead.room
    able = plan.train.checkpointing != "off" and type(plan.method).packs
    least = ahead.of(0, checkpointing=able, answered=0)
    if least.step > free:
        raise TunesmithError(
            f"this run cannot fit into memory: {size(least.step)} at least (weights {size(least.weights)}, gradients "
            f"{size(least.gradients)}, optimizer {size(least.optimizer)}, and {size(least.activations + least.head)} "
            f"for one row of {ahead.step.longest} tokens), and {size(free)} are free here. Nothing was loaded. Cures: "
            "method: lora (or head), base.quant: nf4, train.optimizer: adafactor, task.max_tokens, or a smaller base"
        )
    if not plan.train.fit:
        return plan
    limit = SIZES[-1] if torch.cuda.is_available() else MAX_TOKENS
    fitting = [s for s in SIZES if s <= limit and ahead.of(s).step <= FILL * free]
    train = plan.train.model_copy(update={"micro_tokens": max(fitting, default=SIZES[0]), "fit": False})
    return plan.model_copy(update={"train": train})


def told(ahead: Ahead, share: float = 1.0) -> dict[str, Any]:
    """The forecast as numbers: memory_mb, seconds and disk_mb, with what they are made of. `share`: of all training
    rows that are known here; the others are taken to be like them."""
    plan, model, batches = ahead.model.plan, ahead.model, ahead.batches
    found = ahead.of(plan.train.micro_tokens)
    process = memory.resident() if ahead.step.holes else 0
    lengths = savings.lengths_of_steps(batches, plan.method.extra_tokens())
    work = savings.packed_work(lengths, savings.padded_work(lengths, 1))
    if ahead.step.language:
        work = replace(work, heads=work.tokens * _learnt(ahead.train.inner or ahead.train))
    still = plan.method.still(model.net.auto, model.family)
    operations = savings.operations(savings.sizes_of(model.net.auto, model.family, still), work)
    rows = round(len(batches) / share)
    per_epoch = -(-rows // plan.train.batch) if batches.tokens is None else round(batches.per_epoch / share)
    steps = plan.total_steps(rows, max(1, per_epoch))
    speed, source = rates.speed(ahead.shape.width, "cuda" if torch.cuda.is_available() else "cpu")
    seconds = operations / max(1, len(lengths)) * steps / speed
    after = rates.known().get(rates.after_key(plan.task.name), 0.0)
    kept = 4 * ahead.held.learning
    disk = min(KEEP, steps) * (kept + OPTIMIZER_BYTES[plan.train.optimizer] * ahead.held.learning) + 2 * kept
    return {
        "memory_mb": round((process + found.step) / 2**20, 1), "seconds": round(seconds + after, 3),
        "training_seconds": round(seconds, 3), "disk_mb": round(disk / 2**20, 3), "steps": steps,
        "memory": {name: round(value / 2**20, 1) for name, value in (asdict(found) | {"process": process}).items()},
        "speed": {"gflops": round(speed / 1e9, 1), "by": source},
        "fits": found.step <= FILL * ahead.room, "room_mb": round(ahead.room / 2**20, 1),
        "learning": ahead.held.learning,
        "said": f"{size(process + found.step)} of memory, {spoken(seconds + after)}, {size(disk)} of disk",
    }  # fmt: skip
