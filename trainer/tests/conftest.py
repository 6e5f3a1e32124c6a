"""What tests share: runs over data that they write, or that scikit-learn ships."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from modelwright_trainer.backends.scikit_learn.estimator import ScikitLearnEstimator
from modelwright_trainer.config import Candidate, Run, parse_run
from modelwright_trainer.export import Fitted
from modelwright_trainer.failure import RunError
from modelwright_trainer.inputs import declare_table
from modelwright_trainer.prepare import fit_preparation
from modelwright_trainer.progress import Progress
from modelwright_trainer.run import run_training
from modelwright_trainer.table import Column
from sklearn import datasets

if TYPE_CHECKING:
    from modelwright_trainer.train import Outcome

collect_ignore_glob = [] if find_spec("tensorflow") else ["keras/*"]
"""Tests that load TensorFlow, in one process for all of them; the others run without it."""
CONTRACT = Path(__file__).parents[2] / "runtime" / "contract"


@dataclass
class Bench:
    """A folder with data and a run over it."""

    folder: Path
    run: dict[str, Any]

    def write_csv(self, names: list[str], rows: list[list[Any]], file: str = "data.csv") -> Bench:
        """Write a file of data."""
        with (self.folder / "data" / file).open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(names)
            writer.writerows(rows)
        return self

    def write(self, content: str | bytes, file: str = "data.csv") -> Bench:
        """Write a file as it is."""
        (self.folder / "data" / file).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def write_bundled(self, name: str, *, npz: bool = False) -> Bench:
        """Write a data set of scikit-learn's, with the label `target`."""
        bunch = getattr(datasets, f"load_{name}")()
        if npz:
            np.savez(self.folder / "data" / "data.npz", features=bunch.data, target=bunch.target)
            self.run["data"]["format"] = "NPZ"
        else:
            names = [str(one).replace(" ", "_") for one in bunch.feature_names]
            rows = np.column_stack([bunch.data, bunch.target]).tolist()
            self.write_csv([*names, "target"], rows)
        return self

    def matrix(self) -> Bench:
        """Have all columns be one input `x`."""
        self.run["data"]["inputs"] = "Matrix"
        return self

    def candidate(self, algorithm: str, **parameters: Any) -> Bench:
        """Train this one only."""
        self.run["candidates"] = [{"name": "only", "algorithm": algorithm, "parameters": parameters}]
        return self

    def regression(self) -> Bench:
        """Make it a regression."""
        self.run |= {"task": "Regression", "selection": {"metric": "R2", "goal": "Maximize"}}
        self.run["split"]["stratify"] = False
        return self

    def parse(self) -> Run:
        """Return the run as the trainer reads it."""
        return parse_run(json.dumps(self.run))

    def train(self) -> Outcome:
        """Run it."""
        return run_training(self.parse(), Progress())

    def refusal(self) -> RunError:
        """Run it, and return why it ends."""
        with pytest.raises(RunError) as caught:
            self.train()
        return caught.value

    @property
    def out(self) -> Path:
        """Where the run writes."""
        return self.folder / "out"

    def evaluation(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the test part."""
        with np.load(self.out / "evaluation.npz", allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def session(self) -> onnxruntime.InferenceSession:
        """Load the model."""
        return onnxruntime.InferenceSession(self.out / "model.onnx", providers=["CPUExecutionProvider"])

    def served(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the model says of the test part."""
        session = self.session()
        inputs = {name[7:]: value for name, value in self.evaluation().items() if name.startswith("inputs/")}
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "data").mkdir()
    run = {
        "model": "tried",
        "task": "Classification",
        "data": {"directory": str(tmp_path / "data"), "format": "CSV", "label": "target"},
        "split": {"validation": "0.2", "test": "0.3", "seed": 7, "stratify": True},
        "candidates": [{"name": "tree", "algorithm": "DecisionTree", "parameters": {}}],
        "selection": {"metric": "Accuracy", "goal": "Maximize"},
        "output": str(tmp_path / "out"),
    }
    return Bench(tmp_path, run)


def scikit_learn(estimator: Any, parameters: dict[str, Any] | None = None) -> ScikitLearnEstimator:
    """Wrap an estimator that was fitted by a test."""
    return ScikitLearnEstimator(estimator, Candidate("only", "tried", parameters or {}), "candidates[0]")


def fitted(estimator: Any, features: np.ndarray[Any, Any], classes: np.ndarray[Any, Any] | None) -> Fitted:
    """Put an estimator behind one input `x` of numbers that need no preparation."""
    columns = tuple(Column(f"x{index}", features[:, index]) for index in range(features.shape[1]))
    preparer = fit_preparation(columns, (), np.arange(len(features)))
    return Fitted(partial(declare_table, preparer=preparer, single_input=True), scikit_learn(estimator), classes)


def agrees(bench: Bench) -> None:
    """Require that the model says what the trainer has written, on every row."""
    evaluation, served = bench.evaluation(), bench.served()
    expected = {name[8:]: value for name, value in evaluation.items() if name.startswith("outputs/")}
    assert sorted(expected) == sorted(served)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            assert served[name].dtype == np.float32
            np.testing.assert_allclose(served[name], value, rtol=1e-4, atol=1e-4)
        else:
            np.testing.assert_array_equal(served[name].astype(value.dtype), value)


def refused(bench: Bench, reason: str, *words: str) -> None:
    """Require that the run ends for this reason, in these words among others."""
    refusal = bench.refusal()
    for one in words:
        assert one in refusal.message, refusal.message
    assert refusal.reason == reason


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    from modelwright_trainer.backends.keras.start import start  # noqa: PLC0415 - it loads TensorFlow

    return start()
