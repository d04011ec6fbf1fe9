"""Fine-tuning a language model with LoRA: the rows, the base, and our side of it.

The base is a Qwen2 with weights drawn at random, because neither time nor memory asks what they are; a vocabulary of
152k is that of Qwen2.5, one of 32k that of Llama 2. Rows are random tokens of the lengths that conversations have, of
which the first part (70, 50 or 0 %) is a prompt that is not learnt; or, "shared", 130 tokens each behind the same 500,
which are not learnt either. All arms get the same rows in the same steps, and
LoRA's A drawn from the same numbers, so that their losses can be compared step by step.
"""

import hashlib
import json
import math
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import texts
from meter import Laps, Meter

VOCABULARIES = {"152k": 151_936, "32k": 32_000}
SHAPE = {
    "hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 704, "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip
MEDIAN, SPREAD, LEAST, LONGEST = 100, 0.6, 16, 256
"""Tokens of a row: log-normal, cut."""
SHARED, OWN = 500, 130
"""Tokens of a system prompt that stands before every row, and of the row behind it."""
UNREAD = -100
RANK, ALPHA = 8, 16


def base(vocabulary: str) -> Path:
    """The folder of the random base, made at first use."""
    folder = texts.MADE / f"qwen2-{vocabulary}"
    if not (folder / "config.json").is_file():
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(0)
        config = AutoConfig.for_model("qwen2", vocab_size=VOCABULARIES[vocabulary], **SHAPE)
        classes: Any = AutoModelForCausalLM
        classes.from_config(config).save_pretrained(folder)
    return folder


def prepare(name: str, count: int) -> tuple[Path, dict[str, Any]]:
    """File and description of `count` rows; `name` is like 152k-70, vocabulary and prompt share in percent, or 32k-shared."""
    vocabulary, share = name.split("-")
    ids, given = _behind_one(vocabulary, count) if share == "shared" else _of_all_lengths(vocabulary, int(share), count)
    lengths = np.array([len(row) for row in ids])
    text = json.dumps({"ids": ids, "given": given})
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    file = texts.MADE / f"rows-sft-{digest}.json"
    texts.MADE.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    about = {
        "data": "sft", "digest": digest, "rows": count, "test": 0, "padding": texts.padding_factors(lengths),
        "median_tokens": float(np.median(lengths)), "mean_tokens": round(float(lengths.mean()), 1), "longest": int(max(LONGEST, *lengths)),
        "vocabulary": vocabulary, "prompt_share": share if share == "shared" else int(share),
        "learnt_share": round(1 - sum(given) / int(lengths.sum()), 3),
    }  # fmt: skip
    return file, about


def _of_all_lengths(vocabulary: str, share: int, count: int) -> tuple[list[list[int]], list[int]]:
    draw = np.random.default_rng([texts.SEED, share])
    lengths = np.clip(np.exp(draw.normal(math.log(MEDIAN), SPREAD, count)), LEAST, LONGEST).astype(int)
    ids = [draw.integers(5, VOCABULARIES[vocabulary], n).tolist() for n in lengths]
    return ids, [max(1, round(n * share / 100)) for n in lengths]  # nothing stands before the first token


def _behind_one(vocabulary: str, count: int) -> tuple[list[list[int]], list[int]]:
    draw = np.random.default_rng([texts.SEED, SHARED])
    first = draw.integers(5, VOCABULARIES[vocabulary], SHARED).tolist()
    own = draw.integers(5, VOCABULARIES[vocabulary], (count, OWN)).tolist()
    return [first + row for row in own], [SHARED] * count


def labels(ids: list[int], given: int) -> list[int]:
    """The row with its prompt left out."""
    return [UNREAD] * given + ids[given:]


def fill(net: Any) -> None:
    """Draw every A of LoRA by its name: the same in every library and order."""
    import torch

    for name, parameter in net.named_parameters():
        if "lora_A" in name:
            number = zlib.crc32(name[name.index("layers.") :].encode())
            drawn = torch.empty(parameter.shape).normal_(generator=torch.Generator().manual_seed(number))
            parameter.data.copy_(drawn / math.sqrt(parameter.shape[1]))


def sft(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Ours, through plan, model and loop."""
    import accelerate  # noqa: F401  # what the loop imports late is paid here
    import peft  # noqa: F401
    import torch  # noqa: F401
    from ours import _plan, _told

    from tunesmith.model import build
    from tunesmith.tasks import Facts
    from tunesmith.training.given import Job
    from tunesmith.training.loop import Loop

    plan, meter, losses = _plan(ask, {}), Meter(), []
    laps.lap("import")
    rows = ask["rows"]
    ids = rows["ids"]
    encoded, few = _encoded(ids, rows["given"]), _encoded(ids[:1], rows["given"][:1])
    laps.lap("tokenise")
    model = build(plan, Facts(), plan.base.found(), SimpleNamespace(pad_token_id=0))
    fill(model.net)
    job = Job(
        model, encoded, few, lambda _: {plan.best_metric: 0.0}, Path(), save=False,
        log=lambda _, values: losses.extend([values["loss"]] if "loss" in values else []),
    )  # fmt: skip
    laps.lap("load")
    with meter:
        state = Loop(job).run()
    laps.lap("train")
    return {**meter.told(), "steps": state.step, "losses": losses, "said": model.shortcuts.said, **_told(model)}


def _encoded(ids: list[list[int]], given: list[int]) -> Any:
    from tunesmith.data.ragged import Ragged
    from tunesmith.tasks import Encoded

    return Encoded(
        ids=Ragged.of(ids), types=None, lost=np.zeros(len(ids), np.int32), side=None, targets=None,
        weights=np.ones(len(ids), np.float32), labels=Ragged.of([labels(*row) for row in zip(ids, given, strict=True)]),
    )  # fmt: skip
