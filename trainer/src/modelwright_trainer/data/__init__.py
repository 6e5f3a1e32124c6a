"""In goes the description of the data, out come its rows, or what is wrong with the files and where."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from modelwright_trainer.config import By, ColumnType, DataFormat, Run
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.table import Table

from .csv import read_csv, read_names
from .images import read_image_array, read_images
from .names import refuse_no_text
from .npz import read_npz
from .parquet import read_parquet
from .raw import find_unnamed
from .sequences import arrange_sequences, read_sequence_array, read_sequence_lists
from .table import build_table
from .text import arrange_text, find_text_column
from .window import arrange_windows

if TYPE_CHECKING:
    from modelwright_trainer.tensors import Tensors

    from .raw import Raw


def read_data(run: Run) -> Table | Tensors:
    """Read all files, those of a test set of one's own last. What has columns is a table, as it is written."""
    data = run.data
    files = [find_files(Path(data.directory), data.format, "data.directory")]
    if data.test is not None:
        files.append(find_files(Path(data.test), data.format, "data.test.directory"))
    if run.split.by is By.TIME or data.window is not None:
        for of_part in files:
            _refuse_unclear_order(of_part)
    if data.images is not None:
        read = read_images if data.format is DataFormat.IMAGES else read_image_array
        return read(files, run)
    if data.sequences is not None and data.sequences.id is None:
        read = read_sequence_array if data.format is DataFormat.NPZ else read_sequence_lists
        return read(files, run)
    return build_table(read_columns(files, run), run)


def arrange(source: Table | Tensors, run: Run) -> Table | Tensors:
    """Make texts, windows and sequences of a table that was checked."""
    if not isinstance(source, Table) or run.data.is_table:
        return source
    if run.data.text is not None:
        return arrange_text(source, run)
    return arrange_sequences(source, run) if run.data.sequences is not None else arrange_windows(source, run)


def read_columns(files: list[list[Path]], run: Run) -> Raw:
    """Read what has columns."""
    if run.data.format is DataFormat.NPZ:
        return read_npz(files, run.data.label)
    every = [path for part in files for path in part]
    own = len(files[0])
    texts = {check.name for check in run.checks.columns if check.type is ColumnType.TEXT}
    if run.data.format is DataFormat.CSV:
        if run.data.text is not None:
            names = read_names(files[0][0])
            index = [name for name in find_unnamed(names) if name not in _named(run)]
            texts.add(find_text_column([name for name in names if name not in index], run))
        raw = read_csv(every, frozenset(texts), _named(run))
    else:
        raw = read_parquet(every, _named(run))
    if len(every) == own:
        return raw
    named = [*raw.files[:own], *((f"data.test's {name}", rows) for name, rows in raw.files[own:])]
    return replace(raw, files=tuple(named), tests=sum(rows for _, rows in raw.files[own:]))


def _named(run: Run) -> frozenset[str]:
    """Return the columns that the run names: these are data, even where they are an index."""
    steps = (name for step in run.preprocess for name in step.columns)
    text, sequences = run.data.text, run.data.sequences
    more = [text.column if text else None, sequences.id if sequences else None, sequences.order if sequences else None]
    checks = (check.name for check in run.checks.columns)
    return frozenset([run.data.label, *checks, *steps, *(name for name in more if name is not None)])


def find_files(directory: Path, data_format: DataFormat, field: str = "data.directory") -> list[Path]:
    """Return the files of a folder by name; hidden ones and marks such as `_SUCCESS` are no data."""
    if not directory.is_dir():
        raise RunError(Reason.NO_DATA, f"{field} {directory} is not there")
    found = sorted(path for path in directory.rglob("*") if path.is_file() and is_data(path.relative_to(directory)))
    for path in found:
        refuse_no_text(PurePosixPath(path.relative_to(directory)))
    if not found:
        raise RunError(Reason.NO_DATA, f"{field} {directory} holds no file; expected {data_format}")
    return found


def _refuse_unclear_order(files: list[Path]) -> None:
    """Refuse names that say one order by their letters and another by their numbers, where time is in that order."""
    by_number = sorted(files, key=lambda path: _numbered(str(path)))
    for named, numbered in zip(files, by_number, strict=True):
        if named != numbered:
            message = (
                f"rows are taken in time order, and files in that of their names: {named.name} comes before "
                f"{numbered.name} by its letters and behind it by its number; give all numbers as many digits (01, 02)"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)


def _numbered(name: str) -> list[tuple[int, str]]:
    """Return a name in parts, so that 2 comes before 10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def is_data(path: Path) -> bool:
    """Whether a path within a folder of data is none of the hidden files and marks."""
    return not any(part.startswith((".", "_")) for part in path.parts)
