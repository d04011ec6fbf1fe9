"""Tagging: a label on each word, and with it the spans that are names, parts, faults, dates …

    text -> backbone -> head at the first piece of each word -> logits (M, C) -> tags O, B-x, I-x -> spans

Loss: cross-entropy, the mean over the places that are learnt, optionally smoothed or focal (as in classify).

Shape letters: W windows, Q places that are read, M words, C tags.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from tunesmith import scratch
from tunesmith.bases.family import Purpose
from tunesmith.data import Record, Roles, stored
from tunesmith.data.format import find_column, listed
from tunesmith.data.ledger import Ledger
from tunesmith.data.table import Table
from tunesmith.data.words import Words, ranges
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, LogitsTask, Rows, Tick, _tagging, _text, no_tick
from tunesmith.tasks._tagging import TAGS, TEXT, WORDS
from tunesmith.tasks._windows import Frame, Making, targets_of, torn

if TYPE_CHECKING:
    from torch import Tensor

_TOKENS = ("tokens", "words")
_ON_TEXT = ("spans", "entities", "label", "labels", "annotations")
_ON_WORDS = ("tags", "ner_tags", "labels", "label", "ner")


class Tag(LogitsTask):
    """Spans in a text: entities, parts, faults, dates."""

    name: Literal["tag"] = "tag"
    metrics: tuple[str, ...] = (
        "span_f1", "span_precision", "span_recall", "span_macro_f1", "span_weighted_f1", "span_strict_f1",
        "token_accuracy",
    )  # fmt: skip
    text: str | None = None
    """Column that holds the text; `text` unless named."""
    tokens: str | None = None
    """Column that holds the words of a row, as a list, where the file has words; found by itself."""
    label: str | None = None
    """Column that holds a tag for each word, or the spans [{start, end, label}] in characters; found by itself."""
    scheme: Literal["auto", "bio", "iob1", "bioes"] = "auto"
    """How the file writes tags; auto: seen from them, and told. bioes reads BILOU, too. Answers are B- and I-."""
    malformed: Literal["repair", "refuse"] = "repair"
    """A tag that continues nothing begins a span and is counted, or stops the run with its place."""
    spans: Literal["refuse", "drop"] = "refuse"
    """Spans that overlap, lie outside the text or cut a character: stop with the place, or leave them out, counted."""
    pieces: Literal["first", "all"] = "first"
    """What learns where the tokenizer cuts a word: its first piece, which is what is read; or the others, too."""
    max_tokens: PositiveInt = 256
    """Longest window in tokens; a longer text is read in several."""
    stride: NonNegativeInt = 64
    """Tokens that neighbouring windows share; half a window at most."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all tags."""
    focal: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Exponent of the focal loss; 2 makes easy words count little. 0 is plain cross-entropy."""

    kind: ClassVar[Literal["tags"]] = "tags"
    problem_type: ClassVar[str | None] = None
    usual_steps: ClassVar[tuple[str, ...]] = ("dedup",)
    pipeline: ClassVar[str] = "token-classification"
    prefer: ClassVar[str] = "the answer is a place in the text: names, parts, dates, whatever can be marked with a pen"

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("majority", "dictionary")

    def purpose(self, model_type: str) -> Purpose:
        return "tag"

    def objection(self, plan: Any) -> str | None:
        if step := self.rewriting(plan):
            return f"{step} rewrites texts, and spans are counted in their characters. Remove it from steps"
        if any(step.name == "balance" for step in plan.steps):
            return "balance counts classes of rows, and a row of this task has many. Remove it from steps"
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; here every word is read. Remove it"
        if self.focal and self.label_smoothing:
            return "focal and label_smoothing pull in opposite directions. Choose one"
        if self.differs("stride") and self.stride > self.max_tokens // 2:
            return f"stride {self.stride} is more than half of max_tokens {self.max_tokens}: they would hardly move on"
        return None

    # rows

    def resolved(self, table: Table) -> "Tag":
        """With its columns named, and the scheme that their tags are written in."""
        for column in filter(None, (self.text, self.tokens, self.label)):
            find_column(column, table.columns, table.source)
        tokens = self.tokens or (None if self.text else next((c for c in _TOKENS if c in table.columns), None))
        if tokens and "text" in table.columns and not self.tokens and any(c in table.columns for c in _ON_TEXT[:2]):
            tokens = None
        text = None if tokens else self.text or find_column("text", table.columns, table.source)
        usual = [c for c in (_ON_WORDS if tokens else _ON_TEXT) if c in table.columns]
        if not (self.label or usual):
            raise TunesmithError(
                f"{table.source}: no column holds tags or spans, by its name ({listed(_ON_WORDS + _ON_TEXT)}). "
                f"Name it: task: {{label: COLUMN}}. Columns: {listed(table.columns)}"
            )
        label, scheme = self.label or usual[0], self.scheme
        if scheme == "auto":
            cells = (cells[label] for _, cells in table.rows)
            scheme = _tagging.scheme_of([str(t) for t in c] for c in cells if isinstance(c, list) and c
                                        and isinstance(c[0], str))  # fmt: skip
        return self.model_copy(update={"text": text, "tokens": tokens, "label": label, "scheme": scheme})

    def roles(self, *, labelled: bool = True) -> Roles:
        """The columns that `taken_in` makes."""
        return Roles((TEXT,), TAGS if labelled else None, words=WORDS)

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows with text, words and tags in columns of our own; what is repaired, widened or left out is counted."""
        assert self.scheme != "auto", "the task is not resolved"
        reader = _tagging.Reader(self.scheme, self.malformed, self.spans)
        label = self.label if labelled else None
        made = stored.records(_with(r, reader.row(r, self.tokens, self.text, label)) for r in records)
        for what, times in reader.counts.items():
            if times and ledger is not None:
                ledger.changed(self.name, what, times)
        return made

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        counts = Counter(tag[2:] for r in records for tag in _tags(r) if tag.startswith("B-"))
        if not counts:
            raise TunesmithError(f"task.label: no row has a span in column '{self.label}': nothing can be learnt")
        labels = ("O", *(f"{prefix}-{kind}" for kind in sorted(counts) for prefix in "BI"))
        notes = {} if self.tokens is None else {"scheme": self.scheme}
        return Facts(labels=labels, counts=dict(sorted(counts.items())), notes=notes)

    def outputs(self, facts: Facts) -> int:
        return len(facts.labels)

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        making = self._made(records, tokenizer, tick)
        ids, reads, windows = making.done()
        words = words_of(records, facts.labels, labelled=roles.label is not None)
        row_weights = scratch.filled((r.weight for r in records), len(records), np.float32)
        weights, none_lost = np.repeat(row_weights, np.diff(windows.texts)), np.zeros(len(ids), np.int32)
        encoded = Encoded(ids, None, none_lost, None, None, weights, reads=reads, windows=windows, words=words)
        if words.tags is not None:
            encoded.targets = targets_of(words.tags, making, len(facts.labels))
            if count := torn(words.tags, windows.follows, words.offsets):
                told = "begin or end inside a piece of the tokenizer, so that no answer can be theirs"
                encoded.notes = (f"{count} spans {told}. They count as missed",)
        return encoded

    def _made(self, records: Sequence[Record], tokenizer: Any, tick: Tick) -> Making:
        nothing = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        making = Making(Frame.of(tokenizer), self.max_tokens, self.stride, self.pieces == "all", nothing)
        for part in _text.pieces(len(records)):
            rows = records[part]
            whole = tokenizer([str(r.cells[TEXT]) for r in rows], add_special_tokens=False, verbose=False,
                              padding=False, truncation=False, return_offsets_mapping=True)  # fmt: skip
            for ids, offsets, row in zip(whole["input_ids"], whole["offset_mapping"], rows, strict=True):
                making.add(ids, offsets, np.array(row.cells[WORDS], dtype=np.int64).reshape(-1, 2))
            tick(len(rows))
        return making

    # what a network says of words

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        return _text.cross_entropy(logits_BC, targets_B, self.label_smoothing, self.focal)

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Weights of the places that are learnt; 1 where there are none, whose loss is 0."""
        assert encoded.reads is not None and encoded.targets is not None
        index = np.asarray(rows, dtype=np.int64)
        weights_Q = np.repeat(encoded.weights[index], encoded.reads.lengths_of(index))
        learnt = encoded.targets[ranges(encoded.reads.offsets, index)] >= 0
        return float(weights_Q[learnt].sum(dtype=np.float64)) or 1.0

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Logits (M, C) of the words that these windows answer."""
        logits_QC, windows, reads = way.logits(encoded, rows), encoded.windows, encoded.reads
        assert windows is not None and reads is not None
        index = np.asarray(rows, dtype=np.int64)
        own, counts = ranges(windows.parts, index), reads.lengths_of(index)
        before = np.repeat(np.cumsum(counts) - counts, np.diff(windows.parts)[index])
        return self.by_word(logits_QC[before + windows.places[own]], windows.follows[own])

    @staticmethod
    def by_word(logits_MC: "Tensor", follows_M: Any) -> "Tensor":
        """Logits of words from those of their pieces: a word that shares its piece with the one before is inside
        whatever that is, p(I-x) = p(piece is B-x) + p(piece is I-x)."""
        import torch

        follows = torch.as_tensor(follows_M, dtype=torch.bool, device=logits_MC.device)
        if not follows.any():
            return logits_MC
        made = logits_MC.clone()
        made[:, 2::2] = torch.logaddexp(logits_MC[:, 1::2], logits_MC[:, 2::2])
        made[:, 1::2] = logits_MC.min(-1, keepdim=True).values - 20
        return torch.where(follows.unsqueeze(-1), made, logits_MC)

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Unweighted, over the words that are read and whose tag is known."""
        import torch

        assert encoded.words is not None and encoded.words.tags is not None and encoded.windows is not None
        tags = encoded.words.tags
        known = (tags < outputs_NC.shape[1]) & ~encoded.windows.follows
        with torch.inference_mode():
            losses = self.losses(torch.from_numpy(outputs_NC[known]), torch.from_numpy(tags[known]))
        return float(losses.double().mean()) if len(losses) else float("nan")

    # answers

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        scores = _text.softmax(outputs_NC)
        return scores.argmax(axis=-1), scores

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.words is not None and encoded.words.tags is not None
        return encoded.words.tags

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert words is not None, "answers belong to words"
        told = _tagging.told(words, predicted, facts.labels + words.strange, scores)
        return {"prediction": [json.dumps(spans, ensure_ascii=False) for spans in told]}


def _with(record: Record, cells: dict[str, Any]) -> Record:
    from dataclasses import replace

    return replace(record, cells=record.cells | cells)


def _tags(record: Record) -> list[str]:
    cell = record.cells[TAGS]
    assert isinstance(cell, list), "rows have been taken in"
    return [str(tag) for tag in cell]


def words_of(records: Sequence[Record], labels: Sequence[str], *, labelled: bool) -> Words:
    """The words of rows, with their tags as numbers; those that are not among the labels are numbered behind them."""
    flat, counts, tags = scratch.Column(np.int32), [0], scratch.Column(np.int64)
    number, strange = {label: i for i, label in enumerate(labels)}, list[str]()
    for record in records:
        places: Any = record.cells[WORDS]
        flat.extend(places)
        counts.append(len(places) // 2)
        for tag in _tags(record) if labelled else ():
            if tag not in number:
                for prefix in "BI":
                    number[f"{prefix}-{tag[2:]}"] = len(labels) + len(strange)
                    strange.append(f"{prefix}-{tag[2:]}")
        if labelled:
            tags.extend([number[tag] for tag in _tags(record)])
    places = flat.array().reshape(-1, 2)
    texts = [str(record.cells[TEXT]) for record in records]
    return Words(
        texts, np.cumsum(counts), places[:, 0], places[:, 1], tags.array() if labelled else None, tuple(strange)
    )
