"""Bad input: each case ends with its reason, and a message that names field or column, value and way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Bench

GOOD = [[index, index % 7, index % 2] for index in range(40)]
NAMES = ["age", "income", "target"]


@dataclass
class Case:
    """What is changed in a good run, and how it ends."""

    reason: str
    words: list[str]
    run: dict[str, Any] = field(default_factory=dict)
    names: list[str] | None = None
    rows: list[list[Any]] | None = None
    content: bytes | None = None


def candidate(algorithm: str, **parameters: Any) -> dict[str, Any]:
    return {"candidates": [{"name": "one", "algorithm": algorithm, "parameters": parameters}]}


def replaced(column: int, value: Any, every: int = 10) -> list[list[Any]]:
    """Return good rows with another value in each tenth row."""
    return [
        [value if at == column and index % every == 2 else one for at, one in enumerate(row)]
        for index, row in enumerate(GOOD)
    ]


SPLIT = {"validation": "0.2", "test": "0.3", "seed": 7, "stratify": True}
REGRESSION = {
    "task": "Regression",
    "selection": {"metric": "R2", "goal": "Maximize"},
    "split": SPLIT | {"stratify": False},
}
CASES = {
    # The run
    "unknown field": Case("InvalidRun", ["no field trainer"], {"trainer": {}}),
    "unknown field within": Case(
        "InvalidRun", ["no field split.sede", "did you mean 'seed'"], {"split": {**SPLIT, "sede": 1}}
    ),
    "missing field": Case("InvalidRun", ["model is missing"], {"model": None}),
    "wrong task": Case(
        "InvalidRun", ['task is "Clasification"', "did you mean 'Classification'"], {"task": "Clasification"}
    ),
    "share as a number": Case(
        "InvalidRun", ["split.test is 0.2", "decimal number as text"], {"split": {**SPLIT, "test": 0.2}}
    ),
    "share above one": Case("InvalidRun", ['split.test is "1.5"', "from 0 to 1"], {"split": {**SPLIT, "test": "1.5"}}),
    "no test part": Case("InvalidRun", ["split.test", "above 0"], {"split": {**SPLIT, "test": "0"}}),
    "nothing to train on": Case("InvalidRun", ["0.2 + 0.8", "below 1"], {"split": {**SPLIT, "test": "0.8"}}),
    "seed too large": Case("InvalidRun", ["split.seed is 4294967296"], {"split": {**SPLIT, "seed": 2**32}}),
    "stratified regression": Case("InvalidRun", ["split.stratify", "make it false"], REGRESSION | {"split": SPLIT}),
    "no candidates": Case("InvalidRun", ["candidates is []", "at least one"], {"candidates": []}),
    "two of one name": Case(
        "InvalidRun",
        ['candidates[1].name is "a"', "unique"],
        {"candidates": [{"name": "a", "algorithm": "SVM"}, {"name": "a", "algorithm": "MLP"}]},
    ),
    "metric of another task": Case(
        "InvalidRun",
        ['selection.metric is "R2"', "measures a Regression"],
        {"selection": {"metric": "R2", "goal": "Maximize"}},
    ),
    "goal": Case(
        "InvalidRun", ["selection.goal", "Maximize or Minimize"], {"selection": {"metric": "Accuracy", "goal": "Up"}}
    ),
    "unknown step": Case(
        "InvalidRun", ["no step preprocess[0].onehot", "did you mean 'oneHot'"], {"preprocess": [{"onehot": {}}]}
    ),
    "two steps in one": Case("InvalidRun", ["exactly one of"], {"preprocess": [{"oneHot": {}, "ordinal": {}}]}),
    "constant of nothing": Case(
        "InvalidRun", ["preprocess[0].impute.fillValue"], {"preprocess": [{"impute": {"strategy": "Constant"}}]}
    ),
    "balance of a regression": Case(
        "InvalidRun",
        ["checks.minClassFraction", "for a Classification"],
        REGRESSION | {"checks": {"minClassFraction": "0.1"}},
    ),
    # Algorithms
    "unknown algorithm": Case(
        "UnknownAlgorithm",
        ["candidates[0].algorithm of candidate 'one' is 'RandomForrest'", "did you mean 'RandomForest'"],
        candidate("RandomForrest"),
    ),
    "algorithm of another task": Case(
        "UnknownAlgorithm", ["'Lasso' (it is for a Regression)", "LogisticRegression"], candidate("Lasso")
    ),
    "unknown parameter": Case(
        "UnknownParameter",
        ["candidates[0].parameters.n_estimator of candidate 'one'", "did you mean 'n_estimators'"],
        candidate("RandomForest", n_estimator=10),
    ),
    "parameter that is not offered": Case("UnknownParameter", ["n_jobs"], candidate("RandomForest", n_jobs=4)),
    "value out of range": Case(
        "InvalidParameter",
        ["candidates[0].parameters.n_estimators of candidate 'one' is 0", "int in the range [1, inf)"],
        candidate("RandomForest", n_estimators=0),
    ),
    "value of another type": Case(
        "InvalidParameter", ["parameters.C of candidate 'one' is \"high\"", "float"], candidate("SVM", C="high")
    ),
    "value of another word": Case(
        "InvalidParameter",
        ["parameters.kernel of candidate 'one' is \"gauss\"", "'rbf'"],
        candidate("SVM", kernel="gauss"),
    ),
    "weight of no label": Case(
        "InvalidParameter", ["class_weight", "'7'", "there are 0, 1"], candidate("SVM", class_weight={"7": 2})
    ),
    "parameters that do not go together": Case(
        "NoCandidate",
        ["no candidate could be trained", "one: ValueError", "l1"],
        candidate("LogisticRegression", penalty="l1", solver="lbfgs"),
    ),
    "no probabilities": Case(
        "InvalidParameter",
        ["selection.metric LogLoss", "candidates[0] 'one'", "algorithm Ridge never does", "another metric"],
        candidate("Ridge") | {"selection": {"metric": "LogLoss", "goal": "Minimize"}},
        content=b"",
    ),
    "no probabilities with this loss": Case(
        "InvalidParameter",
        ["selection.metric LogLoss", "algorithm SGD does with loss: log_loss or modified_huber"],
        candidate("SGD", loss="perceptron") | {"selection": {"metric": "LogLoss", "goal": "Minimize"}},
        content=b"",
    ),
    "no probabilities with this switch": Case(
        "InvalidParameter",
        ["selection.metric LogLoss", "algorithm SVM does with probability: true"],
        candidate("SVM") | {"selection": {"metric": "LogLoss", "goal": "Minimize"}},
        content=b"",
    ),
    # Files
    "empty file": Case("NoRows", ["data.csv is empty"], content=b""),
    "names only": Case("NoRows", ["3 columns and no row"], rows=[]),
    "no label column": Case(
        "NoLabelColumn",
        ["'target'", "age, income, targets", "did you mean 'targets'"],
        names=["age", "income", "targets"],
    ),
    "semicolons": Case("NoLabelColumn", ["not separated by commas"], content=b"age;target\n1;0\n"),
    "label only": Case("NoFeatures", ["no column but the label"], content=b"target\n1\n0\n"),
    "too many values": Case(
        "UnreadableData",
        ["line 3 has 4 values for 3 columns (1 such rows)"],
        content=b"age,income,target\n1,2,0\n1,2,3,4\n",
    ),
    "too few values after a line break in quotes": Case(
        "UnreadableData", ["line 4 has 1 values"], content=b'age,income,target\n1,"2\n3",0\n7\n'
    ),
    "no UTF-8": Case(
        "UnreadableData", ["line 3, byte 4 is not UTF-8"], content=b"age,income,target\n1,2,0\n1,2\xff,0\n"
    ),
    "no UTF-8 in the names": Case("UnreadableData", ["line 1, byte 2"], content=b"a\xff,target\n1,0\n"),
    "no text at all": Case("UnreadableData", ["line 1, byte 1 is 0"], content=b"\0\1\2"),
    "open quotes": Case("UnreadableData", ["line 3"], content=b'age,income,target\n1,2,0\n1,"2,0\n1,2,0\n'),
    "two columns of one name": Case(
        "UnreadableData", ["two columns have the name 'age'"], names=["age", "age", "target"]
    ),
    "name that cannot be printed": Case("UnsupportedColumn", ["'a\\tb'"], names=["a\tb", "income", "target"]),
    "column without a name": Case("UnreadableData", ["column 2 has no name"], names=["age", "", "target"]),
    # Values
    "label missing": Case("MissingLabel", ["missing in 4 of 40 rows, in rows 3, 13, 23, 33"], rows=replaced(2, "")),
    "one label": Case("OneClass", ["is 0 in all 40 rows"], rows=[[*row[:2], 0] for row in GOOD]),
    "rare label": Case(
        "ClassTooSmall", ["label 9 has 1 rows", "at least 3 of each", "stratify false"], rows=[*GOOD, [1, 1, 9]]
    ),
    "fractions as labels": Case(
        "InvalidLabel", ["no whole numbers, such as 0.5", "Regression?"], rows=replaced(2, 0.5)
    ),
    "text to predict": Case(
        "InvalidLabel", ["is text", "a Regression needs numbers"], REGRESSION, rows=replaced(2, "low")
    ),
    "few rows": Case("TooFewRows", ["there are 2 rows"], {"split": SPLIT | {"stratify": False}}, rows=GOOD[:2]),
    "text among numbers": Case(
        "TextColumn",
        ["'age' (4 of its first 40 values are no numbers, such as 'old' in row 3)", "oneHot or ordinal"],
        rows=replaced(0, "old"),
    ),
    "missing numbers": Case(
        "MissingValues",
        ["column 'age' misses values, and SVM cannot take that", "step impute"],
        candidate("SVM"),
        rows=replaced(0, "NA"),
    ),
    "nothing to learn of": Case(
        "MissingValues",
        ["column 'age' has no value at all in the training part"],
        {"preprocess": [{"impute": {"strategy": "Mean"}}]},
        rows=[["", *row[1:]] for row in GOOD],
    ),
    "infinite": Case(
        "NotFinite", ["column 'age' has 4 values that FP32 cannot hold, in rows 3, 13, 23, 33"], rows=replaced(0, "inf")
    ),
    "larger than FP32": Case("NotFinite", ["column 'income'", "FP32"], rows=replaced(1, "1e300")),
    "diverging": Case(
        "NotFinite",
        ["not finite", "scale"],
        REGRESSION | candidate("MLP", solver="sgd", learning_rate_init=1e3, max_iter=20),
        rows=[[index * 1e6, 0, index * 1e6] for index in range(40)],
    ),
    # Preparation
    "step on no column": Case(
        "InvalidPreparation",
        ["preprocess[0].scale.columns names 'aeg'", "did you mean 'age'"],
        {"preprocess": [{"scale": {"method": "Standard", "columns": ["aeg"]}}]},
    ),
    "mean of text": Case(
        "InvalidPreparation",
        ["takes the Mean of column 'age', which is text"],
        {"preprocess": [{"impute": {"strategy": "Mean", "columns": ["age"]}}]},
        rows=replaced(0, "x", 3),
    ),
    "scale of text": Case(
        "InvalidPreparation",
        ["names column 'age', which is text"],
        {"preprocess": [{"scale": {"method": "Standard", "columns": ["age"]}}]},
        rows=replaced(0, "x", 3),
    ),
    "text to fill numbers": Case(
        "InvalidPreparation",
        ["fillValue is 'none'", "column 'age' holds numbers"],
        {"preprocess": [{"impute": {"strategy": "Constant", "fillValue": "none", "columns": ["age"]}}]},
    ),
    "step after oneHot": Case(
        "InvalidPreparation",
        ["preprocess[1].scale comes after oneHot of column 'age'"],
        {"preprocess": [{"oneHot": {"columns": ["age"]}}, {"scale": {"method": "Standard", "columns": ["age"]}}]},
    ),
    "encoding of what is missing": Case(
        "MissingValues",
        ["column 'income' misses 4 values", "put an impute step before it"],
        {"preprocess": [{"oneHot": {"columns": ["income"]}}]},
        rows=replaced(1, ""),
    ),
    "column named as an output": Case(
        "UnsupportedColumn",
        ["'prediction' has the name of an output"],
        {"preprocess": [{"oneHot": {}}]},
        names=["prediction", "income", "target"],
        rows=replaced(1, "x", 3),
    ),
    "wide text": Case(
        "TooManyColumns",
        ["there are 300 columns, of which 1 are text (c0)", "at most 256", "turn the text to numbers"],
        names=[*(f"c{index}" for index in range(300)), "target"],
        rows=[["x", *range(299), index % 2] for index in range(20)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(bench: Bench, name: str) -> None:
    case = CASES[name]
    bench.run |= case.run
    if case.content is not None:
        bench.write(case.content)
    else:
        bench.write_csv(case.names or NAMES, GOOD if case.rows is None else case.rows)
    error = bench.refusal()
    assert error.reason == case.reason, error.message
    for words in case.words:
        assert words in error.message
    assert not bench.out.exists()


def test_a_folder_without_files_is_refused(bench: Bench) -> None:
    bench.write("", "_SUCCESS").write("", ".hidden")
    assert bench.refusal().message.endswith("holds no file; expected CSV")
    bench.run["data"]["directory"] += "/none"
    assert bench.refusal().reason == "NoData"


def test_files_of_different_columns_are_refused(bench: Bench) -> None:
    bench.write("a,target\n1,0\n", "1.csv").write("b,target\n1,0\n", "2.csv")
    error = bench.refusal()
    assert (error.reason, error.message) == (
        "UnreadableData",
        "2.csv has the columns b, target, but 1.csv has a, target",
    )


def test_rows_of_several_files_are_named_by_file(bench: Bench) -> None:
    for name in ("1.csv", "2.csv"):
        bench.write_csv(NAMES, replaced(2, "", 30), name)
    assert "rows 3 of 1.csv, 33 of 1.csv, 3 of 2.csv, 33 of 2.csv" in bench.refusal().message


NPZ: dict[str, tuple[dict[str, Any] | bytes, str, str]] = {
    "no label": ({"a": np.zeros((4, 2)), "b": np.zeros(4)}, "NoLabelColumn", "no such array among a, b"),
    "three arrays": (
        {"a": np.zeros((4, 2)), "b": np.zeros(4), "target": np.zeros(4)},
        "UnreadableData",
        "must hold two arrays",
    ),
    "flat features": (
        {"a": np.zeros(4), "target": np.zeros(4)},
        "UnreadableData",
        "array 'a' must be numbers of shape (rows, …)",
    ),
    "text features": ({"a": np.array([["x"]]), "target": np.zeros(1)}, "UnreadableData", "must be numbers"),
    "other length": ({"a": np.zeros((4, 2)), "target": np.zeros(5)}, "UnreadableData", "rows: a 4, target 5"),
    "objects": ({"a": np.array([[object()]]), "target": np.zeros(1)}, "UnreadableData", "without pickled objects"),
    "no rows": ({"a": np.zeros((0, 2)), "target": np.zeros(0)}, "NoRows", "no row"),
    "no NPZ": (b"PK but not really", "UnreadableData", "is no NPZ file"),
}


@pytest.mark.parametrize("name", NPZ)
def test_a_bad_npz_is_refused(bench: Bench, name: str) -> None:
    content, reason, words = NPZ[name]
    bench.run["data"]["format"] = "NPZ"
    if isinstance(content, bytes):
        bench.write(content, "data.npz")
    else:
        np.savez(bench.folder / "data" / "data.npz", **content)
    error = bench.refusal()
    assert (error.reason, words in error.message) == (reason, True), error.message


def test_a_bad_parquet_is_refused(bench: Bench) -> None:
    bench.run["data"]["format"] = "Parquet"
    bench.write("PAR1 but not really", "data.parquet")
    assert "data.parquet is no Parquet file" in bench.refusal().message
    table = pa.table({"when": pa.array([1, 2], pa.timestamp("s")), "target": [0, 1]})
    pq.write_table(table, bench.folder / "data" / "data.parquet")
    error = bench.refusal()
    assert error.reason == "UnsupportedColumn"
    assert "column 'when' is of type timestamp[" in error.message


def test_labels_that_only_later_rows_have_are_told(bench: Bench) -> None:
    bench.run["split"] |= {"by": "Time", "stratify": False}
    rows = [[index % 7, "z" if index > 93 else "q" if index in {55, 56} else "xy"[index % 2]] for index in range(100)]
    (told,) = bench.write_csv(["a", "target"], rows).train().warnings
    assert told.startswith("the training part lacks 2 of 4 labels: q, z. ")
    assert "2 rows of the validation part and 6 of the test part have them" in told
    rows = [[index, "x" if index < 60 else "y"] for index in range(100)]
    refusal = bench.write_csv(["a", "target"], rows).refusal()
    assert str(refusal.reason) == "OneClass"
    assert "part at random (split.by), or give more rows" in refusal.message
