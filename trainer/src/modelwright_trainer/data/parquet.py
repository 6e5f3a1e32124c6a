"""In go Parquet files, out come columns of numbers and text, or the file or column that cannot be read."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.room import Room

from .raw import INDEX_LEVEL, Raw, find_unnamed, is_beyond_exact

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SMALLEST: Final = 4
"""Bytes of a number, as the model takes it."""
BATCH: Final = 128
"""Rows of texts that are looked at together."""


def read_parquet(files: list[Path], named: frozenset[str] = frozenset()) -> Raw:
    """Read files with the same columns. Those that are an index are left out, but for those that are `named`."""
    tables = [_read_file(path) for path in files]
    return _as_raw(files, tables, named)


def read_lists(files: list[Path], label: str) -> tuple[Raw, dict[str, pa.ChunkedArray]]:
    """Read files whose columns hold lists: return the label, and the other columns as they are."""
    tables = [_read_file(path) for path in files]
    for path, table in zip(files, tables, strict=True):
        if label not in table.column_names:
            message = (
                f"data.label is {label!r}, and there is no such column in {path.name} among "
                f"{listed(table.column_names)}{did_you_mean(label, table.column_names)}"
            )
            raise RunError(Reason.NO_LABEL_COLUMN, message)
        if table.schema.remove_metadata() != tables[0].schema.remove_metadata():
            message = f"{path.name} has other columns than {files[0].name}, or columns of other types: write them alike"
            raise RunError(Reason.UNREADABLE_DATA, message)
    raw = _as_raw(files, [table.select([label]) for table in tables], frozenset([label]))
    index = _find_index(tables[0])
    names = [name for name in tables[0].column_names if name != label and name not in index]
    return raw, {
        name: pa.chunked_array(
            [chunk for one in tables for chunk in one.column(name).chunks], tables[0].column(name).type
        )
        for name in names
    }


def _as_raw(files: list[Path], tables: list[pa.Table], named: frozenset[str]) -> Raw:
    left_out = dict.fromkeys(name for table in tables for name in _find_index(table) if name not in named)
    tables = [table.drop_columns([name for name in table.column_names if name in left_out]) for table in tables]
    parts: list[dict[str, pa.ChunkedArray]] = []
    for path, table in zip(files, tables, strict=True):
        columns = {name: _as_plain(path, name, table.column(name)) for name in table.column_names}
        if parts and columns.keys() != parts[0].keys():
            message = (
                f"{path.name} has the columns {listed(list(columns))}, and {files[0].name} has others: "
                f"{listed(list(parts[0]))}"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        parts.append(columns)
    origin = tuple((path.name, table.num_rows) for path, table in zip(files, tables, strict=True))
    whole: dict[str, NDArray[Any]] = {}
    exact: dict[str, NDArray[Any]] = {}
    for name in parts[0] if parts else ():
        _join(name, files, [part[name] for part in parts], whole, exact)
    return Raw(whole, origin, {}, exact, tuple(left_out))


def _read_file(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            _refuse_large(path, file)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        message = f"{path.name} is no Parquet file that can be read: {error}"
        raise RunError(Reason.UNREADABLE_DATA, message) from error
    if len(set(table.column_names)) != len(table.column_names):
        raise RunError(Reason.UNREADABLE_DATA, f"{path.name} has two columns of the same name")
    return table


def _refuse_large(path: Path, file: pq.ParquetFile) -> None:
    """Refuse a file that takes more memory than there is: one value in its dictionary may stand in a million rows."""
    about, room = file.metadata, Room(path.name)
    room.take(max(about.num_rows * len(file.schema_arrow) * SMALLEST, _unpacked(about)))
    texts = [one.name for one in file.schema_arrow if _is_text(one.type)]
    # As much as is sure. Only where texts could be too long are they read twice.
    longest = max((_unpacked(about, name) for name in texts), default=0)
    if about.num_rows * longest * len(texts) > room.most:
        room = Room(path.name)
        for batch in file.iter_batches(BATCH, columns=texts):
            room.take(batch.nbytes, "of text")


def _unpacked(about: pq.FileMetaData, name: str | None = None) -> int:
    """Return the bytes of pages that the file says it has, of all columns or of one."""
    groups = (about.row_group(index) for index in range(about.num_row_groups))
    columns = (group.column(index) for group in groups for index in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in columns if name in (None, one.path_in_schema))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _find_index(table: pa.Table) -> list[str]:
    """Return the columns that are an index: what pandas says so of, and what has the name that it gives to one."""
    told: list[Any] = []
    with contextlib.suppress(ValueError, AttributeError):
        told = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    # A range is told as an object, and is no column.
    words = {one for one in told if isinstance(one, str)} if isinstance(told, list) else set()
    unnamed = find_unnamed(table.column_names)
    return [name for name in table.column_names if name in words or name in unnamed or INDEX_LEVEL.fullmatch(name)]


def _as_plain(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of integers, floats, text or nulls."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = pc.cast(column, kind.value_type)
        kind = column.type
    if pa.types.is_boolean(kind):
        return pc.cast(column, pa.uint8())
    if pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(column, pa.large_string())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return column
    message = f"{path.name}: column {name!r} is of type {kind}; write it as a number or as text, or leave it out"
    raise RunError(Reason.UNSUPPORTED_COLUMN, message)


def _join(
    name: str,
    files: list[Path],
    parts: list[pa.ChunkedArray],
    whole: dict[str, NDArray[Any]],
    exact: dict[str, NDArray[Any]],
) -> None:
    """Join a column's parts. One in which it has no value at all has no type, and takes that of the others."""
    are_text = [pa.types.is_large_string(part.type) for part in parts]
    are_numbers = [not text and not pa.types.is_null(part.type) for text, part in zip(are_text, parts, strict=True)]
    if any(are_text) and any(are_numbers):
        text, numbers = files[are_text.index(True)], files[are_numbers.index(True)]
        message = f"column {name!r} is text in {text.name} and numbers in {numbers.name}: write it alike in all files"
        raise RunError(Reason.UNREADABLE_DATA, message)
    if any(are_text):
        whole[name] = np.concatenate(
            [np.asarray(pc.fill_null(pc.cast(part, pa.large_string()), "").to_numpy(), dtype=object) for part in parts]
        )
        return
    numbers = np.concatenate([_as_numbers(part) for part in parts])
    whole[name] = numbers
    integers = [part for part, is_number in zip(parts, are_numbers, strict=True) if is_number]
    if integers and all(pa.types.is_integer(part.type) for part in integers) and is_beyond_exact(numbers):
        values = np.concatenate([part.drop_null().to_numpy() for part in integers])
        if values.dtype.kind in "iu":
            (whole if len(values) == len(numbers) else exact)[name] = values


def _as_numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        return np.asarray(pc.cast(column, pa.float32()).to_numpy(), dtype=np.float32)
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
