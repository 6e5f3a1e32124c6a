"""The library knows no backend: what one is made of is named inside of it only."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import modelwright_trainer
import numpy as np
from conftest import Bench, agrees
from modelwright_trainer import backends
from modelwright_trainer.backends import Estimator, find_backend
from modelwright_trainer.backends.scikit_learn.algorithms import CLASSES
from modelwright_trainer.backends.scikit_learn.parts import PARTS
from modelwright_trainer.config import Candidate, RunLayer
from modelwright_trainer.material import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs
    from modelwright_trainer.material import Arrays, Material, Watch

SOURCES = Path(modelwright_trainer.__file__).parent
LIBRARIES = {"scikit_learn": {"sklearn"}, "keras": {"keras", "tensorflow", "jax"}}
SHARED = {"sklearn.metrics"}
"""Formulas of metrics, which judge every backend's answers."""


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_class_of_a_backend_is_named_outside_of_it() -> None:
    seen = 0
    for path in SOURCES.rglob("*.py"):
        parts = path.relative_to(SOURCES).parts
        inside = parts[1] if parts[0] == "backends" and len(parts) > 2 else ""
        for name in imports_of(path):
            for backend, packages in LIBRARIES.items():
                named = name.partition(".")[0] in packages or f"backends.{backend}" in name
                seen += named
                assert inside == backend or not named or name in SHARED, f"{path} imports {name}"
    assert seen > 10


def test_every_class_of_scikit_learn_has_its_part_of_a_graph() -> None:
    assert set(PARTS) == {found for algorithms in CLASSES.values() for found in algorithms.values()}


def test_a_candidate_goes_to_the_library_that_has_its_field() -> None:
    assert find_backend(Candidate("a", algorithm="SVM")).name == "scikit_learn"
    assert backends.NAMES["layers"] == "keras"
    assert Candidate("a", layers=(RunLayer("l", "Dense", None, {}),)).layers


class Majority(Estimator):
    """Answers the most frequent label, and tells of three epochs on the way."""

    def __init__(self) -> None:
        """Know nothing."""
        self.known: Any = None
        self.most = 0

    @property
    def description(self) -> str:
        """Say what it is."""
        return "majority"

    @property
    def classes(self) -> Any:
        """Say what it knows."""
        return self.known

    def fit(self, material: Material, watch: Watch) -> None:
        """Count."""
        self.known, counts = np.unique(material.train.truth, return_counts=True)
        self.most = int(counts.argmax())
        for epoch in (1, 2, 3):
            watch(epoch=epoch, epochs=3, loss=1 / epoch, metrics={"val_loss": 2 / epoch})

    def answer(self, inputs: Arrays) -> Answers:
        """Say the same of all rows."""
        return Answers(index=np.full(len(inputs["features"]), self.known[self.most]))

    def export(self, graph: Graph, inputs: GraphInputs) -> Any:
        """Add a constant."""
        from modelwright_trainer.graph.answer import Answer  # noqa: PLC0415 - of this test only

        features = inputs["features"]
        assert features.shape == ("rows", 4)
        zeros = graph.add(
            "ReduceSum", graph.add("Mul", features.name, graph.constant(np.float32(0))), graph.whole(1), keepdims=0
        )
        return Answer(graph.add("Add", graph.cast(zeros, "int64"), graph.constant(np.array(self.most))), None)

    def provenance(self) -> dict[str, Any]:
        """Say how."""
        return {"threads": 2}


class Simple:
    """A library of one algorithm."""

    name = "simple"
    packages = ("numpy",)

    def build(self, *_: Any) -> Majority:
        """Give it."""
        return Majority()


def test_candidates_of_two_libraries_are_compared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_backend

    def found(candidate: Candidate) -> Any:
        return Simple() if candidate.layers else real(candidate)

    monkeypatch.setattr(backends, "find_backend", found)
    monkeypatch.setattr("modelwright_trainer.report.find_backend", found)
    layers = [{"name": "l", "type": "Dense"}]
    bench.write_bundled("iris").run["candidates"] = [
        {"name": "net", "layers": layers},
        {"name": "tree", "algorithm": "DecisionTree"},
    ]
    outcome = bench.train()
    assert [trial.candidate.name for trial in outcome.ranked] == ["tree", "net"]
    report = (bench.out / "report.json").read_text()
    assert '"algorithm": "majority"' in report
    assert '"threads": 2' in report
    assert outcome.trials[0].curve[-1] == {"epoch": 3, "loss": 1 / 3, "val_loss": 2 / 3}
    assert outcome.trials[1].curve == []
    bench.run["candidates"] = [{"name": "net", "layers": layers}]
    bench.train()
    agrees(bench)
