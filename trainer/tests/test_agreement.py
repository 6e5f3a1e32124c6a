"""Every algorithm: what ONNX Runtime answers is what scikit-learn answers, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Bench, agrees, fitted, scikit_learn
from modelwright_trainer.backends.scikit_learn.algorithms import CLASSES
from modelwright_trainer.config import Metric, Task
from modelwright_trainer.export import build_model, compare, export_model, run_model
from modelwright_trainer.failure import Reason, RunError
from sklearn.neural_network import MLPClassifier, MLPRegressor

CLASSIFIERS: list[tuple[str, dict[str, Any]]] = [
    ("DecisionTree", {}),
    ("DecisionTree", {"max_depth": 1, "criterion": "entropy"}),
    ("RandomForest", {"n_estimators": 30}),
    ("RandomForest", {"n_estimators": 7, "max_depth": 3, "class_weight": "balanced"}),
    ("LogisticRegression", {"max_iter": 2000}),
    ("LogisticRegression", {"solver": "saga", "l1_ratio": 0.5, "max_iter": 300}),
    ("Ridge", {}),
    ("SGD", {}),
    ("SGD", {"loss": "log_loss", "penalty": "elasticnet"}),
    ("SGD", {"loss": "modified_huber", "penalty": "l1"}),
    ("SVM", {"kernel": "linear"}),
    ("SVM", {"kernel": "rbf"}),
    ("SVM", {"kernel": "poly", "degree": 2, "coef0": 1.0}),
    ("SVM", {"kernel": "sigmoid", "gamma": 0.01}),
    ("SVM", {"break_ties": True}),
    ("SVM", {"probability": True}),
    ("MLP", {"hidden_layer_sizes": [16], "max_iter": 60}),
    ("MLP", {"hidden_layer_sizes": [8, 8], "activation": "tanh", "max_iter": 60}),
    ("MLP", {"activation": "logistic", "hidden_layer_sizes": 8, "max_iter": 60}),
]
REGRESSORS: list[tuple[str, dict[str, Any]]] = [
    ("LinearRegression", {}),
    ("Ridge", {"alpha": 0.5}),
    ("Lasso", {"alpha": 0.1}),
    ("ElasticNet", {"alpha": 0.1}),
    ("SGD", {"penalty": "l1"}),
    ("DecisionTree", {}),
    ("DecisionTree", {"criterion": "absolute_error", "max_depth": 4}),
    ("RandomForest", {"n_estimators": 30}),
    ("SVM", {"kernel": "linear"}),
    ("SVM", {"kernel": "rbf", "C": 10.0}),
    ("MLP", {"hidden_layer_sizes": [16], "max_iter": 60}),
    ("MLP", {"hidden_layer_sizes": [8], "activation": "identity", "max_iter": 60}),
    ("MLP", {"hidden_layer_sizes": [8], "loss": "poisson", "max_iter": 60}),
    ("SVM", {"kernel": "poly", "degree": 2}),
]


def test_every_algorithm_is_tried() -> None:
    assert {name for name, _ in CLASSIFIERS} == set(CLASSES[Task.CLASSIFICATION])
    assert {name for name, _ in REGRESSORS} == set(CLASSES[Task.REGRESSION])


@pytest.mark.parametrize("data", ["iris", "breast_cancer"])
@pytest.mark.parametrize(("algorithm", "parameters"), CLASSIFIERS)
def test_a_classifier_answers_alike(bench: Bench, data: str, algorithm: str, parameters: dict[str, Any]) -> None:
    bench.write_bundled(data).candidate(algorithm, **parameters)
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    bench.train()
    agrees(bench)
    served = bench.served()
    assert served["label"].dtype == np.int64
    gives = "probability" in parameters or algorithm in ("DecisionTree", "RandomForest", "LogisticRegression", "MLP")
    gives |= parameters.get("loss") in ("log_loss", "modified_huber")
    assert ("probabilities" in served) == gives
    if gives:
        assert served["probabilities"].shape == (len(served["label"]), len(bench.evaluation()["classes"]))
        np.testing.assert_allclose(served["probabilities"].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("algorithm", "parameters"), REGRESSORS)
def test_a_regressor_answers_alike(bench: Bench, algorithm: str, parameters: dict[str, Any]) -> None:
    bench.regression().write_bundled("diabetes").candidate(algorithm, **parameters)
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    bench.train()
    agrees(bench)
    assert list(bench.served()) == ["prediction"]
    assert bench.session().get_outputs()[0].shape == ["rows"]


@pytest.mark.parametrize("algorithm", ["RandomForest", "SVM", "MLP", "LogisticRegression"])
def test_ten_classes_of_images_in_an_npz_answer_alike(bench: Bench, algorithm: str) -> None:
    parameters = {"n_estimators": 40} if algorithm == "RandomForest" else {}
    parameters |= {"probability": True} if algorithm == "SVM" else {}
    parameters |= {"max_iter": 30} if algorithm == "MLP" else {}
    bench.write_bundled("digits", npz=True).candidate(algorithm, **parameters)
    bench.train()
    agrees(bench)
    only = bench.session().get_inputs()[0]
    assert (only.name, only.type, only.shape) == ("x", "tensor(float)", ["rows", 64])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_forest_answers_with_the_same_bits_whatever_the_threads(bench: Bench, threads: int, rows: int) -> None:
    import onnxruntime  # noqa: PLC0415 - its options are of this test only

    bench.write_bundled("digits", npz=True).candidate("RandomForest", n_estimators=101, min_samples_leaf=3)
    bench.train()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(bench.out / "model.onnx", options)
    evaluation = bench.evaluation()
    label, probabilities = session.run(["label", "probabilities"], {"x": evaluation["inputs/x"][:rows]})
    np.testing.assert_array_equal(label, evaluation["outputs/label"][:rows])
    np.testing.assert_array_equal(probabilities, evaluation["outputs/probabilities"][:rows])


def test_a_tree_asks_the_same_of_numbers_beside_its_thresholds(bench: Bench) -> None:
    # Neighbours in FP32: the threshold between them is a number that FP32 does not have, and rounds up to the higher.
    low = np.nextafter(np.float32(4), np.float32(5))
    high = np.nextafter(low, np.float32(5))
    bench.write_csv(["a", "target"], [[repr(float(low)), 0], [repr(float(high)), 1]] * 30).train()
    agrees(bench)
    assert set(bench.served()["label"].tolist()) == {0, 1}


@pytest.mark.parametrize("algorithm", ["DecisionTree", "RandomForest"])
@pytest.mark.parametrize("task", ["Classification", "Regression"])
def test_trees_take_missing_numbers_as_in_python(bench: Bench, algorithm: str, task: str) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(300, 3)).round(2)
    target = (values[:, 0] + values[:, 1] > 0).astype(int)
    rows = [["" if random.random() < 0.2 else one for one in row] for row in values.tolist()]
    bench.write_csv(["a", "b", "c", "target"], [[*row, one] for row, one in zip(rows, target, strict=True)])
    if task == "Regression":
        bench.regression()
    bench.candidate(algorithm, **({"n_estimators": 10} if algorithm == "RandomForest" else {})).train()
    agrees(bench)
    assert np.isnan(bench.evaluation()["inputs/a"]).any()


def test_labels_of_text_come_back_as_text(bench: Bench) -> None:
    names = ["setosa", "versicolor"]
    bench.write_csv(["a", "target"], [[index % 2 + index / 100, names[index % 2]] for index in range(60)]).train()
    agrees(bench)
    assert bench.session().get_outputs()[0].type == "tensor(string)"
    assert bench.evaluation()["classes"].tolist() == names


def test_weights_are_given_by_label(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[index % 7, "no" if index % 7 < 5 else "yes"] for index in range(70)])
    bench.candidate("LogisticRegression", C=0.01, class_weight={"no": 1, "yes": 1}).train()
    assert set(bench.served()["label"].tolist()) == {"no"}
    bench.candidate("LogisticRegression", C=0.01, class_weight={"no": 1, "yes": 50}).train()
    agrees(bench)
    assert "yes" in bench.served()["label"].tolist()


def test_a_label_that_only_the_test_part_has_is_a_miss(bench: Bench) -> None:
    bench.run["split"] |= {"stratify": False}
    bench.run["selection"] = {"metric": "LogLoss", "goal": "Minimize"}
    for place in range(60):
        bench.write_csv(["a", "target"], [[index % 2, 9 if index == place else index % 2] for index in range(60)])
        outcome = bench.candidate("LogisticRegression").train()
        if 9 in bench.evaluation()["labels"]:
            break
    agrees(bench)
    assert bench.evaluation()["classes"].tolist() == [0, 1]
    assert bench.served()["probabilities"].shape == (18, 2)
    assert outcome.metrics[Metric.ACCURACY] == pytest.approx(17 / 18)
    assert outcome.metrics[Metric.LOG_LOSS] > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_perceptron_at_the_border_falls_back_to_more_digits(bench: Bench) -> None:
    bench.write_bundled("iris").candidate("MLP", max_iter=5).train()
    model = (bench.out / "model.onnx").read_bytes()
    assert onnx.TensorProto.DOUBLE not in types_of(model)
    # Products so large that FP32 loses what decides.
    features = np.array([[1e4], [1e4]], dtype=np.float32).T + np.random.default_rng(1).normal(size=(200, 2)) * 1e-3
    features = features.astype(np.float32)
    estimator = MLPClassifier(hidden_layer_sizes=(), max_iter=1).fit(features, np.arange(200) % 2)
    estimator.coefs_, estimator.intercepts_ = [np.array([[1e4], [-1e4]])], [np.zeros(1)]
    answers = scikit_learn(estimator).answer({"features": features})
    assert answers.index is not None
    assert answers.probabilities is not None
    whole = fitted(estimator, features, np.array([0, 1]))
    expected = {"label": answers.index, "probabilities": answers.probabilities}
    assert compare(run_model(build_model(whole), {"x": features}, list(expected)), expected)
    assert onnx.TensorProto.DOUBLE in types_of(b"".join(export_model(whole, {"x": features}, expected)))


def test_a_model_that_answers_otherwise_than_python_is_refused(bench: Bench) -> None:
    bench.write_bundled("iris").matrix().train()
    evaluation = bench.evaluation()
    expected = {
        "label": evaluation["outputs/label"].copy(),
        "probabilities": evaluation["outputs/probabilities"].copy(),
    }
    expected["label"][:2] = 7
    expected["probabilities"][3:6, 0] += 0.01
    served = run_model([(bench.out / "model.onnx").read_bytes()], {"x": evaluation["inputs/x"]}, list(expected))
    words = "label differs in 2 of 45 rows of the test part, probabilities differs in 3 of 45 rows of the test part"
    assert compare(served, expected).startswith(words)


@pytest.mark.parametrize("algorithm", ["LinearRegression", "MLP"])
def test_a_model_of_small_answers_whose_weights_are_lost_is_refused(bench: Bench, algorithm: str) -> None:
    random = np.random.default_rng(11)
    features = random.normal(size=(200, 2)).astype(np.float32)
    bench.regression().candidate(algorithm)
    bench.write_csv(["a", "b", "target"], np.column_stack([features, features @ [3e-4, -2e-4]]).tolist())
    outcome = bench.train()
    estimator = outcome.chosen.estimator.fitted  # type: ignore[attr-defined]
    prediction = scikit_learn(estimator).answer({"features": features}).prediction
    assert prediction is not None
    # Nothing reaches the tolerance, let alone 0.001.
    shrink = np.float32(9e-5 / np.abs(prediction).max())
    whole = fitted(estimator, features, None)
    for weights in weights_of(estimator)[-2:]:
        np.multiply(weights, shrink, out=weights)
    expected = {"prediction": np.asarray(scikit_learn(estimator).answer({"features": features}).prediction)}
    assert 0 < np.abs(expected["prediction"]).max() < 1e-4
    assert export_model(whole, {"x": features}, expected)
    for weights in weights_of(estimator):
        weights.fill(0)
    with pytest.raises(RunError, match=r"prediction differs in .* of 200 rows") as caught:
        export_model(whole, {"x": features}, expected)
    assert caught.value.reason is Reason.NOT_REPRODUCIBLE


def weights_of(estimator: Any) -> list[Any]:
    """Return what can be set to zero in place, the last layer last."""
    if isinstance(estimator, MLPRegressor):
        return [weights for layer in zip(estimator.coefs_, estimator.intercepts_, strict=True) for weights in layer]
    estimator.intercept_ = np.atleast_1d(estimator.intercept_)
    return [estimator.coef_, estimator.intercept_]


def types_of(model: bytes) -> set[int]:
    return {one.data_type for one in onnx.load_from_string(model).graph.initializer}


def test_a_regression_of_large_and_small_numbers_answers_alike(bench: Bench) -> None:
    random = np.random.default_rng(5)
    values = random.normal(size=(200, 2))
    target = values[:, 0] * 1e6 - values[:, 1] * 1e-3
    bench.regression().write_csv(["a", "b", "target"], np.column_stack([values, target]).tolist())
    bench.candidate("RandomForest", n_estimators=25).train()
    agrees(bench)


def test_the_same_run_makes_the_same_bytes(bench: Bench) -> None:
    bench.write_bundled("iris")
    bench.run["preprocess"] = [{"scale": {"method": "Robust"}}]
    for algorithm in CLASSES[Task.CLASSIFICATION]:
        bench.candidate(algorithm)
        made = []
        for _ in range(2):
            bench.train()
            made.append(
                [(bench.out / name).read_bytes() for name in ("model.onnx", "evaluation.npz", "calibration.npz")]
            )
        assert made[0] == made[1], algorithm
        model = made[0][0]
        assert str(bench.folder).encode() not in model
