"""In goes a table, out come the texts of one column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.material import Kind
from modelwright_trainer.tensors import Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_trainer.config import Run
    from modelwright_trainer.table import Table


def find_text_column(names: Sequence[str], run: Run) -> str:
    """Return the column of text: the one that is named, or the only one besides the label."""
    others = [name for name in names if name != run.data.label]
    asked = run.data.text.column if run.data.text else None
    if asked is not None:
        if asked not in others:
            message = (
                f"data.text.column is {asked!r}, and there is no such column among {listed(others)}"
                f"{did_you_mean(asked, others)}"
            )
            raise RunError(Reason.NO_FEATURES, message)
        return asked
    if len(others) != 1:
        message = f"there are {len(others)} columns besides the label, {listed(others)}: give data.text.column"
        raise RunError(Reason.NO_FEATURES, message)
    return others[0]


def arrange_text(table: Table, run: Run) -> Tensors:
    """Take the texts; a missing one is empty."""
    name = find_text_column([column.name for column in table.columns], run)
    column = next(one for one in table.columns if one.name == name)
    if not column.is_text:
        message = f"data.text.column {name!r} holds numbers: write it as text, or leave data.text away"
        raise RunError(Reason.UNSUPPORTED_COLUMN, message)
    others = [one.name for one in table.columns if one.name != name]
    notes = (f"data.text takes column {name!r} only; not learned from: {listed(others)}",) if others else ()
    arrays = {"text": column.values.reshape(-1, 1)}
    return Tensors(
        Kind.TEXT,
        arrays,
        table.labels,
        table.unlabelled,
        table.files,
        (name,),
        tests=table.tests,
        notes=(*table.notes, *notes),
    )
