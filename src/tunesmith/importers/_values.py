"""Values of other tools in the words of a plan: numbers, names of optimizers, schedules, layers, templates."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.importers._account import Near, Unfit

OPTIMIZERS: Mapping[str, Any] = {
    **dict.fromkeys(("adamw", "adamw_hf", "adamw_torch", "adamw_torch_fused", "adamw_apex_fused", "AdamW", "cpu_adam"),
                    "adamw"),
    **dict.fromkeys(("paged_adamw", "paged_adamw_32bit"), Near("adamw", "the same update; its state is not paged out")),
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit", "AdamW8bit"), "adamw8bit"),
    "paged_adamw_8bit": Near("adamw8bit", "the same update; its state is not paged out"),
    "adam": Near("adamw", "plain Adam is not among the optimizers; AdamW is the same where weight decay is 0"),
    "sgd": "sgd", "SGD": "sgd",
    "adafactor": Near("adafactor", "torch's form of Adafactor, whose clipping of updates differs in detail"),
    **dict.fromkeys(("lion", "lion_32bit"), "lion"),
    "paged_lion_32bit": Near("lion", "the same update; its state is not paged out"),
}  # fmt: skip
SCHEDULES: Mapping[str, Any] = {
    "linear": "linear", "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant",
    "cosine_with_restarts": "restarts", "polynomial": "polynomial", "cosine_with_min_lr": "cosine",
    "inverse_sqrt": Near("inverse_sqrt", "without warm-up it falls from the first step on, not after 10,000"),
    "reduce_lr_on_plateau": Near("plateau", "patience and threshold of the drop are not taken over"),
}  # fmt: skip
TEMPLATES: Mapping[str, Any] = {
    **dict.fromkeys(("auto", "tokenizer", "tokenizer_default", "qwen3", "qwen3_nothink"), "auto"),
    "chatml": "chatml", "llama3": "llama3",
}  # fmt: skip
LOGS: Mapping[str, Any] = {"none": "none", "tensorboard": "tensorboard", "mlflow": "mlflow"}
PRECISIONS: Mapping[str, Any] = {
    **dict.fromkeys(("fp16", "float16", "torch.float16"), "fp16"), "no": "fp32",
    **dict.fromkeys(("bf16", "bfloat16", "torch.bfloat16"), "bf16"), **dict.fromkeys(("float32", "fp32"), "fp32"),
}  # fmt: skip


def choice(known: Mapping[str, Any], what: str) -> Callable[[Any], Any]:
    """Look a word up; a stranger is unfit."""

    def convert(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if str(value) in known:
            return known[str(value)]
        raise Unfit(f"a plan has no such {what}; its own default is taken")

    return convert


def number(value: Any) -> float:
    """A finite number; YAML reads 1e-5 as text."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise Unfit("is not a number") from None
    if isinstance(value, bool) or not math.isfinite(found):
        raise Unfit("is not a number")
    return int(found) if isinstance(value, int) else found


def above_zero(value: Any) -> float:
    """A number above 0."""
    if (found := number(value)) > 0:
        return found
    raise Unfit("must be above 0 in a plan")


def from_zero(value: Any) -> float:
    """A number from 0 on."""
    if (found := number(value)) >= 0:
        return found
    raise Unfit("must not be below 0 in a plan")


def smoothing(value: Any) -> float:
    """Share of pairs that are taken to be labelled the wrong way round."""
    if (found := from_zero(value)) < 0.5:
        return found
    raise Unfit("half of the pairs or more cannot be labelled the wrong way round")


def sft_weight(value: Any) -> Any:
    """TRL's weight of the loss of the chosen answer."""
    return Near(from_zero(value), "weighs the mean over rows of the mean loss of a token; there, over all tokens") if (
        from_zero(value)
    ) else 0.0  # fmt: skip


def whole(value: Any) -> int:
    """A whole number above 0."""
    found = number(value)
    if found < 1 or found != int(found):
        raise Unfit("must be a whole number above 0 in a plan")
    return int(found)


def seed(value: Any) -> int:
    """A whole number from 0 on."""
    return 0 if number(value) == 0 else whole(value)


def epochs(value: Any) -> Any:
    """Whole epochs; a broken number is rounded up."""
    found = above_zero(value)
    if found == int(found):
        return int(found)
    return Near(math.ceil(found), f"a plan has whole epochs, {found:g} became {math.ceil(found)}; "
                                  "train.max_steps can stop earlier")  # fmt: skip


def unless_zero(value: Any) -> float | None:
    """A number whose 0 means off there, as null does here (gradient norm, NEFTune's noise)."""
    return number(value) or None


def patience(value: Any) -> int | None:
    """Evaluations without a better value; 0 there is off, null here."""
    return whole(value) if number(value) else None


def every_steps(value: Any) -> str:
    """A moment in optimizer steps."""
    if 0 < number(value) < 1:
        raise Unfit("a share of the run is not a moment; write '200 steps' or '0.5 epochs'")
    return f"{whole(value)} steps"


def targets(value: Any) -> Any:
    """Layers with an update: all linear ones, or a list of names."""
    names = [n.strip() for n in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise Unfit("layers are given by name")
    if len(names) == 1 and names[0].replace("_", "-") in ("all", "all-linear"):
        return "all"
    return names


def template(value: Any) -> Any:
    """A chat template by name; one that a plan does not name becomes the base's own."""
    return TEMPLATES.get(str(value)) or Near(
        "auto", f"'{value}' became auto, the chat template that the base brings; check that it is the one meant"
    )


def plus(value: Any) -> float:
    """LoRA+: how much faster B learns."""
    if (found := number(value)) >= 1:
        return found
    raise Unfit("a rate of B below that of A is not LoRA+")
