"""examples/own-image: what its `train.py` leaves behind, and how it ends; by docs/own-image.md."""

from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import datasets

PROGRAM = Path(__file__).parents[2] / "examples" / "own-image" / "train.py"


@dataclass
class Bench:
    """A folder with data and a run over it."""

    folder: Path
    run: dict[str, Any]

    def write_csv(self, names: list[str], rows: list[list[Any]]) -> Bench:
        """Write the data; the label is `target`."""
        with (self.folder / "data" / "data.csv").open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([names, *rows])
        return self

    def write_bundled(self, name: str, *, words: bool = False) -> Bench:
        """Write a data set of scikit-learn's."""
        bunch = getattr(datasets, f"load_{name}")()
        labels = [str(bunch.target_names[label]) for label in bunch.target] if words else bunch.target.tolist()
        names = [str(feature) for feature in bunch.feature_names]
        return self.write_csv(
            [*names, "target"], [[*row, label] for row, label in zip(bunch.data.tolist(), labels, strict=True)]
        )

    def candidate(self, **parameters: Any) -> Bench:  # noqa: ANN401 - parameters are of any type
        """Train this one only."""
        self.run["candidates"] = [{"name": "only", "algorithm": "LightGBM", "parameters": parameters}]
        return self

    def regression(self) -> Bench:
        """Make it a regression."""
        self.run |= {"task": "Regression", "selection": {"metric": "R2", "goal": "Maximize"}}
        self.run["split"]["stratify"] = False
        return self

    def start(self, port: int = 0, *limit: str, threads: int = 1) -> subprocess.Popen[str]:
        """Start the program, by a command that limits it."""
        (self.folder / "run.json").write_text(json.dumps(self.run))
        (self.folder / "termination").write_text("")
        arguments: list[str | Path] = [
            "--run",
            self.folder / "run.json",
            "--termination-log",
            self.folder / "termination",
        ]
        arguments += ["--port", str(port), "--threads", str(threads)]
        return subprocess.Popen([*limit, sys.executable, PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)  # noqa: S603

    def finish(self, process: subprocess.Popen[str] | None = None) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the termination message."""
        process = process or self.start()
        try:
            _, log = process.communicate(timeout=120)
        finally:
            process.kill()
        content = (self.folder / "termination").read_text()
        assert len(content.encode()) <= 1500
        assert content, log
        return process.returncode, json.loads(content)

    def train(self) -> dict[str, Any]:
        """Return the report of a run that succeeds."""
        code, message = self.finish()
        assert code == 0, message
        succeeded: dict[str, Any] = message["succeeded"]
        return succeeded

    def refusal(self, code: int = 64) -> tuple[str, str]:
        """Return why a run fails."""
        found, message = self.finish()
        assert found == code, message
        assert not (self.out / "model.onnx").exists()
        return message["failed"]["reason"], message["failed"]["message"]

    @property
    def out(self) -> Path:
        """Where the run writes."""
        return self.folder / "out"

    def arrays(self, name: str) -> dict[str, Any]:
        """Return a file of arrays."""
        with np.load(self.out / name, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def served(self) -> dict[str, Any]:
        """Return what ONNX Runtime says of the test part."""
        session = onnxruntime.InferenceSession(self.out / "model.onnx", providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"x": self.arrays("evaluation.npz")["inputs/x"]}), strict=True))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "data").mkdir()
    run = {
        "model": "tried",
        "task": "Classification",
        "data": {"directory": str(tmp_path / "data"), "format": "CSV", "label": "target"},
        "checks": {},
        "preprocess": [],
        "split": {"validation": "0.2", "test": "0.3", "seed": 7, "stratify": True},
        "candidates": [{"name": "only", "algorithm": "LightGBM", "parameters": {"n_estimators": 20}}],
        "selection": {"metric": "F1Macro", "goal": "Maximize"},
        "output": str(tmp_path / "out"),
    }
    return Bench(tmp_path, run)


def agrees(bench: Bench) -> None:
    """Require that the model says what LightGBM said, on every row of the test part."""
    evaluation, served = bench.arrays("evaluation.npz"), bench.served()
    assert sorted(f"outputs/{name}" for name in served) == sorted(name for name in evaluation if "outputs/" in name)
    for name, found in served.items():
        expected = evaluation[f"outputs/{name}"]
        if expected.dtype.kind == "f":
            assert found.dtype == np.float32
            np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(found.astype(expected.dtype), expected)


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_words_are_told_apart_and_every_file_is_there(bench: Bench) -> None:
    bench.write_bundled("breast_cancer", words=True)
    bench.run["candidates"] = [
        {"name": "stumps", "algorithm": "LightGBM", "parameters": {"n_estimators": 2, "max_depth": 1}},
        {"name": "trees", "algorithm": "LightGBM", "parameters": {"n_estimators": 60, "num_leaves": 15}},
    ]
    report = bench.train()
    assert sorted(path.name for path in bench.out.iterdir()) == [
        "calibration.npz", "evaluation.npz", "model.onnx", "report.json",
    ]  # fmt: skip
    assert report["rows"] == {"train": 284, "validation": 114, "test": 171}
    assert (report["chosen"], report["metric"]) == ("trees", "F1Macro")
    assert [one["name"] for one in report["candidates"]] == ["trees", "stumps"]
    assert float(report["candidates"][0]["score"]) > float(report["candidates"][1]["score"])
    evaluation = bench.arrays("evaluation.npz")
    assert evaluation["inputs/x"].shape == (171, 30)
    assert evaluation["inputs/x"].dtype == np.float32
    assert evaluation["classes"].tolist() == ["benign", "malignant"]
    assert evaluation["labels"].dtype.kind == "U"
    assert bench.served()["probabilities"].shape == (171, 2)
    agrees(bench)
    accuracy = float((bench.served()["label"] == evaluation["labels"]).mean())
    assert accuracy > 0.93
    written = json.loads((bench.out / "report.json").read_text())
    assert written["metrics"]["Accuracy"] == pytest.approx(accuracy)
    assert [one["name"] for one in written["candidates"]] == ["stumps", "trees"]
    assert (written["features"][0], len(written["features"])) == ("mean radius", 30)
    assert bench.arrays("calibration.npz")["inputs/x"].shape == (284, 30)


def test_ten_digits_are_told_apart_by_the_candidate_that_is_there_without_any(bench: Bench) -> None:
    bench.write_bundled("digits").run["candidates"] = []
    assert bench.train()["chosen"] == "lightgbm"
    evaluation, served = bench.arrays("evaluation.npz"), bench.served()
    assert evaluation["classes"].tolist() == list(range(10))
    assert served["label"].dtype == np.int64
    assert float((served["label"] == evaluation["labels"]).mean()) > 0.94
    np.testing.assert_allclose(served["probabilities"].sum(axis=1), 1, atol=1e-5)
    agrees(bench)


def test_numbers_are_predicted(bench: Bench) -> None:
    bench.write_bundled("diabetes").regression().train()
    assert "classes" not in bench.arrays("evaluation.npz")
    assert bench.served()["prediction"].shape == (133, 1)
    agrees(bench)


@pytest.mark.parametrize("labels", [[3, 11], [-2, 5, 40]])
def test_any_whole_numbers_are_labels(bench: Bench, labels: list[int]) -> None:
    random = np.random.default_rng(1)
    rows = [[float(random.normal(label)), label] for label in labels for _ in range(100)]
    bench.write_csv(["a", "target"], rows).train()
    assert bench.arrays("evaluation.npz")["classes"].tolist() == labels
    assert set(bench.served()["label"].tolist()) <= set(labels)
    agrees(bench)


def test_a_graph_takes_any_number_of_rows_and_gives_tensors(bench: Bench) -> None:
    bench.write_bundled("breast_cancer").train()
    graph = onnx.load(bench.out / "model.onnx").graph
    assert [one.name for one in graph.output] == ["label", "probabilities"]
    for one in [*graph.input, *graph.output]:
        assert one.type.tensor_type.shape.dim[0].dim_param == "rows"
    session = onnxruntime.InferenceSession(bench.out / "model.onnx", providers=["CPUExecutionProvider"])
    for rows in (1, 3):
        label, probabilities = session.run(None, {"x": np.zeros((rows, 30), np.float32)})
        assert (label.shape, probabilities.shape) == ((rows,), (rows, 2))


def test_decimals_on_a_threshold_go_the_way_that_lightgbm_sends_them(bench: Bench) -> None:
    # Halfway between two tenths lies a twentieth, and rows of the test part lie there too: rounded to the nearest FP32,
    # half of these thresholds would be above their twentieth.
    random = np.random.default_rng(3)
    values = random.integers(0, 400, 4000) * 5 / 100
    rows = [[value, float(np.sin(value * 2) + random.normal(0, 0.01))] for value in values.tolist()]
    bench.write_csv(["a", "target"], rows).regression().candidate(n_estimators=50, num_leaves=200, min_child_samples=1)
    bench.train()
    agrees(bench)


def test_missing_numbers_go_the_way_that_lightgbm_sends_them(bench: Bench) -> None:
    bunch = datasets.load_wine()
    random = np.random.default_rng(5)
    rows = [
        [*("" if random.random() < 0.2 else value for value in row), label]
        for row, label in zip(bunch.data.tolist(), bunch.target.tolist(), strict=True)
    ]
    bench.write_csv([*bunch.feature_names, "target"], rows).candidate(min_child_samples=2).train()
    assert np.isnan(bench.arrays("evaluation.npz")["inputs/x"]).any()
    agrees(bench)


def test_trees_without_a_split_are_a_model_too(bench: Bench) -> None:
    bench.write_csv(["a", "target"], [[index % 3, index % 2] for index in range(20)]).train()
    agrees(bench)


def test_the_same_run_makes_the_same_bytes(bench: Bench) -> None:
    bench.write_bundled("digits").candidate(n_estimators=10, subsample=0.7, subsample_freq=1, colsample_bytree=0.5)
    made = []
    for _ in range(3):
        assert bench.finish()[0] == 0
        made.append([(bench.out / name).read_bytes() for name in ("model.onnx", "evaluation.npz", "calibration.npz")])
    assert made[0] == made[1] == made[2]


def test_parquet_and_npz_give_what_csv_gives(bench: Bench) -> None:
    bench.write_bundled("iris").train()
    expected = bench.arrays("evaluation.npz")
    bunch = datasets.load_iris()
    (bench.folder / "data" / "data.csv").unlink()
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True)) | {"target": bunch.target}
    for index in range(2):
        half = {name: values[index * 75 : index * 75 + 75] for name, values in columns.items()}
        parquet.write_table(pa.table(half), bench.folder / "data" / f"part-{index}.parquet")
    (bench.folder / "data" / "_SUCCESS").touch()
    bench.run["data"]["format"] = "Parquet"
    bench.train()
    for name, values in bench.arrays("evaluation.npz").items():
        np.testing.assert_array_equal(values, expected[name])
    for path in (bench.folder / "data").iterdir():
        path.unlink()
    np.savez(bench.folder / "data" / "data.npz", features=bunch.data.reshape(150, 2, 2), target=bunch.target)
    bench.run["data"]["format"] = "NPZ"
    bench.train()
    for name, values in bench.arrays("evaluation.npz").items():
        np.testing.assert_array_equal(values, expected[name])


GOOD = [[index, index % 5, index % 2] for index in range(40)]


@pytest.mark.parametrize(
    ("names", "rows", "reason", "words"),
    [
        (["a", "b", "other"], GOOD, "NoLabelColumn", "data.label 'target' is none of the columns a, b, other"),
        (["a", "b", "target"], [], "NoRows", "0 rows"),
        (["a", "b", "target"], [*GOOD, [1, "x", 1]], "TextColumn", "column 'b' has 'x' in row 41"),
        (["a", "b", "target"], [*GOOD, [1, 2]], "UnreadableData", "row 41: 2 values for 3 columns"),
        (["a", "b", "target"], [*GOOD, [1, 2, ""]], "InvalidLabel", "in row 41"),
        (["a", "b", "target"], [*GOOD, [1, 2, 0.5]], "InvalidLabel", "whole numbers or text"),
        (["a", "b", "target"], [*GOOD, ["1e39", 2, 1]], "NotFinite", "column 'a'"),
        (["a", "b", "target"], [[1, 2, 1]] * 9, "OneClass", "label 1 only"),
        (["a", "b", "target"], GOOD[:3], "TooFewRows", "3 rows"),
    ],
)
def test_bad_data_ends_with_code_64(
    bench: Bench, names: list[str], rows: list[list[Any]], reason: str, words: str
) -> None:
    found, message = bench.write_csv(names, rows).refusal()
    assert found == reason
    assert words in message


@pytest.mark.parametrize(
    ("candidate", "reason", "words"),
    [
        ({"algorithm": "XGBoost"}, "UnknownAlgorithm", "candidates[0] 'only': algorithm is 'XGBoost'"),
        ({"parameters": {"num_leafs": 7}}, "UnknownParameter", "no parameter 'num_leafs'"),
        ({"parameters": {"num_leaves": 1}}, "InvalidParameter", "num_leaves"),
        ({"parameters": {"n_estimators": "many"}}, "InvalidParameter", "'many'"),
        ({"parameters": {"objective": "poison"}}, "InvalidParameter", "poison"),
    ],
)
def test_a_bad_candidate_ends_with_code_64(bench: Bench, candidate: dict[str, Any], reason: str, words: str) -> None:
    bench.write_csv(["a", "b", "target"], GOOD)
    bench.run["candidates"][0] |= candidate
    found, message = bench.refusal()
    assert found == reason
    assert words in message


@pytest.mark.parametrize(
    "change", [{"checks": {"minRows": 3}}, {"preprocess": [{"scale": {"method": "Standard"}}]}], ids=str
)
def test_what_this_image_does_not_do_is_refused(bench: Bench, change: dict[str, Any]) -> None:
    bench.write_csv(["a", "b", "target"], GOOD).run |= change
    assert bench.refusal()[0] == "InvalidRun"


def test_no_data_and_no_run_end_with_code_64(bench: Bench) -> None:
    assert bench.refusal()[0] == "NoData"
    process = bench.start()
    (bench.folder / "run.json").unlink()
    code, message = bench.finish(process)
    assert (code, message["failed"]["reason"]) == (64, "InvalidRun")


def test_an_output_that_cannot_be_written_ends_with_code_75(bench: Bench) -> None:
    bench.write_csv(["a", "b", "target"], GOOD).out.write_text("in the way")
    assert bench.finish()[0] == 75


def test_a_full_volume_ends_with_code_64(bench: Bench) -> None:
    bench.write_csv(["a", "b", "target"], GOOD).out.mkdir()
    (bench.out / "model.onnx").symlink_to("/dev/full")
    code, message = bench.finish()
    assert (code, message["failed"]["reason"]) == (64, "NoSpace")


def test_progress_is_told_tree_by_tree_and_a_signal_ends_it(bench: Bench) -> None:
    bench.write_bundled("digits").candidate(n_estimators=100_000, num_leaves=4)
    bench.run["candidates"].insert(0, {"name": "quick", "algorithm": "LightGBM", "parameters": {"n_estimators": 5}})
    process = bench.start(port := free_port())
    try:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("quick"))
        found: dict[str, Any] = {"activity": "quick"}
        while found["activity"] == "quick" or found["done"] < 8:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=10) as answer:
                found = json.load(answer)
        assert (found["activity"], found["total"], found["metric"]) == ("only", 100_005, "F1Macro")
        assert 0 < float(found["best"]) <= 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
    finally:
        process.kill()
        process.communicate()
