"""Texts as a frozen base has them: each read alone, the mean of its last states."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from tunesmith.bases.find import Found
from tunesmith.data import Record, Roles
from tunesmith.data.drift import States
from tunesmith.data.roles import text_of
from tunesmith.model import bare
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.tasks import Array, Encoded, Facts
from tunesmith.tasks._text import Tokens, pieces, tokens

TOKENS = 128
"""Of each text: what it is about is said by then."""
MOST_BYTES = 2 << 30
"""Weights of a base that is run to look at data; a larger one would take longer than the training."""


def alone(texts: list[str], tokenizer: Any, limit: int) -> Encoded:
    """Texts as rows of their own."""
    store = Tokens()
    for part in pieces(len(texts)):
        store.extend(*tokens(texts[part], None, tokenizer, limit))
    ids, types, lost = store.done()
    return Encoded(ids, types, lost, None, None, np.ones(len(texts), np.float32))


def too_large(base: Found) -> bool:
    """Whether its weights are beyond what is run to look at data."""
    files = [base.folder / name for name in base.files if name.endswith((".safetensors", ".bin"))]
    return sum(file.stat().st_size for file in files if file.is_file()) > MOST_BYTES


def states_by(base: Found, roles: Roles, progress: Progress) -> States:
    """A function that reads rows with that base. The network is built when it is first asked, and kept; so is what it
    made of a text, for checks ask for rows that another has asked for (4 H bytes a text)."""
    kept: list[Any] = []
    known: dict[bytes, Array] = {}

    def read(records: Sequence[Record]) -> Array:
        from tunesmith.engine.answers import pooled_states

        if not kept:
            plan = make_plan({"task": "classify", "base": base.name, "data": "unread"})
            kept.append(bare(plan, base, plan.task.processor(base), Facts(labels=("one", "other"))))
        (model,) = kept
        texts = ["\n".join(text_of(record, column) for column in roles.texts) for record in records]
        names = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
        if new:
            progress.say(f"reading {len(new)} texts with {base.name}, frozen")
            trunk = model.net.auto.get_submodule(model.family.trunk)
            encoded = alone(list(new.values()), model.tokenizer, TOKENS)
            made_NH = pooled_states(model.net, encoded, model.tokenizer.pad_token_id, trunk)
            known.update(zip(new, made_NH, strict=True))
        return np.stack([known[name] for name in names])

    return read
