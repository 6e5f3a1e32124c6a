"""The candidate that is best by the metric is chosen, on the validation part, and by that metric alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from modelwright_trainer.config import Metric, Task

if TYPE_CHECKING:
    from conftest import Bench

LOWER_IS_BETTER = {Metric.LOG_LOSS, Metric.MEAN_SQUARED_ERROR, Metric.MEAN_ABSOLUTE_ERROR}


def trees(*depths: int) -> list[dict[str, object]]:
    """Return candidates that know more the deeper they are."""
    return [
        {"name": f"depth-{depth}", "algorithm": "DecisionTree", "parameters": {"max_depth": depth}} for depth in depths
    ]


def staircase(bench: Bench, levels: int) -> Bench:
    """Write rows whose label is the step that `x` lies on: a tree needs a leaf for each."""
    rows = [[x / 100, x * levels // 1000] for x in range(1000)]
    return bench.write_csv(["x", "target"], rows)


def select(bench: Bench, metric: Metric) -> Bench:
    """Choose by a metric, to the end that it has."""
    goal = "Minimize" if metric in LOWER_IS_BETTER else "Maximize"
    bench.run["selection"] = {"metric": str(metric), "goal": goal}
    return bench


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("depths", [(1, 3, 2), (3, 1, 2), (2, 1, 3)])
def test_the_best_by_each_metric_is_chosen_wherever_it_stands(
    bench: Bench, metric: Metric, depths: tuple[int, ...]
) -> None:
    staircase(bench, 8)
    if metric.task is Task.REGRESSION:
        bench.regression()
    select(bench, metric).run["candidates"] = trees(*depths)
    outcome = bench.train()
    assert outcome.metric is metric
    assert outcome.chosen.candidate.name == "depth-3"
    assert [trial.candidate.name for trial in outcome.ranked] == ["depth-3", "depth-2", "depth-1"]
    scores = [float(trial.score or 0) for trial in outcome.ranked]
    assert scores == sorted(scores, reverse=metric not in LOWER_IS_BETTER)
    assert len(set(scores)) == 3


def test_another_metric_chooses_another_candidate(bench: Bench) -> None:
    # Beyond 0.7 a label is 1 in 4 of 10 rows: who answers 0 everywhere is right most often, and never finds a 1.
    numbers = np.random.default_rng(3)
    x = numbers.random(2000)
    target = (numbers.random(2000) < np.where(x > 0.7, 0.4, 0.02)).astype(int)
    bench.write_csv(["x", "target"], np.column_stack([x, target]).tolist())
    bench.run["candidates"] = [
        {"name": name, "algorithm": "DecisionTree", "parameters": {"max_depth": 1, **more}}
        for name, more in (("plain", {}), ("balanced", {"class_weight": "balanced"}))
    ]
    chosen = {metric: select(bench, metric).train().chosen for metric in (Metric.ACCURACY, Metric.RECALL_MACRO)}
    assert chosen[Metric.ACCURACY].candidate.name == "plain"
    assert chosen[Metric.RECALL_MACRO].candidate.name == "balanced"
    # Each is worse by the other's metric.
    for metric, trial in chosen.items():
        assert trial.metrics[metric] > min(other.metrics[metric] for other in chosen.values())


def test_of_equal_candidates_the_first_is_chosen(bench: Bench) -> None:
    staircase(bench, 4).run["candidates"] = trees(5, 4, 3)
    outcome = bench.train()
    assert {trial.score for trial in outcome.ranked} == {outcome.chosen.score}
    assert outcome.chosen.candidate.name == "depth-5"


def test_it_is_the_validation_part_that_chooses(bench: Bench) -> None:
    # The label of each row is a coin's: a tree without a limit knows the training part by heart, and nothing else.
    numbers = np.random.default_rng(5)
    rows = np.column_stack([numbers.random(1000), numbers.random(1000) < 0.2])
    bench.write_csv(["x", "target"], rows.tolist())
    bench.run["candidates"] = [
        {"name": "by-heart", "algorithm": "DecisionTree", "parameters": {}},
        {"name": "modest", "algorithm": "DecisionTree", "parameters": {"max_depth": 1}},
    ]
    outcome = bench.train()
    assert outcome.chosen.candidate.name == "modest"


def test_a_candidate_that_no_memory_holds_is_told_and_ends_no_other(bench: Bench) -> None:
    bench.write_bundled("iris").run["candidates"] = [
        {"name": "wide", "algorithm": "MLP", "parameters": {"hidden_layer_sizes": [4_000_000, 4_000_000]}},
        {"name": "tree", "algorithm": "DecisionTree"},
    ]
    outcome = bench.train()
    assert outcome.chosen.candidate.name == "tree"
    assert "the memory does not suffice (Unable to allocate" in outcome.trials[0].error
    bench.run["candidates"].pop()
    refusal = bench.refusal()
    assert str(refusal.reason) == "OutOfMemory"
    assert "wide: the memory does not suffice" in refusal.message
    assert "spec.training.resources" in refusal.message
