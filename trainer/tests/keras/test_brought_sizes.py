"""A `.keras` file that leaves the sizes of its images open: every size is answered as Keras answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from modelwright_trainer.backends.keras.brought.archive import read_keras
from modelwright_trainer.backends.keras.brought.convert import close, convert
from modelwright_trainer.backends.keras.brought.layers import read_layers
from modelwright_trainer.backends.keras.export import convolution
from modelwright_trainer.backends.keras.start import start
from modelwright_trainer.failure import RunError

start()

import keras  # noqa: E402  (behind TensorFlow's start)
from keras import layers as of  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def save(folder: Path, *layers: Any) -> tuple[Any, Path]:
    model = keras.Sequential([of.Input((None, None, 2)), *layers, of.GlobalAveragePooling2D()])
    path = folder / "model.keras"
    model.save(path)
    return model, path


def ask(folder: Path, asked: NDArray[np.float32]) -> Any:
    session = onnxruntime.InferenceSession(folder / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: asked})[0]


@pytest.mark.parametrize(
    "one",
    [
        of.Conv2D(3, 2, strides=5, padding="same"),
        of.Conv2D(3, (1, 3), strides=(4, 2), padding="same"),
        of.SeparableConv2D(3, 1, strides=4, padding="same"),
        of.MaxPooling2D(2, strides=3, padding="same"),
        of.AveragePooling2D(1, strides=3, padding="same"),
    ],
    ids=lambda one: one.name,
)
def test_steps_that_go_farther_than_windows_are_answered(tmp_path: Path, one: Any) -> None:
    model, path = save(tmp_path, one)
    convert(path, tmp_path / "out")
    for size in (1, 3, 4, 6, 7, 8):
        asked = np.random.default_rng(size).standard_normal((2, size, size + 3, 2), np.float32)
        expected = np.asarray(model(asked, training=False))
        assert np.abs(ask(tmp_path, asked) - expected).max() <= 1e-5 * np.abs(expected).max(), size


def test_a_fault_at_some_sizes_alone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of nine rows and columns, windows of two in steps of five see all that they have to."""
    monkeypatch.setattr(convolution, "cut_unseen", lambda _graph, tensor, _sizes, _windows: tensor)
    _, path = save(tmp_path, of.Conv2D(3, 2, strides=5, padding="same"))
    with pytest.raises(RunError, match="ONNX Runtime answers otherwise than Keras"):
        convert(path, tmp_path / "out")


def test_layers_that_go_together_at_even_sizes_alone_are_taken(tmp_path: Path) -> None:
    taken = of.Input((None, None, 2))
    halves = of.Conv2D(2, 3, strides=2, padding="same")(taken), of.MaxPooling2D()(taken)
    model = keras.Model(taken, of.GlobalAveragePooling2D()(of.Add()(halves)))
    path = tmp_path / "model.keras"
    model.save(path)
    convert(path, tmp_path / "out")
    asked = np.random.default_rng(5).standard_normal((3, 18, 24, 2), np.float32)
    expected = np.asarray(model(asked, training=False))
    assert np.abs(ask(tmp_path, asked) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_sizes_that_no_layer_leaves_anything_of_are_not_asked(tmp_path: Path) -> None:
    _, path = save(tmp_path, of.Conv2D(2, 31))
    brought = read_layers(read_keras(path).config)
    assert [closed.shape for closed in close(brought)] == [(size, size, 2) for size in (32, 33, 128, 129)]
