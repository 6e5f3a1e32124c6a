"""Preparation: it does what scikit-learn's does, in any order, and is part of the graph."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from conftest import Bench, agrees
from modelwright_trainer.config import Method, Preparation, Strategy
from modelwright_trainer.prepare import fit_preparation
from modelwright_trainer.table import Column
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler

CITIES = ["Bonn", "Ulm", "Köln", "東京"]
MIXED = [
    {"impute": {"strategy": "Median"}},
    {"impute": {"strategy": "MostFrequent", "columns": ["city"]}},
    {"scale": {"method": "Standard"}},
    {"oneHot": {"columns": ["city"]}},
    {"ordinal": {}},
]


def write_people(bench: Bench, *, missing: float = 0.1) -> Bench:
    """Write numbers and text, some of both missing."""
    random = np.random.default_rng(11)
    rows: list[list[Any]] = []
    for _ in range(240):
        age, city, size = random.integers(18, 90), random.choice(CITIES), random.choice(["S", "M", "L"])
        income = round(float(random.lognormal(8, 1)), 2)
        label = "yes" if age + 20 * CITIES.index(city) > 80 else "no"
        row: list[Any] = [age, city, income, size]
        rows.append([*("" if random.random() < missing else value for value in row[:3]), size, label])
    return bench.write_csv(["age", "city", "income", "size", "target"], rows)


def columns_of(values: np.ndarray[Any, Any]) -> tuple[Column, ...]:
    return tuple(Column(f"x{index}", values[:, index].astype(np.float32)) for index in range(values.shape[1]))


@pytest.mark.parametrize(
    ("method", "theirs"),
    [(Method.STANDARD, StandardScaler()), (Method.MIN_MAX, MinMaxScaler()), (Method.ROBUST, RobustScaler())],
)
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_scaling_is_that_of_scikit_learn(method: Method, theirs: Any, load: Any) -> None:
    values = load().data.astype(np.float32)
    values = np.column_stack([values, np.full(len(values), 3.5, dtype=np.float32)])
    rows = np.arange(len(values))
    ours = fit_preparation(columns_of(values), (Preparation("scale", (), method=method),), rows[:100])
    expected = theirs.fit(values[:100].astype(np.float64)).transform(values.astype(np.float64))
    np.testing.assert_allclose(ours.apply(columns_of(values), rows), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("strategy", "theirs"),
    [(Strategy.MEAN, "mean"), (Strategy.MEDIAN, "median"), (Strategy.MOST_FREQUENT, "most_frequent")],
)
def test_filling_is_that_of_scikit_learn(strategy: Strategy, theirs: str) -> None:
    values = load_wine().data.astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    rows = np.arange(len(values))
    ours = fit_preparation(columns_of(values), (Preparation("impute", (), strategy=strategy),), rows[:100])
    expected = SimpleImputer(strategy=theirs).fit(values[:100]).transform(values)
    np.testing.assert_allclose(ours.apply(columns_of(values), rows), expected, rtol=1e-6)


def test_encoding_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    values = random.choice(np.array(CITIES, dtype=object), 50)
    values[49] = "Rom"
    columns, rows = (Column("city", values),), np.arange(50)
    ours = fit_preparation(columns, (Preparation("oneHot", ()),), rows[:49]).apply(columns, rows)
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(values[:49].reshape(-1, 1))
    np.testing.assert_array_equal(ours, theirs.transform(values.reshape(-1, 1)))
    ours = fit_preparation(columns, (Preparation("ordinal", ()),), rows[:49]).apply(columns, rows)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(values[:49].reshape(-1, 1))
    np.testing.assert_array_equal(ours, ordinal.transform(values.reshape(-1, 1)))
    assert ours[49] == -1


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_every_order_either_answers_alike_or_says_why_not(bench: Bench, order: tuple[int, ...]) -> None:
    write_people(bench).candidate("LogisticRegression", max_iter=500)
    bench.run["preprocess"] = [MIXED[index] for index in order]
    filled = order.index(1) < min(order.index(3), order.index(4))
    if filled:
        bench.train()
        agrees(bench)
        inputs = {one.name: (one.type, one.shape) for one in bench.session().get_inputs()}
        number, text = ("tensor(float)", ["rows", 1]), ("tensor(string)", ["rows", 1])
        assert inputs == {"age": number, "city": text, "income": number, "size": text}
        assert bench.evaluation()["inputs/city"].dtype.kind == "U"
        assert (bench.evaluation()["inputs/city"] == "").any()
    else:
        assert bench.refusal().reason in ("MissingValues", "InvalidPreparation")


@pytest.mark.parametrize("algorithm", ["RandomForest", "SVM", "MLP", "SGD"])
def test_mixed_columns_answer_alike(bench: Bench, algorithm: str) -> None:
    write_people(bench).candidate(algorithm)
    bench.run["preprocess"] = MIXED
    bench.train()
    agrees(bench)


@pytest.mark.parametrize(
    "steps",
    [
        [{"scale": {"method": "MinMax", "columns": ["age"]}}, {"scale": {"method": "Robust"}}],
        [{"impute": {"strategy": "Constant", "fillValue": "-1"}}, {"scale": {"method": "Standard"}}],
        [{"scale": {"method": "Standard"}}, {"impute": {"strategy": "Mean"}}],
        [{"impute": {"strategy": "Constant", "fillValue": "0", "columns": ["age"]}}, {"oneHot": {"columns": ["age"]}}],
        [{"impute": {"strategy": "Median"}}, {"ordinal": {"columns": ["income"]}}, {"scale": {"method": "Standard"}}],
    ],
)
@pytest.mark.parametrize("inputs", [None, "Columns", "Matrix"])
def test_numbers_are_prepared_in_the_declared_order(
    bench: Bench, steps: list[dict[str, Any]], inputs: str | None
) -> None:
    write_people(bench)
    bench.run["data"]["inputs"] = inputs
    lines = [line.split(",") for line in (bench.folder / "data" / "data.csv").read_text().splitlines()]
    bench.write_csv(["age", "income", "target"], [[one[0], one[2], one[4]] for one in lines[1:]])
    bench.run["preprocess"] = steps
    bench.candidate("RandomForest", n_estimators=20).train()
    agrees(bench)
    names = [one.name for one in bench.session().get_inputs()]
    assert names == (["x"] if inputs == "Matrix" else ["age", "income"])


def test_text_that_is_missing_is_filled_with_a_constant(bench: Bench) -> None:
    write_people(bench)
    bench.run["preprocess"] = [
        {"impute": {"strategy": "Constant", "fillValue": "unknown", "columns": ["city"]}},
        {"impute": {"strategy": "Mean"}},
        {"oneHot": {}},
    ]
    bench.candidate("LogisticRegression").train()
    agrees(bench)


def test_a_value_that_training_never_saw_is_answered(bench: Bench) -> None:
    write_people(bench)
    bench.run["preprocess"] = [*MIXED[:2], {"oneHot": {"columns": ["city"]}}, {"ordinal": {"columns": ["size"]}}]
    bench.candidate("RandomForest", n_estimators=5).train()
    one = {
        "age": np.array([[33]], np.float32),
        "city": np.array([["Atlantis"]]),
        "income": np.array([[np.nan]], np.float32),
        "size": np.array([["XXL"]]),
    }
    label, probabilities = bench.session().run(["label", "probabilities"], one)
    assert label.tolist()[0] in ("yes", "no")
    assert probabilities.shape == (1, 2)


def test_a_client_sends_raw_values_and_gets_what_python_says_to_the_last_bit(bench: Bench) -> None:
    bench.write_bundled("breast_cancer").candidate("RandomForest", n_estimators=50)
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    bench.train()
    evaluation, served = bench.evaluation(), bench.served()
    np.testing.assert_array_equal(served["probabilities"], evaluation["outputs/probabilities"])
