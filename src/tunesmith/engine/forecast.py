"""How much memory a training step will take, from shapes alone: what is kept, where, and for how long.

    weights       as they are held (quantised ones with their scales); under bf16 and fp16 also the copies that
                  products keep for the backward pass
    gradients     of what learns, float32
    optimizer     its state for what learns
    activations   what the backward pass of one forward pass needs, by token and block; see `block_bytes`
    head          states, logits and their gradients where the loss is computed
    passing       what a block holds for a moment, where that is more: rows that are only answered, blocks that rest
    holes         what the C library's heap holds between tensors that came and went, on a CPU (docs/memory.md)
    process       what was there before: libraries, rows, the tokenizer

The largest piece of a step counts, since pieces run one after the other.

Shape letters as in the names: a token has `width` states; `inner` is the width of the feed-forward part, `keys` that
of keys and of values.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from tunesmith.bases.family import Family

FLOAT = 4
OPTIMIZER_BYTES = {"adamw": 8.0, "sgd": 4.0, "adafactor": 0.1, "lion": 4.0, "adamw8bit": 2.1, "galore": 8.0}
"""State for each weight that learns. galore: at most, where the rank is as large as the matrices."""
TOKENS = 512
"""Of the self-check, see `proof`."""
SLAB = 64 << 20
"""Logits of the packed way that are held at a time, at most."""
HOLES = 0.3
"""Bytes of holes for a byte that comes and goes in a step, measured over jobs as those of docs/memory.md (0.1 to 0.7):
glibc lays an aligned tensor into no hole of exactly its size."""
BUFFERS = 40 << 20
"""What libraries take for themselves at a first step on a CPU: packed operands of products, modules."""


class Shape(NamedTuple):
    """Sizes of an architecture."""

    blocks: int
    width: int
    inner: int
    keys: int
    heads: int
    vocabulary: int
    gated: bool
    """Whether the feed-forward part multiplies two wide states (Llama); else there is one (BERT)."""
    split_norms: bool
    """Whether a norm keeps what its weight multiplies, where that learns (RMSNorm is written out; LayerNorm is one)."""


class Step(NamedTuple):
    """One forward and backward pass, the largest of a step."""

    tokens: int
    """Places computed: tokens of packed rows, or places of padded ones."""
    longest: int
    """Tokens of the longest row."""
    reads: int
    """Positions that head and loss read."""
    above: int
    """Blocks through which gradients go."""
    packed: bool = True
    """Whether a language model's logits are held a slab at a time."""
    language: bool = False
    masked: bool = False
    """Whether every logit of the read positions is held."""
    narrow: bool = False
    """bf16 or fp16 products."""
    attention_dropout: bool = False
    hidden_dropout: bool = False
    norms_learn: bool = False
    last_at_reads: bool = False
    """Whether the last block runs at the read positions alone."""
    checkpointing: bool = False
    answered: int = 0
    """Tokens of the largest forward pass without gradients."""
    alone: bool = False
    """Whether a step is one forward pass: gradients then come as activations go, and never lie beside all of them."""
    holes: float = 0.0
    """HOLES on a CPU whose heap keeps what is freed; 0 on a device with an allocator of torch's own."""


class Held(NamedTuple):
    """What is there in every step."""

    weights: int
    """Bytes of all weights as they are kept."""
    whole: int
    """Those of them, in number, that are float32 and multiply states."""
    learning: int
    """Weights that learn, in number."""
    optimizer: str = "adamw"
    largest: int = 0
    """Weights of the largest quantised layer, which is multiplied out when it is used."""
    widest: int = 0
    """Weights of the largest tensor that learns: all optimizers but torch's fused AdamW copy its gradient."""
    average: bool = False
    """Whether a moving average of the weights is kept."""


@dataclass(frozen=True)
class Forecast:
    """Bytes at the peak of a step, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    head: int
    check: int = 0
    """All that is held while shortcuts are compared with the library's own forward pass, before the first step."""
    passing: int = 0
    holes: int = 0
    overlap: int = 0
    """Gradients that take the place of activations."""
    process: int = 0

    @property
    def step(self) -> int:
        """A step of training."""
        moving = max(self.activations + self.head, self.passing)
        return self.weights + self.gradients + self.optimizer + moving + self.holes - self.overlap

    @property
    def total(self) -> int:
        """The peak of the run, without what the process held before."""
        return max(self.step, self.check)

    def told(self, room: int) -> str:
        """A line for the user."""
        named = [f.name for f in fields(self) if f.name not in ("check", "process", "overlap")]
        if self.activations + self.head > self.passing:
            named.remove("passing")
        parts = [f"{name} {size(v)}" for name in named if (v := getattr(self, name)) >= 10**5]
        if self.check > self.step:
            parts.append(f"but {size(self.check)} for the self-check before the first step, see engine.check")
        return f"forecast: {size(self.total)} at peak ({', '.join(parts)}), {size(room)} here"


def check_bytes(shape: Shape, step: Step, held: Held) -> int:
    """What the self-check holds: the gradients of both ways and a copy, and its few tokens: all rows of the fast way,
    or every logit of one row of the plain way."""
    bare = step._replace(last_at_reads=False, checkpointing=False, attention_dropout=False, hidden_dropout=False)
    ways = (TOKENS, True), (min(step.longest, TOKENS // 3), False)
    found = [forecast(shape, _few(bare._replace(packed=packed), tokens), held) for tokens, packed in ways]
    most = max(each.activations + each.head + each.holes for each in found)
    return found[0].weights + 3 * found[0].gradients + most


def _few(step: Step, tokens: int) -> Step:
    share = min(1.0, tokens / max(1, step.tokens))
    return step._replace(tokens=int(step.tokens * share), reads=int(step.reads * share))


def forecast(shape: Shape, step: Step, held: Held) -> Forecast:
    """The peak of a training step."""
    float_size = FLOAT / 2 if step.narrow else FLOAT
    weights = held.weights + (2 * held.whole if step.narrow else 0) + 2 * FLOAT * held.largest
    activations = int(_activations(shape, step) * float_size / FLOAT)
    head, passing = _head(shape, step, learns=held.learning > held.whole), _passing(shape, step)
    copied = 0 if held.optimizer == "adamw" else FLOAT * held.widest
    return Forecast(
        weights=int(weights + (FLOAT * held.learning if held.average else 0)),
        gradients=FLOAT * held.learning, optimizer=int(OPTIMIZER_BYTES[held.optimizer] * held.learning) + copied,
        activations=activations, head=head, passing=passing,
        holes=int(step.holes * max(activations + head, passing)),
        overlap=min(FLOAT * held.learning, activations + head) if step.alone else 0,
    )  # fmt: skip


def block_bytes(shape: Shape, step: Step) -> int:
    """What a block keeps of each token for its backward pass, in float32.

    Two norms with their inputs and outputs (4 widths; 2 more where a written-out norm learns), query, keys and values,
    what attention gives and its copy in the order of the tokens (3 widths, 2 keys), the wide states before, between
    and behind the activation (4 with a gate, else 2). Where attention draws dropout its matrix is kept twice, and a
    byte of what was dropped; other dropout keeps a byte a state.
    """
    norms = 4 + (2 if shape.split_norms and step.norms_learn else 0)
    floats = (norms + 3) * shape.width + 2 * shape.keys + (4 if shape.gated else 2) * shape.inner
    extra = 9 * shape.heads * step.longest if step.attention_dropout else 0
    return FLOAT * floats + extra + (2 * shape.width if step.hidden_dropout else 0)


def _activations(shape: Shape, step: Step) -> int:
    whole = step.tokens * block_bytes(shape, step)
    if not step.above:
        return 0
    last = step.tokens * FLOAT * (3 * shape.width + 2 * shape.keys) + step.reads * block_bytes(shape, step)
    last = min(last, whole) if step.last_at_reads else whole
    embedded = 2 * FLOAT * step.tokens * shape.width
    if step.checkpointing:
        return embedded + step.above * FLOAT * step.tokens * shape.width + (whole if step.above > 1 else last)
    return embedded + (step.above - 1) * whole + last


def _passing(shape: Shape, step: Step) -> int:
    """What a block holds while it runs without keeping anything."""
    widest = 4 * shape.width + 2 * shape.keys + (3 if shape.gated else 2) * shape.inner
    return FLOAT * max(step.answered, 0 if step.above else step.tokens) * widest


def _head(shape: Shape, step: Step, *, learns: bool) -> int:
    states = 3 * FLOAT * step.reads * shape.width
    if not step.language and not step.masked:
        return states
    second = FLOAT * shape.vocabulary * shape.width if learns else 0
    if step.masked:
        return states + second + FLOAT * shape.vocabulary * (3 * step.reads + (0 if step.packed else 2 * step.tokens))
    if step.packed:
        return states + second + min(SLAB, FLOAT * step.reads * shape.vocabulary)
    return states + second + FLOAT * shape.vocabulary * (2 * step.tokens + 3 * step.reads)


def shape_of(config: Any, family: Family, blocks: int) -> Shape:
    """Sizes by a transformers configuration."""
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    head_width = int(getattr(config, "head_dim", None) or width // heads)
    named = (getattr(config, name, None) for name in ("intermediate_size", "hidden_dim", "n_inner"))
    inner = next(filter(None, named), 4 * width)
    return Shape(
        blocks=blocks, width=width, inner=int(inner),
        keys=head_width * int(getattr(config, "num_key_value_heads", None) or heads), heads=heads,
        vocabulary=int(config.vocab_size), gated=len(family.feed_forward_in) > 1,
        split_norms=hasattr(config, "rms_norm_eps"),
    )  # fmt: skip


def size(num_bytes: float) -> str:
    """Bytes as people read them."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
