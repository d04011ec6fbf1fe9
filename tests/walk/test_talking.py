"""Conversations: what a model reads is what training saw, whoever answers after a switch answers as if alone."""

import json
from pathlib import Path

import pytest

import talkers
from tunesmith.asking import answers_for
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table, read
from tunesmith.dialogue import Dialogue, Message
from tunesmith.dialogue.formats import Columns, detect, dialogue_of
from tunesmith.dialogue.laying import IGNORED, lay
from tunesmith.errors import TunesmithError
from tunesmith.flows import chat
from tunesmith.talking import Talk

TURNS = ("what leaks", "why so", "水泵怎么了")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talkers.base(tmp_path_factory.mktemp("talk") / "small", positions=256)


@pytest.fixture(scope="module")
def runs(base: Path) -> dict[str, Path]:
    specs = {
        "plain": "lora", "dora": {"name": "lora", "variant": "dora", "r": 4, "targets": "qv"},
        "prompt": {"name": "prompt", "tokens": 4}, "full": "full",
    }  # fmt: skip
    return {name: talkers.saved(base, base.parent / name, m, seed=i + 1) for i, (name, m) in enumerate(specs.items())}


def said(talk: Talk, *turns: str) -> list[str]:
    return [talk.say(turn).content for turn in turns]


def test_the_model_reads_what_training_saw(runs: dict[str, Path]) -> None:
    talk = chat(runs["plain"])
    talk.tell("be short")
    for turn in TURNS:
        ids, dropped, cut = talk.asked(turn)
        whole = Dialogue(
            (Message("system", "be short"), *talk.messages, Message("user", turn), Message("assistant", "x"))
        )
        laid = lay(whole, talk.voice.model.facts.template, talk.voice.model.tokenizer, learn="last", limit=10**6)
        learnt = next(i for i, label in enumerate(laid.labels) if label != IGNORED)
        assert ids == laid.ids[:learnt]
        assert (dropped, cut) == (0, 0)
        talk.say(turn)


def test_an_answer_is_what_predict_writes_and_its_pieces_add_up(runs: dict[str, Path]) -> None:
    talk, pieces = chat(runs["plain"]), list[str]()
    answer = talk.say("what leaks", pieces.append)
    assert "".join(pieces) == answer.content and len(pieces) > 3
    model = talk.voice.model
    row = {"prompt": "what leaks"}
    task = model.plan.task.model_copy(update={"mapping": Columns(kind="alpaca", prompt="prompt")})
    model.plan = model.plan.model_copy(update={"task": task})
    assert answers_for(model, Table("rows", ("prompt",), [(0, row)], (), ""))["prediction"] == [answer.content]


def test_after_a_switch_a_run_answers_as_it_does_alone(runs: dict[str, Path], base: Path) -> None:
    together = chat(*runs.values(), base=str(base))
    names = [voice.name for voice in together.voices]
    assert names == [*runs, "small"]
    shared = {v.name for v in together.voices if v.adapter}
    assert shared == {"plain", "dora"}, "LoRA-type runs lie on one base"
    assert together.voices[0].model.net is together.voices[1].model.net
    order = ["plain", "dora", "plain", "prompt", "small", "full", "dora"]
    history: list[Message] = []
    answers = set()
    for step, name in enumerate(order):
        together.switch(name)
        got = together.say(f"{TURNS[step % 3]} {step}").content
        alone = chat(runs[name]) if name in runs else chat(base=str(base), template="chatml")
        alone.messages = list(history)
        alone.settings = talkers.DECODE
        assert alone.say(f"{TURNS[step % 3]} {step}").content == got
        history = list(together.messages)
        answers.add(got)
    assert len(answers) == len(order), "they are different models"


def test_the_oldest_turns_go_when_the_context_is_full(runs: dict[str, Path]) -> None:
    talk = chat(runs["plain"])
    dropped = []
    for number in range(8):
        answer = talk.say(f"{number}: the pump leaks oil and the pressure drops below the limit")
        dropped.append(answer.dropped)
        assert answer.tokens + 16 <= talk.voice.room == 256
    assert dropped[0] == 0 and dropped[-1] > 0 and dropped == sorted(dropped)
    ids, count, _ = talk.asked("last")
    template, tokenizer = talk.voice.model.facts.template, talk.voice.model.tokenizer
    rest = Dialogue((*talk.messages[2 * count :], Message("user", "last"), Message("assistant", "x")))
    assert ids == lay(rest, template, tokenizer, learn="last", limit=10**6).ids[: len(ids)]
    more = Dialogue((*talk.messages[2 * count - 2 :], Message("user", "last")))
    assert len(talk.voice.tokens(more, 10**9)[0]) > 240, "no turn goes that would have had room"
    assert talk.say("long " * 400).cut > 0


def test_drawing_depends_on_the_seed_alone(runs: dict[str, Path]) -> None:
    talk = chat(runs["plain"])
    talk.set("temperature=1.5")

    def drawn(seed: int) -> str:
        talk.reset()
        talk.seed = seed
        return talk.say("what leaks").content

    assert drawn(3) == drawn(3) != drawn(4)


def test_saved_conversations_are_data_to_train_on(runs: dict[str, Path], tmp_path: Path) -> None:
    talk = chat(runs["plain"])
    talk.tell("be short")
    said(talk, *TURNS[:2])
    assert talk.save(tmp_path / "kept.jsonl") == 1
    first = list(talk.messages)
    talk.reset()
    said(talk, TURNS[2])
    assert talk.save(tmp_path / "kept.jsonl") == 2
    table = read(tmp_path / "kept.jsonl")
    columns = detect(table.columns, [cells for _, cells in table.rows], table.source)
    assert columns.kind == "messages"
    dialogues = [dialogue_of(record, columns) for record in Ledger().add(table)]
    assert dialogues[0].messages == (Message("system", "be short"), *first)
    assert dialogues[1].messages[1:] == tuple(talk.messages)


def test_a_template_without_history_asks_each_question_alone(base: Path, tmp_path: Path) -> None:
    talk = chat(talkers.saved(base, tmp_path / "single", template="plain"))
    assert not talk.say("what leaks").alone
    ids = talk.asked("why so")[0]
    answer = talk.say("why so")
    assert answer.alone and answer.dropped == 1
    talk.reset()
    assert talk.asked("why so")[0] == ids
    with pytest.raises(TunesmithError, match="no system text"):
        talk.tell("be short")
    assert talk.system == ""


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(runs: dict[str, Path]) -> None:
    talk, pieces = chat(runs["plain"]), list[str]()

    def impatient(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 2:
            raise KeyboardInterrupt

    answer = talk.say("what leaks", impatient)
    assert answer.stopped and answer.content == "".join(pieces)
    assert talk.messages[-1].content == answer.content


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("temprature=1", "Did you mean 'temperature'"), ("temperature=hot", "temperature:"),
        ("top_p=0.5", "temperature 0 draws nothing"), ("temperature", "NAME=VALUE"), ("temperature=99", "temperature:"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(word: str, told: str, runs: dict[str, Path]) -> None:
    talk = chat(runs["plain"])
    with pytest.raises(TunesmithError, match=told):
        talk.set(word)
    assert not talk.settings


def test_who_cannot_talk_is_told(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="With whom|with whom"):
        chat()
    talk = chat(runs["plain"])
    with pytest.raises(TunesmithError, match="no run named 'plane'. Did you mean 'plain'"):
        talk.switch("plane")
    with pytest.raises(TunesmithError, match="nothing was said"):
        talk.save(tmp_path / "a.jsonl")
    talk.say("what leaks")
    (tmp_path / "mine.jsonl").write_text(json.dumps({"text": "mine"}) + "\n", encoding="utf-8")
    with pytest.raises(TunesmithError, match="something else"):
        talk.save(tmp_path / "mine.jsonl")
    with pytest.raises(TunesmithError, match="jsonl"):
        talk.save(tmp_path / "a.csv")
