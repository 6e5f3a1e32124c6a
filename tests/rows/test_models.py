"""Models as people have them are no "no": exported graphs, the trainer's own, and those that `make bench` measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import EXPORTED
from held import Tensors, difference, session, verdict
from onnxruntime.quantization import QuantType, quantize_dynamic

TOP = Path(__file__).parents[2]
sys.path.append(str(TOP / "trainer/tests"))


def rows(inputs: dict[str, tuple[type, tuple[int, ...]]], count: int = 5) -> Tensors:
    """Draws rows."""
    drawn = np.random.default_rng(3)
    made: Tensors = {}
    for name, (kind, shape) in inputs.items():
        size = (count, *shape)
        made[name] = (
            drawn.standard_normal(size).astype(kind) if kind is np.float32 else drawn.integers(0, 2, size).astype(kind)
        )
    return made


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_graphs_have_independent_rows(name: str, tmp_path: Path) -> None:
    build, inputs = EXPORTED[name]
    path = tmp_path / "model.onnx"
    onnx.save(build(), path)
    found = verdict(path)
    assert found is not None and found.independent, f"{name}: {found}"
    assert difference(session(str(path)), rows(inputs), {}) is None


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_graph_that_is_spoiled_is_seen_through(name: str, tmp_path: Path) -> None:
    """The same with its answers less their mean over all rows."""
    build, _ = EXPORTED[name]
    model = build()
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["spoiled" if output == old else output for output in node.output]
        node.input[:] = ["spoiled" if given == old else given for given in node.input]
    axes = {"axes": [0]} if model.opset_import[0].version < 18 else {}
    model.graph.node.append(onnx.helper.make_node("ReduceMean", ["spoiled"], ["mean"], name="over_rows", **axes))
    model.graph.node.append(onnx.helper.make_node("Sub", ["spoiled", "mean"], [old]))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    found = verdict(path)
    assert found is not None and found.node == "over_rows", f"{name}: {found}"


def test_what_is_quantized_dynamically_depends_on_the_other_rows(tmp_path: Path) -> None:
    """`quantize_dynamic` of ONNX Runtime scales over all rows of a run; and so it says, with the node."""
    build, inputs = EXPORTED["bert, opset 17"]
    onnx.save(build(), tmp_path / "model.onnx")
    quantize_dynamic(str(tmp_path / "model.onnx"), str(tmp_path / "int8.onnx"), weight_type=QuantType.QInt8)
    found = verdict(tmp_path / "int8.onnx")
    assert found is not None and not found.independent and "DynamicQuantizeLinear" in found.reason, found
    assert difference(session(str(tmp_path / "int8.onnx")), rows(inputs), {}) is not None, "a wrong no"


@pytest.mark.full
def test_every_algorithm_of_the_trainer_has_independent_rows(tmp_path: Path) -> None:
    from conftest import Bench
    from test_agreement import CLASSIFIERS, REGRESSORS

    wrong = []
    for task, all_of_it, data in (("Classification", CLASSIFIERS, "iris"), ("Regression", REGRESSORS, "diabetes")):
        for at, (algorithm, parameters) in enumerate(all_of_it):
            folder = tmp_path / f"{task}{at}"
            folder.mkdir()
            found = verdict(trained(Bench, folder, task, data, algorithm, parameters))
            if found is None or not found.independent:
                wrong.append(f"{task} {algorithm} {parameters}: {found}")
    assert not wrong, "\n".join(wrong)


def trained(bench_of: Any, folder: Path, task: str, data: str, algorithm: str, parameters: dict[str, Any]) -> Path:
    """Trains as the trainer's own tests do, with columns of several kinds prepared; gives the model."""
    (folder / "data").mkdir()
    run = {
        "model": "tried",
        "task": "Classification",
        "data": {"directory": str(folder / "data"), "format": "CSV", "label": "target"},
        "preprocess": [{"impute": {"strategy": "Median"}}, {"scale": {"method": "Standard"}}],
        "split": {"validation": "0.2", "test": "0.3", "seed": 7, "stratify": True},
        "candidates": [],
        "selection": {"metric": "Accuracy", "goal": "Maximize"},
        "output": str(folder / "out"),
    }
    bench = bench_of(folder, run).write_bundled(data).candidate(algorithm, **parameters)
    if task == "Regression":
        bench.regression()
    bench.train()
    return Path(bench.out) / "model.onnx"


def test_no_model_of_the_benchmark_loses_its_shared_runs(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, str(TOP / "tests/bench/serving/models.py"), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    models = sorted(tmp_path.glob("*.onnx"))
    assert len(models) >= 7
    lost = [f"{path.name}: {found}" for path in models if not (found := verdict(path)) or not found.independent]
    assert not lost, "\n".join(lost)
