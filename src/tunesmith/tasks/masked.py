"""Masked words: an encoder goes on with its pretraining, on the texts that it is wanted for.

    the pump [MASK] oil  ->  encoder  ->  head over the vocabulary at the hidden places  ->  leaks

Loss: cross-entropy at the hidden places alone, a mean over them (Devlin et al. 2019). What comes out is a base that the
next plan names (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964). Each step of training
hides other places; held-out rows hide the same ones always, drawn from their tokens: two models are asked the same.

Shape letters: N rows, B rows of a piece, Q hidden places of these, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from tunesmith import scratch
from tunesmith.bases.architecture import WORD_HEAD, Purpose
from tunesmith.data import Record, Roles
from tunesmith.data.ragged import Changed, Growing
from tunesmith.data.roles import find_column, infer_text, text_of
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.dialogue.chunking import chunks
from tunesmith.dialogue.laying import encoded as tokenised
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json
from tunesmith.scratch import Column
from tunesmith.tasks import Array, Encoded, Facts, LogitsTask, Rows, Tick, _text, no_tick
from tunesmith.tasks._language import UNREAD, texts
from tunesmith.tasks._masking import NEVER, Lexicon, Masking, asked, labels_of, units_of
from tunesmith.tasks._windows import Frame

if TYPE_CHECKING:
    from torch import Tensor

_METRICS = ("perplexity", "nll", "token_accuracy")


class Masked(LogitsTask):
    """Further pretraining of an encoder on plain texts."""

    name: Literal["masked"] = "masked"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy", "nll")
    text: str | None = None
    """Column that holds the text; found by itself when only one can be meant."""
    share: Annotated[float, Field(gt=0, le=0.9)] = 0.15
    """Share of the tokens that are hidden."""
    whole_words: bool = False
    """Hide all pieces of a word together (Cui et al. 2019, for Chinese), so that no piece gives the others away."""
    lexicon: str | None = None
    """Whole words of a language without spaces: a file with a word on each line. Characters that stand next to each
    other are one word where the file has it, the longest from left to right; without it each is a word."""
    head: Literal["own", "new"] = "own"
    """own: the base's head over the vocabulary. new: for a base that ships none (minilm), BERT's head drawn anew, its
    output tied to the word table; it costs steps until it says anything, and a method that saves whole models."""
    max_tokens: PositiveInt = 128
    """Longest row in tokens. The step chunk, which is there unless the plan names others, cuts longer texts into rows;
    without it what is cut off is counted in the ledger."""

    kind: ClassVar[Literal["text"]] = "text"
    problem_type: ClassVar[str | None] = None
    usual_steps: ClassVar[tuple[str, ...]] = ("clean", "dedup", "chunk")
    file_settings: ClassVar[tuple[str, ...]] = ("lexicon",)
    aim: ClassVar[str] = "to know the words that are hidden in them"
    pipeline: ClassVar[str] = "fill-mask"
    prefer: ClassVar[str] = (
        "there is much text of the kind that is wanted and little of it has labels: before another task"
    )
    source: ClassVar[str] = "Devlin et al. 2019; Gururangan et al. 2020, https://arxiv.org/abs/2004.10964"

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("untuned",) if self.untrained else ()

    @property
    def untrained(self) -> bool:
        return self.head == "own"

    def purpose(self, model_type: str) -> Purpose:
        return "masked"

    def configured(self) -> dict[str, Any]:
        return {WORD_HEAD: self.head}

    def objection(self, plan: Any) -> str | None:
        if odd := [name for name in plan.metric_names if name not in _METRICS]:
            return f"{odd[0]} reads more than the words that are hidden. Fitting: {', '.join(_METRICS)}"
        if self.pool == "mean":
            return "pool: mean is for a head that reads one state of a row; here every hidden place is read. Remove it"
        if self.lexicon is not None and not self.whole_words:
            return "lexicon has no effect without whole_words: true"
        if self.head == "new" and not type(plan.method).whole:
            return (
                f"head: new is part of a whole model, and {plan.method.name} saves what it adds to the base. Use "
                "method full, layers or gradual, or a base that ships its head (task.head: own)"
            )
        return None

    def resolved(self, table: Table) -> "Masked":
        column = self.text or infer_text(table.columns, table)
        return self.model_copy(update={"text": find_column(column, table.columns, table.source)})

    def roles(self, *, labelled: bool = True) -> Roles:
        return Roles((self.text or "text",))

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        return Facts()

    def outputs(self, facts: Facts) -> int:
        return 3

    def pieces(self, record: Record, tokenizer: Any, overlap: NonNegativeInt) -> tuple[list[Record], int, int]:
        """(rows that a text is cut into, its tokens, theirs); the row itself where it fits."""
        column = self.text or "text"
        text, room = text_of(record, column), self.room(Frame.of(tokenizer))
        before = len(tokenised(text, tokenizer).ids)
        if before <= room:
            return [record], before, before
        parts = [text[start:end] for start, end in chunks(text, room, overlap, tokenizer)]
        made = [replace(record, cells=record.cells | {column: part}) for part in parts]
        return made, before, sum(len(tokenised(part, tokenizer).ids) for part in parts)

    def room(self, frame: Frame) -> int:
        """Tokens of a text that fit. Raises TunesmithError where none does."""
        if self.max_tokens <= frame.size:
            raise TunesmithError(f"task.max_tokens: {self.max_tokens} leaves no room beside the special tokens. Set it "
                                 "higher")  # fmt: skip
        return self.max_tokens - frame.size

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        if tokenizer.mask_token_id is None:
            raise TunesmithError("base: its tokenizer has no mask token, so nothing can be hidden")
        frame, words = Frame.of(tokenizer), self._lexicon()
        room, special = self.room(frame), set(tokenizer.all_special_ids)
        ids, units, lost = Growing(), Growing(), Column(np.int32)
        for part in _text.pieces(len(records)):
            rows = [text_of(r, roles.texts[0]) for r in records[part]]
            whole = tokenizer(rows, add_special_tokens=False, verbose=False, padding=False, truncation=False,
                              return_offsets_mapping=True)  # fmt: skip
            for text, tokens, offsets in zip(rows, whole["input_ids"], whole["offset_mapping"], strict=True):
                own = units_of(text, offsets, words) if self.whole_words else list(range(len(tokens)))
                own = [NEVER if t in special else u for t, u in zip(tokens, own, strict=True)][:room]
                ids.extend([[*frame.before, *tokens[:room], *frame.after] or [tokenizer.pad_token_id]])
                units.extend([[NEVER] * len(frame.before) + own + [NEVER] * len(frame.after) or [NEVER]])
                lost.extend([max(0, len(tokens) - room)])
            tick(len(rows))
        masking = Masking(units.done(), self.share, tokenizer.mask_token_id, len(tokenizer), tuple(sorted(special)))
        weights = scratch.filled((r.weight for r in records), len(records), np.float32)
        return asked(ids.done(), masking, lost.array(), weights, tokenizer)

    def _lexicon(self) -> Lexicon | None:
        if self.lexicon is None:
            return None
        try:
            lines = Path(self.lexicon).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TunesmithError(f"task.lexicon: {self.lexicon} cannot be read: {error}") from error
        return Lexicon([line.strip() for line in lines if line.strip()])

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """The step's rows with masks of its own: drawn from the seed of the step, which is torch's by now."""
        import torch

        assert encoded.masking is not None and encoded.labels is not None and encoded.reads is not None
        seed = torch.initial_seed()
        ids, labels, reads = dict[int, Any](), dict[int, Any](), dict[int, Any]()
        for row in map(int, rows):
            tokens = np.where(encoded.labels[row] == UNREAD, encoded.ids[row], encoded.labels[row])
            ids[row], reads[row] = encoded.masking.drawn(row, tokens, (seed, row))
            labels[row] = labels_of(tokens, reads[row])
        return replace(
            encoded, ids=Changed(encoded.ids, ids), labels=Changed(encoded.labels, labels), targets=None,
            reads=Changed(encoded.reads, reads),
        )  # fmt: skip

    # what a network says of hidden places

    def losses(self, logits_BC: "Tensor", targets_B: "Tensor") -> "Tensor":
        """Of each hidden place, (Q,)."""
        from torch.nn import functional

        return functional.cross_entropy(logits_BC, targets_B, reduction="none")

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Hidden places by the weights of their rows; 1 where there are none, whose loss is 0."""
        assert encoded.reads is not None
        index = np.asarray(rows, dtype=np.int64)
        return float((encoded.weights[index] * encoded.reads.lengths_of(index)).sum(dtype=np.float64)) or 1.0

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        import torch

        logits_QV, targets_Q, index_Q = self._said(way, encoded, rows)
        weights_Q = torch.from_numpy(encoded.weights[np.asarray(rows)])[index_Q].to(logits_QV.device)
        return (self.losses(logits_QV, targets_Q) * weights_Q).sum()

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """(B, 3): summed negative log-likelihood of the hidden tokens, how many they are, how many the model holds most
        likely."""
        import torch

        logits_QV, targets_Q, index_Q = self._said(way, encoded, rows)
        losses_Q, hits_Q = self.losses(logits_QV, targets_Q), logits_QV.argmax(-1) == targets_Q
        out = torch.zeros(len(rows), 3, dtype=torch.float64)
        for place, values in enumerate((losses_Q, torch.ones_like(losses_Q), hits_Q)):
            out[:, place].index_add_(0, index_Q, values.detach().cpu().double())
        return out.float()

    @staticmethod
    def _said(way: Any, encoded: Encoded, rows: Sequence[int]) -> "tuple[Tensor, Tensor, Tensor]":
        """(logits (Q, V), hidden tokens (Q,), row of each by its place among these rows (Q,))."""
        import torch

        assert encoded.labels is not None and encoded.reads is not None
        logits_QV = way.logits(encoded, rows)
        own = np.concatenate([encoded.labels[r][encoded.reads[r]] for r in rows]).astype(np.int64)
        index_Q = np.repeat(np.arange(len(rows)), encoded.reads.lengths_of(rows))
        return logits_QV, torch.from_numpy(own).to(logits_QV.device), torch.from_numpy(index_Q)

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Negative log-likelihood of a hidden token."""
        return float(outputs_NC[:, 0].sum(dtype=np.float64) / max(1.0, outputs_NC[:, 1].sum(dtype=np.float64)))

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """Nothing is written: empty texts beside what was read. How long the words are in bytes is told of no text."""
        scores = np.column_stack([outputs_NC, np.zeros(len(outputs_NC))])
        return texts([""] * len(outputs_NC)), np.asarray(scores, dtype=np.float64)

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        assert encoded.references is not None
        return texts(encoded.references)

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None, "rows were read"
        with np.errstate(over="ignore"):
            return {"prediction": [float(np.exp(nll / n)) if n else None for nll, n, *_ in scores.tolist()]}

    def lay_beside(self, net: Any, folder: Path, facts: Facts) -> None:
        """A base that this model becomes has its head: nothing is new there."""
        if self.head == "new":
            about = read_json(folder / "config.json")
            write_json(folder / "config.json", about | {WORD_HEAD: "own"})
