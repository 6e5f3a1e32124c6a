"""In go CSV files, out come columns: numbers where every value is one, else text.

What is broken is named by file and line.
"""

from __future__ import annotations

import csv
import io
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from modelwright_trainer.failure import Reason, RunError, listed
from modelwright_trainer.table import places

from .raw import MISSING, Raw, find_unnamed, is_beyond_exact

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST_VALUE: Final = 2**30
NO_NAME: Final = "the first, which has no name"
ZEROS: Final = r"^\s*[+-]?0[0-9]"
BLANK: Final = 2**16
"""Bytes at the end of a file that may be empty lines."""
BLOCK: Final = 2**24
"""Bytes that are read at once; no row may be longer."""


def read_csv(files: list[Path], texts: frozenset[str], named: frozenset[str] = frozenset()) -> Raw:
    """Read files with the same columns; those named in `texts` stay text whatever they look like.

    First columns without a name are an index and left out, but for those that are `named`.
    """
    tables: list[pa.Table] = []
    left_out: dict[str, None] = {}
    for path in files:
        table = _read_file(path)
        index = [name for name in find_unnamed(table.column_names) if name not in named]
        left_out |= dict.fromkeys(name if name.strip() else NO_NAME for name in index)
        table = table.drop_columns(index)
        if tables and sorted(table.column_names) != sorted(tables[0].column_names):
            message = (
                f"{path.name} has the columns {listed(table.column_names)}, but {files[0].name} has "
                f"{listed(tables[0].column_names)}"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        tables.append(table.select(tables[0].column_names) if tables else table)
    origin = tuple((path.name, table.num_rows) for path, table in zip(files, tables, strict=True))
    whole = pa.concat_tables(tables)
    columns: dict[str, NDArray[Any]] = {}
    hints: dict[str, str] = {}
    exact: dict[str, NDArray[Any]] = {}
    zeros: dict[str, str] = {}
    for name in whole.column_names:
        text = whole.column(name)
        numbers = None if name in texts else _as_numbers(text)
        if numbers is not None:
            columns[name] = numbers
            if padded := _find_zeros(text, numbers, origin):
                zeros[name] = padded
            if is_beyond_exact(numbers):
                _keep_exact(name, text, columns, exact)
            continue
        columns[name] = text.to_numpy()
        if name not in texts:
            hint = _describe(columns[name], origin)
            if hint:
                hints[name] = hint
    return Raw(columns, origin, hints, exact, tuple(left_out), zeros=zeros)


def read_csv_bytes(content: bytes, name: str, texts: frozenset[str]) -> Raw:
    """Read a small table that lies in an archive."""
    try:
        names, *rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(name, str(error)) from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise _unreadable(name, f"row {number} has {len(row)} values for {len(names)} columns")
    origin = ((name, len(rows)),)
    columns: dict[str, NDArray[Any]] = {}
    zeros: dict[str, str] = {}
    for index, column in enumerate(names):
        values = [row[index] for row in rows]
        text = pa.chunked_array([pa.array(values, pa.large_string())])
        numbers = None if column in texts else _as_numbers(text)
        columns[column] = np.array(values, dtype=object) if numbers is None else numbers
        if numbers is not None and (padded := _find_zeros(text, numbers, origin)):
            zeros[column] = padded
    return Raw(columns, origin, zeros=zeros)


def _read_file(path: Path) -> pa.Table:
    names = read_names(path)
    broken: list[Any] = []

    def count(row: Any) -> str:
        broken.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            str(path),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=names, skip_rows_after_names=1
            ),
            # Where there is one column, an empty line is a row without a value.
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=count, ignore_empty_lines=len(names) > 1
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        _refuse_bytes(path)
        raise _unreadable(path, str(error)) from error
    if broken:
        _refuse_rows(path, len(names), len(broken))
    if _count_quotes(path) % 2:
        _refuse_quotes(path)
    return table if len(names) > 1 else table.slice(0, max(table.num_rows - _count_blank(path), 0))


def read_names(path: Path) -> list[str]:
    """Return the first line's names; each must be there once."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except UnicodeDecodeError:
        _refuse_bytes(path)
        raise
    except csv.Error as error:
        raise _unreadable(path, f"line 1: {error}") from error
    if not names:
        raise RunError(Reason.NO_ROWS, f"{path.name} is empty; expected a line of names and rows of data")
    unnamed = len(list(takewhile(lambda name: not name.strip(), names)))
    # Distinct, and nothing that a person calls a column.
    names[:unnamed] = [" " * (index + 1) for index in range(unnamed)]
    for index, name in enumerate(names):
        if index >= unnamed and not name.strip():
            raise _unreadable(path, f"line 1: column {index + 1} has no name")
        if name in names[:index]:
            raise _unreadable(path, f"line 1: two columns have the name {name!r}")
    return names


def _as_numbers(text: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Return a column's numbers, NaN where one is missing, or `None` if it holds anything else."""
    try:
        numbers = pc.cast(_without_missing(text), pa.float64())
    except pa.ArrowInvalid:
        return None
    found: NDArray[np.float64] = np.asarray(numbers.to_numpy(), dtype=np.float64)
    return found


def _without_missing(text: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(text)
    missing = pc.is_in(trimmed, value_set=pa.array(["", *MISSING], pa.large_string()))
    return pc.if_else(missing, pa.scalar(None, pa.large_string()), trimmed)


def _keep_exact(
    name: str, text: pa.ChunkedArray, columns: dict[str, NDArray[Any]], exact: dict[str, NDArray[Any]]
) -> None:
    """Keep integers that FP64 does not hold as they are written."""
    for kind in (pa.int64(), pa.uint64()):
        try:
            whole = pc.cast(_without_missing(text), kind)
        except pa.ArrowInvalid:
            continue
        if whole.null_count:
            exact[name] = whole.drop_null().to_numpy()
        else:
            columns[name] = whole.to_numpy()
        return


def _find_zeros(text: pa.ChunkedArray, numbers: NDArray[np.float64], origin: tuple[tuple[str, int], ...]) -> str:
    """Say how many numbers are written with a zero before them, which no number keeps, or nothing."""
    found = np.flatnonzero(pc.match_substring_regex(text, ZEROS).to_numpy(zero_copy_only=False))
    if not len(found):
        return ""
    first = text[int(found[0])].as_py().strip()
    return (
        f"{len(found)} of its values begin with 0, such as {first!r:.40} in {places(found[:1], origin)}: the model "
        f"answers {numbers[found[0]]:.15g}"
    )


def _is_number(value: str) -> bool:
    return _as_numbers(pa.chunked_array([pa.array([value], pa.large_string())])) is not None


def _describe(values: NDArray[Any], origin: tuple[tuple[str, int], ...]) -> str:
    """Say what keeps a column from being numbers, if most of it is."""
    broken = np.array([not _is_number(value) for value in values[:10_000]], dtype=bool)
    if broken.mean() >= 1 / 2:
        return ""
    first = np.flatnonzero(broken)
    if not first.size:
        return ""
    shown = str(values[first[0]])[:40]
    where = places(first[:1], origin)
    return f"{broken.sum()} of its first {len(broken)} values are no numbers, such as {shown!r} in {where}"


def _unreadable(path: Path | str, words: str) -> RunError:
    name = path if isinstance(path, str) else path.name
    return RunError(Reason.UNREADABLE_DATA, f"{name}: {words}; expected comma-separated values (RFC 4180) in UTF-8")


def _refuse_bytes(path: Path) -> None:
    """Name the first line that is no text: not UTF-8, or with a byte 0, which no text has."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                words = f"line {number}, byte {error.start + 1} is not UTF-8"
                raise _unreadable(path, words) from error
            if b"\0" in line:
                words = f"line {number}, byte {line.index(0) + 1} is 0, so this is no text"
                raise _unreadable(path, words)


def _refuse_rows(path: Path, expected: int, count: int) -> NoReturn:
    """Name the first row with another number of values."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        line = 1
        for row in reader:
            if row and len(row) != expected:
                words = f"line {line} has {len(row)} values for {expected} columns ({count} such rows)"
                raise _unreadable(path, words)
            line = reader.line_num + 1
    raise _unreadable(path, f"{count} rows have more or fewer than {expected} values")


def _count_quotes(path: Path) -> int:
    """Count quotes: in a file where all that are opened are closed, their number is even."""
    with path.open("rb") as file:
        return sum(block.count(b'"') for block in iter(lambda: file.read(BLOCK), b""))


def _count_blank(path: Path) -> int:
    """Count the empty lines at the end, which are no rows."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, BLANK), io.SEEK_END)
        tail = file.read()
    return max(len(tail[len(tail.rstrip(b"\r\n")) :].splitlines()) - 1, 0)


def _refuse_quotes(path: Path) -> None:
    """Name the line where a quoted value begins that never ends."""
    csv.field_size_limit(LONGEST_VALUE)
    with io.TextIOWrapper(path.open("rb"), encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            raise _unreadable(path, f"line {line}: {error}") from error
