"""Which method fits which model on which card: the table of docs/memory.md, from the forecast alone.

    python bench/memory/cards.py

Sizes are those of published configurations (Qwen2.5-0.5B, 1.5B, 3B, 7B; Llama-2-13B). A piece of 2,048 packed tokens,
half of them learnt, AdamW, LoRA of rank 8 on every linear layer, bf16 products as `precision: auto` chooses on GPUs.
"""

from typing import NamedTuple

from tunesmith.engine.forecast import Forecast, Held, Shape, Step, forecast

GB = 1e9
CARDS = (8, 12, 16, 24, 48, 80)
USABLE = 0.9
"""Of a card: the rest is the driver's, and holes between tensors."""
CONTEXT = 0.6 * GB
"""What CUDA and its libraries take for themselves."""
RANK = 8


class Model(NamedTuple):
    """A published architecture."""

    name: str
    shape: Shape
    tied: bool


MODELS = (
    Model("0.5B", Shape(24, 896, 4864, 128, 14, 151_936, gated=True, split_norms=True), tied=True),
    Model("1.5B", Shape(28, 1536, 8960, 256, 12, 151_936, gated=True, split_norms=True), tied=True),
    Model("3B", Shape(36, 2048, 11_008, 256, 16, 151_936, gated=True, split_norms=True), tied=True),
    Model("7B", Shape(28, 3584, 18_944, 512, 28, 152_064, gated=True, split_norms=True), tied=False),
    Model("13B", Shape(40, 5120, 13_824, 5120, 40, 32_000, gated=True, split_norms=True), tied=False),
)


def linear(shape: Shape) -> int:
    """Weights of the linear layers of all blocks."""
    one = 2 * shape.width**2 + 2 * shape.width * shape.keys + 3 * shape.width * shape.inner
    return shape.blocks * one


def words(model: Model) -> int:
    """Weights of the word table, and of the language head where it is another."""
    return (1 if model.tied else 2) * model.shape.vocabulary * model.shape.width


def added(shape: Shape) -> int:
    """Weights of LoRA on every linear layer."""
    sides = 4 * shape.width + 2 * (shape.width + shape.keys) + 3 * (shape.width + shape.inner)
    return RANK * shape.blocks * sides


def least(model: Model, method: str) -> tuple[Forecast, Forecast]:
    """The forecast, and that with gradient checkpointing."""
    shape, num, extra = model.shape, linear(model.shape), words(model)
    if method == "full":
        held = Held(4 * (num + extra), num, num + extra)
    elif method == "lora":
        held = Held(4 * (num + extra + added(shape)), num, added(shape))
    else:
        bits = 0.5 + 1 / 64 + 4 / (64 * 256)  # steps, a byte of scale for 64 of them, and the scales of scales
        largest = shape.width * shape.inner
        held = Held(int(bits * num) + 4 * (extra + added(shape)), 0, added(shape), largest=largest)
    norms = method == "full"
    step = Step(tokens=2048, longest=512, reads=1024, above=shape.blocks, language=True, narrow=True, norms_learn=norms)
    return forecast(shape, step, held), forecast(shape, step._replace(checkpointing=True), held)


def main() -> None:
    """The table."""
    print("| model | method | peak | with checkpointing | smallest card |\n| --- | --- | --- | --- | --- |")
    for model in MODELS:
        for method in ("full", "lora", "lora, nf4"):
            whole, less = least(model, method)
            print(
                f"| {model.name} | {method} | {whole.total / GB:.1f} GB | {less.total / GB:.1f} GB | {card(whole, less)} |"
            )


def card(whole: Forecast, less: Forecast) -> str:
    """The smallest card for it, and whether it takes checkpointing to get there."""
    for gb in CARDS:
        room = USABLE * gb * GB - CONTEXT
        if whole.total <= room:
            return f"{gb} GB"
        if less.total <= room:
            return f"{gb} GB, with checkpointing"
    return "none of these"


if __name__ == "__main__":
    main()
