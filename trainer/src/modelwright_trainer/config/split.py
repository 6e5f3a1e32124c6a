"""How rows are parted."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from .fields import Fields, refuse

if TYPE_CHECKING:
    from .data import RunData

SEED_LIMIT: Final = 2**32


class By(StrEnum):
    """What decides which part a row belongs to."""

    RANDOM = "Random"
    TIME = "Time"
    """The order of the rows: the first train, the last test."""


@dataclass(frozen=True)
class Split:
    """How rows are parted."""

    validation: Decimal
    test: Decimal
    """0 with a test set of one's own."""
    seed: int
    stratify: bool
    by: By = By.RANDOM


def parse_split(fields: Fields, data: RunData) -> Split:
    """Read how rows are parted."""
    by = fields.find_word("by", By)
    validation, test, seed = fields.share("validation"), fields.share("test"), fields.count("seed")
    stratify: bool = fields.take("stratify", bool, "true or false")
    fields.end()
    if data.test is not None:
        if test:
            refuse("split.test", str(test), "must not be given beside data.test, which is the test part")
        test = Decimal(0)
    elif not test:
        refuse("split.test", None if test is None else str(test), "must be a share above 0, such as '0.2'")
    if not validation:
        shown = None if validation is None else str(validation)
        refuse("split.validation", shown, "must be a share above 0, such as '0.2'")
    if seed is None or seed >= SEED_LIMIT:
        refuse("split.seed", seed, f"must be a whole number below {SEED_LIMIT}")
    if validation is None or test is None or validation + test >= 1:
        refuse("split", f"{validation} + {test}", "must leave rows to train: validation and test together below 1")
    if data.window is not None and by is By.RANDOM:
        refuse("split.by", str(by), "must be Time with data.window: what comes later must not be learned from")
    chosen = By.TIME if data.window is not None else by or By.RANDOM
    if chosen is By.TIME and stratify:
        refuse("split.stratify", value=True, expected="must be false where rows are parted by Time")
    return Split(validation, test, seed, stratify, chosen)
