"""Data files in, rows out, nothing lost: read by suffix, ledger, split, overlap."""

from tunesmith.data.record import Cell, Record, Roles

__all__ = ["Cell", "Record", "Roles"]
