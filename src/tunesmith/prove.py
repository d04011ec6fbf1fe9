"""The reload proof: a fresh process opens the saved model and must answer as the trained one did.

`python -m tunesmith.prove RUN` is that process. It opens model/ with Tunesmith, re-reads the data and recomputes the
validation metric; models of the class *plain* are opened a second time with transformers and PEFT alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.errors import GateRefused, TunesmithError
from tunesmith.files import read_json
from tunesmith.run import Run


def prove_apart(run: Run) -> dict[str, Any]:
    """Run the proof in a fresh process; raises GateRefused with its words when it does not hold."""
    from tunesmith.machine import kernel_key

    threads = kernel_key()["threads"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "tunesmith.prove", str(run.path)], capture_output=True, text=True, env=environment,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == GateRefused.exit_code:
        raise GateRefused(done.stderr.strip())
    if done.returncode:
        raise TunesmithError(f"the reload proof could not be run:\n{done.stderr.strip()}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def prove(run: Run) -> dict[str, Any]:
    """The proof itself: {equality, max_error, bits, metric, plain, plain_max_error}."""
    import torch

    from tunesmith.evaluation.judge import Judge
    from tunesmith.golden import read_golden, require_equal, require_same_words
    from tunesmith.model import ecosystem, load
    from tunesmith.plan_text import read_plan
    from tunesmith.prepare import prepare

    model = load(run.model)
    records, tensors = read_golden(run.file("golden"))
    golden = tensors["logits"].numpy()
    encoded = model.encode(records, model.plan.task.roles(labelled=model.plan.task.purpose == "language"))
    logits = model.outputs(encoded)
    error = require_equal(logits, golden, "the reloaded model")
    require_same_words(model, run.file("golden"), records, "the reloaded model")
    prepared = prepare(read_plan(run.plan))
    _refuse_changed(run, [t.sha256 for t in prepared.tables])
    validation = model.encode(prepared.splits["validation"], prepared.roles)
    truth = model.plan.task.truth(validation, model.facts)
    metric = _same_metric(run, Judge(model.plan, model.facts).quick(model.outputs(validation), truth))
    proof = {
        "max_error": error, "bits": bool(np.array_equal(logits, golden)), "metric": metric,
        "equality": "bits" if np.array_equal(logits, golden) else "exact", "plain": False, "plain_max_error": None,
    }  # fmt: skip
    if ecosystem(model.plan) == "plain":
        with torch.inference_mode():
            plain = plain_logits(run, model, tensors)
        proof |= {"plain": True, "plain_max_error": require_equal(plain, golden, "the model opened without Tunesmith")}
    return proof


def _refuse_changed(run: Run, digests: list[str]) -> None:
    for file, now in zip(read_json(run.file("data.json"))["files"], digests, strict=True):
        if file["sha256"] != now:
            raise TunesmithError(f"{file['name']} has changed while the run was going on. Start again from the new one")


def _same_metric(run: Run, values: dict[str, float]) -> dict[str, float]:
    stored = read_json(run.file("metrics.json"))
    main = stored["main"]
    before = stored["metrics"]["validation"][main]["value"]
    if before is not None and not abs(values[main] - before) <= 1e-9:
        raise GateRefused(
            f"the reloaded model reaches {main} {values[main]:.6f} on the validation rows, the trained one reached "
            f"{before:.6f}. The run is not done"
        )
    return {main: values[main]}


def plain_logits(run: Run, model: Any, tensors: dict[str, Any]) -> np.ndarray:
    """Logits of the golden tokens from transformers and PEFT alone, as a user without Tunesmith would get them."""
    import transformers

    from tunesmith.bases import quant
    from tunesmith.bases.load import auto_class, quiet, taken

    task = model.plan.task
    auto = getattr(transformers, auto_class(task.purpose))
    with quiet():
        if not (run.model / "adapter_config.json").is_file():
            net = auto.from_pretrained(run.model)
        else:
            from peft import PeftModel

            layers = model.plan.base.layers
            cut: dict[str, Any] = {} if layers is None else {"num_hidden_layers": layers}
            cut |= taken(model.base, model.family)
            if task.purpose == "classify":
                cut["num_labels"] = task.outputs(model.facts)
            base = auto.from_pretrained(model.base.folder, **cut)
            if model.base.quant is not None:
                quant.settle(base)  # bitsandbytes' kernel for processors with bf16 arithmetic rounds
            base.config.pad_token_id = model.tokenizer.pad_token_id
            net = PeftModel.from_pretrained(base, run.model)
    net.eval()
    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in tensors]
    mask = tensors["attention_mask"]
    rows = []
    for i in range(len(mask)):  # row by row: what padding does is no matter here
        length = int(mask[i].sum())
        logits = net(**{n: tensors[n][i : i + 1, :length] for n in names}).logits.float()[0]
        rows.append(_read(logits, tensors["labels"][i, :length]) if "labels" in tensors else logits.numpy())
    found = np.stack(rows)
    if "labels" in tensors:  # how long a text is has nothing to do with the network
        found = np.column_stack([found, tensors["logits"][:, 3].numpy()])
    return found


def _read(logits_TV: Any, labels_T: Any) -> np.ndarray:
    """(nll, tokens, hits) of one row, as anybody would compute them from a language model's logits."""
    from torch.nn import functional

    virtual = len(logits_TV) - len(labels_T)  # prompt tokens that PEFT put in front
    wanted = [t for t in range(len(labels_T)) if labels_T[t] >= 0 and t + virtual > 0]
    before, labels = logits_TV[[t + virtual - 1 for t in wanted]], labels_T[wanted]
    losses = functional.cross_entropy(before, labels, reduction="none").double()
    return np.array([float(losses.sum()), len(wanted), int((before.argmax(1) == labels).sum())], dtype=np.float32)


def main() -> int:
    """Entry of the fresh process: one JSON line, or the reason on stderr with exit code 3."""
    try:
        print(json.dumps(prove(Run(Path(sys.argv[1])))))  # noqa: T201
    except TunesmithError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
