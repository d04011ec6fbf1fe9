"""Zero-shot classification: an image is of the class whose name, put into a sentence, lies nearest to it.

    class vector = mean over templates of the unit vectors of "a photo of a dog", …, of length 1
    answer       = the class with the largest cosine

Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 3.1. Shape letters: N images, C classes, T templates, P
width of the vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from tunesmith.data import Record
from tunesmith.data.opening import path_of
from tunesmith.data.record import DIGEST
from tunesmith.data.roles import label_of
from tunesmith.data.table import read
from tunesmith.described import Described
from tunesmith.errors import TunesmithError
from tunesmith.tasks import Array, Encoded, _paired
from tunesmith.tasks._embed_loss import unit

if TYPE_CHECKING:
    from tunesmith.bases.processor import PairProcessor

SPOT = "{}"


class ZeroShot(Described):
    """What is classified without having been learnt, before and after tuning."""

    label: str
    """Column with the class of each image."""
    classes: tuple[str, ...] = ()
    """Names to choose from; those that stand in the column unless given."""
    templates: Annotated[tuple[str, ...], Field(min_length=1)] = ("a photo of a {}.",)
    """Sentences that a class is put into, in the place of {}; vectors are averaged."""
    file: str | None = None
    """A table of other images, with columns of the same names; the rows the result is judged on unless given. Images of
    another kind tell what was forgotten."""

    def fault(self) -> str | None:
        """What cannot be meant."""
        if odd := [t for t in self.templates if t.count(SPOT) != 1]:
            return f"zero_shot.templates: '{odd[0]}' needs {SPOT} once, where the class goes"
        return None


@dataclass
class Classified:
    """Images with a class each, and the sentences of the classes."""

    images: Encoded
    sentences: Encoded
    """Class by class, templates within."""
    labels: tuple[str, ...]
    truth: Array
    """(N,) class numbers."""

    def answers(self, outputs: Callable[[Encoded], Array]) -> Array:
        """(N,): the class that a model puts each image into; `outputs` are its vectors of images or texts."""
        image_NP, said = unit(outputs(self.images)), unit(outputs(self.sentences))
        class_CP = unit(said.reshape(len(self.labels), -1, said.shape[1]).mean(1))
        return np.asarray((image_NP @ class_CP.T).argmax(1))


def classified(asked: ZeroShot, records: Sequence[Record], image: str, processor: "PairProcessor") -> Classified:
    """The images of the rows (or of the file), each once, with their classes."""
    rows = list(records) if asked.file is None else _of_file(asked.file, image)
    firsts = {str(r.cells.get(DIGEST) or r.cells[image]): r for r in reversed(rows)}
    rows = list(firsts.values())[::-1]
    names = [label_of(row, asked.label) for row in rows]
    labels = asked.classes or tuple(sorted(set(names)))
    if strange := sorted(set(names) - set(labels)):
        raise TunesmithError(f"task.zero_shot.classes: rows have classes that are not named: {', '.join(strange[:5])}")
    if len(labels) < 2:
        raise TunesmithError(f"task.zero_shot: column '{asked.label}' has {len(labels)} class; at least 2 are needed")
    sentences = [template.replace(SPOT, name) for name in labels for template in asked.templates]
    truth = np.array([labels.index(name) for name in names], dtype=np.int64)
    return Classified(
        _paired.read_images(rows, image, processor), _paired.read_texts(sentences, processor, processor.longest),
        labels, truth,
    )  # fmt: skip


def _of_file(file: str, image: str) -> list[Record]:
    table = read(file)
    made = [Record(i, table.source, i + 1, line, cells) for i, (line, cells) in enumerate(table.rows)]
    return [replace(r, cells=_followed(r, image)) for r in made]


def _followed(record: Record, image: str) -> dict[str, Any]:
    return record.cells | {image: str(path_of(record, image))}
