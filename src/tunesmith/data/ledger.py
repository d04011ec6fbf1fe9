"""The ledger: what became of every input row, so that nothing is lost in silence."""

from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.data.format import Table
from tunesmith.data.record import Record
from tunesmith.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

Fate = Literal["kept", "duplicate", "dropped", "malformed"]
Split = Literal["", "train", "validation", "test"]
_FATES: tuple[Fate, ...] = ("kept", "duplicate", "dropped", "malformed")
_SPLITS: tuple[Split, ...] = ("", "train", "validation", "test")


class Ledger:
    """One entry for each input row, in arrays (about 40 bytes a row); a record's `id` is its entry.

    A row is kept until it is marked; a row that has left cannot be marked again.
    """

    def __init__(self) -> None:
        self._source, self._row, self._line = array("i"), array("q"), array("q")
        self._fate, self._split, self._of = array("b"), array("b"), array("q")
        self._reason, self._lost = array("i"), array("q")
        self._sources: list[str] = []
        self._reasons: dict[str, int] = {"": 0}
        self.changes: dict[str, Counter[str]] = {}
        """What steps did to rows that stayed: {step: {what: how often}}."""

    def __len__(self) -> int:
        return len(self._row)

    def add(self, table: Table, split: Split = "") -> list[Record]:
        """Enter all rows of a table, malformed ones too; returns the good ones as records."""
        self._sources.append(table.source)
        bad = {item.row: item for item in table.bad}
        records, rows = [], iter(table.rows)
        for number in range(1, len(table.rows) + len(bad) + 1):
            if number in bad:
                item = bad[number]
                self._enter(number, item.line, "malformed", split, f"{item.reason}: {item.excerpt}")
                continue
            line, cells = next(rows)
            records.append(Record(len(self), table.source, number, line, cells))
            self._enter(number, line, "kept", split, "")
        return records

    def _enter(self, row: int, line: int, fate: Fate, split: Split, reason: str) -> None:
        self._source.append(len(self._sources) - 1)
        self._row.append(row)
        self._line.append(line)
        self._fate.append(_FATES.index(fate))
        self._split.append(_SPLITS.index(split))
        self._of.append(-1)
        self._reason.append(self._reason_number(reason))
        self._lost.append(0)

    def _reason_number(self, reason: str) -> int:
        return self._reasons.setdefault(reason, len(self._reasons))

    def mark(self, id: int, fate: Fate, reason: str = "", of: int | None = None) -> None:
        """A kept row leaves: as a duplicate of the row with the id `of`, or dropped for a reason."""
        assert self.fate(id) == "kept", f"row {id} has left already: {self.fate(id)}"
        assert fate in {"duplicate", "dropped"}, f"a row cannot be marked {fate}"
        assert (of is not None) == (fate == "duplicate"), "a duplicate, and only a duplicate, is of a row"
        assert reason or of is not None, "a dropped row needs a reason"
        assert of is None or (of != id and 0 <= of < len(self)), "a duplicate is of another row"
        self._fate[id] = _FATES.index(fate)
        self._reason[id] = self._reason_number(reason)
        self._of[id] = -1 if of is None else of

    def place(self, records: Iterable[Record], split: Split) -> None:
        """Put kept rows into train, validation or test; each row once."""
        for record in records:
            assert self.fate(record.id) == "kept", f"row {record.id} has left already"
            assert not self._split[record.id], f"row {record.id} is in a split already"
            self._split[record.id] = _SPLITS.index(split)

    def truncated(self, id: int, tokens_lost: int) -> None:
        """A row whose text is cut to fit; the count of tokens that the model does not see."""
        assert tokens_lost > 0, "a truncated row loses tokens"
        self._lost[id] = tokens_lost

    def changed(self, step: str, what: str, times: int = 1) -> None:
        """A step altered rows that stay (cleaned, repeated, weighted)."""
        self.changes.setdefault(step, Counter())[what] += times

    def fate(self, id: int) -> Fate:
        """What became of a row."""
        return _FATES[self._fate[id]]

    def split(self, id: int) -> Split:
        """Where a row went."""
        return _SPLITS[self._split[id]]

    def counts(self) -> dict[str, int]:
        """Rows by fate: train, validation, test, unplaced (kept, not split), duplicate, dropped, malformed.

        They add up to the number of input rows.
        """
        pairs = Counter(zip(self._fate, self._split, strict=True))
        kept: dict[str, int] = {split or "unplaced": pairs[0, number] for number, split in enumerate(_SPLITS)}
        left: dict[str, int] = {
            fate: sum(pairs[i, j] for j in range(len(_SPLITS))) for i, fate in enumerate(_FATES) if fate != "kept"
        }
        counts = kept | left
        assert sum(counts.values()) == len(self), "the ledger does not add up"
        return counts

    def summary(self) -> dict[str, Any]:
        """The ledger in short, for data.json."""
        names = list(self._reasons)
        reasons = Counter(r for fate, r in zip(self._fate, self._reason, strict=True) if fate)
        cut = [lost for lost in self._lost if lost]
        return {
            "rows": len(self),
            "fates": self.counts(),
            "sources": dict(zip(self._sources, self._by_source(), strict=True)),
            "reasons": {names[r]: n for r, n in reasons.most_common(50) if names[r]},
            "truncated": {"rows": len(cut), "tokens_lost": sum(cut)},
            "changes": {step: dict(what) for step, what in self.changes.items()},
        }

    def _by_source(self) -> list[int]:
        counts = Counter(self._source)
        return [counts[i] for i in range(len(self._sources))]

    def to_parquet(self, path: Path) -> None:
        """Write one line per input row, durably."""
        import pyarrow.parquet as pq

        with replacing(path) as temporary:
            pq.write_table(self._arrow(), temporary)

    def _arrow(self) -> "pa.Table":
        """source, row, line, fate, split, of_source, of_row, reason, tokens_lost; of_* are null but for duplicates."""
        import numpy as np
        import pyarrow as pa

        def words(numbers: Any, names: Iterable[str]) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(names), pa.string()))

        source, row, of = (np.array(a, dtype=np.int64) for a in (self._source, self._row, self._of))
        none = of < 0
        columns = {
            "source": words(source, self._sources),
            "row": pa.array(row),
            "line": pa.array(np.array(self._line, dtype=np.int64)),
            "fate": words(np.array(self._fate), _FATES),
            "split": words(np.array(self._split), _SPLITS),
            "of_source": words(np.ma.masked_array(source[of] if len(of) else of, none), self._sources),
            "of_row": pa.array(np.ma.masked_array(row[of] if len(of) else of, none), pa.int64()),
            "reason": words(np.array(self._reason), self._reasons),
            "tokens_lost": pa.array(np.array(self._lost, dtype=np.int64)),
        }
        return pa.table(columns)
