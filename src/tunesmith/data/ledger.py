"""The ledger: what became of every input row, so that nothing is lost in silence."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tunesmith import scratch
from tunesmith.data.format import Table
from tunesmith.data.record import Record
from tunesmith.data.rows import Index, TableRecords, ids
from tunesmith.data.stored import Stored
from tunesmith.files import read_json, replacing, write_json

if TYPE_CHECKING:
    import pyarrow as pa

Fate = Literal["kept", "duplicate", "dropped", "malformed"]
Split = Literal["", "train", "validation", "test"]
_FATES: tuple[Fate, ...] = ("kept", "duplicate", "dropped", "malformed")
_SPLITS: tuple[Split, ...] = ("", "train", "validation", "test")
_FIELDS = {
    "source": "i4", "row": "i8", "line": "i8", "fate": "i1", "split": "i1", "of": "i8", "reason": "i4", "lost": "i4",
    "labels_lost": "i4", "pieces": "i4", "made": "i4", "makers": "i4", "copies": "i4",
}  # fmt: skip


class Ledger:
    """One entry for each input row, in arrays (58 bytes a row, in files when many); a record's `id` is its entry.

    A row is kept until it is marked; a row that has left cannot be marked again.
    """

    def __init__(self) -> None:
        self._column = {name: np.empty(0, kind) for name, kind in _FIELDS.items()}
        self._sources: list[str] = []
        self._reasons: dict[str, int] = {"": 0}
        self._makers: dict[str, int] = {"": 0}
        self.changes: dict[str, Counter[str]] = {}
        """What steps did to rows that stayed: {step: {what: how often}}."""
        self.told: dict[str, list[dict[str, Any]]] = {}
        """What steps tell beside counts: {step: rows of a table}."""

    def __len__(self) -> int:
        return len(self._column["row"])

    def add(self, table: Table, split: Split = "", weight: float = 1.0) -> Sequence[Record]:
        """Enter all rows of a table, malformed ones too; returns the good ones as records."""
        self._sources.append(table.source)
        first = len(self)
        good = TableRecords(table.rows, table.source, first, [item.row for item in table.bad], weight)
        self._grow(len(table.rows) + len(table.bad))
        new = {name: column[first:] for name, column in self._column.items()}
        new["source"][:], new["split"][:], new["of"][:] = len(self._sources) - 1, _SPLITS.index(split), -1
        for part in scratch.blocks(len(new["row"])):
            new["row"][part] = np.arange(part.start + 1, part.stop + 1)
        lines = iter(table.rows)
        for part in scratch.blocks(len(good)):
            places = good.numbers(np.arange(part.start, part.stop)) - 1
            new["line"][places] = np.fromiter((next(lines)[0] for _ in places), np.int64, len(places))
        for item in table.bad:
            new["line"][item.row - 1], new["fate"][item.row - 1] = item.line, _FATES.index("malformed")
            new["reason"][item.row - 1] = self._reason_number(f"{item.reason}: {item.excerpt}")
        return good if isinstance(table.rows, Stored) else list(good)

    def _grow(self, more: int) -> None:
        for name, old in self._column.items():
            self._column[name] = new = scratch.room(len(old) + more, old.dtype)
            for part in scratch.blocks(len(old)):
                new[part] = old[part]

    def _reason_number(self, reason: str) -> int:
        return self._reasons.setdefault(reason, len(self._reasons))

    def mark(self, id: int, fate: Fate, reason: str = "", of: int | None = None) -> None:
        """A kept row leaves: as a duplicate of the row with the id `of`, or dropped for a reason."""
        assert self.fate(id) == "kept", f"row {id} has left already: {self.fate(id)}"
        assert fate in {"duplicate", "dropped"}, f"a row cannot be marked {fate}"
        assert (of is not None) == (fate == "duplicate"), "a duplicate, and only a duplicate, is of a row"
        assert reason or of is not None, "a dropped row needs a reason"
        assert of is None or (of != id and 0 <= of < len(self)), "a duplicate is of another row"
        self._column["fate"][id] = _FATES.index(fate)
        self._column["reason"][id] = self._reason_number(reason)
        self._column["of"][id] = -1 if of is None else of

    def place(self, records: Iterable[Record], split: Split) -> None:
        """Put kept rows into train, validation or test; each row once."""
        known = ids(records)
        for part in scratch.blocks(len(known)):
            some = known[part]
            gone, twice = some[self._column["fate"][some] != 0], some[self._column["split"][some] != 0]
            assert not len(gone), f"row {gone[0]} has left already"
            assert not len(twice), f"row {twice[0]} is in a split already"
            self._column["split"][some] = _SPLITS.index(split)

    def truncated(self, id: int, tokens_lost: int, labels_lost: int = 0) -> None:
        """A row whose text is cut to fit; the count of tokens that the model does not see, and of those among them that
        it was to learn."""
        assert tokens_lost > 0, "a truncated row loses tokens"
        self._column["lost"][id], self._column["labels_lost"][id] = tokens_lost, labels_lost

    def cut(self, id: int, pieces: int) -> None:
        """A row that became several, which stand in its split in their order."""
        assert pieces > 1, "a row that is cut becomes several"
        self._column["pieces"][id] = pieces

    def made(self, id: int, step: str) -> None:
        """One more row was made of this one, for training alone."""
        assert self.fate(id) == "kept", f"row {id} has left already: {self.fate(id)}"
        makers = list(self._makers)[int(self._column["makers"][id])].split(", ") if self._column["made"][id] else []
        named = ", ".join([*makers, *([step] if step not in makers else [])])
        self._column["made"][id] += 1
        self._column["makers"][id] = self._makers.setdefault(named, len(self._makers))
        self.changed(step, "rows added")

    def repeated(self, ids: Index) -> None:
        """Rows that stand once more among those learnt from, for each time they are named; so counts what was made of
        them, and pieces they were cut into."""
        for part in scratch.blocks(len(ids)):
            np.add.at(self._column["copies"], ids[part], 1)

    def added(self) -> int:
        """Rows that steps made of others."""
        return sum(int(self._column["made"][part].sum(dtype=np.int64)) for part in scratch.blocks(len(self)))

    def changed(self, step: str, what: str, times: int = 1) -> None:
        """A step altered rows that stay (cleaned, repeated, weighted)."""
        self.changes.setdefault(step, Counter())[what] += times

    def fate(self, id: int) -> Fate:
        """What became of a row."""
        return _FATES[int(self._column["fate"][id])]

    def split(self, id: int) -> Split:
        """Where a row went."""
        return _SPLITS[int(self._column["split"][id])]

    def counts(self) -> dict[str, int]:
        """Rows by fate: train, validation, test, unplaced (kept, not split), duplicate, dropped, malformed.

        They add up to the number of input rows.
        """
        pairs = np.zeros((len(_FATES), len(_SPLITS)), dtype=np.int64)
        for part in scratch.blocks(len(self)):
            np.add.at(pairs, (self._column["fate"][part], self._column["split"][part]), 1)
        kept: dict[str, int] = {split or "unplaced": int(pairs[0, number]) for number, split in enumerate(_SPLITS)}
        left: dict[str, int] = {fate: int(pairs[i].sum()) for i, fate in enumerate(_FATES) if fate != "kept"}
        counts = kept | left
        assert sum(counts.values()) == len(self), "the ledger does not add up"
        return counts

    def summary(self) -> dict[str, Any]:
        """The ledger in short, for data.json."""
        names = list(self._reasons)
        reasons: Counter[int] = Counter()
        rows_cut = tokens_lost = labels_lost = 0
        for part in scratch.blocks(len(self)):
            reasons.update(self._column["reason"][part][self._column["fate"][part] != 0].tolist())
            rows_cut += int(np.count_nonzero(self._column["lost"][part]))
            tokens_lost += int(self._column["lost"][part].sum(dtype=np.int64))
            labels_lost += int(self._column["labels_lost"][part].sum(dtype=np.int64))
        return {
            "rows": len(self),
            "fates": self.counts(),
            "sources": dict(zip(self._sources, self._by_source(), strict=True)),
            "reasons": {names[r]: n for r, n in reasons.most_common(50) if names[r]},
            "truncated": {"rows": rows_cut, "tokens_lost": tokens_lost, "label_tokens_lost": labels_lost},
            "changes": {step: dict(what) for step, what in self.changes.items()},
            "told": self.told,
        }

    def _by_source(self) -> list[int]:
        counts = np.zeros(len(self._sources), dtype=np.int64)
        for part in scratch.blocks(len(self)):
            counts += np.bincount(self._column["source"][part], minlength=len(counts))
        return [int(n) for n in counts]

    def save(self, folder: Path) -> None:
        """Write all of it into a folder, to be read again by `load`."""
        for name, column in self._column.items():
            np.save(folder / f"ledger.{name}.npy", column)
        told = {"sources": self._sources, "reasons": list(self._reasons), "makers": list(self._makers)}
        write_json(folder / "ledger.json", told | {"changes": self.changes, "told": self.told})

    @classmethod
    def load(cls, folder: Path) -> "Ledger":
        """What `save` wrote."""
        found, told = cls(), read_json(folder / "ledger.json")
        found._column = {
            name: scratch.copied(np.load(folder / f"ledger.{name}.npy", mmap_mode="r")) for name in _FIELDS
        }
        found._sources = told["sources"]
        found._reasons, found._makers = ({n: i for i, n in enumerate(told[key])} for key in ("reasons", "makers"))
        found.changes = {step: Counter(what) for step, what in told["changes"].items()}
        found.told = told["told"]
        return found

    def to_parquet(self, path: Path) -> None:
        """Write one line per input row, durably."""
        import pyarrow.parquet as pq

        with replacing(path) as temporary, pq.ParquetWriter(temporary, self._arrow(slice(0)).schema) as writer:
            for part in scratch.blocks(len(self)):
                writer.write_table(self._arrow(part))

    def _arrow(self, part: slice = slice(None)) -> "pa.Table":
        """source, row, line, fate, split, of_source, of_row, reason, tokens_lost, label_tokens_lost, pieces,
        made, made_by, times; of_* are null but for duplicates, pieces is 0 where a row was not cut, made says how many
        rows steps made of it, and times how often it stands: 0 where it left."""
        import pyarrow as pa

        def words(numbers: Any, names: Iterable[str]) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(names), pa.string()))

        column = {name: values[part] for name, values in self._column.items()}
        of, none = column["of"], column["of"] < 0
        columns = {
            "source": words(column["source"], self._sources),
            "row": pa.array(column["row"]),
            "line": pa.array(column["line"]),
            "fate": words(column["fate"], _FATES),
            "split": words(column["split"], _SPLITS),
            "of_source": words(np.ma.masked_array(self._column["source"][of], none), self._sources),
            "of_row": pa.array(np.ma.masked_array(self._column["row"][of], none), pa.int64()),
            "reason": words(column["reason"], self._reasons),
            "tokens_lost": pa.array(column["lost"].astype(np.int64)),
            "label_tokens_lost": pa.array(column["labels_lost"].astype(np.int64)),
            "pieces": pa.array(column["pieces"]),
            "made": pa.array(column["made"]),
            "made_by": words(column["makers"], self._makers),
            "times": pa.array(np.where(column["fate"] == 0, 1 + column["copies"], 0).astype(np.int32)),
        }
        return pa.table(columns)
