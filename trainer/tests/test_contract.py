"""What crosses the pod's boundary is what the contract says."""

from __future__ import annotations

import inspect
import json
import time
from typing import Any

import pytest
from conftest import CONTRACT, Bench
from modelwright_trainer import failure
from modelwright_trainer.backends.scikit_learn.algorithms import (
    CLASSES,
    NOT_OFFERED,
    PROBABILITIES,
    TAKES,
    parameters_of,
)
from modelwright_trainer.config import ColumnType, Method, Metric, Strategy, Task, parse_run
from modelwright_trainer.failure import Reason
from modelwright_trainer.progress import Progress
from modelwright_trainer.report import build_failure, build_success, build_training_report
from sklearn.utils._param_validation import StrOptions


def golden(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((CONTRACT / "golden" / f"{name}.json").read_text())
    return found


def test_the_table_of_algorithms_is_what_scikit_learn_has() -> None:
    table = json.loads((CONTRACT / "src" / "algorithms.json").read_text())
    ours = {
        str(task): {
            name: {
                # Classes are public one package above their module.
                "class": f"{found.__module__.rpartition('.')[0]}.{found.__name__}",
                "parameters": parameters_of(found),
                "takes": list(TAKES),
            }
            | ({"probabilities": PROBABILITIES[name]} if task is Task.CLASSIFICATION and name in PROBABILITIES else {})
            for name, found in algorithms.items()
        }
        for task, algorithms in CLASSES.items()
    }
    assert ours == table
    for algorithms in CLASSES.values():
        for found in algorithms.values():
            assert set(found().get_params()) - NOT_OFFERED == set(parameters_of(found))


@pytest.mark.parametrize("algorithm", CLASSES[Task.CLASSIFICATION])
def test_who_gives_probabilities_is_what_scikit_learn_says(algorithm: str) -> None:
    wanted = PROBABILITIES.get(algorithm)
    kind = CLASSES[Task.CLASSIFICATION][algorithm]
    # Every word that a parameter takes, and the numbers and switches that tell probabilities elsewhere.
    words = {
        name: [value for one in allowed for value in values_of(one)]
        for name, allowed in kind._parameter_constraints.items()
        if name in parameters_of(kind) and isinstance(allowed, list)
    }
    tried = [{}, *({name: value} for name, values in words.items() for value in values)]
    assert len(tried) > 3
    for parameters in tried:
        gives = wanted is not None and all(parameters.get(name) in values for name, values in wanted.items())
        assert hasattr(kind(**parameters), "predict_proba") == gives, parameters


def values_of(constraint: Any) -> list[Any]:
    """Return what a constraint of scikit-learn's names one by one."""
    if constraint == "boolean":
        return [True, False]
    return sorted(constraint.options) if isinstance(constraint, StrOptions) else []


def test_the_run_of_the_golden_is_read() -> None:
    run = parse_run(json.dumps(golden("fetch-data")["run"]))
    assert run.task is Task.CLASSIFICATION
    assert run.checks.columns[1].type is ColumnType.TEXT
    assert [step.kind for step in run.preprocess] == ["impute", "impute", "scale", "oneHot", "ordinal"]
    assert run.preprocess[0].strategy is Strategy.MEDIAN
    assert run.preprocess[1].fill_value == "none"
    assert run.preprocess[2].method is Method.STANDARD
    assert run.candidates[1].parameters["hidden_layer_sizes"] == [64, 32]
    assert (run.selection.metric, run.selection.maximize) == (Metric.F1_MACRO, True)


def test_reports_have_the_shape_of_the_goldens(bench: Bench) -> None:
    bench.write_bundled("iris")
    bench.run["candidates"] = [
        {"name": "forest", "algorithm": "RandomForest", "parameters": {"n_estimators": 5}},
        {"name": "broken", "algorithm": "LogisticRegression", "parameters": {"solver": "liblinear"}},
    ]
    outcome = bench.train()
    message = build_success(outcome)["succeeded"]
    expected = golden("train-succeeded")["succeeded"]
    assert isinstance(expected, dict)
    assert message.keys() == expected.keys()
    assert message["rows"].keys() == expected["rows"].keys()
    assert [sorted(one) for one in message["candidates"]] == [["name", "score"], ["name"]]

    report = json.loads((bench.out / "report.json").read_text())
    shape = golden("report")
    assert report == build_training_report(outcome)
    assert report.keys() == shape.keys()
    assert [sorted(one) for one in report["candidates"]] == [sorted(one) for one in shape["candidates"]]  # type: ignore[attr-defined]
    assert report["features"][0] == "sepal_length_(cm)"
    assert report["classes"] == {"count": 3, "labels": ["0", "1", "2"]}
    assert report["versions"]["scikit-learn"] == "1.9.1"
    assert set(report["metrics"]) == {str(one) for one in Metric if one.task is Task.CLASSIFICATION}


def test_progress_has_the_shape_of_the_golden() -> None:
    progress = Progress(total=3, metric="F1Macro")
    progress.start("mlp", done=1, best="0.9127")
    assert progress.as_json() == golden("progress")
    assert Progress().as_json() == {"activity": "reading", "done": 0, "total": 0}


def test_progress_tells_epoch_loss_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress()
    progress.start("net", done=0)
    now[0] += 30
    progress.watch(epoch=1, epochs=10, loss=0.5)
    assert progress.as_json() | {"epoch": 1, "epochs": 10, "loss": "0.5", "secondsLeft": 270} == progress.as_json()
    now[0] += 4
    progress.watch(epoch=2, epochs=10, loss=0.25)
    assert progress.as_json()["secondsLeft"] == 32
    progress.watch(epoch=2, epochs=10, loss=0.25)
    assert progress.as_json()["secondsLeft"] == 32
    progress.start("forest")
    assert "secondsLeft" not in progress.as_json()


def test_a_failure_has_the_shape_of_the_golden() -> None:
    ours = build_failure(Reason.NO_DATA, "nothing")
    theirs = golden("failed")
    assert ours.keys() == theirs.keys()
    assert ours["failed"].keys() == theirs["failed"].keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize("letter", ["a", "ü", "漢", "🎉", '"', "\\", "\n"])
def test_a_long_failure_is_cut_between_letters(letter: str) -> None:
    report = build_failure(Reason.CHECKS_FAILED, letter * 4000)
    content = json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()
    assert 1490 < len(content) <= 1500
    assert report["failed"]["message"].strip(letter) == "…"


def test_many_candidates_are_told_as_far_as_there_is_room(bench: Bench) -> None:
    bench.write_bundled("iris")
    bench.run["candidates"] = [
        {"name": f"tree-with-a-long-name-{depth}", "algorithm": "DecisionTree", "parameters": {"max_depth": depth}}
        for depth in range(1, 41)
    ]
    report = build_success(bench.train())
    assert len(json.dumps(report, separators=(",", ":"))) <= 1500
    scores = [float(one["score"]) for one in report["succeeded"]["candidates"]]
    assert 10 < len(scores) < 40
    assert scores == sorted(scores, reverse=True)
    assert report["succeeded"]["candidates"][0]["name"] == report["succeeded"]["chosen"]


def test_each_reason_is_a_word_for_conditions() -> None:
    for reason in Reason:
        assert str(reason).isalnum()
        assert str(reason)[0].isupper()
    assert inspect.getdoc(failure)
