"""The split: every row is in one part, by seed, and stratified if asked."""

from __future__ import annotations

from decimal import Decimal
from itertools import chain

import numpy as np
import pytest
from modelwright_trainer.config import Split
from modelwright_trainer.split import find_uneven, split_rows


def split(
    labels: list[int], validation: str = "0.2", test: str = "0.3", *, seed: int = 1, stratify: bool = True
) -> list[list[int]]:
    parts = split_rows(np.array(labels), Split(Decimal(validation), Decimal(test), seed, stratify))
    return [parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()]


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize(
    ("rows", "validation", "test"), [(10, "0.1", "0.2"), (150, "0.2", "0.2"), (997, "0.05", "0.3")]
)
def test_every_row_is_in_one_part_of_the_right_size(rows: int, validation: str, test: str, *, stratify: bool) -> None:
    labels = [index % 2 for index in range(rows)]
    parts = split(labels, validation, test, stratify=stratify)
    assert sorted(chain.from_iterable(parts)) == list(range(rows))
    wanted = [max(2 if stratify else 1, round(rows * float(share))) for share in (validation, test)]
    assert [len(part) for part in parts[1:]] == wanted


def test_the_seed_decides() -> None:
    labels = [index % 3 for index in range(90)]
    assert split(labels, seed=5) == split(labels, seed=5)
    assert split(labels, seed=5) != split(labels, seed=6)


@pytest.mark.parametrize("seed", range(20))
def test_a_stratified_part_has_labels_in_their_shares(seed: int) -> None:
    counts = [3, 4, 7, 90, 396]
    labels = np.repeat(np.arange(5), counts)
    parts = split(labels.tolist(), seed=seed)
    assert [len(part) for part in parts] == [250, 100, 150]
    for part, share in zip(parts, (0.5, 0.2, 0.3), strict=True):
        found = np.bincount(labels[part], minlength=5)
        assert found.min() >= 1
        assert np.abs(found - np.array(counts) * share).max() <= 2


@pytest.mark.parametrize(
    ("counts", "shares", "told"),
    [
        (
            [3, 50, 50],
            ("0.1", "0.2"),
            ["0 has 3 rows, of which 1 train, 1 validate and 1 test (shares of 2.1, 0.3, 0.6)"],
        ),
        ([4] * 10, ("0.05", "0.05"), ["0 has 4 rows", "1 has 4 rows", "2 has 4 rows", "and 7 more labels"]),
        ([50, 50], ("0.1", "0.2"), []),
        ([33, 41, 26], ("0.15", "0.15"), []),
    ],
)
def test_shares_that_cannot_be_kept_are_told_with_the_label_and_its_rows(
    counts: list[int], shares: tuple[str, str], told: list[str]
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    asked = Split(Decimal(shares[0]), Decimal(shares[1]), 1, stratify=True)
    words = find_uneven(labels, asked, split_rows(labels, asked)) or ""
    assert bool(words) == bool(told)
    for part in told:
        assert part in words, words
    assert len(words) < 600
    free = Split(Decimal(shares[0]), Decimal(shares[1]), 1, stratify=False)
    assert find_uneven(labels, free, split_rows(labels, free)) is None
