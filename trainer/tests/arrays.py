"""Rows that are no rows of a table, for tests: written, read and parted as a run has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from modelwright_trainer.data import arrange, read_data
from modelwright_trainer.split import Parts, split_data
from modelwright_trainer.tensors import Tensors

if TYPE_CHECKING:
    from conftest import Bench


def save(bench: Bench, **arrays: Any) -> Bench:
    np.savez(bench.folder / "data" / "data.npz", **arrays)
    bench.run["data"]["format"] = "NPZ"
    return bench


def rows_of(bench: Bench) -> Tensors:
    run = bench.parse()
    found = arrange(read_data(run), run)
    assert isinstance(found, Tensors)
    return found


def parts_of(bench: Bench) -> tuple[Tensors, Parts]:
    run, data = bench.parse(), rows_of(bench)
    return data, split_data(data, run.split)
