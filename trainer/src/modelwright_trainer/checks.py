"""In go a table and its checks; out comes nothing, or one error that tells all that failed.

Values are judged as they are written, and not as the FP32 that the model takes.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import ColumnCheck, ColumnType, Run, Task
from .failure import Reason, RunError, did_you_mean, listed
from .table import Column, Table
from .tensors import Tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .table import Mask


def check_table(table: Table | Tensors, run: Run) -> None:
    """Refuse a table that fails a check, with all that it fails."""
    failed = [*_check_rows(table, run), *_check_columns(table, run)]
    if failed:
        count = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        raise RunError(Reason.CHECKS_FAILED, f"the data fails {count}: " + "; ".join(failed))


def _check_rows(table: Table | Tensors, run: Run) -> Iterator[str]:
    checks = run.checks
    if checks.min_rows is not None and table.rows < checks.min_rows:
        yield f"checks.minRows is {checks.min_rows}, and there are {table.rows} rows"
    if checks.max_rows is not None and table.rows > checks.max_rows:
        yield f"checks.maxRows is {checks.max_rows}, and there are {table.rows} rows"
    if checks.max_missing_fraction is not None:
        for column in table.columns:
            yield from _check_missing(table, column.name, column.missing, checks.max_missing_fraction, "checks")
    if checks.max_duplicate_fraction is not None:
        repeated = find_repeated(table)
        if _share(repeated) > checks.max_duplicate_fraction:
            yield (
                f"checks.maxDuplicateFraction is {checks.max_duplicate_fraction}, and {_amount(repeated)} repeat an "
                f"earlier row, in {table.places(repeated)}"
            )
    if checks.min_class_fraction is not None and run.task is Task.CLASSIFICATION:
        labels, counts = np.unique(table.labels[~table.unlabelled], return_counts=True)
        for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
            if Decimal(count) / table.rows < checks.min_class_fraction:
                yield (
                    f"checks.minClassFraction is {checks.min_class_fraction}, and label {label!r} has {count} of "
                    f"{table.rows} rows ({count / table.rows:.4g})"
                )


def _check_columns(table: Table | Tensors, run: Run) -> Iterator[str]:
    known = {column.name: column for column in table.columns}
    label = _label_column(table, run)
    for index, check in enumerate(run.checks.columns):
        path = f"checks.columns[{index}]"
        column = label if check.name == run.data.label else known.get(check.name)
        if column is None:
            yield f"{path}.name is {check.name!r}, and there is no such column{did_you_mean(check.name, known)}"
            continue
        missing = table.unlabelled if column is label else column.missing
        if check.max_missing_fraction is not None:
            yield from _check_missing(table, check.name, missing, check.max_missing_fraction, path)
        yield from _check_type(table, column, check, missing, path)
        yield from _check_values(table, column, check, missing, path)


def _label_column(table: Table | Tensors, run: Run) -> Column:
    return Column(run.data.label, table.labels)


def _check_missing(table: Table | Tensors, name: str, missing: Mask, most: Decimal, path: str) -> Iterator[str]:
    if _share(missing) > most:
        yield (
            f"{path}.maxMissingFraction is {most}, and column {name!r} misses {_amount(missing)}, in "
            f"{table.places(missing)}"
        )


def _check_type(table: Table | Tensors, column: Column, check: ColumnCheck, missing: Mask, path: str) -> Iterator[str]:
    if check.type is None:
        return
    if check.type is ColumnType.TEXT:
        if not column.is_text:
            yield f"{path}.type is Text, and column {check.name!r} holds numbers"
        return
    if column.is_text:
        wrong = ~missing & ~np.array([_is_number(value) for value in column.values], dtype=bool)
    elif check.type is ColumnType.INTEGER:
        wrong = ~missing & (np.floor(column.as_written) != column.as_written)
    else:
        return
    if wrong.any():
        first = column.as_written[np.flatnonzero(wrong)[0]]
        yield (
            f"{path}.type is {check.type}, and column {check.name!r} holds {wrong.sum()} other values, such as "
            f"{_shown(first)}, in {table.places(wrong)}"
        )


def _check_values(
    table: Table | Tensors, column: Column, check: ColumnCheck, missing: Mask, path: str
) -> Iterator[str]:
    if (check.min is not None or check.max is not None) and column.is_text:
        if check.type is None or check.type is ColumnType.TEXT:
            yield f"{path} has bounds, and column {check.name!r} is text: a text has no bounds"
    else:
        numbers = column.as_written
        low, high = _as_bound(check.min, numbers, ROUND_CEILING), _as_bound(check.max, numbers, ROUND_FLOOR)
        for name, bound, wrong in (
            ("min", check.min, None if low is None else ~missing & (numbers < low)),
            ("max", check.max, None if high is None else ~missing & (numbers > high)),
        ):
            if wrong is not None and wrong.any():
                extreme = numbers[wrong].min() if name == "min" else numbers[wrong].max()
                side = "below" if name == "min" else "above"
                yield (
                    f"{path}.{name} is {bound}, and column {check.name!r} has {wrong.sum()} values {side}, as far as "
                    f"{_shown(extreme)}, in {table.places(wrong)}"
                )
    if check.allowed:
        yield from _check_allowed(table, column, check, missing, path)


def _as_bound(bound: Decimal | None, numbers: NDArray[Any], rounding: str) -> Any:
    """Return a bound for numbers: rounded as they are, so that 0.1 is not below 0.1; for integers the next inside."""
    if bound is None:
        return None
    if numbers.dtype.kind in "iu":
        limits = np.iinfo(numbers.dtype)
        return max(limits.min - 1, min(limits.max + 1, int(bound.to_integral_value(rounding))))
    return numbers.dtype.type(bound)


def _check_allowed(
    table: Table | Tensors, column: Column, check: ColumnCheck, missing: Mask, path: str
) -> Iterator[str]:
    if column.is_text:
        allowed: list[Any] = list(check.allowed)
    else:
        allowed = _as_allowed(check.allowed, column.as_written.dtype)
    wrong = ~missing & ~np.isin(column.as_written, np.array(allowed, dtype=column.as_written.dtype))
    if wrong.any():
        found = sorted(set(column.as_written[wrong].tolist()))
        yield (
            f"{path}.allowed is {listed(check.allowed)}, and column {check.name!r} has {wrong.sum()} other values, "
            f"{listed([_shown(one) for one in found], 5)}, in {table.places(wrong)}"
        )


def _as_allowed(words: tuple[str, ...], kind: np.dtype[Any]) -> list[Any]:
    numbers = [Decimal(word.strip()) for word in words if _is_number(word)]
    if kind.kind not in "iu":
        return [kind.type(number) for number in numbers]
    limits = np.iinfo(kind)
    return [int(one) for one in numbers if one == one.to_integral_value() and limits.min <= one <= limits.max]


def find_repeated(table: Table | Tensors) -> Mask:
    """Return which rows are equal to an earlier one, label included."""
    if isinstance(table, Tensors):
        return _find_repeated_tensors(table)
    codes = [np.unique(column.as_written, return_inverse=True)[1] for column in table.columns]
    codes.append(np.unique(table.labels, return_inverse=True)[1])
    rows = np.column_stack(codes).astype(np.int32)
    _, first = np.unique(rows, axis=0, return_index=True)
    repeated = np.ones(table.rows, dtype=bool)
    repeated[first] = False
    return repeated


def _find_repeated_tensors(tensors: Tensors) -> Mask:
    seen: set[bytes] = set()
    repeated = np.zeros(tensors.rows, dtype=bool)
    for row in range(tensors.rows):
        digest = blake2b(str(tensors.labels[row]).encode(), digest_size=16)
        for values in tensors.arrays.values():
            digest.update(np.ascontiguousarray(values[row]).tobytes())
        repeated[row] = digest.digest() in seen
        seen.add(digest.digest())
    return repeated


def _is_number(value: str) -> bool:
    try:
        return Decimal(value.strip()).is_finite()
    except InvalidOperation:
        return False


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int | np.integer):
        return str(value)
    return f"{value:.7g}" if isinstance(value, np.float32) else f"{value:.15g}"


def _share(rows: Mask) -> Decimal:
    return Decimal(int(rows.sum())) / len(rows)


def _amount(rows: Mask) -> str:
    return f"{rows.sum()} of {len(rows)} rows ({float(rows.mean()):.4g})"
