"""What tasks share whose rows are files: which column holds their paths, and settings that are for texts alone."""

from collections.abc import Collection, Sequence
from typing import Any

from tunesmith.data.names import plain
from tunesmith.data.table import Table
from tunesmith.errors import TunesmithError


def infer_path(columns: Sequence[str], table: Table, names: Collection[str], setting: str, what: str) -> str:
    """The column of paths, where one alone has such a name."""
    named = [c for c in columns if plain(c) in names]
    if len(named) != 1:
        raise TunesmithError(
            f"{table.source}: cannot tell which column holds paths of {what}. Name it: task: {{{setting}: COLUMN}}. "
            f"Columns: {', '.join(table.columns)}"
        )
    return named[0]


def require_free(table: Table, column: str) -> None:
    """Refuse a table that has a column of the name that a step is going to add."""
    if column in table.columns:
        raise TunesmithError(f"{table.source}: a column is named '{column}', as ours will be. Rename it")


def objection(task: Any, plan: Any, step: str, what: str) -> str | None:
    """Why settings of that plan cannot go with files that a step must open."""
    if step not in [each.name for each in plan.steps]:
        return f"{what} are opened by the step {step}. Write steps: [{step}, dedup]"
    if task.pool == "mean":
        return f"pool: mean is for texts; the head of a network for {what} reads what its trunk pools. Remove it"
    text_alone = {
        "base.layers": plan.base.layers, "base.quant": plan.base.quant, "train.neftune": plan.train.neftune,
    }  # fmt: skip
    if odd := [path for path, value in text_alone.items() if value is not None]:
        return f"{odd[0]} is for bases that read text. Remove it"
    if plan.train.checkpointing == "on":
        return "train.checkpointing: on is for bases that read text. A smaller train.micro_tokens saves memory, too"
    return None
