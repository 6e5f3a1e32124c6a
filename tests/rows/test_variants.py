"""Variants of a model that the trainer made: what they gain, whether their rows are independent, and what `prove` says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from modelwright_trainer.config import parse_run
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import read_order
from modelwright_trainer.progress import Progress
from modelwright_trainer.run import run_training
from sklearn import datasets

JOBS = os.environ["MODELWRIGHT_JOBS"]
JUDGED = {"metric": "Accuracy", "maxMetricDrop": "0.01", "maxDisagreement": "0.02"}
VARIANTS = [
    {"name": "static", "quantize": "Static", "for": "Latency", **JUDGED},
    {"name": "dynamic", "quantize": "Dynamic", "for": "Latency", **JUDGED},
    {"name": "fp16", "for": "Size", **JUDGED},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a perceptron on digits that is wide enough for its products to count, and make its variants."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "data").mkdir()
    digits = datasets.load_digits()
    np.savez(folder / "data" / "data.npz", features=digits.data, target=digits.target)
    run = {
        "model": "digits",
        "task": "Classification",
        "data": {"directory": str(folder / "data"), "format": "NPZ", "label": "target"},
        "split": {"validation": "0.1", "test": "0.3", "seed": 7, "stratify": True},
        "candidates": [
            {"name": "mlp", "algorithm": "MLP", "parameters": {"hidden_layer_sizes": [512, 512], "max_iter": 25}}
        ],
        "selection": {"metric": "Accuracy", "goal": "Maximize"},
        "output": str(folder / "out"),
    }
    run_training(parse_run(json.dumps(run)), Progress())
    make_variants(read_order(json.dumps({"directory": str(folder / "out"), "variants": VARIANTS})))
    return folder


def prove(folder: Path, variants: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `prove` reports."""
    config = {
        "directory": str(folder / "out"),
        "proof": str(folder / "proof"),
        "goldenSamples": 8,
        "goldenSeed": 7,
        "deadlineSeconds": 300,
        "judgement": {"task": "Classification", "gates": [{"metric": "Accuracy", "min": "0.95"}]},
        "variants": variants,
    }
    environment = os.environ | {"MODELWRIGHT_PROVE": json.dumps(config)}
    end = subprocess.run([JOBS, "prove"], env=environment, capture_output=True, check=False, text=True)
    report: dict[str, Any] = json.loads(end.stdout)
    return report


def test_variants_of_a_training_pass_with_the_gain_that_was_asked_for(trained: Path) -> None:
    report = prove(trained, VARIANTS)
    assert "succeeded" in report, report
    for name, most in (("static", 0.3), ("dynamic", 0.3), ("fp16", 0.55)):
        folder = trained / "proof" / "files" / "modelwright" / "variants" / name / "modelwright"
        variant = json.loads((folder / "variant.json").read_text())
        assert variant["sizeBytes"] / variant["figures"]["originalBytes"] < most, variant
        golden = json.loads((folder / "golden.json").read_text())
        assert (golden["source"], len(golden["samples"])) == ("Quantiles", 8), name
        if name != "fp16":
            assert min(float(time["high"]) for time in variant["figures"]["time"]) < 1, variant


@pytest.mark.parametrize(("name", "independent"), [("static", True), ("dynamic", False), ("fp16", True)])
def test_only_scales_of_a_whole_run_make_rows_depend_on_each_other(
    trained: Path, name: str, *, independent: bool
) -> None:
    path = trained / "out" / "variants" / name / "model.onnx"
    end = subprocess.run([JOBS, "inspect", "--json", path], capture_output=True, check=True)
    assert json.loads(end.stdout)["rowIndependence"]["independent"] is independent


def test_a_variant_that_lost_a_layer_is_refused_by_its_answers(trained: Path) -> None:
    path = trained / "out" / "variants" / "broken" / "model.onnx"
    model = onnx.load(trained / "out" / "variants" / "static" / "model.onnx")
    weights = max(model.graph.initializer, key=lambda tensor: tensor.ByteSize())
    zeros = np.zeros_like(onnx.numpy_helper.to_array(weights))
    weights.CopyFrom(onnx.numpy_helper.from_array(zeros, weights.name))
    path.parent.mkdir()
    onnx.save(model, path)
    report = prove(trained, [VARIANTS[0] | {"name": "broken"}])
    assert report["failed"]["reason"] == "VariantRefused"
    for part in ('variant "broken"', "Accuracy is 0.", "at least 0.95"):
        assert part in report["failed"]["message"], report
