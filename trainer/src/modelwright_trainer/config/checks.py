"""What must hold of the data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .fields import Fields, refuse
from .task import Task

if TYPE_CHECKING:
    from decimal import Decimal


class ColumnType(StrEnum):
    """What the values of a column are."""

    NUMBER = "Number"
    INTEGER = "Integer"
    TEXT = "Text"


@dataclass(frozen=True)
class ColumnCheck:
    """What must hold of one column."""

    name: str
    type: ColumnType | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    allowed: tuple[str, ...] = ()
    max_missing_fraction: Decimal | None = None


@dataclass(frozen=True)
class Checks:
    """What must hold of the data; `None` is not checked."""

    min_rows: int | None = None
    max_rows: int | None = None
    max_missing_fraction: Decimal | None = None
    max_duplicate_fraction: Decimal | None = None
    min_class_fraction: Decimal | None = None
    columns: tuple[ColumnCheck, ...] = ()


def parse_checks(fields: Fields, task: Task) -> Checks:
    """Read what must hold of the data."""
    checks = Checks(
        min_rows=fields.count("minRows"),
        max_rows=fields.count("maxRows"),
        max_missing_fraction=fields.share("maxMissingFraction"),
        max_duplicate_fraction=fields.share("maxDuplicateFraction"),
        min_class_fraction=fields.share("minClassFraction"),
        columns=tuple(_parse_column_check(one) for one in fields.objects("columns")),
    )
    fields.end()
    if checks.min_class_fraction is not None and task is Task.REGRESSION:
        refuse("checks.minClassFraction", str(checks.min_class_fraction), "is for a Classification; take it away")
    return checks


def _parse_column_check(fields: Fields) -> ColumnCheck:
    check = ColumnCheck(
        name=fields.text("name"),
        type=fields.find_word("type", ColumnType),
        min=fields.decimal("min"),
        max=fields.decimal("max"),
        allowed=fields.texts("allowed"),
        max_missing_fraction=fields.share("maxMissingFraction"),
    )
    fields.end()
    return check
