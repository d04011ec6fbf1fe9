"""The proof of a merged folder: a fresh process opens it with plain transformers and must answer the golden batch.

`python -m tunesmith.merge_proof FOLDER DTYPE` is that process. In float32 outputs may differ by `golden.EXACT` and no
written answer by a word. In bfloat16 the weights themselves are rounded: what changes is measured, and refused above
`DRIFT` or `FLIPS`.
"""

import json
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tunesmith.errors import GateRefused, TunesmithError
from tunesmith.files import read_json
from tunesmith.golden import EXACT, error_of, read_golden
from tunesmith.model import Model, ecosystem, load
from tunesmith.prove import apart, plain_logits, plain_network

DRIFT = 0.05
"""Largest difference of an output in bfloat16, in units of max(1, |output|)."""
FLIPS = 0.1
"""Largest share of the golden rows whose answer another label may take in bfloat16."""


def prove_merged_apart(folder: Path, dtype: str) -> dict[str, Any]:
    """Run the proof in a fresh process; raises GateRefused with its words when it does not hold."""
    return apart("tunesmith.merge_proof", str(folder), dtype)


def prove_merged(folder: Path, dtype: str) -> dict[str, Any]:
    """{rows, max_error, plain, plain_max_error, label_flips, written, written_changed, words_changed, equality}."""
    import torch

    model = load(folder)
    records, tensors = read_golden(folder / "golden")
    golden = tensors["logits"].numpy()
    roles = model.plan.task.roles(labelled=model.plan.task.talks or "labels" in tensors)
    encoded = model.encode(records, roles)
    if "reference" in tensors:
        encoded.reference = tensors["reference"].numpy()
    outputs = model.outputs(encoded)
    found: dict[str, Any] = {"rows": len(golden), "max_error": error_of(outputs, golden), "plain_max_error": None}
    found["plain"] = ecosystem(model.plan) == "plain"
    speaker = model
    if found["plain"]:
        net = plain_network(folder, model)
        with torch.inference_mode():
            outputs = plain_logits(net, model, tensors)
        found["plain_max_error"] = error_of(outputs, golden)
        speaker = _with(model, net)
    found["label_flips"] = _flips(model, outputs, golden)
    found |= _words(speaker, folder, records)
    found["equality"] = "exact" if dtype == "fp32" else "bounded"
    _require(found, dtype)
    return found


def _with(model: Model, net: Any) -> Model:
    """The same model with another network in it."""
    from tunesmith.engine.network import Network

    return Model(model.plan, model.facts, model.base, Network(net, 0, 0), model.tokenizer)


def _flips(model: Model, outputs: Any, golden: Any) -> int:
    """Rows whose label is another one; numbers and texts have none."""
    task = model.plan.task
    if task.kind not in ("classes", "multilabel"):
        return 0
    now, before = (task.answer(each, model.facts)[0] for each in (outputs, golden))
    return int((now != before).reshape(len(now), -1).any(1).sum())


def _words(model: Model, folder: Path, records: Any) -> dict[str, Any]:
    """{written, written_changed, words_changed: share of the words}."""
    if not (folder / "golden" / "written.json").is_file():
        return {"written": 0, "written_changed": 0, "words_changed": 0.0}
    before = read_json(folder / "golden" / "written.json")
    now = [str(text) for text in model.write(records[: len(before)])]
    total = same = 0
    for a, b in zip(before, now, strict=True):
        first, second = a.split(), b.split()
        total += max(len(first), len(second))
        same += sum(m.size for m in SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks())
    changed = sum(a != b for a, b in zip(before, now, strict=True))
    return {"written": len(before), "written_changed": changed, "words_changed": 1 - same / total if total else 0.0}


def _require(found: dict[str, Any], dtype: str) -> None:
    error = max(found["max_error"], found["plain_max_error"] or 0.0)
    if dtype == "fp32":
        if not error <= EXACT:
            raise GateRefused(
                "the merged model does not answer as it did in memory: the outputs of the golden batch differ by "
                f"{error:.2g}, allowed {EXACT:g}. It was not kept"
            )
        if found["written_changed"]:
            raise GateRefused(
                f"the merged model writes {found['written_changed']} of {found['written']} golden answers in other "
                "words. It was not kept"
            )
        return
    if not error <= DRIFT or found["label_flips"] > FLIPS * found["rows"]:
        raise GateRefused(
            f"in bfloat16 the outputs of the golden batch drift by {error:.2g} (allowed {DRIFT:g}) and "
            f"{found['label_flips']} of {found['rows']} rows get another label (allowed {FLIPS:.0%}). The merged model "
            "was not kept: merge with --dtype fp32"
        )


def main() -> int:
    """Entry of the fresh process: one JSON line, or the reason on stderr with exit code 3."""
    try:
        print(json.dumps(prove_merged(Path(sys.argv[1]), sys.argv[2])))  # noqa: T201
    except TunesmithError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
