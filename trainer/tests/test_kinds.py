"""Which rows an algorithm takes: the operator's table is what the trainer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import agrees
from modelwright_trainer.backends import build_estimators
from modelwright_trainer.backends.scikit_learn.algorithms import CLASSES, TAKES
from modelwright_trainer.config import Task
from modelwright_trainer.failure import RunError

if TYPE_CHECKING:
    from conftest import Bench

ALGORITHMS = [(task, name) for task, names in CLASSES.items() for name in names]
QUICK: dict[str, dict[str, Any]] = {
    "RandomForest": {"n_estimators": 3},
    "MLP": {"hidden_layer_sizes": [4], "max_iter": 20},
}
RANDOM = np.random.default_rng(11)


def arrange(bench: Bench, kind: str, task: Task, algorithm: str) -> Bench:
    """Write 60 rows of a kind, of which something can be learned."""
    if task is Task.REGRESSION:
        bench.regression()
    bench.candidate(algorithm, **QUICK.get(algorithm, {}))
    rows = RANDOM.integers(0, 256, (60, 3, 2, 1)).astype(np.uint8)
    target = rows.mean(axis=(1, 2, 3)) / 256
    truth = target if task is Task.REGRESSION else (target > np.median(target)).astype(int)
    if kind in {"images", "sequences"}:
        array = rows if kind == "images" else (rows[..., 0] / 256).astype(np.float32)
        np.savez(bench.folder / "data" / "data.npz", x=array, target=truth)
        bench.run["data"] |= {"format": "NPZ", kind: {}}
        return bench
    if kind == "window":
        bench.run["data"]["window"] = {"past": 3}
        bench.run["split"] |= {"by": "Time"}
    columns = ["word"] if kind == "text" else ["a", "b"]
    values = [["some words"] for _ in rows] if kind == "text" else (rows[:, :2, 0, 0] / 256).tolist()
    if kind == "text":
        bench.run["data"]["text"] = {}
    return bench.write_csv(
        [*columns, "target"], [[*one, label] for one, label in zip(values, truth.tolist(), strict=True)]
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", TAKES)
@pytest.mark.parametrize(("task", "algorithm"), ALGORITHMS)
def test_each_algorithm_is_trained_and_served_with_each_kind_of_rows_that_it_takes(
    bench: Bench, kind: str, task: Task, algorithm: str
) -> None:
    if kind == "window" and task is Task.CLASSIFICATION:
        pytest.skip("a window predicts numbers")
    arrange(bench, kind, task, algorithm).train()
    agrees(bench)


@pytest.mark.parametrize(("task", "algorithm"), ALGORITHMS)
def test_texts_are_refused_by_each_before_they_are_read(bench: Bench, task: Task, algorithm: str) -> None:
    arrange(bench, "text", task, algorithm)
    with pytest.raises(RunError) as caught:
        build_estimators(bench.parse(), 1)
    assert str(caught.value.reason) == "UnsuitableData"
    for words in ("candidates[0].algorithm", algorithm, "a fixed number of numbers", "data has text"):
        assert words in caught.value.message
