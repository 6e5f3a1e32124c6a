"""Forests become bytes without ONNX's own classes: the same bytes, and no more memory than the file takes twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import modelwright_trainer
import numpy as np
import onnx
import pytest
from conftest import fitted
from modelwright_trainer.backends import Estimator
from modelwright_trainer.backends.scikit_learn import trees
from modelwright_trainer.backends.scikit_learn.trees import Forest, trees_of
from modelwright_trainer.export import Fitted, export_model
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.graph.answer import Answer
from modelwright_trainer.graph.builder import ROWS
from modelwright_trainer.graph.inputs import Tensor
from modelwright_trainer.graph.packed import Packed, varint
from onnx import helper

if TYPE_CHECKING:
    from conftest import Bench
    from modelwright_trainer.graph.answer import Answer as GraphAnswer
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs
    from modelwright_trainer.material import Answers, Arrays, Material, Watch


@pytest.mark.parametrize("seed", range(5))
def test_packed_attributes_are_what_onnx_writes(seed: int) -> None:
    random = np.random.default_rng(seed)
    numbers = np.concatenate([[0, 1, 127, 128, 16383, 16384, 2**40], random.integers(0, 2**22, 300)])
    floats = random.normal(size=300).astype(np.float32)
    which = random.integers(0, 2, 50)
    words = (b"BRANCH_LEQ", b"LEAF")
    for kind, values in (("ints", numbers), ("floats", floats), ("strings", which)):
        packed = Packed(kind)
        if kind == "strings":
            packed.add_words(words, values)
            expected = helper.make_attribute("a", [words[place] for place in values])
        else:
            packed.add_numbers(values[:100])
            packed.add_numbers(values[100:])
            expected = helper.make_attribute("a", values.tolist())
        head, *parts = packed.write("a")
        content = expected.SerializeToString(deterministic=True)
        assert b"".join([head, *parts]) == varint(5 << 3 | 2) + varint(len(content)) + content


def plain_attributes(estimator: Any) -> dict[str, list[Any]]:
    """Write the attributes of trees one by one, as slowly as they are defined."""
    forest = Forest(estimator)
    found: dict[str, list[Any]] = {}

    def add(name: str, value: Any) -> None:
        found.setdefault(name, []).append(value)

    for number, tree in enumerate(forest.trees):
        high, low, _ = forest.parts_of(tree)
        for node in range(tree.node_count):
            leaf = tree.children_left[node] == -1
            add("nodes_treeids", number)
            add("nodes_nodeids", node)
            add("nodes_featureids", 0 if leaf else int(tree.feature[node]))
            add("nodes_modes", b"LEAF" if leaf else b"BRANCH_LEQ")
            add("nodes_truenodeids", 0 if leaf else int(tree.children_left[node]))
            add("nodes_falsenodeids", 0 if leaf else int(tree.children_right[node]))
            if leaf:
                values = [*high[node], *low[node]]
                for place in [place for place, value in enumerate(values) if value] or [0]:
                    add("target_treeids", number)
                    add("target_nodeids", node)
                    add("target_ids", place)
                    add("target_weights", float(np.float32(values[place])))
    return found


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_a_forest_in_the_file_is_the_forest_that_was_trained(bench: Bench, task: str) -> None:
    bench.write_bundled("iris").matrix()
    if task == "numbers":
        bench.regression()
    chosen = bench.candidate("RandomForest", n_estimators=5).train().chosen
    estimator = chosen.estimator.fitted  # type: ignore[attr-defined]
    content = (bench.out / "model.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    assert model.SerializeToString(deterministic=True) == content
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    for name, values in plain_attributes(estimator).items():
        assert list(found[name]) == values, name
    thresholds = [value for tree in trees_of(estimator) for value in tree.tree_.threshold]
    leaves = [value for tree in trees_of(estimator) for value in tree.tree_.children_left == -1]
    for threshold, leaf, written in zip(thresholds, leaves, found["nodes_values"], strict=True):
        assert written == 0 if leaf else written <= threshold < np.nextafter(np.float32(written), np.float32(np.inf))


def test_trees_are_compared_in_parts_and_one_wrong_leaf_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_NODES", 40)
    runs: list[tuple[int, int]] = []
    real = trees.add_sums

    def spoiled(graph: Any, features: str, forest: Forest, first: int, end: int) -> str:
        runs.append((first, end))
        return real(graph, features, forest, first, end)

    monkeypatch.setattr(trees, "add_sums", spoiled)
    chosen = bench.write_bundled("iris").matrix().candidate("RandomForest", n_estimators=9).train().chosen
    estimator = chosen.estimator.fitted  # type: ignore[attr-defined]
    parts, (whole,) = runs[:-1], runs[-1:]
    assert len(parts) > 2
    assert whole == (0, 9)
    assert [end for _, end in parts] == [*(first for first, _ in parts[1:]), 9]
    evaluation = bench.evaluation()
    expected = {name: evaluation[f"outputs/{name}"] for name in ("label", "probabilities")}
    # The last tree says something else than it did in training.
    tree = trees_of(estimator)[-1].tree_
    tree.value[...] = tree.value[..., ::-1].copy()
    spoilt = fitted(estimator, evaluation["inputs/x"], np.arange(3))
    with pytest.raises(RunError) as caught:
        export_model(spoilt, {"x": evaluation["inputs/x"]}, expected)
    assert caught.value.reason is Reason.NOT_REPRODUCIBLE


MEASURE = """
    import json, sys
    from pathlib import Path

    import numpy as np
    from conftest import fitted, scikit_learn
    from modelwright_trainer.backends.scikit_learn.trees import round_leaves
    from modelwright_trainer.export import export_model
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    def kibibytes(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    random = np.random.default_rng(1)
    features = random.normal(size=(20_000, 6)).astype(np.float32)
    truth = random.normal(size=20_000)
    classify = sys.argv[1] == "classes"
    kind = RandomForestClassifier if classify else RandomForestRegressor
    forest = kind(n_estimators=120 if classify else 40, random_state=1)
    forest.fit(features, (truth > 0).astype(int) if classify else truth)
    if classify:
        round_leaves(forest)
    few = features[:500]
    answers = scikit_learn(forest).answer({"features": few})
    expected = {"prediction": answers.prediction}
    if classify:
        expected = {"label": answers.index, "probabilities": answers.probabilities}
    whole = fitted(forest, features, np.array([0, 1]) if classify else None)
    # From here on, the highest is counted anew.
    Path("/proc/self/clear_refs").write_text("5")
    start = kibibytes("VmRSS:")
    size = sum(map(len, export_model(whole, {"x": few}, expected)))
    print(json.dumps({"size": size, "above": (kibibytes("VmHWM:") - start) * 1024}))
"""


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_a_forest_is_exported_within_twice_the_size_of_its_file(task: str) -> None:
    places = [Path(__file__).parent, Path(modelwright_trainer.__file__).parents[1]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(place.resolve()) for place in places)}
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), task]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)  # noqa: S603
    found = json.loads(done.stdout)
    # ONNX Runtime alone takes thirteen times the file to load it.
    assert found["size"] > 30_000_000
    assert found["above"] <= 2 * found["size"], found


class Softmax(Estimator):
    """Gives the larger of some numbers, as a network does."""

    description = ""
    classes = None

    def fit(self, material: Material, watch: Watch) -> None:
        """Learn nothing."""

    def answer(self, inputs: Arrays) -> Answers:
        """Be not asked."""
        raise NotImplementedError

    def export(self, graph: Graph, inputs: GraphInputs) -> GraphAnswer:
        """Add it."""
        shares = graph.add("Softmax", inputs["x"].name, axis=1)
        return Answer(graph.add("ArgMax", shares, axis=1, keepdims=0), shares)


def exported(numbers: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], classes: np.ndarray[Any, Any]) -> list[bytes]:
    def declare(graph: Graph) -> GraphInputs:
        shape = (ROWS, numbers.shape[1])
        return {"x": Tensor(graph.input("x", "float32", shape), "float32", shape)}

    shares = np.exp(numbers) / np.exp(numbers).sum(axis=1, keepdims=True)
    return export_model(
        Fitted(declare, Softmax(), classes), {"x": numbers}, {"label": classes[labels], "probabilities": shares}
    )


@pytest.mark.parametrize("classes", [np.array([3, 5, 9]), np.array(["a", "b", "c"], dtype=object)])
def test_a_row_between_two_classes_may_have_either(classes: np.ndarray[Any, Any]) -> None:
    numbers = np.random.default_rng(5).normal(size=(2000, 3)).astype(np.float32)
    numbers[7] = [1, 1 + 1e-6, -2]
    numbers[1900] = [0.5, -1, 0.5]
    labels = numbers.argmax(axis=1)
    assert exported(numbers, labels, classes)
    # Python rounded otherwise.
    labels[[7, 1900]] = [0, 2]
    assert exported(numbers, labels, classes)
    for row, label in ((7, 2), (8, (labels[8] + 1) % 3)):
        wrong = labels.copy()
        wrong[row] = label
        with pytest.raises(RunError, match=r"label differs in [23] of 2000 rows") as caught:
            exported(numbers, wrong, classes)
        assert caught.value.reason is Reason.NOT_REPRODUCIBLE
