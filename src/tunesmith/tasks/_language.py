"""What tasks on conversations share: how rows become conversations, tokens with labels, and likelihoods.

    row -> conversation -> template -> tokens, and beside those that are learnt their labels

The outputs of a row are four numbers, `Reading`: everything that is judged without writing a text comes from them.

Shape letters: N rows, B rows of a piece, S supervised positions.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import BeforeValidator, Field, PositiveInt

from tunesmith import conforming, scratch
from tunesmith.bases.family import Family, Purpose
from tunesmith.data import Record, Roles, stored
from tunesmith.data.ledger import Ledger
from tunesmith.data.ragged import Growing
from tunesmith.data.record import Cell
from tunesmith.data.roles import find_column
from tunesmith.data.table import Table
from tunesmith.described import Described
from tunesmith.dialogue import Call, Dialogue, Message
from tunesmith.dialogue._spans import Learn
from tunesmith.dialogue.chunking import chunks
from tunesmith.dialogue.controls import GUARD, guarded_text
from tunesmith.dialogue.formats import Columns, detect, dialogue_of, references_of
from tunesmith.dialogue.laying import encoded, laid_out, lay, question, stops
from tunesmith.dialogue.pairing import pair, source
from tunesmith.dialogue.rewriting import rewritten
from tunesmith.dialogue.templates import Template, find_template
from tunesmith.errors import TunesmithError
from tunesmith.scratch import Column
from tunesmith.tasks import Array, Encoded, End, Facts, Rows, Task, Tick, no_tick

if TYPE_CHECKING:
    from torch import Tensor

DIALOGUE, PROMPT, ANSWER = "tunesmith:dialogue", "tunesmith:prompt", "tunesmith:answer"
"""Columns that `taken_in` adds: the conversation, what is asked in it, and what is answered."""
READING = ("nll", "tokens", "hits", "bytes")
"""Outputs of a row, (N, 4): summed negative log-likelihood of what is learnt, its tokens, those that are the most
probable of all, and its length in bytes."""
REFERENCES = "tunesmith:references"
"""Added where a row has several right answers: all but the first."""
UNREAD = -100
_SHOWN = 3
_NO_ANSWER = "Every answer in them is empty or has the weight 0: give one a weight, or leave the rows out"


# pydantic's BaseModel has a deprecated method `schema`, which warns when a field takes its name.
warnings.filterwarnings("ignore", 'Field name "schema" in "Decoding" shadows', UserWarning)


class Decoding(Described):
    """How answers are written."""

    max_new_tokens: PositiveInt = 128
    """Longest answer in tokens."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """0 takes the most probable token; above, tokens are drawn, the more freely the higher."""
    top_k: PositiveInt | None = None
    """Draw among the k most probable tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw among the most probable tokens that have this share of the probability together."""
    repetition_penalty: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Above 1, tokens that stand already become less probable (Keskar et al. 2019)."""
    schema: Annotated[dict[str, Any] | None, BeforeValidator(conforming.read)] = None  # type: ignore[assignment]
    """JSON schema, or the file of one: every answer conforms to it. Needs the extra [schema]."""

    def objection(self) -> str | None:
        """Settings without effect, and a schema that cannot be kept to."""
        if self.schema is not None and (fault := conforming.fault(self.schema)):
            return fault
        if not self.temperature and (self.top_k is not None or self.top_p != 1.0):
            return "top_k and top_p choose what to draw from, and temperature 0 draws nothing. Set a temperature"
        return None


class LanguageTask(Task):
    """Settings that every task on conversations has. Abstract."""

    format: Literal["auto", "alpaca", "sharegpt", "messages", "pairs", "text"] = "auto"
    """How the file writes conversations; auto: seen from its columns, and told."""
    mapping: Columns | None = None
    """Which columns mean what; detected unless given."""
    references: tuple[str, ...] = ()
    """Further columns with right answers. The first answer is learnt, and written texts are compared with all. In JSON
    and Parquet, a list in the answer's own cell says the same."""
    template: str = "auto"
    """How a conversation is written for the base: the tokenizer's own template, or one by name (chatml, llama3 …)."""
    learn: Literal["answers", "last", "all"] = "answers"
    """answers: what the assistant says; last: its last answer only, which is all that an encoder-decoder can learn;
    all: every token."""
    special_tokens: Literal["text", "control"] = "text"
    """What special tokens of the tokenizer become in the texts of a row (<|im_end|> in a question): text like any
    other, or (control) what they are in the template, for texts that bring their own marks."""
    max_tokens: PositiveInt = 512
    """Longest conversation in tokens (for an encoder-decoder: longest source, and apart from it longest target); what
    is cut off beyond is counted in the ledger."""
    decode: Decoding = Decoding()
    """How answers are written, to judge them and ever after."""

    kind: ClassVar[Literal["text"]] = "text"
    talks: ClassVar[bool] = True
    rewords: ClassVar[bool] = True
    problem_type: ClassVar[str | None] = None
    usual_steps: ClassVar[tuple[str, ...]] = ("dedup",)

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("untuned",)

    @property
    def untrained(self) -> bool:
        return True

    def purpose(self, model_type: str) -> Purpose:
        return "language"

    def objection(self, plan: Any) -> str | None:
        if fault := self.decode.objection():
            return f"decode: {fault}"
        if fault := spoiling(plan):
            return fault
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; a language model reads every token"
        return None

    def resolved(self, table: Table) -> "LanguageTask":
        """With the format of the file known."""
        if self.mapping is not None:
            return self._checked(self.mapping, table)
        some = [cells for _, cells in table.rows[:200]]
        found = detect(table.columns, some, table.source)
        if self.format not in ("auto", found.kind):
            raise TunesmithError(
                f"{table.source}: task.format is {self.format}, but the columns read as {found.kind} ({found.told()}). "
                "Say which columns mean what with task.mapping, or leave task.format: auto"
            )
        return self._checked(found, table)

    def _checked(self, found: Columns, table: Table) -> "LanguageTask":
        for column in self.references:
            find_column(column, table.columns, table.source)
        if self.references and found.kind == "text":
            raise TunesmithError(f"{table.source}: task.references are right answers, and plain texts answer nothing. "
                                 "Remove it")  # fmt: skip
        return self.model_copy(update={"mapping": found})

    def roles(self, *, labelled: bool = True) -> Roles:
        """The columns that `taken_in` makes."""
        return Roles((PROMPT,), ANSWER if labelled else None)

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows with their conversation in three columns of our own."""
        return stored.records(self._taken(record, labelled) for record in records)

    def _taken(self, record: Record, labelled: bool) -> Record:
        assert self.mapping is not None, "the task is not resolved"
        dialogue = dialogue_of(record, self.mapping, answered=labelled, seen=self.opens_images)
        if not labelled:
            return replace(record, cells=record.cells | cells_of(dialogue.asked()))
        return replace(
            record, cells=record.cells | cells_of(dialogue, references_of(record, self.mapping, self.references))
        )

    def reworded(self, record: Record, put: Callable[[str], str]) -> Record | None:
        dialogue = dialogue_in(record)
        asked = [i for i, m in enumerate(dialogue.messages) if m.role == "user" and m.content.strip()]
        if not asked:
            return None
        messages = list(dialogue.messages)
        messages[asked[-1]] = replace(messages[asked[-1]], content=put(messages[asked[-1]].content))
        made = cells_of(
            replace(dialogue, messages=tuple(messages)), cast("list[str]", record.cells.get(REFERENCES, []))
        )
        return replace(record, cells=record.cells | made)

    def rewritten(self, record: Record, roles: Roles, put: Callable[[str], str]) -> dict[str, Cell]:
        assert self.mapping is not None, "the task is not resolved"
        return rewritten(record.cells, self.mapping, self.references, put)

    def reread(self, records: Sequence[Record], roles: Roles) -> Sequence[Record]:
        return self.taken_in(records, labelled=roles.label is not None)

    def pieces(self, record: Record, tokenizer: Any, overlap: int) -> tuple[list[Record], int, int]:
        """(rows that a plain text is cut into, its tokens, theirs); the row itself where it fits."""
        dialogue = dialogue_in(record)
        if not dialogue.plain or self.mapping is None:
            raise TunesmithError(
                f"steps.chunk: {record.place} is a conversation, and chunk cuts plain texts "
                "(task.format: text). Take it out of steps; task.max_tokens says how long conversations may be"
            )
        template = find_template(self.template, tokenizer, control=self.special_tokens == "control")
        text, nothing = guarded_text(dialogue.answer(), template, tokenizer), (Message("assistant", ""),)
        room = self.max_tokens - len(laid_out(replace(dialogue, messages=nothing), template, tokenizer, "all").ids)
        before = len(encoded(text, tokenizer).ids)
        if before <= room:
            return [record], before, before
        made, after, spans = [], 0, chunks(text, max(1, room), overlap, tokenizer)
        for number, (start, end) in enumerate(spans, 1):
            said = text[start:end].replace(GUARD, "")
            part = replace(dialogue, messages=(Message("assistant", said),), goes_on=number < len(spans))
            cells = record.cells | {self.mapping.prompt: said} | cells_of(part)
            made.append(replace(record, cells=cells))
            after += len(encoded(text[start:end], tokenizer).ids)
        return made, before, after

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        return Facts(notes=told_format(self.mapping))

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """With the template that rows are written with, in training and ever after."""
        template = find_template(self.template, tokenizer, control=self.special_tokens == "control")
        if facts.encoder_decoder:
            if self.learn == "all":
                raise TunesmithError(
                    "task.learn: all would learn the question, too, which an encoder-decoder reads and never predicts. "
                    "Set task.learn: last, or leave it out"
                )
            return met(facts, template, End(tokens=(int(tokenizer.eos_token_id),)))
        return met(facts, template, end_of(template, tokenizer))

    def room(self, tokenizer: Any) -> int:
        """Tokens that a conversation may have, as the tokenizer writes it."""
        return self.max_tokens

    def outputs(self, facts: Facts) -> int:
        return len(READING)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        if roles.label is None:
            return self._questions(records, tokenizer, facts, tick)
        assert facts.template is not None, "the task has met its tokenizer"
        making, layer = Making(apart=facts.encoder_decoder), pair if facts.encoder_decoder else lay
        learn: Learn = "last" if facts.encoder_decoder else self.learn
        limit = self.room(tokenizer) + facts.template.num_virtual
        for record in records:
            dialogue = dialogue_in(record)
            with at(record):
                made = layer(dialogue, facts.template, tokenizer, learn=self.learn, limit=limit)
            making.add(made, learnt_bytes(dialogue, learn))
            tick(1)
        references = [(dialogue_in(r).answer(), *cast("list[str]", r.cells.get(REFERENCES, []))) for r in records]
        encoded = making.done([r.weight for r in records], references)
        refuse_unlearnable(encoded, records, self.max_tokens, self.max_tokens - self.room(tokenizer))
        return encoded

    def _questions(self, records: Sequence[Record], tokenizer: Any, facts: Facts, tick: Tick) -> Encoded:
        assert facts.template is not None, "the task has met its tokenizer"
        ids, limit = Growing(), self.room(tokenizer) + facts.template.num_virtual
        for record in records:
            with at(record):
                asked = (dialogue_in(record), facts.template, tokenizer, limit)
                ids.extend([source(*asked).ids if facts.encoder_decoder else question(*asked)])
            tick(1)
        weights = scratch.filled((r.weight for r in records), len(records), np.float32)
        return Encoded(ids.done(), None, np.zeros(len(records), np.int32), None, None, weights)

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Weights of all labels of the rows."""
        assert encoded.labels is not None
        total = 0.0
        for row in rows:
            start, end = encoded.labels.offsets[row], encoded.labels.offsets[row + 1]
            learnt = encoded.labels.flat[start:end] != UNREAD
            own = 1.0 if encoded.token_weights is None else encoded.token_weights[start:end]
            total += float(encoded.weights[row]) * float((learnt * own).sum(dtype=np.float64))
        return total

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """`READING` of each row."""
        import torch

        outcome = way.scores(encoded, rows)
        index = torch.from_numpy(outcome.asked.index_S)
        out = torch.zeros(len(rows), len(READING), dtype=torch.float64)
        columns = (outcome.losses_S, torch.ones_like(outcome.losses_S), outcome.hits_S)
        for place, values in enumerate(columns):
            out[:, place].index_add_(0, index, values.detach().cpu().double())
        if encoded.sizes is not None:
            out[:, 3] = torch.from_numpy(encoded.sizes[list(rows)].astype(np.float64))
        return out.float()

    def as_plain(self, readings_SK: Array, golden_NC: Array) -> Array:
        """How long a text is has nothing to do with the network."""
        return np.column_stack([readings_SK, golden_NC[:, 3]])

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Negative log-likelihood of a learnt token."""
        return float(outputs_NC[:, 0].sum(dtype=np.float64) / max(1.0, outputs_NC[:, 1].sum(dtype=np.float64)))

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """Nothing is written here (that takes a model, see `Model.write`): empty texts beside what was read."""
        return texts([""] * len(outputs_NC)), np.asarray(outputs_NC, dtype=np.float64)

    def pairs(self, records: Sequence[Record]) -> list[tuple[str, str]]:
        """What each row asks last, and what it answers; empty texts where it has none."""
        return [_pair(dialogue_in(record)) for record in records]

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.references is not None
        return texts(encoded.references)


def spoiling(plan: Any) -> str | None:
    """Why a step of the plan cannot be, where rows are conversations."""
    found = ((step.name, step.spoils()) for step in plan.steps if step.rewrites)
    return next((f"{name} is no step for conversations: {why}, or remove it from steps" for name, why in found if why),
                None)  # fmt: skip


class Making:
    """Conversations in the making: tokens, labels and weights beside each other, or (`apart`) sources, and beside each
    other the labels and weights of targets."""

    def __init__(self, *, apart: bool = False) -> None:
        self.apart = apart
        self.ids, self.labels, self.weights = Growing(), Growing(), Column(np.float32)
        self.lost, self.lost_labels, self.sizes = Column(np.int32), Column(np.int32), Column(np.int64)

    def add(self, laid: Any, size: int) -> None:
        """One row, as `dialogue.laying.lay` gives it."""
        # nothing stands before the first token to predict it from, unless a decoder starts there
        labels = laid.labels if self.apart else [UNREAD, *laid.labels[1:]]
        self.ids.extend([laid.ids])
        self.labels.extend([labels])
        self.weights.extend(laid.weights)
        self.lost.extend([laid.lost])
        self.lost_labels.extend([laid.lost_labels])
        self.sizes.extend([size])

    def done(self, weights: Sequence[float], references: Sequence[tuple[str, ...]]) -> Encoded:
        """All rows."""
        own = self.weights.array()
        return Encoded(
            ids=self.ids.done(), types=None, lost=self.lost.array(), targets=None, side=None,
            weights=np.asarray(weights, dtype=np.float32), labels=self.labels.done(), apart=self.apart,
            token_weights=None if bool((own == 1).all()) else own, references=references,
            lost_labels=self.lost_labels.array(), sizes=self.sizes.array(),
        )  # fmt: skip


@contextmanager
def at(record: Record) -> Iterator[None]:
    """Errors say which row they are about."""
    try:
        yield
    except TunesmithError as error:
        raise TunesmithError(f"{record.place}: {error}") from error


def refuse_unlearnable(encoded: Encoded, records: Sequence[Record], limit: int, taken: int = 0) -> None:
    """No row may be without anything to learn: it would count in every figure and teach nothing. `taken`: tokens of the
    limit that are not for conversations."""
    assert encoded.labels is not None
    empty = [i for i, labels in enumerate(encoded.labels) if not (labels != UNREAD).any()]
    if not empty:
        return
    need = int((encoded.lengths + encoded.lost)[empty].max()) + taken
    places = ", ".join(records[i].place for i in empty[:_SHOWN])
    more = " …" if len(empty) > _SHOWN else ""
    cure = f"task.max_tokens={need} would keep all" if need > limit else _NO_ANSWER
    raise TunesmithError(
        f"task: {len(empty)} of {len(records)} rows keep no token to learn from with max_tokens: {limit} "
        f"({places}{more}). {cure}"
    )


def told_format(mapping: Columns | None) -> dict[str, str]:
    """How the file is read, as a note of facts."""
    return {} if mapping is None else {"format": mapping.told()}


def met(facts: Facts, template: Template, end: End) -> Facts:
    """Facts with the template that rows are written with, and why it is this one."""
    note = f"template '{template.name}': {template.told}"
    note += f"; it begins answers with '{end.lead}', which is learnt and taken off what is written" * bool(end.lead)
    return facts.model_copy(update={"template": template, "end": end, "notes": facts.notes | {"template": note}})


def end_of(template: Template, tokenizer: Any) -> End:
    """What ends an answer in that template, and what it puts before one: what two that are laid out as training does
    have in common."""
    texts = []
    for answer in ("b", "c"):
        sample = Dialogue((Message("user", "a"), Message("assistant", answer)))
        learnt = [t for t in lay(sample, template, tokenizer, learn="last", limit=10**6).labels if t != UNREAD]
        texts.append(str(tokenizer.decode(learnt, skip_special_tokens=True, clean_up_tokenization_spaces=False)))
    lead, tail = _common(*texts), _common(*(text[::-1] for text in texts))[::-1]
    return End(tokens=tuple(stops(template, tokenizer)), text=tail.strip(), lead=lead.strip())


def _common(one: str, other: str) -> str:
    """What both begin with."""
    return one[: next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))]


def learnt_bytes(dialogue: Dialogue, learn: str) -> int:
    """UTF-8 bytes of the contents that are learnt."""
    said = [m.content for m in dialogue.messages if learn == "all" or dialogue.plain or m.role == "assistant"]
    return sum(len(text.encode()) for text in (said[-1:] if learn == "last" else said))


def cells_of(dialogue: Dialogue, references: Sequence[str] = ()) -> dict[str, Any]:
    """A conversation as cells: whole, and as question and answer to compare rows by; with further right answers."""
    asked = dialogue if dialogue.plain else dialogue.asked()  # a text alone is compared by itself
    answer = dialogue.messages[-1] if dialogue.answered else None
    said = None if answer is None else asdict(answer)
    more = {REFERENCES: list(references)} if references else {}
    return more | {
        DIALOGUE: json.dumps(asdict(dialogue), ensure_ascii=False),
        PROMPT: "\n".join(_line(m, alone=len(asked.messages) == 1) for m in asked.messages),
        ANSWER: json.dumps([said, *references] if references else said, ensure_ascii=False),
    }


def _line(message: Message, *, alone: bool) -> str:
    calls = "".join(f" [{c.name} {json.dumps(c.arguments, ensure_ascii=False)}]" for c in message.calls)
    return message.content if alone and not calls else f"{message.role}: {message.content}{calls}"


def dialogue_in(record: Record) -> Dialogue:
    """The conversation of a row that was taken in."""
    return dialogue_from(str(record.cells[DIALOGUE]))


def dialogue_from(text: str) -> Dialogue:
    """A conversation from a cell."""
    found = json.loads(text)
    messages = tuple(Message(**{**m, "calls": tuple(Call(**c) for c in m["calls"])}) for m in found["messages"])
    more = {name: found.get(name, False) for name in ("goes_on", "image")}
    return Dialogue(messages, tuple(found["tools"]), found["plain"], **more)


def _pair(dialogue: Dialogue) -> tuple[str, str]:
    asked = [m.content for m in dialogue.asked().messages if m.role == "user"]
    return asked[-1] if asked else "", dialogue.answer() if dialogue.answered else ""


def texts(values: Sequence[Any] | Iterator[Any]) -> Array:
    """(N,) array of objects, also where all are tuples of one length."""
    values = list(values)
    out = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        out[place] = value
    return out
