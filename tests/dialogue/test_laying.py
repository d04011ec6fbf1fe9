"""What is learnt is exact, training sees what serving starts from, and nothing is cut in silence."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import known_templates as known
import pytest

import tiny
from kit import SHARED
from tunesmith.data import Record
from tunesmith.data.table import read
from tunesmith.dialogue import Call, Dialogue, Message
from tunesmith.dialogue._builtin import BUILTIN
from tunesmith.dialogue.formats import detect, dialogue_of
from tunesmith.dialogue.laying import IGNORED, Laid, ask, lay, question, stops
from tunesmith.dialogue.templates import Template, find_template, render
from tunesmith.engine.generation import _text, _until
from tunesmith.errors import TunesmithError
from tunesmith.tasks._language import end_of

ENDLESS = 10**6
TALK = Dialogue((
    Message("system", "Be brief"), Message("user", "the pump"), Message("assistant", "leaks oil"),
    Message("user", "水泵漏油"), Message("assistant", "压力下降 12.5 %"),
))  # fmt: skip
ONE = Dialogue((Message("user", "the pump leaks"), Message("assistant", "oil, and 水")))
TWO = replace(TALK, messages=TALK.messages[1:])
TOOLS = Dialogue(
    (
        Message("user", "level?"), Message("assistant", "", (Call("look", {"at": "tank"}, "abc123def"),)),
        Message("tool", "40 %", name="look", call_id="abc123def"), Message("assistant", "40 %, fine"),
    ),
    ({"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}},),
)  # fmt: skip


@cache
def tokenizer(family: str) -> Any:
    if family != "stories":
        return tiny.make_tokenizer(family)
    folder = SHARED / "models" / "stories260k_llama" / "hf"
    if not folder.is_dir():
        pytest.skip("the small real model (../shared/models/stories260k_llama) is not here")
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


FAMILIES = ("llama", "qwen2", "stories")
SINGLE = ("paligemma", "plain")
"""Templates of one question and one answer."""
CASES = [(name, ONE if name in SINGLE else TALK) for name in BUILTIN]
CASES += [(name, TWO if name in ("mistral_own", "gemma_own") else TALK) for name in known.TEMPLATES]


def template_of(name: str, family: str) -> Template:
    """One of ours, or a real-looking one with the name `own:…`."""
    if name in known.TEMPLATES:
        return Template(name, known.TEMPLATES[name], "2026-11-21")
    return find_template(name, tokenizer(family))


def learnt(laid: Laid, family: str) -> list[str]:
    """The runs of learnt tokens, as text."""
    runs, before = list[list[int]](), IGNORED
    for label in laid.labels:
        if label != IGNORED:
            if before == IGNORED:
                runs.append([])
            runs[-1].append(label)
        before = label
    return [tokenizer(family).decode(run) for run in runs]


def plain(dialogue: Dialogue) -> list[dict[str, Any]]:
    return [{"role": m.role, "content": m.content} for m in dialogue.messages]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "dialogue"), (pytest.param(n, d, id=n) for n, d in CASES))
def test_training_sees_what_serving_starts_from(name: str, dialogue: Dialogue, family: str) -> None:
    template, tok = template_of(name, family), tokenizer(family)
    laid = lay(dialogue, template, tok, learn="answers", limit=ENDLESS)
    asked = question(dialogue.asked(), template, tok, ENDLESS)
    assert asked == question(dialogue, template, tok, ENDLESS)
    assert laid.ids[: len(asked)] == asked
    assert laid.labels[len(asked)] != IGNORED  # the first learnt token of the last answer comes next
    last = lay(dialogue, template, tok, learn="last", limit=ENDLESS)
    assert last.ids == laid.ids
    assert all(label == IGNORED for label in last.labels[: len(asked)])
    assert last.labels[len(asked) :] == laid.labels[len(asked) :]
    behind = zip(laid.ids[len(asked) :], laid.labels[len(asked) :], strict=True)
    unlearnt = [i for i, label in behind if label == IGNORED]
    assert tok.decode(unlearnt).strip() == ""  # but for what blocks leave out, all that follows is learnt
    served = tok.apply_chat_template(
        plain(dialogue.asked()), chat_template=template.text, add_generation_prompt=True
    )["input_ids"]  # fmt: skip
    assert served == asked
    assert asked.count(tok.bos_token_id) == (2 if name == "llama2" else 1) or tok.bos_token_id not in asked
    assert (laid.lost, laid.lost_labels) == (0, 0)
    assert laid.supervised == sum(label != IGNORED for label in laid.labels)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", BUILTIN)
def test_an_answer_is_learnt_with_its_end_and_nothing_else(name: str, family: str) -> None:
    template, tok = template_of(name, family), tokenizer(family)
    said = ONE if name in SINGLE else TALK
    laid = lay(said, template, tok, learn="answers", limit=ENDLESS)
    answers = [m.content for m in said.messages if m.role == "assistant"]
    runs = learnt(laid, family)
    assert len(runs) == len(answers)
    for run, answer in zip(runs, answers, strict=True):
        assert run.strip().startswith(answer)
        assert not any(m.content in run for m in said.messages if m.role != "assistant")
    ends = stops(template, tok)
    assert tok.eos_token_id in ends
    assert [i for i in laid.labels if i in ends], "an end of turn is learnt"
    spans = render(template, said, tok, ask=False)
    assert [span.message for span in spans if span.message is not None] == [
        i for i, m in enumerate(said.messages) if m.role == "assistant"
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ("marked", "marked_macro"))
def test_generation_blocks_give_the_mask_of_transformers(name: str, family: str) -> None:
    template, tok = template_of(name, family), tokenizer(family)
    laid = lay(TALK, template, tok, learn="answers", limit=ENDLESS)
    theirs = tok.apply_chat_template(
        plain(TALK), chat_template=known.TEMPLATES["marked"], return_assistant_tokens_mask=True, return_dict=True
    )
    mask = list(theirs["assistant_masks"])
    ours = laid.labels[: len(mask)]
    assert laid.ids[: len(mask)] == theirs["input_ids"]
    assert [int(label != IGNORED) for label in ours] == mask
    assert 0 < sum(mask) < len(mask)


def test_blocks_without_the_end_of_turn_learn_it_still() -> None:
    text = known.TEMPLATES["marked"].replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
    assert text != known.TEMPLATES["marked"]
    laid = lay(TALK, Template("t", text), tokenizer("qwen2"), learn="answers", limit=ENDLESS)
    assert learnt(laid, "qwen2") == ["leaks oil<|im_end|>", "压力下降 12.5 %<|im_end|>"]


def test_a_template_without_an_end_gets_eos_once() -> None:
    text = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    text += "{% if add_generation_prompt %}assistant:{% endif %}"
    laid = lay(TALK, Template("t", text), tokenizer("qwen2"), learn="answers", limit=ENDLESS)
    assert learnt(laid, "qwen2") == [" leaks oil\n", " 压力下降 12.5 %\n<|im_end|>"]
    assert laid.ids[-1] == laid.labels[-1] == tokenizer("qwen2").eos_token_id
    bare = tiny.make_tokenizer("qwen2")
    bare.eos_token = None
    with pytest.raises(TunesmithError, match="no eos_token, so stopping cannot be learnt"):
        lay(TALK, Template("t", text), bare, learn="answers", limit=ENDLESS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_that_ends_within_a_token_is_still_what_serving_starts_from(family: str) -> None:
    """`assistant: ` + `oil` would be one token ` oil` in the whole text."""
    text = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    text += "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    tok, template = tokenizer(family), Template("t", text)
    laid, asked = lay(ONE, template, tok, learn="last", limit=ENDLESS), question(ONE, template, tok, ENDLESS)
    assert (
        laid.ids[: len(asked)]
        == asked
        == tok(render(template, ONE, tok, ask=True)[0].text, add_special_tokens=False)["input_ids"]
    )
    assert learnt(laid, family)[0].removesuffix(tok.eos_token).strip() == "oil, and 水"
    assert tok.decode(laid.ids[:-1]) == tok.decode(
        tok(render(template, ONE, tok, ask=False)[0].text + "oil, and 水\n", add_special_tokens=False)["input_ids"]
    )


def test_templates_that_write_earlier_turns_anew() -> None:
    tok, template = tokenizer("qwen2"), Template("t", known.FORGETFUL)
    said = replace(TWO, messages=(TWO.messages[0], Message("assistant", "<think>a</think>leaks"), *TWO.messages[2:]))
    with pytest.raises(TunesmithError, match=r"writes message 2 in another way .*learn: last"):
        lay(said, template, tok, learn="answers", limit=ENDLESS)
    assert learnt(lay(said, template, tok, learn="last", limit=ENDLESS), "qwen2") == ["压力下降 12.5 %<|im_end|>\n"]


def test_a_prompt_that_no_answer_follows_is_refused() -> None:
    text = known.TEMPLATES["qwen"].replace(
        "'<|im_start|>assistant\\n' }}{% endif", "'<|im_start|>assistant\\n<think>\\n' }}{% endif"
    )
    assert text != known.TEMPLATES["qwen"]
    with pytest.raises(TunesmithError, match="before an answer is generated it writes '<think>"):
        lay(TALK, Template("t", text), tokenizer("qwen2"), learn="last", limit=ENDLESS)


def test_what_has_no_place_in_a_template_is_refused() -> None:
    tok = tokenizer("llama")
    for name, said, words in (
        ("plain", TALK, "no system text and no history"),
        ("plain", TWO, "no system text and no history"),
        ("zephyr", TOOLS, "no place for the role tool|leaves out the tool"),
        ("llama3", replace(TOOLS, tools=()), "no place for the role tool"),
        ("llama3", replace(ONE, tools=TOOLS.tools), "leaves out the tool 'look'"),
    ):
        with pytest.raises(TunesmithError, match=words):
            lay(said, find_template(name, tok), tok, learn="answers", limit=ENDLESS)
    deaf = Template("t", "{% for m in messages if m.role != 'system' %}{{ m.content }}</s>{% endfor %}")
    with pytest.raises(TunesmithError, match="leaves out the system message 'Be brief'"):
        lay(TALK, deaf, tok, learn="last", limit=ENDLESS)
    with pytest.raises(TunesmithError, match="System role not supported"):
        lay(TALK, Template("gemma", known.TEMPLATES["gemma_own"]), tok, learn="answers", limit=ENDLESS)
    with pytest.raises(TunesmithError, match="ends without an answer"):
        lay(TALK.asked(), find_template("chatml", tok), tok, learn="answers", limit=ENDLESS)


@pytest.mark.parametrize("name", ("chatml", "qwen"))
def test_calls_are_learnt_and_what_tools_answer_is_not(name: str) -> None:
    laid = lay(TOOLS, template_of(name, "qwen2"), tokenizer("qwen2"), learn="answers", limit=ENDLESS)
    call, answer = learnt(laid, "qwen2")
    assert '"name": "look"' in call
    assert '"at": "tank"' in call
    assert answer == "40 %, fine<|im_end|>\n"
    assert "<tool_response>" not in call


def test_edge_cases_of_conversations() -> None:
    tok, template = tokenizer("qwen2"), find_template("chatml", tokenizer("qwen2"))
    empty = Dialogue((Message("user", "Hi"), Message("assistant", "")))
    assert learnt(lay(empty, template, tok, learn="answers", limit=ENDLESS), "qwen2") == ["<|im_end|>\n"]
    twice = Dialogue((Message("user", "Hi"), Message("assistant", "a"), Message("assistant", "b")))
    assert learnt(lay(twice, template, tok, learn="answers", limit=ENDLESS), "qwen2") == [
        "a<|im_end|>\n",
        "b<|im_end|>\n",
    ]
    silent = Dialogue((Message("system", ""), *ONE.messages))
    assert tok.decode(lay(silent, template, tok, learn="last", limit=ENDLESS).ids).startswith(
        "<|im_start|>system\n<|im_end|>"
    )
    default = Template("q", known.TEMPLATES["qwen"])
    assert "You are Qwen" in tok.decode(question(ONE, default, tok, ENDLESS))
    assert "You are Qwen" not in tok.decode(question(silent, default, tok, ENDLESS))


def test_weights_of_messages_reach_their_tokens() -> None:
    tok = tokenizer("qwen2")
    messages = list(TALK.messages)
    messages[2], messages[4] = replace(messages[2], weight=0.0), replace(messages[4], weight=0.5)
    laid = lay(
        replace(TALK, messages=tuple(messages)), find_template("chatml", tok), tok, learn="answers", limit=ENDLESS
    )
    assert learnt(laid, "qwen2") == ["压力下降 12.5 %<|im_end|>\n"]
    assert {(label != IGNORED, weight) for label, weight in zip(laid.labels, laid.weights, strict=True)} == {
        (False, 0.0),
        (True, 0.5),
    }
    every = lay(TALK, find_template("chatml", tok), tok, learn="all", limit=ENDLESS)
    assert every.labels == every.ids
    assert every.supervised == len(every.ids) - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_text_stands_between_the_tokenizers_own_ends(family: str) -> None:
    tok, template = tokenizer(family), find_template("plain", tokenizer(family))
    text = Dialogue((Message("assistant", "the pump leaks"),), plain=True)
    laid = lay(text, template, tok, learn="answers", limit=ENDLESS)
    begin = [tok.bos_token_id] if family != "qwen2" else []
    assert (
        laid.ids
        == laid.labels
        == [*begin, *tok("the pump leaks", add_special_tokens=False)["input_ids"], tok.eos_token_id]
    )
    assert laid.supervised == len(laid.ids) - 1
    cut = lay(text, template, tok, learn="answers", limit=3)
    assert (cut.ids, cut.lost, cut.lost_labels) == (laid.ids[:3], len(laid.ids) - 3, len(laid.ids) - 3)
    assert question(text, template, tok, ENDLESS) == begin


# cutting


def _long(turns: int) -> Dialogue:
    said = [Message("system", "Be brief")]
    for i in range(turns):
        said += [Message("user", f"question {i} about the pump"), Message("assistant", f"answer {i}: it leaks")]
    return Dialogue(tuple(said))


def test_the_oldest_turns_go_first_and_the_system_text_stays() -> None:
    tok, template = tokenizer("qwen2"), find_template("chatml", tokenizer("qwen2"))
    whole = lay(_long(8), template, tok, learn="answers", limit=ENDLESS)
    for limit in (len(whole.ids) - 1, len(whole.ids) // 2, len(whole.ids) // 3):
        laid = lay(_long(8), template, tok, learn="answers", limit=limit)
        text = tok.decode(laid.ids)
        assert len(laid.ids) <= limit
        assert text.startswith("<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nquestion ")
        kept = [i for i in range(8) if f"question {i} about the pump" in text]
        assert kept == list(range(8 - len(kept), 8))
        assert learnt(laid, "qwen2") == [f"answer {i}: it leaks<|im_end|>\n" for i in kept]
        assert laid.lost == len(whole.ids) - len(laid.ids) > 0
        assert laid.lost_labels == whole.supervised - laid.supervised > 0
        rest = replace(_long(8), messages=(_long(8).messages[0], *_long(8).messages[1 + 2 * kept[0] :]))
        assert laid.ids == lay(rest, template, tok, learn="answers", limit=ENDLESS).ids
        one_more = replace(rest, messages=(rest.messages[0], *_long(8).messages[2 * kept[0] - 1 :]))
        assert len(lay(one_more, template, tok, learn="answers", limit=ENDLESS).ids) > limit  # no turn too many went


def test_a_long_question_loses_its_middle_and_the_answer_stays() -> None:
    tok, template = tokenizer("qwen2"), find_template("chatml", tokenizer("qwen2"))
    document = "FIRST " + "the pump leaks oil and " * 100 + "LAST"
    said = Dialogue((Message("system", "Be brief"), Message("user", document), Message("assistant", "it leaks")))
    whole = lay(said, template, tok, learn="last", limit=ENDLESS)
    laid = lay(said, template, tok, learn="last", limit=100)
    text = tok.decode(laid.ids)
    assert 90 <= len(laid.ids) <= 100
    assert "user\nFIRST" in text and " ... " in text and "LAST<|im_end|>" in text and "Be brief" in text
    assert learnt(laid, "qwen2") == ["it leaks<|im_end|>\n"]
    assert (laid.lost, laid.lost_labels) == (len(whole.ids) - len(laid.ids), 0)
    tool = replace(
        TOOLS, messages=(*TOOLS.messages[:2], replace(TOOLS.messages[2], content=document), TOOLS.messages[3])
    )
    cut = lay(tool, template, tok, learn="answers", limit=460)
    assert len(cut.ids) <= 460 and cut.lost_labels == 0 and "level?" in tok.decode(cut.ids)


def test_an_answer_loses_its_end_last_and_is_not_taught_to_stop() -> None:
    tok, template = tokenizer("qwen2"), find_template("chatml", tokenizer("qwen2"))
    said = Dialogue((Message("user", "the pump leaks " * 40), Message("assistant", "it leaks " * 200)))
    whole = lay(said, template, tok, learn="last", limit=ENDLESS)
    laid = lay(said, template, tok, learn="last", limit=80)
    assert len(laid.ids) == 80
    assert tok.eos_token_id not in laid.labels
    assert "... " in tok.decode([i for i, label in zip(laid.ids, laid.labels, strict=True) if label == IGNORED])
    assert laid.lost_labels == whole.supervised - laid.supervised > 0
    assert laid.supervised >= 40  # the question keeps a quarter of the limit, not more
    assert lay(said, template, tok, learn="last", limit=5).supervised == 0


def test_a_question_is_cut_the_same_way_or_refused() -> None:
    tok, template = tokenizer("qwen2"), find_template("chatml", tokenizer("qwen2"))
    cut = ask(_long(8), template, tok, 60)
    assert len(cut.ids) <= 60 and cut.lost > 0 and set(cut.labels) == {IGNORED}
    assert tok.decode(cut.ids).endswith("question 7 about the pump<|im_end|>\n<|im_start|>assistant\n")
    with pytest.raises(TunesmithError, match="there is room for 5"):
        question(_long(8), template, tok, 5)


# templates


def test_which_template_is_taken_is_told() -> None:
    tok = tiny.make_tokenizer("qwen2")
    none = find_template("auto", tok)
    assert (none.name, none.told) == ("plain", "the tokenizer has no chat template: question, line break, answer")
    tok.chat_template = known.TEMPLATES["qwen"]
    assert find_template("auto", tok).text == tok.chat_template
    assert find_template("auto", tok).digest != none.digest
    tok.chat_template = {"default": known.TEMPLATES["qwen"], "tool_use": known.TEMPLATES["llama3_own"]}
    assert "it also has tool_use" in find_template("auto", tok).told
    assert find_template("tool_use", tok).text == known.TEMPLATES["llama3_own"]
    assert find_template("chatml", tok).told == "the template 'chatml' by name"
    assert "no tokens <|eot_id|>" in find_template("llama3", tok).told.replace(
        "<|start_header_id|>, <|end_header_id|>, ", ""
    )
    with pytest.raises(TunesmithError, match="no template named 'chatm'. Did you mean 'chatml'"):
        find_template("chatm", tok)


def test_a_template_that_asks_for_the_day_is_told_one_day() -> None:
    tok = tiny.make_tokenizer("qwen2")
    tok.chat_template = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    found = find_template("auto", tok)
    assert found.day in found.told
    assert render(replace(found, day="2024-07-26"), ONE, tok, ask=True)[0].text.startswith("2024-07-26")
    assert replace(found, day="2024-07-26").digest != found.digest


def test_a_file_of_ones_own(tmp_path: Any) -> None:
    (tmp_path / "mine.jinja").write_text(known.TEMPLATES["qwen"], encoding="utf-8")
    assert find_template(str(tmp_path / "mine.jinja"), tokenizer("qwen2")).text == known.TEMPLATES["qwen"]


def test_a_tokenizer_that_does_not_know_its_characters_is_refused() -> None:
    class Slow:
        is_fast = False

    from tunesmith.dialogue.laying import encoded

    with pytest.raises(TunesmithError, match="does not say which characters"):
        encoded("x", Slow())


@pytest.mark.parametrize("name", sorted(BUILTIN.keys() - {*SINGLE}))
def test_whatever_is_said_training_sees_what_serving_starts_from(name: str) -> None:
    """Odd edges of contents: blanks, line breaks, marks of the template, other scripts, cut at odd limits."""
    import random

    draw = random.Random(name)
    pieces = [
        " ",
        "\n",
        "\n\n",
        "a",
        "the pump",
        "水泵",
        "é",
        "😀",
        "[INST]",
        "<|im_end|>",
        "### Response:\n",
        "12.5",
        ":",
    ]
    for family in ("llama", "qwen2"):
        template, tok = template_of(name, family), tokenizer(family)
        for _ in range(12):
            turns = [
                Message(role, "".join(draw.choices(pieces, k=draw.randint(1, 9))) + draw.choice(["y", "。", "\n"]))
                for _ in range(draw.randint(1, 3))
                for role in ("user", "assistant")
            ]
            said = Dialogue(tuple(turns))
            laid, asked = (
                lay(said, template, tok, learn="answers", limit=ENDLESS),
                question(said, template, tok, ENDLESS),
            )
            assert laid.ids[: len(asked)] == asked and laid.labels[len(asked)] != IGNORED
            assert all(label in (IGNORED, i) for i, label in zip(laid.ids, laid.labels, strict=True))
            limit = draw.randint(4, len(laid.ids))
            cut = lay(said, template, tok, learn="answers", limit=limit)
            assert len(cut.ids) <= limit
            assert cut.lost == len(laid.ids) - len(cut.ids)
            assert cut.lost_labels == laid.supervised - cut.supervised


@pytest.mark.parametrize(("text", "lead"), [(known.THINKING, "<think>\n\n</think>"), (known.UNMARKED, "[assistant]"),
                                            (known.QWEN, ""), (known.MISTRAL, "")])  # fmt: skip
def test_what_a_template_writes_before_an_answer_is_learnt_and_taken_off(text: str, lead: str) -> None:
    tok, template = tokenizer("qwen2"), Template("t", text)
    end = end_of(template, tok)
    assert (end.lead, end.text) == (lead, "")
    laid = lay(ONE, template, tok, learn="last", limit=ENDLESS)
    assert laid.ids[: len(question(ONE, template, tok, ENDLESS))] == question(ONE, template, tok, ENDLESS)
    for said in ("b is the answer", "oil, and 水", "<think> is a word"):
        one = replace(ONE, messages=(*ONE.messages[:-1], Message("assistant", said)))
        written = [label for label in lay(one, template, tok, learn="last", limit=ENDLESS).labels if label != IGNORED]
        assert (lead in tok.decode(written)) and _text(tok, _until(written, end), end) == said


def test_a_block_that_begins_behind_words_that_nobody_writes_is_refused() -> None:
    text = known.TEMPLATES["marked"].replace("{% if add_generation_prompt %}", "{% if false %}")
    assert text != known.TEMPLATES["marked"]
    with pytest.raises(TunesmithError, match="writes '<|im_start|>assistant' before the generation block"):
        lay(ONE, Template("t", text), tokenizer("qwen2"), learn="answers", limit=ENDLESS)


def test_a_template_that_writes_an_eos_which_the_tokenizer_lacks_says_so() -> None:
    bare = tiny.make_tokenizer("qwen2")
    bare.eos_token = None
    with pytest.raises(TunesmithError, match="writes the tokenizer's eos_token, and this tokenizer has none. Name one"):
        lay(ONE, find_template("plain", bare), bare, learn="last", limit=ENDLESS)


@pytest.mark.parametrize("file", ["alpaca_en_demo", "alpaca_zh_demo", "identity", "glaive_toolcall_zh_demo"])
def test_masks_of_the_demo_rows_are_what_transformers_writes_behind_each_question(real_data: Path, file: str) -> None:
    """Token by token: an answer is what the library's rendering adds to its own prompt for that turn."""
    tok = tokenizer("qwen2")
    template = find_template("chatml", tok, control=True)
    table = read(real_data / "llamafactory_demo" / f"{file}.json")
    columns = detect(table.columns, [cells for _, cells in table.rows[:200]], file)
    for number, (line, cells) in list(enumerate(table.rows))[::7]:
        said = dialogue_of(Record(number, file, number + 1, line, cells), columns)
        told = [
            {"role": m.role, "content": m.content}
            | ({"tool_calls": [{"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                               for c in m.calls]} if m.calls else {})
            for m in said.messages
        ]  # fmt: skip

        def written(count: int, *, ask: bool, told: Any = told, said: Dialogue = said) -> str:
            return str(tok.apply_chat_template(told[:count], tools=list(said.tools) or None, tokenize=False,
                                               chat_template=template.text, add_generation_prompt=ask))  # fmt: skip

        spans = [(len(written(i, ask=True)), len(written(i + 1, ask=False)))
                 for i, m in enumerate(said.messages) if m.role == "assistant"]  # fmt: skip
        theirs = tok(written(len(told), ask=False), add_special_tokens=False, return_offsets_mapping=True)
        mask = [any(a < end and b > start for start, end in spans) for a, b in theirs["offset_mapping"]]
        laid = lay(said, template, tok, learn="answers", limit=ENDLESS)
        assert laid.ids == theirs["input_ids"]
        assert [label != IGNORED for label in laid.labels] == mask and any(mask) and not all(mask)
