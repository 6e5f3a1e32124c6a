"""Variants of networks by what stands between their weights: each activation of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from modelwright_trainer.backends.keras.choices import ACTIVATIONS
from modelwright_trainer.backends.keras.export.activations import add_activation
from modelwright_trainer.backends.keras.values import CANONICAL
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.optimize import make
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import Order, Quantize, Request, Target

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS = (
    (Request("dynamic", Quantize.DYNAMIC, Target.SIZE), 0.1),
    (Request("static", Quantize.STATIC, Target.SIZE), 0.1),
    (Request("half", None, Target.SIZE), 0.005),
)
"""With the largest difference that is taken, in parts of the largest answer."""


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_has_all_variants_whatever_its_activation(tmp_path: Path, activation: str) -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(32, 12)).astype(np.float32)
    graph = Graph()
    x = graph.input("x", "float32", (ROWS, 12))
    for before, behind, word in ((12, 16, CANONICAL.get(activation, activation)), (16, 5, "linear")):
        weights = (random.normal(size=(before, behind)) / 4).astype(np.float32)
        x = add_activation(graph, graph.add("MatMul", x, graph.constant(weights)), word)
    graph.output("y", x, "float32", (ROWS, 5))
    (tmp_path / "model.onnx").write_bytes(b"".join(graph.pieces()))
    np.savez(tmp_path / "calibration.npz", **{"inputs/x": rows})
    make_variants(Order(tmp_path, tuple(request for request, _ in VARIANTS)))

    def ask(path: Path) -> Any:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": rows})[0]

    expected = ask(tmp_path / "model.onnx")
    for request, most in VARIANTS:
        found = ask(tmp_path / "variants" / request.name / "model.onnx")
        assert np.abs(found - expected).max() <= most * np.abs(expected).max(), request


def test_a_variant_that_ends_onnx_runtime_by_a_signal_is_refused_with_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such graphs of FP16 are there: of an LSTM with two attentions behind it, ONNX Runtime 1.31.1 makes an end."""
    graph = Graph()
    x = graph.add("MatMul", graph.input("x", "float32", (ROWS, 12)), graph.constant(np.ones((12, 16), np.float32)))
    graph.output("y", x, "float32", (ROWS, 16))
    (tmp_path / "model.onnx").write_bytes(b"".join(graph.pieces()))
    ends = "import os, signal, sys; os.kill(os.getpid(), signal.SIGSEGV if 'half' in sys.argv[1] else 0)"
    monkeypatch.setattr(make, "USE", ends)
    with pytest.raises(RunError) as caught:
        make_variants(Order(tmp_path, (VARIANTS[0][0], VARIANTS[2][0])))
    assert caught.value.reason == Reason.CANNOT_OPTIMIZE
    assert caught.value.message.startswith("optimize 'half' (weights in FP16, for: Size) is refused: it ends ONNX Run")
    assert "by signal 11 (SIGSEGV)" in caught.value.message
