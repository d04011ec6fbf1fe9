"""Images and their captions: two towers learn to make vectors that lie near each other where they belong together.

    image -> vision tower -> vector, length 1 \\
                                               s = cosine        logit = s e^scale (+ bias)
    text  -> text tower   -> vector, length 1 /

    CLIP     mean of -ln p(own text | image) and -ln p(own image | text), softmax over the step    (Radford et al. 2021)
    SigLIP   sum over texts of the step of -ln sigmoid(+ logit of the own one, - logit of others)  (Zhai et al. 2023)

The loss is the one that the base was pretrained with. A text that is known to belong to an image from any row is left
out of its wrong answers, and so is the same image or text in another row. A step of any size runs in pieces of
`train.micro_tokens` with the gradient of the whole (`_relations.Pull`).

Sources: https://arxiv.org/abs/2103.00020, https://arxiv.org/abs/2303.15343. Shape letters: N rows, B rows of a piece, I
images, D texts, P width of the vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tunesmith.bases.family import Family, Purpose, TwoTowers, family_of
from tunesmith.bases.find import Found
from tunesmith.bases.towers import ASKED
from tunesmith.data import Record, Roles
from tunesmith.data.names import CAPTIONS, IMAGES, plain
from tunesmith.data.record import DIGEST
from tunesmith.data.roles import find_column, infer_text
from tunesmith.data.table import Table
from tunesmith.data.words import Words
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, Facts, Rows, Task, Tick, _contrastive, _files, _paired, _relations, no_tick
from tunesmith.tasks._embed_loss import unit
from tunesmith.tasks._pixels import processed
from tunesmith.tasks._relations import Pull
from tunesmith.tasks._zero_shot import Classified, ZeroShot, classified

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.bases.processor import PairProcessor

READ = ("caption", "picture", "similarity", "loss")
"""Outputs of a row among all rows: the place of its text among all texts, of the nearest right image for its text, the
cosine of the two, and the loss of its block."""
Scores = Callable[[list[str], list[str]], Array]


class ImageText(Task):
    """Vectors of images and of texts, for search in both directions."""

    name: Literal["image_text"] = "image_text"
    metrics: tuple[str, ...] = (
        "image_to_text_recall_at_1", "text_to_image_recall_at_1", "image_to_text_recall_at_5",
        "text_to_image_recall_at_5", "image_to_text_recall_at_10", "text_to_image_recall_at_10",
        "image_to_text_median_rank", "text_to_image_median_rank",
    )  # fmt: skip
    image: str | None = None
    """Column with the path of the image, from the folder of the file; found by itself when only one can be meant."""
    text: str | None = None
    """Column with the caption; found by itself when only one can be meant. Several captions of an image are rows."""
    towers: Literal["both", "image", "text"] = "both"
    """Which towers learn. The other stays as it is, head included, and is run once a row; text: what is known as
    locked-image tuning (Zhai et al. 2022)."""
    zero_shot: ZeroShot | None = None
    """Classification by the names of classes, before and after; nothing of it is learnt."""
    vectors: bool = False
    """Whether `predict` also writes the vectors of both."""

    kind: ClassVar[Literal["vectors"]] = "vectors"
    problem_type: ClassVar[str | None] = None
    sees: ClassVar[bool] = True
    aim: ClassVar[str] = "to bring the vectors of images and of their captions near each other"
    usual_steps: ClassVar[tuple[str, ...]] = ("pictures", "dedup")
    pipeline: ClassVar[str] = "zero-shot-image-classification"
    prefer: ClassVar[str] = "images are to be found by words, or words by images, and what they say is open"
    source: ClassVar[str] = "Radford et al. 2021, https://arxiv.org/abs/2103.00020"

    @property
    def usual_baselines(self) -> tuple[str, ...]:
        return ("chance", "untuned")

    @property
    def untrained(self) -> bool:
        return True

    def purpose(self, model_type: str) -> Purpose:
        return "image_text"

    def configured(self) -> dict[str, Any]:
        return {ASKED: self.towers}

    def processor(self, base: Found, saved: Path | None = None) -> "PairProcessor":
        from tunesmith.bases.load import load_tokenizer
        from tunesmith.bases.processor import PairProcessor, load_processor

        family = family_of(base.model_type, "image_text", base.config)
        assert isinstance(family, TwoTowers), "the purpose sees to it"
        usual = 64 if family.whole_text else 77  # as the libraries' configurations have it
        longest = int((base.config.get(family.text.config) or {}).get("max_position_embeddings", usual))
        tokenizer, images = load_tokenizer(base.at(saved)), load_processor(base.at(saved))
        if family.reads_end:
            _refuse_no_end(base, tokenizer, family)
        return PairProcessor(images, tokenizer, whole_text=family.whole_text, longest=longest)

    def objection(self, plan: Any) -> str | None:
        if text := _files.objection(self, plan, "pictures", "images"):
            return text
        if step := self.rewriting(plan):
            return f"{step} is for texts that are classified, and captions are learnt as they are. Remove it from steps"
        if any(penalty.reads_outputs for penalty in plan.penalties):
            return "penalties on outputs compare answers, and a vector is none. Remove them"
        if plan.method.needs_rows() or any(getattr(penalty, "rows", 0) for penalty in plan.penalties):
            return ("what a single row wants is asked (Fisher scores), and alone a row is compared with nothing. Use "
                    "by: magnitude, or l2sp")  # fmt: skip
        return self.zero_shot.fault() if self.zero_shot else None

    def base_objection(self, family: Family) -> str | None:
        return None if isinstance(family, TwoTowers) else f"{family.name} is not a pair of towers"

    # rows

    def resolved(self, table: Table) -> "ImageText":
        _files.require_free(table, DIGEST)
        known = {c: find_column(c, table.columns, table.source) for c in (self.image, self.text) if c}
        asked = self.zero_shot
        if asked is not None and asked.file is None:
            find_column(asked.label, table.columns, table.source)
        free = [c for c in table.columns if c not in known]
        image = self.image or _files.infer_path(free, table, IMAGES, "image", "images")
        aside = {image, *((asked.label,) if asked else ())}
        text = self.text or _caption([c for c in table.columns if c not in aside], table)
        return self.model_copy(update={"image": image, "text": text})

    def files(self) -> tuple[str, ...]:
        return (self.zero_shot.file,) if self.zero_shot and self.zero_shot.file else ()

    def roles(self, *, labelled: bool = True) -> Roles:
        """All captions of an image stay on one side of a split."""
        return Roles((DIGEST, self.text or "text"), file=self.image or "image", group=DIGEST if labelled else None)

    def study(self, records: Sequence[Record], roles: Roles) -> Facts:
        images, texts = ({str(r.cells[c]) for r in records} for c in roles.texts)
        if len(images) < 2:
            raise TunesmithError(f"task.image: the training rows show {len(images)} image; there is nothing to tell it "
                                 "from. Give at least two")  # fmt: skip
        told = f"{len(records)} pairs of {len(images)} images and {len(texts)} texts; towers that learn: {self.towers}"
        return Facts(notes={"rows": told})

    def outputs(self, facts: Facts) -> int:
        return 1

    def encode(
        self, records: Sequence[Record], roles: Roles, tokenizer: Any, facts: Facts, tick: Tick = no_tick
    ) -> Encoded:
        assert roles.file is not None
        limit = tokenizer.longest
        made = _paired.laid_out(records, roles.file, roles.texts[-1], tokenizer, limit, tick)
        if roles.group is not None:  # rows that are judged know what belongs together
            made.targets = np.ones(len(records), dtype=np.float32)
        return made

    def replayed(self, folder: Path, records: Sequence[Record]) -> tuple[str, dict[int, Array]]:
        return "pixel_values", processed(folder, records, self.roles().shown[0])

    def classified(self, records: Sequence[Record], processor: Any) -> Classified | None:
        if self.zero_shot is None:
            return None
        return classified(self.zero_shot, records, self.image or "image", processor)

    # losses

    def weigh(self, encoded: Encoded, rows: Rows) -> float:
        """Sum of the rows' weights: the loss of a step is a mean over rows."""
        return max(1e-9, float(encoded.weights[rows].sum()))

    def states(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Unit vectors of the images and texts of some rows, (B, 2, P)."""
        import torch

        assert encoded.paired is not None, "rows are images and texts"
        return torch.stack([_paired.once(way, part, own) for part, own in encoded.paired.of(rows)], 1)

    def faced(self, way: Any, encoded: Encoded, rows: Sequence[int], max_tokens: int) -> Encoded:
        """Where the step runs in several pieces: with what the whole loss wants of each vector, of scale and bias."""
        import torch

        pieces = list(way.pieces(encoded, rows, max_tokens))
        if len(pieces) < 2:
            return encoded
        seed, found = torch.initial_seed(), []
        for piece in pieces:
            _relations.seed_piece(seed, piece)
            with torch.no_grad():
                found.append(self.states(way, encoded, piece))
        order = [row for piece in pieces for row in piece]
        states = torch.cat(found).requires_grad_()
        scalars = [p for p in _contrastive.scalars(way.net.auto) if p.requires_grad]
        loss = self.whole_loss(states, encoded, order, *_contrastive.scalars(way.net.auto))
        pull, *beside = torch.autograd.grad(loss, [states, *scalars])
        of_row = dict(zip(order, pull.unbind(0), strict=True))
        made = Pull(seed, of_row, loss.item() / len(order), tuple(zip(scalars, beside, strict=True)))
        return replace(encoded, pull=made)

    def step_loss(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        if encoded.pull is not None:
            _relations.seed_piece(encoded.pull.seed, rows)
        states = self.states(way, encoded, rows)
        if encoded.pull is not None:
            return encoded.pull.wanted(states.flatten(0, 1), rows)
        return self.whole_loss(states, encoded, rows, *_contrastive.scalars(way.net.auto))

    def whole_loss(self, states: "Tensor", encoded: Encoded, rows: Sequence[int], *scalars: "Tensor") -> "Tensor":
        """Weighted sum of the losses of rows that are compared with each other, from their unit vectors (B, 2, P)."""
        import torch

        assert encoded.paired is not None
        hidden_BB = torch.from_numpy(encoded.paired.hidden(rows)).to(states.device)
        logits_BB = _contrastive.logits(states[:, 0], states[:, 1], *scalars)
        losses_B = (_contrastive.softmax if len(scalars) == 1 else _contrastive.sigmoid)(logits_BB, hidden_BB)
        weights_B = torch.from_numpy(encoded.weights[list(rows)]).to(losses_B)
        return (losses_B * weights_B).sum()

    def bound(self, net: Any) -> None:
        """CLIP's scale stays below 100, as in its paper; SigLIP's, whose bases come with more, has no limit."""
        scalars = _contrastive.scalars(net)
        if len(scalars) == 1:
            scalars[0].data.clamp_(max=_contrastive.MOST)

    # what is read and answered

    def read(self, way: Any, encoded: Encoded, rows: Sequence[int]) -> "Tensor":
        """Unit vectors (B, P) of images or of texts. Of rows of both, scale and bias alone (B, 1 or 2): each distinct
        image and text is read once, in `settled`."""
        import torch

        if encoded.paired is None:
            return _paired.once(way, encoded, rows)
        scalars = [p.detach().reshape(1).float() for p in _contrastive.scalars(way.net.auto)]
        return torch.cat(scalars).expand(len(rows), len(scalars))

    def settled(self, outputs_NC: Array, encoded: Encoded, read: Callable[[Encoded], Array]) -> Array:
        """`READ` of each row, among all images and all texts of the split; of rows to predict the vectors of image and
        text, their cosine and their logit."""
        if encoded.paired is None or not len(encoded):
            return outputs_NC
        pairs, scalars = encoded.paired, [float(x) for x in outputs_NC[0]]
        image_IP, text_DP = unit(read(pairs.images)), unit(read(pairs.texts))
        image_NP, text_NP = image_IP[pairs.image_N], text_DP[pairs.text_N]
        near_N = (image_NP.astype(np.float64) * text_NP).sum(1)
        if encoded.targets is None:
            logit_N = near_N * np.exp(scalars[0]) + sum(scalars[1:])
            return np.column_stack([image_NP, text_NP, near_N, logit_N]).astype(np.float32)
        caption_N, picture_N = _places(pairs, lambda q: image_IP[q] @ text_DP.T, lambda q: text_DP[q] @ image_IP.T)
        loss_N = self._in_blocks(np.stack([image_NP, text_NP], 1), encoded, scalars)
        return np.column_stack([caption_N, picture_N, near_N, loss_N])

    def _in_blocks(self, states: Array, encoded: Encoded, scalars: Sequence[float]) -> Array:
        """(N,): the mean loss of the block of 32 rows that each is in."""
        import torch

        out = np.empty(len(encoded))
        for start in range(0, len(encoded), _contrastive.BLOCK):
            rows = list(range(start, min(start + _contrastive.BLOCK, len(encoded))))
            loss = self.whole_loss(torch.from_numpy(states[rows]), encoded, rows, *map(torch.tensor, scalars))
            out[rows] = float(loss) / self.weigh(encoded, rows)
        return out

    def ranked_by(self, encoded: Encoded, records: Sequence[Record], score: Scores) -> Array:
        """Outputs as of `settled` for another way to score: `score` makes (I, D) of paths of images and of texts."""
        pairs, roles = encoded.paired, self.roles()
        assert pairs is not None and roles.file is not None
        firsts = [np.unique(n, return_index=True)[1] for n in (pairs.image_N, pairs.text_N)]
        images, texts = ([str(records[int(r)].cells[c]) for r in first]
                         for first, c in zip(firsts, (roles.file, roles.texts[-1]), strict=True))  # fmt: skip
        score_ID = score(images, texts)
        caption_N, picture_N = _places(pairs, lambda q: score_ID[q], lambda q: score_ID.T[q])
        near_N = score_ID[pairs.image_N, pairs.text_N]
        return np.column_stack([caption_N, picture_N, near_N, np.zeros(len(near_N))])

    def mean_loss(self, outputs_NC: Array, encoded: Encoded) -> float:
        """Mean over blocks of 32 rows in their order."""
        return float(outputs_NC[:, 3].mean()) if len(outputs_NC) else float("nan")

    def answer(self, outputs_NC: Array, facts: Facts) -> tuple[Array, Array | None]:
        """(places of texts, [cosine, place of the image]); of rows to predict (cosine, [logit, both vectors])."""
        if outputs_NC.shape[1] == len(READ):
            return outputs_NC[:, 0].astype(np.float64), outputs_NC[:, [2, 1]].astype(np.float64)
        vectors, near, logit = outputs_NC[:, :-2], outputs_NC[:, -2], outputs_NC[:, -1]
        return near.astype(np.float64), np.column_stack([logit, vectors]).astype(np.float64)

    def truth(self, encoded: Encoded, facts: Facts) -> Array:
        """(N, 2): 1, since every row belongs together, and the number of its image, whose rows are drawn together."""
        assert encoded.paired is not None
        return np.column_stack([np.ones(len(encoded)), encoded.paired.image_N])

    def columns(
        self, predicted: Array, scores: Array | None, facts: Facts, words: Words | None = None
    ) -> dict[str, list[Any]]:
        assert scores is not None
        if scores.shape[1] == 2:
            told = {"prediction": predicted, "similarity": scores[:, 0], "image_place": scores[:, 1]}
            return {name: values.tolist() for name, values in told.items()}
        found: dict[str, list[Any]] = {"prediction": predicted.tolist(), "logit": scores[:, 0].tolist()}
        if self.vectors:
            both = np.split(scores[:, 1:], 2, axis=1)
            found |= {f"{name}_vector": each.tolist() for name, each in zip(("image", "text"), both, strict=True)}
        return found


def _refuse_no_end(base: Found, tokenizer: Any, family: TwoTowers) -> None:
    """Raise TunesmithError where CLIP's text tower would not read the end of a text: it looks for the end token, and,
    in files that call it 2, for the largest number."""
    ids = tokenizer("a photo")["input_ids"]
    end = int((base.config.get(family.text.config) or {}).get("eos_token_id", 49407))
    read = int(np.argmax(ids)) if end == 2 else ids.index(end) if end in ids else -1
    if read != len(ids) - 1:
        what = "the largest number (text_config.eos_token_id is 2)" if end == 2 else f"token {end}"
        raise TunesmithError(
            f"base: {base.name}: its text tower reads a text where {what} stands, and its tokenizer ends a text with "
            f"{ids[-1]}: the rest would never be read. Correct text_config.eos_token_id in config.json"
        )


def _places(pairs: _paired.Paired, texts_of: Any, images_of: Any) -> tuple[Array, Array]:
    """(place of each row's text for its image, place of the best right image for its text), both from 1."""
    caption_N = _relations.standings(pairs.captions(), pairs.text_N, texts_of)
    own_N = _relations.standings(pairs.pictures(), pairs.image_N, images_of)
    best_D = np.full(len(pairs.texts), np.inf)
    np.minimum.at(best_D, pairs.text_N, own_N)
    return caption_N, best_D[pairs.text_N]


def _caption(columns: Sequence[str], table: Table) -> str:
    usual = [c for c in columns if plain(c) in CAPTIONS]
    return usual[0] if len(usual) == 1 else infer_text(columns, table)
