"""Embeddings: vectors of texts that lie near each other when the texts belong together (search, similarity).

    text -> backbone -> mean state, [CLS] or last token (H) -> length 1 -> cosine with other texts
    in_batch     -ln e^(s(anchor, positive) / t) / sum over all passages of the step e^(s(anchor, passage) / t)
    triplet      max(0, s(anchor, negative) - s(anchor, positive) + margin)
    cosent       ln(1 + sum e^((s_i - s_j) / t)) over rows i that should be less alike than rows j
    cosine       (s - score)^2, scores scaled to 0 to 1
    contrastive  pairs labelled 1 are pulled together, pairs labelled 0 pushed apart up to a margin

Reimers & Gurevych 2019, https://arxiv.org/abs/1908.10084. A step of any size runs in pieces of `train.micro_tokens`
with the gradient of the whole (`_relations.Pull`). Formulas and their sources: `_embedding.py`. There is no head.

Shape letters: N rows, B rows of a piece, S sequences (texts), K texts of a row, H width, D passages.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tunesmith.data import Record, Roles
from tunesmith.data.ledger import Ledger
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import (
    Array,
    Encoded,
    Facts,
    Rows,
    Tick,
    _embed_loss,
    _embed_rows,
    _embedding,
    _relations,
    no_tick,
)
from tunesmith.tasks._embed_asked import AskedEmbed
from tunesmith.tasks._embed_rows import PASSAGE, TEXT
from tunesmith.tasks._embedding import WHOLE
from tunesmith.tasks._relations import Pull

if TYPE_CHECKING:
    from torch import Tensor

READ = ("standing", "similarity", "loss")
"""Outputs of a row among all rows: its positive's place in the ranking (of scored pairs: the similarity), the
similarity of the two, and the loss of its block."""
NO_LIMIT = 1 << 40
Scores = Callable[[list[str], list[str]], Array]
"""(texts of queries, texts of passages) -> (Q, D)."""


class Embed(AskedEmbed):
    """Vectors of texts, for search and similarity."""

    name: Literal["embed"] = "embed"

    kind: ClassVar[Literal["vectors"]] = "vectors"
    problem_type: ClassVar[str | None] = None
    usual_steps: ClassVar[tuple[str, ...]] = ("dedup",)
    pipeline: ClassVar[str] = "sentence-similarity"
    prefer: ClassVar[str] = "texts are to be found or compared, and what they can be compared with is open"
    source: ClassVar[str] = "Reimers & Gurevych 2019, https://arxiv.org/abs/1908.10084"

    # rows

    def taken_in(
        self, records: Sequence[Record], ledger: Ledger | None = None, *, labelled: bool = True
    ) -> Sequence[Record]:
        """Rows with their texts in columns of our own. Rows to predict need one text: the anchor, or else a passage."""
        added = _embed_rows.pair if labelled else _embed_rows.single
        return [replace(r, cells=r.cells | added(self, r)) for r in records]

    def outputs(self, facts: Facts) -> int:
        return 1

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        if PASSAGE in roles.texts:
            return _embed_rows.laid_out(self, records, tokenizer, facts, tick)
        return _embed_rows.read_texts(self, [str(r.cells[TEXT]) for r in records], tokenizer, tick)

    # losses

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Sum of the rows' weights: the loss of a step is a mean over rows."""
        return max(1e-9, float(encoded.weights[rows].sum()))

    def states(self, way: Any, encoded: Encoded, which: Sequence[int]) -> "Tensor":
        """What the network says of some single texts, (S, H), in their order."""
        import torch

        parts = list(way.pieces(encoded, which, NO_LIMIT))  # one, unless lengths must not be mixed
        states_SH = torch.cat([way.logits(encoded, part) for part in parts])
        self._refuse_wider(states_SH.shape[1])
        place = {number: i for i, number in enumerate(s for part in parts for s in part)}
        return states_SH[torch.tensor([place[int(s)] for s in which], device=states_SH.device)]

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """Where the step runs in several pieces and its rows are compared with each other: with what the whole loss
        wants of each vector."""
        import torch

        pieces = list(way.pieces(encoded, rows, max_tokens))
        if len(pieces) < 2 or self.loss not in WHOLE:
            return encoded
        seed, found = torch.initial_seed(), []
        assert encoded.inner is not None
        for piece in pieces:
            _relations.seed_piece(seed, piece)
            with torch.no_grad():
                found.append(self.states(way, encoded.inner, encoded.sequences(piece)))
        order = [row for piece in pieces for row in piece]
        states_SH = torch.cat(found).requires_grad_()
        loss = self.whole_loss(states_SH, encoded, order)
        (pull_SH,) = torch.autograd.grad(loss, states_SH)
        parts = torch.split(pull_SH, [len(encoded.sequences([row])) for row in order])
        return replace(encoded, pull=Pull(seed, dict(zip(order, parts, strict=True)), loss.item() / len(order)))

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        assert encoded.inner is not None, "rows to learn from have several texts"
        if encoded.pull is not None:
            _relations.seed_piece(encoded.pull.seed, rows)
        states_SH = self.states(way, encoded.inner, encoded.sequences(rows))
        if encoded.pull is not None:
            return encoded.pull.wanted(states_SH, rows)
        return self.whole_loss(states_SH, encoded, rows)

    def whole_loss(self, states_SH: "Tensor", encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Weighted sum of the losses of rows that are compared with each other, from the states of their sequences;
        the sum over widths where several are asked for."""
        import torch

        parts = [
            _embed_loss.loss_of(self, unit, encoded, list(rows))
            for unit in _embedding.shrunk(states_SH, self.matryoshka)
        ]
        return torch.stack(parts).sum()

    # what is read and answered

    def finished(self, states_SH: "Tensor") -> "Tensor":
        """Vectors as they are answered: cut to `width`, of length 1 unless asked otherwise."""
        from torch.nn.functional import normalize

        cut = states_SH[:, : self.width].float()
        return normalize(cut, dim=1) if self.normalize else cut

    def _refuse_wider(self, width: int) -> None:
        """Raise TunesmithError where more numbers are asked for than the base says of a text."""
        for field, asked in (("width", self.width or 0), ("matryoshka", max(self.matryoshka, default=0))):
            if asked > width:
                raise TunesmithError(f"task.{field}: {asked} is more than the {width} numbers that this base says of a "
                                     f"text. Set it to {width} at most")  # fmt: skip

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """The vector of each row, (B, H); of rows of several texts theirs side by side, (B, K H), zeros for none;
        where passages have a file of their own, of the query alone."""
        import torch

        if encoded.inner is None:
            return self.finished(self.states(way, encoded, rows))
        assert encoded.bounds is not None and encoded.relations is not None
        if encoded.relations.corpus is not None:  # passages are read there, each once
            return self.finished(self.states(way, encoded.inner, encoded.bounds[:-1][list(rows)].tolist()))
        vectors_SH = self.finished(self.states(way, encoded.inner, encoded.sequences(rows)))
        sizes = np.diff(encoded.bounds)
        out = vectors_SH.new_zeros(len(rows), int(sizes.max()), vectors_SH.shape[1])
        row_S = np.repeat(np.arange(len(rows)), sizes[list(rows)])
        place_S = np.concatenate([np.arange(sizes[r]) for r in rows])
        out[torch.from_numpy(row_S), torch.from_numpy(place_S)] = vectors_SH
        return out.flatten(1)

    def settled(self, outputs_NC: Array, encoded: Encoded, read: Callable[[Encoded], Array]) -> Array:
        """`READ` of each row: rows are ranked among all passages of the split, or of the corpus where there is one."""
        if encoded.relations is None or encoded.bounds is None or not len(encoded):
            return outputs_NC
        related = encoded.relations
        if related.corpus is None:
            unit_SH = _embed_loss.unit(_embed_loss.flat(outputs_NC, encoded))
            found_DH = unit_SH[related.first_seen]
        else:
            found_DH = _embed_loss.unit(read(related.corpus))
            unit_SH = found_DH[related.passage_S]  # queries, which have no number, come next
            unit_SH[encoded.bounds[:-1]] = _embed_loss.unit(outputs_NC)
        anchors_NH, positives_NH = unit_SH[encoded.bounds[:-1]], unit_SH[encoded.bounds[:-1] + 1]
        similarity_N = (anchors_NH.astype(np.float64) * positives_NH).sum(1)
        standing_N = similarity_N
        if self.layout != "scored":
            asking_QH = anchors_NH[related.first_asked]
            standing_N = _relations.standings(related, related.own(encoded), lambda q: asking_QH[q] @ found_DH.T)
        return np.column_stack([standing_N, similarity_N, _embed_loss.in_blocks(self, unit_SH, encoded)])

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Mean over blocks of 32 rows in their order."""
        return float(outputs_NC[:, 2].mean()) if len(outputs_NC) else float("nan")

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """(places in the ranking or similarities, similarities (N, 1)); of rows to predict their vectors."""
        if outputs_NC.shape[1] == len(READ):
            return outputs_NC[:, 0].astype(np.float64), outputs_NC[:, 1:2].astype(np.float64)
        return outputs_NC, None

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        """(N, 2): score or relevance in the units of the file, and the number of the query."""
        assert encoded.targets is not None and encoded.relations is not None
        shift = facts.center if self.layout == "scored" else 0.0
        return np.column_stack([encoded.targets.astype(np.float64) * facts.scale + shift, encoded.relations.query_N])

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {"prediction": predicted.astype(np.float64).tolist()}
        return found if scores is None else found | {"similarity": scores[:, 0].tolist()}

    def ranked_by(self, encoded: Encoded, records: Sequence[Record], score: Scores) -> Array:
        """Outputs as of `settled` for another way to score passages: `score` makes (Q, D) of texts of queries and of
        passages."""
        assert encoded.relations is not None
        score_QD = score(*_embed_rows.search_texts(self, encoded, records))
        query_N, own_N = encoded.relations.query_N, encoded.relations.own(encoded)
        standing_N = _relations.standings(encoded.relations, own_N, lambda q: score_QD[q])
        return np.column_stack([standing_N, score_QD[query_N, own_N], np.zeros(len(own_N))])

    def lay_beside(self, net: Any, folder: Path, facts: Facts) -> None:
        """modules.json and what it names, as sentence-transformers reads them."""
        from tunesmith.tasks._modules import write_modules

        write_modules(self, net, folder)
