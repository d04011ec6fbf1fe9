"""What a model keeps of the data it was made from, for instalments that come later: a folder inside its own.

    model/instalments/rows.jsonl       some training rows, to be replayed: a line a row, its cells
    model/instalments/tests/<k>.jsonl  some held-out rows of instalment k (from 0), to be judged again
    model/instalments/files/           the files that these rows name (images, sounds), by the digest of what is in them
    model/instalments/matrix.json      {metric, names, values, file, learnt}: row i = after instalment i, column j = on
                                       its rows; learnt: how many training rows each had

Nothing is kept unless the plan asks (`replay.keep`): whoever gets the model gets these rows.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data import Record
from tunesmith.data.record import DIGEST, MADE, SAMPLES
from tunesmith.errors import TunesmithError
from tunesmith.files import read_json, write_json, write_text

FOLDER, FILES = "instalments", "files"
Cells = dict[str, Any]
Interval = dict[str, float | None]
"""{value, low, high}."""


@dataclass(frozen=True)
class Earlier:
    """Rows and results of the instalments before this one."""

    source: str
    """What rows of it are told to come from."""
    rows: Path | None = None
    """Training rows that were kept."""
    tests: Sequence[Sequence[Record]] = ()
    """Held-out rows of each instalment."""
    names: Sequence[str] = ()
    metric: str = ""
    values: Sequence[Sequence[Interval]] = ()
    file: str | None = None
    """Column that names a file of each row."""
    learnt: Sequence[int | None] = ()
    """How many training rows each instalment had, of which some were kept; None where that was not written down."""

    @property
    def kept_source(self) -> str:
        """What replayed rows are told to come from."""
        return f"{self.source}, rows it kept"


NOTHING = Earlier("")


def earlier_in(folder: Path, name: str) -> Earlier:
    """What the model in that folder kept; nothing, where it kept none."""
    place = folder / FOLDER
    if not (place / "matrix.json").is_file():
        return NOTHING
    about = read_json(place / "matrix.json")
    file = about.get("file")
    names, learnt = about["names"], about.get("learnt")
    found = Earlier(name, place / "rows.jsonl", (), names, about["metric"], about["values"], file,
                    learnt or [None] * len(names))  # fmt: skip
    tests = [list(records_in(place / "tests" / f"{k}.jsonl", found)) for k in range(len(found.names))]
    return replace(found, tests=tests)


def records_in(path: Path, of: Earlier) -> Iterator[Record]:
    """Rows that were kept, as they were learnt from or judged on: no step is due to them."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield Record(number - 1, f"{of.source}, {path.name}", number, number, located(json.loads(line), of))


def located(cells: Cells, of: Earlier) -> Cells:
    """A kept row with the whole path of the file that it names, wherever the model lies by now."""
    if of.file is None or of.rows is None or not cells.get(of.file):
        return cells
    return cells | {of.file: str((of.rows.parent / str(cells[of.file])).absolute())}


def keep(
    folder: Path, count: int, rows: Sequence[Record], before: Earlier, held: Sequence[Record], matrix: dict[str, Any]
) -> None:
    """Write the folder into a model's own: `count` training rows, of each instalment about as many, and the held-out
    rows of this one beside those of earlier ones, with what the column that `matrix` calls "file" names. Deterministic
    in the rows. Raises TunesmithError where such a file is gone."""
    place, file = folder / FOLDER, matrix.get("file")
    (place / "tests").mkdir(parents=True)
    old = list(records_in(before.rows, before)) if before.rows else []
    share = max(count - len(old), count // (len(before.names) + 1))
    new = drawn([r for r in rows if r.source != before.kept_source and MADE not in r.cells], share)
    write_text(place / "rows.jsonl", _lines([*drawn(old, count - len(new)), *new], place, file))
    for number, test in enumerate([*before.tests, held]):
        write_text(place / "tests" / f"{number}.jsonl", _lines(test, place, file))
    write_json(place / "matrix.json", matrix)


def drawn(rows: Sequence[Record], count: int) -> list[Record]:
    """So many of the rows, in their order; all where there are fewer."""
    if len(rows) <= count:
        return list(rows)
    chosen = np.random.default_rng([len(rows), count]).choice(len(rows), count, replace=False)
    return [rows[int(i)] for i in np.sort(chosen)]


def _lines(records: Sequence[Record], place: Path, file: str | None) -> str:
    cells = (r.cells | ({file: _brought(r, place, file)} if file and r.cells.get(file) else {}) for r in records)
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in cells)


def _brought(record: Record, place: Path, file: str) -> str:
    """Copy the file of a row; its path from the folder of the rows."""
    path = Path(str(record.cells[file]))
    digest = record.cells.get(DIGEST) or record.cells.get(SAMPLES)
    own = place / FILES / f"{digest}{path.suffix.lower()}"
    own.parent.mkdir(exist_ok=True)
    try:
        if not own.exists():
            shutil.copyfile(path, own)
    except OSError as error:
        raise TunesmithError(f"replay.keep: {path} cannot be kept with the model: {error}. Put it back, or keep no "
                             "rows") from error  # fmt: skip
    return f"{FILES}/{own.name}"


def replayed(available: int, share: float, new: int, seed: int) -> list[int]:
    """Which of the old rows are learnt from, so that they are that share of all; as many as there are, if fewer."""
    wanted = min(available, round(share / (1 - share) * new))
    if not wanted:
        raise TunesmithError("replay.share: there are no old rows to learn from, or too few new ones. Remove replay")
    return sorted(np.random.default_rng([seed, 5]).choice(available, wanted, replace=False).tolist())


def forgetting(values: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """{backward_transfer, forgetting} of a matrix whose row i is what held after instalment i on rows 0 to i.

    backward_transfer: mean of (last - own) over earlier instalments (Lopez-Paz & Ranzato 2017,
    https://arxiv.org/abs/1706.08840); forgetting: mean of (best before - last) (Chaudhry et al. 2018,
    https://arxiv.org/abs/1801.10112). NaN: a value that was undefined (a correlation with a constant); what it would be
    needed for is left out. None where nothing is left, and before there is a second instalment.
    """
    last = len(values) - 1
    pairs = [(values[last][j], values[j][j], [values[i][j] for i in range(j, last)]) for j in range(last)]
    moved = [now - own for now, own, _ in pairs if not np.isnan(now - own)]
    lost = [np.nanmax(past) - now for now, _, past in pairs if not np.isnan(now) and not np.isnan(past).all()]
    return {name: float(np.mean(some)) if some else None
            for name, some in (("backward_transfer", moved), ("forgetting", lost))}  # fmt: skip
