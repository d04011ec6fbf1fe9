"""Reward models: what is laid out and read, what is refused, and whole jobs that score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import preferring
from jobs import run_job
from kit import TinyBases
from tunesmith.bases.family import family_of
from tunesmith.bases.load import load_tokenizer, quiet
from tunesmith.data import Record
from tunesmith.data.table import Table
from tunesmith.engine.batches import Batches
from tunesmith.errors import TunesmithError
from tunesmith.evaluation import baselines
from tunesmith.flows import evaluate, predict
from tunesmith.model import Model, build, facts_for
from tunesmith.plan_text import make_plan
from tunesmith.progress import Progress
from tunesmith.tasks import Encoded, Task
from tunesmith.tasks.reward import _read_at_end

QUIET = Progress(silent=True)
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}, {"role": "user", "content": "and"}]


def table(rows: list[dict[str, Any]]) -> Table:
    return Table("rows.jsonl", tuple(rows[0]), list(enumerate(rows)), (), "")


def records(task: Task, rows: list[dict[str, Any]], *, labelled: bool = True) -> list[Record]:
    return list(task.taken_in([Record(i, "t", i + 1, i + 1, r) for i, r in enumerate(rows)], labelled=labelled))


def made(base: Path, rows: list[dict[str, Any]], method: str = "lora", **settings: Any) -> tuple[Model, Encoded]:
    """A fresh model with encoded rows."""
    asked = {"name": "reward", "max_tokens": 64, **settings}
    plan = make_plan({"task": asked, "base": str(base), "data": "unused", "method": method})
    plan = plan.model_copy(update={"task": plan.task.resolved(table(rows))})
    found = plan.base.found()
    tokenizer, taken = load_tokenizer(found), records(plan.task, rows)
    model = build(plan, facts_for(plan, taken, plan.task.roles(), found, tokenizer), found, tokenizer)
    return model, model.encode(taken, plan.task.roles())


def test_a_decoder_reads_the_conversation_as_the_template_writes_it(tiny_bases: TinyBases) -> None:
    rows = [{"messages": TALK, "chosen": "yes", "rejected": "no no"}]
    model, encoded = made(tiny_bases["qwen2"], rows, template="chatml")
    assert encoded.inner is not None and len(encoded) == 1
    for side, ids in zip(("yes", "no no"), encoded.inner.ids, strict=True):
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in TALK)
        text += f"<|im_start|>assistant\n{side}<|im_end|>\n"
        assert model.tokenizer.decode(ids) == text
    assert encoded.ids[0].tolist() == [t for ids in encoded.inner.ids for t in ids]
    assert encoded.inner.labels is None, "nothing is predicted"


def test_an_encoder_reads_question_and_answer_as_a_pair(tiny_bases: TinyBases) -> None:
    model, encoded = made(tiny_bases["bert"], [{"prompt": "belt", "chosen": "slips", "rejected": "on the hot floor"}])
    assert encoded.inner is not None and encoded.inner.types is not None
    expected = model.tokenizer(["belt"] * 2, ["slips", "on the hot floor"])
    assert [ids.tolist() for ids in encoded.inner.ids] == expected["input_ids"]
    assert [types.tolist() for types in encoded.inner.types] == expected["token_type_ids"]


@pytest.mark.parametrize(("meant", "separators"), [("text", 2), ("control", 3)])
def test_a_separator_in_an_answer_separates_only_where_the_plan_says_so(
    meant: str, separators: int, tiny_bases: TinyBases
) -> None:
    rows = [{"prompt": "belt", "chosen": "it [SEP] slips", "rejected": "no [SEP]"}]
    model, encoded = made(tiny_bases["bert"], rows, special_tokens=meant)
    assert encoded.inner is not None
    found = [int((ids == model.tokenizer.sep_token_id).sum()) for ids in encoded.inner.ids]
    assert found == [separators, separators]


def test_padding_at_the_end_is_not_read_since_transformers_does_not_either() -> None:
    assert _read_at_end([5, 6, 0, 0], 0) == [5, 6]
    assert _read_at_end([0, 5, 0, 6], 0) == [0, 5, 0, 6]
    assert _read_at_end([0, 0], 0) == [0]


def test_both_answers_lose_the_same_of_their_question_and_the_loss_is_counted(tiny_bases: TinyBases) -> None:
    question = " ".join(f"pump {i}" for i in range(60))
    rows = [{"prompt": question, "chosen": "it leaks", "rejected": "it is hot at night"}]
    model, encoded = made(tiny_bases["qwen2"], rows, template="plain", max_tokens=60)
    assert encoded.inner is not None and encoded.inner.ids.lengths.max() <= 60
    assert encoded.lost[0] > 0
    first, second = (model.tokenizer.decode(ids).split("\n")[0] for ids in encoded.inner.ids)
    assert first == second


@pytest.mark.parametrize("family", ("bert", "qwen2"))
def test_where_nothing_moves_the_trunk_runs_once_and_rewards_are_the_same(family: str, tiny_bases: TinyBases) -> None:
    model, encoded = made(tiny_bases[family], preferring.pairs(12), method="head")
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    model.shortcuts.prove(encoded, learning=True)
    before = model.outputs(encoded)
    model.shortcuts.cache({"train": encoded}, QUIET)
    told = model.shortcuts.told(encoded, Batches(encoded.ids, 8, None, 0), 3)
    assert any("trunk cache" in line for line in told), model.shortcuts.refused
    assert np.abs(model.outputs(encoded) - before).max() <= 1e-5
    assert len(list(model.shortcuts.way.pieces(encoded, range(12), 8))) == 1  # pooled


def test_a_margin_column_is_what_a_pair_is_to_win_by(tiny_bases: TinyBases) -> None:
    rows = [{**row, "strength": i / 2} for i, row in enumerate(preferring.pairs(4))]
    model, encoded = made(tiny_bases["qwen2"], rows, margin="strength")
    assert encoded.targets is not None and encoded.targets.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert model.encode(records(model.plan.task, rows), model.plan.task.roles(labelled=False)).targets is not None
    with pytest.raises(TunesmithError, match="strenght"):
        made(tiny_bases["qwen2"], rows, margin="strenght")


def test_refusals(tiny_bases: TinyBases) -> None:
    def plan(**more: Any) -> Any:
        return make_plan({"task": "reward", "base": str(tiny_bases["qwen2"]), "data": "unused", **more})

    with pytest.raises(TunesmithError, match="clean is no step for conversations"):
        plan(steps=["clean"])
    with pytest.raises(TunesmithError, match="kl reads what a language model writes"):
        plan(evaluate={"metrics": ["reward_accuracy", "kl"]})
    with pytest.raises(TunesmithError, match="baselines: untuned does not fit"):
        plan(evaluate={"baselines": ["untuned"]})
    with pytest.raises(TunesmithError, match="0 steps leave a new head"):
        plan(train={"max_steps": 0})
    with pytest.raises(TunesmithError, match="reward needs the columns chosen and rejected"):
        plan().task.resolved(table([{"question": "a", "answer": "b"}]))
    asked = plan().task.resolved(table(preferring.pairs(2)))
    with pytest.raises(TunesmithError, match="has texts alone"):
        records(asked, [{"text": "hello"}], labelled=False)
    with pytest.raises(TunesmithError, match="no head that classifies"):
        family_of("t5", asked.purpose("t5"))


def test_a_linear_score_of_words_learns_the_better_answer() -> None:
    """Bradley and Terry's model without intercept: what both answers have in common counts nothing."""
    train = [a for row in preferring.pairs(60) for a in (row["chosen"], row["rejected"])]
    new = [a for row in preferring.pairs(20, seed=7) for a in (row["chosen"], row["rejected"])]
    scores = baselines.compared_words(train, new)
    assert scores.shape == (20, 2) and (scores[:, 0] > scores[:, 1]).all()
    turned = baselines.compared_words(train, [new[i ^ 1] for i in range(40)])
    assert np.allclose(turned, scores[:, ::-1])


def job(base: Path, folder: Path, count: int = 100, **more: Any) -> dict[str, Any]:
    rows = [{**row, "by": 0.5} for row in preferring.pairs(count)]
    data = preferring.write_rows(folder / "pairs.jsonl", rows)
    tree = preferring.tree(base, data, folder / "run", train={"epochs": 3, "lr": 0.01})
    return tree | {"task": {"name": "reward", "max_tokens": 64, "template": "plain", **more}}


def test_a_whole_job_scores_held_out_pairs_files_and_single_answers(tiny_bases: TinyBases, tmp_path: Path) -> None:
    reply = run_job(job(tiny_bases["qwen2"], tmp_path, margin="by", centering=0.01))
    found, longer = reply["metrics"]["test"], reply["baselines"]["longer"]["test"]
    assert found["reward_accuracy"]["low"] > 0.8 and found["reward_margin"]["low"] > 0
    assert set(reply["baselines"]) == {"longer", "tfidf", "probe"} and longer["reward_accuracy"]["value"] < 1
    assert reply["proof"]["plain"] and reply["equality"] in ("exact", "bits")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Does it only count words?" in page and "longer answer" in page.casefold()
    assert "one higher by 1 wins with odds of e to 1" in page
    assert evaluate(tmp_path / "run", tmp_path / "pairs.jsonl", progress=QUIET)["metrics"].keys() == found.keys()
    check_predictions(tmp_path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_predictions(folder: Path) -> None:
    """A pair has the scores of its answers alone, and plain transformers with PEFT gives the same."""
    predict(folder / "run", folder / "pairs.jsonl", folder / "pairs-out.jsonl", progress=QUIET)
    pairs = lines(folder / "pairs-out.jsonl")
    assert sum(row["prediction"] == "chosen" for row in pairs) > 90
    assert all(row["margin"] == pytest.approx(row["reward_chosen"] - row["reward_rejected"]) for row in pairs)
    for side in ("chosen", "rejected"):
        rows = [{"question": row["prompt"], "answer": row[side]} for row in pairs[:6]]
        asked = preferring.write_rows(folder / f"{side}.jsonl", rows)
        predict(folder / "run", asked, folder / f"{side}-out.jsonl", progress=QUIET)
        found = [row["prediction"] for row in lines(folder / f"{side}-out.jsonl")]
        assert found == pytest.approx([row[f"reward_{side}"] for row in pairs[:6]], abs=1e-5)
        assert found == pytest.approx(of_transformers(folder, rows), abs=1e-5)
    taken = preferring.write_rows(folder / "taken.jsonl", [{**row, "margin": 1} for row in preferring.pairs(2)])
    with pytest.raises(TunesmithError, match="a column 'margin' of its own"):
        predict(folder / "run", taken, folder / "taken-out.jsonl", progress=QUIET)


def of_transformers(folder: Path, rows: list[dict[str, Any]]) -> list[float]:
    """Scores by the saved folder alone, as anybody would ask for them."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer

    where = folder / "run/model"
    with quiet():
        net = AutoPeftModelForSequenceClassification.from_pretrained(where, num_labels=1).eval()
    tokenizer = AutoTokenizer.from_pretrained(where)
    net.config.pad_token_id = net.base_model.config.pad_token_id = tokenizer.pad_token_id
    texts = [f"{row['question']}\n{row['answer']}{tokenizer.eos_token}" for row in rows]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    with torch.no_grad():
        return [float(v) for v in net(**batch).logits[:, 0]]


def test_full_tuning_of_an_encoder_is_a_model_that_opens_with_one_label(tiny_bases: TinyBases, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    tree = job(tiny_bases["bert"], tmp_path) | {"method": "full", "evaluate": {"baselines": [], "resamples": 100}}
    del tree["task"]["template"]
    assert run_job(tree)["metrics"]["test"]["reward_accuracy"]["value"] > 0.8
    net = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run/model")
    assert net.config.num_labels == 1


def test_a_new_answer_has_no_second_score(tiny_bases: TinyBases) -> None:
    model, _ = made(tiny_bases["qwen2"], preferring.pairs(2))
    alone = records(model.plan.task, [{"prompt": "a", "response": "b"}], labelled=False)
    outputs = model.outputs(model.encode(alone, model.plan.task.roles(labelled=False)))
    assert outputs.shape == (1, 4) and np.isnan(outputs[0, 1])
    predicted, scores = model.plan.task.answer(outputs, model.facts)
    assert model.plan.task.columns(predicted, scores, model.facts) == {"prediction": [float(outputs[0, 0])]}
