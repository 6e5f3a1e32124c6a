"""The split: every row is in one part, by seed, and stratified if asked."""

from __future__ import annotations

from decimal import Decimal
from itertools import chain

import numpy as np
import pytest
from modelwright_trainer.config import Split
from modelwright_trainer.split import split_rows


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
