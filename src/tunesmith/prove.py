"""The reload proof: a fresh process opens the saved model and must answer as the trained one did.

`python -m tunesmith.prove RUN` is that process. It opens model/ with Tunesmith, re-reads the data and recomputes the
validation metric; models of the class *plain* are opened a second time with transformers and PEFT alone.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.errors import GateRefused, TunesmithError
from tunesmith.files import read_json
from tunesmith.run import Run


def prove_apart(run: Run) -> dict[str, Any]:
    """Run the proof in a fresh process; raises GateRefused with its words when it does not hold."""
    return apart("tunesmith.prove", str(run.path))


def apart(module: str, *words: str) -> dict[str, Any]:
    """What a module of ours answers as a fresh process; raises GateRefused with its words where a proof fails."""
    from tunesmith.machine import kernel_key

    threads = kernel_key()["threads"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", module, *words], capture_output=True, text=True, env=environment, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == GateRefused.exit_code:
        raise GateRefused(done.stderr.strip())
    if done.returncode:
        raise TunesmithError(f"the reload proof could not be run:\n{done.stderr.strip()}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def prove(run: Run) -> dict[str, Any]:
    """The proof itself: {equality, max_error, bits, metric, plain, plain_max_error}."""
    import torch

    from tunesmith.earlier import earlier_in
    from tunesmith.evaluation.judge import Judge
    from tunesmith.golden import read_golden, require_equal, require_same_words
    from tunesmith.model import ecosystem, load
    from tunesmith.plan_text import read_plan
    from tunesmith.prepare import prepare
    from tunesmith.reference import refer

    model = load(run.model)
    records, tensors = read_golden(run.file("golden"))
    golden = tensors["logits"].numpy()
    encoded = model.encode(records, model.plan.task.roles(labelled=model.plan.task.talks or "labels" in tensors))
    if "reference" in tensors:  # data of the rows by now: what is proven is the model
        encoded.reference = tensors["reference"].numpy()
    logits = model.outputs(encoded)
    error = require_equal(logits, golden, "the reloaded model")
    require_same_words(model, run.file("golden"), records, "the reloaded model")
    before = earlier_in(model.base.folder, model.base.name)
    prepared = prepare(read_plan(run.plan), before=before, learn=False, again=False)
    _refuse_changed(run, prepared.digests)
    validation = model.encode(prepared.splits["validation"], prepared.roles)
    refer(model, {"validation": validation})
    metric = _same_metric(run, Judge(model.plan, model.facts).quick(model.outputs(validation), validation))
    proof = {
        "max_error": error, "bits": bool(np.array_equal(logits, golden)), "metric": metric,
        "equality": "bits" if np.array_equal(logits, golden) else "exact", "plain": False, "plain_max_error": None,
    }  # fmt: skip
    if (made := model.plan.task.replayed(run.model, records)) is not None:
        _same_inputs(*made, tensors)
    if ecosystem(model.plan, model.family) == "plain":
        with torch.inference_mode():
            plain = plain_logits(plain_network(run.model, model), model, tensors)
            for name, said, stored in parts_alone(run.model, model, tensors):
                require_equal(said, stored, f"the model of the task {name}, opened without Tunesmith,")
        proof |= {"plain": True, "plain_max_error": require_equal(plain, golden, "the model opened without Tunesmith")}
    return proof


def parts_alone(folder: Path, model: Any, tensors: dict[str, Any]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(task, what its folder says of the golden tokens, what the whole model said): of several tasks, each."""
    for part in model.plan.task.parts(model.facts):
        plan = model.plan.model_copy(update={"task": part.task})
        alone = replace(model, plan=plan, facts=part.facts)
        said = plain_logits(plain_network(folder / part.name, alone), alone, tensors)
        yield part.name, said, tensors["logits"].numpy()[:, part.outputs]


def _same_inputs(name: str, made: Mapping[int, np.ndarray], tensors: dict[str, Any]) -> None:
    """The saved processor, opened with transformers alone, must make of each golden file what was learnt from."""
    from tunesmith.golden import require_equal

    for row, values in made.items():
        golden = clip(tensors, row)[0] if "lengths" in tensors else tensors[name][row]
        if values.shape != tuple(golden.shape):
            raise GateRefused(f"the saved processor, opened without Tunesmith, gives golden row {row + 1} the shape "
                              f"{values.shape} and not {tuple(golden.shape)}. The run is not done")  # fmt: skip
        require_equal(values, golden.numpy(), "the saved processor, opened without Tunesmith,")


def clip(tensors: dict[str, Any], row: int) -> tuple[Any, str]:
    """(a golden clip, without what was padded behind it; the name of the network's input)."""
    name = "input_features" if "input_features" in tensors else "input_values"
    own = tensors[name][row]
    return (own[: int(tensors["lengths"][row])] if own.ndim == 1 else own), name


def _refuse_changed(run: Run, digests: list[str]) -> None:
    for file, now in zip(read_json(run.file("data.json"))["files"], digests, strict=True):
        if file["sha256"] != now:
            raise TunesmithError(f"{file['name']} has changed while the run was going on. Start again from the new one")


def _same_metric(run: Run, values: dict[str, float]) -> dict[str, float]:
    """What the validation rows come to: equal within what outputs may differ by, since blocks that rested in training
    came from a cache there and are run here."""
    from tunesmith.golden import EXACT

    stored = read_json(run.file("metrics.json"))
    main = stored["main"]
    before = stored["metrics"]["validation"][main]["value"]
    if before is not None and not abs(values[main] - before) <= EXACT * max(1.0, abs(before)):
        raise GateRefused(
            f"the reloaded model reaches {main} {values[main]:.6f} on the validation rows, the trained one reached "
            f"{before:.6f}. The run is not done"
        )
    return {main: values[main]}


def plain_network(folder: Path, model: Any) -> Any:
    """The saved model opened with transformers and PEFT alone, as a user without Tunesmith would."""
    import transformers

    from tunesmith.bases import quant
    from tunesmith.bases.load import auto_class, quiet, taken

    task = model.plan.task
    purpose = model.family.purpose
    auto = getattr(transformers, auto_class(purpose))
    with quiet():
        if not (folder / "adapter_config.json").is_file():
            net = auto.from_pretrained(folder)
        else:
            from peft import PeftModel

            layers = model.plan.base.layers
            cut: dict[str, Any] = {} if layers is None else {"num_hidden_layers": layers}
            cut |= taken(model.base, model.family)
            if model.family.headed:
                cut["num_labels"] = task.outputs(model.facts)
            if task.sees or task.hears:
                cut["ignore_mismatched_sizes"] = True  # the head of the classes it was pretrained on
            cut |= task.config(model.facts)
            base = auto.from_pretrained(model.base.folder, **cut)
            if model.base.quant is not None:
                quant.settle(base)  # bitsandbytes' kernel for processors with bf16 arithmetic rounds
            if model.tokenizer.pad_token_id is not None:
                base.config.pad_token_id = model.tokenizer.pad_token_id
            net = PeftModel.from_pretrained(base, folder)
    return net.eval()


def plain_logits(net: Any, model: Any, tensors: dict[str, Any]) -> np.ndarray:
    """What such a network says of the golden tokens: its logits, or what is read of them at the labels."""
    if model.facts.wording is not None:
        return by_words(net, model.facts.wording, tensors)
    if model.family.purpose == "embed":
        return _vectors(net, model, tensors)
    if "lengths" in tensors:
        clips = (clip(tensors, row) for row in range(len(tensors["lengths"])))
        labels = [{"labels": own[own >= 0][None]} for own in tensors["labels"]] if model.family.decodes else None
        given = ({name: own[None]} | (labels[i] if labels else {}) for i, (own, name) in enumerate(clips))
        logits = [net(**each).logits.float() for each in given]
        return np.asarray(model.plan.task.plainly(logits, tensors))
    if model.family.purpose == "image_text":
        return _both(net, tensors)
    if "words" in tensors:
        return np.asarray(model.plan.task.by_word(_places(net, tensors), tensors["words"][:, 2].bool()))
    found = _row_by_row(net, tensors, model.family.purpose)
    return np.asarray(model.plan.task.as_plain(found, tensors["logits"].numpy()))


def _vectors(net: Any, model: Any, tensors: dict[str, Any]) -> np.ndarray:
    """Vectors (N, H) of the golden rows, one at a time, as anybody would pool the last states of a row."""
    import torch

    mean, reads, rows = model.plan.task.pool == "mean", model.family.reads, []
    for ids_T, mask_T in zip(tensors["input_ids"], tensors["attention_mask"], strict=True):
        length = int(mask_T.sum())
        states_TH = net(input_ids=ids_T[None, :length], attention_mask=mask_T[None, :length]).last_hidden_state[0]
        rows.append(states_TH.mean(0) if mean else states_TH[0 if reads == "first" else -1])
    return np.asarray(model.plan.task.finished(torch.stack(rows)))


def _both(net: Any, tensors: dict[str, Any]) -> np.ndarray:
    """Vectors of image and text, cosine and logit (N, 2 P + 2) of the golden rows, one at a time, as the library says
    them."""
    rows = []
    names = ("pixel_values", "input_ids", "attention_mask")
    for pixels, ids_T, mask_T in zip(*(tensors[n] for n in names), strict=True):
        length = int(mask_T.sum())
        said = net(pixel_values=pixels[None], input_ids=ids_T[None, :length], attention_mask=mask_T[None, :length])
        image_P, text_P = said.image_embeds[0], said.text_embeds[0]
        rows.append(np.concatenate([image_P, text_P, (image_P @ text_P)[None], said.logits_per_image[0]]))
    return np.stack(rows)


def _row_by_row(net: Any, tensors: dict[str, Any], purpose: str) -> np.ndarray:
    """What the golden rows say, one at a time: what padding does is no matter here."""
    if "pixel_values" in tensors:
        return np.concatenate([net(pixel_values=row[None]).logits.float().numpy() for row in tensors["pixel_values"]])
    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in tensors]
    mask, apart = tensors["attention_mask"], purpose == "seq2seq"
    rows = []
    for i in range(len(mask)):
        length = int(mask[i].sum())
        inputs: dict[str, Any] = {n: tensors[n][i : i + 1, :length] for n in names}
        if "seen" in tensors:
            inputs["pixel_values"] = tensors["seen"][i : i + 1]
        if apart:  # given labels, the library shifts them itself
            inputs["labels"] = tensors["labels"][i : i + 1, : int((tensors["labels"][i] >= 0).sum())]
        logits = net(**inputs).logits.float()[0]
        labels = inputs["labels"][0] if apart else tensors["labels"][i, :length] if "labels" in tensors else None
        rows.append(logits.numpy() if labels is None else _read(logits, labels, purpose))
    return np.stack(rows)


def _places(net: Any, tensors: dict[str, Any]) -> Any:
    """Logits (M, C) where the golden words are read, a window at a time."""
    import torch

    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in tensors]
    windows, places, _ = tensors["words"].T
    parts = []
    for i, mask_T in enumerate(tensors["attention_mask"]):
        length = int(mask_T.sum())
        logits_TC = net(**{n: tensors[n][i : i + 1, :length] for n in names}).logits.float()[0]
        parts.append(logits_TC[places[windows == i] + len(logits_TC) - length])  # behind virtual tokens
    return torch.cat(parts)


def _read(logits_TV: Any, labels_T: Any, purpose: str) -> np.ndarray:
    """(nll, tokens, hits) of one row, as anybody would compute them from a language model's logits; those of an
    encoder-decoder and of a masked model stand at their labels, those of others a place before."""
    from torch.nn import functional

    if purpose == "seq2seq":
        losses = functional.cross_entropy(logits_TV, labels_T, reduction="none").double()
        return np.array([float(losses.sum()), len(labels_T), int((logits_TV.argmax(1) == labels_T).sum())], np.float32)
    virtual = len(logits_TV) - len(labels_T)  # prompt tokens that PEFT put in front
    back = 0 if purpose == "masked" else 1
    wanted = [t for t in range(len(labels_T)) if labels_T[t] >= 0 and t + virtual >= back]
    before, labels = logits_TV[[t + virtual - back for t in wanted]], labels_T[wanted]
    losses = functional.cross_entropy(before, labels, reduction="none").double()
    return np.array([float(losses.sum()), len(wanted), int((before.argmax(1) == labels).sum())], dtype=np.float32)


def by_words(net: Any, wording: Any, tensors: dict[str, Any]) -> np.ndarray:
    """Logits (N, C) of the golden rows, as anybody would add them up from a language model's probabilities."""
    import torch

    rows = []
    for i in range(len(tensors["input_ids"])):
        found: dict[int, float] = {}
        for form in range(len(wording.forms)):
            length = int(tensors[f"attention_mask.{form}"][i].sum())
            names = ("input_ids", "attention_mask")
            logits_TV = net(**{n: tensors[f"{n}.{form}"][i : i + 1, :length] for n in names}).logits[0].float()
            virtual = len(logits_TV) - length  # prompt tokens that PEFT put in front
            places = tensors[f"places.{form}"][i] + virtual
            said_nV = logits_TV[places].log_softmax(-1) if wording.normed else logits_TV[places]
            for word, place, token, share in wording.picks(form):
                found[word] = found.get(word, 0.0) + float(said_nV[place, token]) * share
        scores, said = iter(torch.tensor([found[w] for w in range(len(wording.flat))])), []
        for words in wording.words:
            total = torch.stack([next(scores) for _ in words]).logsumexp(0)
            said.append(float(total) - (np.log(len(words)) if wording.combine == "mean" else 0.0))
        rows.append(said)
    return np.array(rows, dtype=np.float32) - np.array(wording.offsets or 0.0, dtype=np.float32)


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
