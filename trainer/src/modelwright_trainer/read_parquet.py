"""In go Parquet files, out come columns of numbers and text, or the file or column that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .failure import Reason, RunError, listed
from .raw import Raw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_parquet(files: list[Path]) -> Raw:
    """Read files with the same columns."""
    parts: list[dict[str, NDArray[Any]]] = []
    origin: list[tuple[str, int]] = []
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                table = file.read()
        except (pa.ArrowException, OSError) as error:
            message = f"{path.name} is no Parquet file that can be read: {error}"
            raise RunError(Reason.UNREADABLE_DATA, message) from error
        columns = {name: _as_array(path, name, table.column(index)) for index, name in enumerate(table.column_names)}
        if len(columns) != len(table.column_names):
            raise RunError(Reason.UNREADABLE_DATA, f"{path.name} has two columns of the same name")
        if parts and {name: one.dtype for name, one in columns.items()} != {
            name: one.dtype for name, one in parts[0].items()
        }:
            message = (
                f"{path.name} has the columns {listed(list(columns))}, and {files[0].name} has others, or of other "
                f"types: {listed(list(parts[0]))}"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        parts.append(columns)
        origin.append((path.name, table.num_rows))
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Raw(whole, tuple(origin))


def _as_array(path: Path, name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = pc.cast(column, kind.value_type)
        kind = column.type
    if pa.types.is_null(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        column = pc.cast(pc.cast(column, pa.uint8()) if pa.types.is_boolean(kind) else column, pa.float64())
        kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
        return np.asarray(numbers, dtype=np.float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.asarray(pc.fill_null(column, "").to_numpy(), dtype=object)
    message = f"{path.name}: column {name!r} is of type {kind}; write it as a number or as text, or leave it out"
    raise RunError(Reason.UNSUPPORTED_COLUMN, message)
