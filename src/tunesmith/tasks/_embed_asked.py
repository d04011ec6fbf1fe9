"""Embeddings, what is asked for: the settings, which of them go together, and which columns hold what.

Shape letters as in `embed`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from tunesmith.bases.family import Family, Purpose
from tunesmith.data import Record, Roles
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Facts, Task, _shelves
from tunesmith.tasks._embed_rows import GRADE, PASSAGE, TEXT
from tunesmith.tasks._embedding import OF_SCORES, Loss

RANKING = ("ndcg_at_10", "mrr_at_10", "map", "recall_at_1", "recall_at_10", "recall_at_100", "precision_at_10")
SIMILARITY = ("spearman", "pearson")
_LAYOUTS: dict[Loss, tuple[_shelves.Layout, ...]] = {
    "in_batch": ("pairs", "triplets", "qrels"), "triplet": ("triplets",),
    **dict.fromkeys(OF_SCORES, ("scored",)),
}  # fmt: skip
_USED_BY: dict[str, tuple[Loss, ...]] = {
    "temperature": ("in_batch", "cosent"), "symmetric": ("in_batch",), "mine": ("in_batch",),
    "margin": ("triplet", "contrastive", "online_contrastive"),
}  # fmt: skip


class AskedEmbed(Task):
    """What a plan says of vectors, as far as it does not take any text to answer it."""

    metrics: tuple[str, ...] = RANKING
    pool: Literal["base", "mean"] = "mean"
    """What a vector is made of. mean: the mean over the tokens of a text. base: [CLS] of encoders, the last token of
    decoders."""
    loss: Literal["auto"] | Loss = "auto"
    """What pulls vectors together and apart; see the top of this page. auto: in_batch, and cosent where pairs have
    scores."""
    temperature: PositiveFloat = 0.05
    """in_batch, cosent: what similarities are divided by; a smaller one looks at the hardest passages alone."""
    symmetric: bool = False
    """in_batch: ask also which of the anchors a passage belongs to."""
    margin: PositiveFloat = 0.5
    """triplet, contrastive: how far apart (1 - cosine) is far enough."""
    matryoshka: tuple[PositiveInt, ...] = ()
    """Widths at which vectors are compared, so that cut ones serve, too: [256, 128, 64]; with the full one."""
    width: Annotated[int, Field(ge=8)] | None = None
    """Numbers kept of each vector (the first ones), in answers, in judging and in the saved model."""
    normalize: bool = True
    """Whether answers have length 1, so that a dot product is the cosine."""
    layout: Literal["auto"] | _shelves.Layout = "auto"
    """What a row is: a pair of texts that belong together, a triplet with one or more wrong ones, a pair with a score,
    or a line of a relevance file (BEIR, TREC). Told by the columns unless given."""
    anchor: str | None = None
    """Column of the first text, or of the query; by its usual names (query, question, sentence1 …) unless given."""
    positive: str | None = None
    """Column of the text that belongs to it (passage, answer, sentence2 …)."""
    negatives: tuple[str, ...] = ()
    """Columns of texts that do not; a cell may hold a list."""
    score: str | None = None
    """Column of the score: how alike, or whether (0, 1), or of a relevance file how relevant (0: not)."""
    query_id: str | None = None
    """Column of a relevance file that names the query (query-id, qid …)."""
    passage_id: str | None = None
    """Column of a relevance file that names the passage (corpus-id, docid …)."""
    corpus: str | None = None
    """File of all passages (_id, title, text); corpus.jsonl beside the relevance file or above it unless given."""
    queries: str | None = None
    """File of all queries (_id, text); queries.jsonl there."""
    query_prefix: str = ""
    """Written before anchors, for bases that were trained so ("query: ")."""
    passage_prefix: str = ""
    """Written before passages ("passage: ")."""
    mine: NonNegativeInt = 0
    """in_batch: wrong passages to look for, for each row, before training: those that the model takes for right."""
    mine_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """A passage is taken only below (1 - margin) times the similarity of the right one; others may be right, too."""
    mine_skip: NonNegativeInt = 0
    """How many of the most similar ones are passed over."""
    mine_with: str | None = None
    """Run folder whose model looks for them; the untuned one unless given."""
    max_tokens: PositiveInt = 256
    """Longest text in tokens; what is cut off beyond is counted in the ledger."""

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("untuned",) if self.layout == "scored" else ("bm25", "untuned")

    @property
    def untrained(self) -> bool:
        return True

    def purpose(self, model_type: str) -> Purpose:
        return "embed"

    def objection(self, plan: Any) -> str | None:
        if any(getattr(p, "name", "") == "head" for p in getattr(plan.method, "parts", (plan.method,))):
            return "embed has no head: vectors are what the base itself says. Use layers with top: 1, or lora"
        for field, losses in _USED_BY.items():
            if self.differs(field) and self.loss not in ("auto", *losses):
                return f"{field} has no effect with loss: {self.loss} (it belongs to {' and '.join(losses)}). Remove it"
        for field in ("mine_margin", "mine_skip", "mine_with"):
            if self.differs(field) and not self.mine:
                return f"{field} has no effect without mine: say how many wrong passages to look for"
        if any(penalty.reads_outputs for penalty in plan.penalties):
            return "penalties on outputs compare answers, and a vector is none. Remove them"
        return None if self.layout == "auto" else self._odd(plan)

    def _odd(self, plan: Any) -> str | None:
        """What does not fit the layout."""
        if self.loss != "auto" and self.layout not in _LAYOUTS[self.loss]:
            return f"loss {self.loss} is for {' and '.join(_LAYOUTS[self.loss])}, and these rows are {self.layout}"
        wrong = RANKING if self.layout == "scored" else SIMILARITY
        asked = plan.metric_names if self.differs("metrics") or plan.evaluate.metrics else ()
        if odd := [name for name in asked if name in wrong]:
            fits = SIMILARITY if self.layout == "scored" else RANKING
            return f"{', '.join(odd)} cannot be measured on {self.layout}. Fitting: {', '.join(fits)}"
        if self.layout == "qrels" and (step := self.rewriting(plan)):
            return f"{step} rewrites rows and not the corpus they name. Remove it from steps"
        if self.layout == "scored" and any(name == "bm25" for name in plan.baseline_names):
            return "bm25 ranks passages, and these rows are scored pairs. Take it out of evaluate.baselines"
        return None

    # rows

    def resolved(self, table: Table) -> Self:
        """With layout and columns named."""
        layout = self._layout(table)
        found: dict[str, Any] = {"layout": layout}
        if layout == "qrels":
            found |= {
                field: _shelves.wanted(field, getattr(self, field), table) for field in ("query_id", "passage_id")
            }
            for name in ("corpus", "queries"):
                found[name] = str(Path(_shelves.beside(getattr(self, name), name, table.source)).absolute())
        else:
            found |= {field: _shelves.wanted(field, getattr(self, field), table) for field in ("anchor", "positive")}
            found["negatives"] = self.negatives or _shelves.negatives(table.columns)
        if layout in ("scored", "qrels"):
            found["score"] = self.score or _shelves.usual("score", table.columns)
        if layout == "scored" and not self.differs("metrics"):
            found["metrics"] = SIMILARITY
        if self.loss == "auto":
            found["loss"] = "cosent" if layout == "scored" else "in_batch"
        return self.model_copy(update=found)

    def _layout(self, table: Table) -> _shelves.Layout:
        if self.layout != "auto":
            return self.layout
        if (self.passage_id or _shelves.usual("passage_id", table.columns)) and not self.positive:
            return "qrels"
        if self.negatives or _shelves.negatives(table.columns):
            return "triplets"
        return "scored" if self.score or _shelves.usual("score", table.columns) else "pairs"

    def files(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.corpus, self.queries))) if self.layout == "qrels" else ()

    def roles(self, *, labelled: bool = True) -> Roles:
        """The columns that `taken_in` makes. Rows of one query stay on one side of a split."""
        if not labelled:
            return Roles((TEXT,))
        scored = self.layout == "scored"
        return Roles((TEXT, PASSAGE), GRADE if scored else None, numeric_label=scored, group=TEXT)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        fields = ("anchor", "positive", "negatives", "query_id", "passage_id", "score", "corpus", "queries")
        told = ", ".join(f"{f} {getattr(self, f)}" for f in fields if getattr(self, f))
        notes = {"rows": f"{self.layout}: {told}"}
        grades = np.array([r.cells[GRADE] for r in records], dtype=np.float64)
        if self.layout != "scored":
            alike = len(records) - len({str(r.cells[PASSAGE]) for r in records})
            notes["same passage"] = f"{alike} rows repeat a passage of another row; it is no wrong answer to either"
            return Facts(notes=notes)
        low, high = float(grades.min()), float(grades.max())
        if low == high:
            raise TunesmithError(f"task.score: column '{self.score}' has one value only; there is nothing to learn")
        if self.loss in ("contrastive", "online_contrastive") and set(np.unique(grades)) != {0.0, 1.0}:
            raise TunesmithError(f"task.loss: {self.loss} wants pairs labelled 0 or 1, and '{self.score}' holds "
                                 f"{low:g} to {high:g}. Use cosent")  # fmt: skip
        if self.loss in ("cosent", "online_contrastive") and len({r.weight for r in records}) > 1:
            raise TunesmithError(f"task.loss: {self.loss} compares rows with each other and knows no weights of single "
                                 "ones. Use cosine, or give all rows one weight")  # fmt: skip
        return Facts(center=low, scale=high - low, notes=notes)

    def meet(self, facts: Facts, tokenizer: Any, family: Family) -> Facts:
        """With a note where the base was made with another pooling."""
        from tunesmith.files import read_json

        file = Path(str(tokenizer.name_or_path)) / "1_Pooling" / "config.json"
        if not file.is_file():
            return facts
        made = read_json(file)
        mean = bool(made.get("pooling_mode_mean_tokens")) or made.get("pooling_mode") == "mean"
        if mean == (self.pool == "mean"):
            return facts
        cure = "mean" if mean else "base"
        return facts.model_copy(update={"notes": facts.notes | {"pooling": f"the base was made with task.pool={cure}"}})
