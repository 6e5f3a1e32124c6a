"""What Keras' model of a network answers: padding is never read, and each row is answered by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelwright_trainer.backends.keras.network import Input
from networks import layer, network, softmax

STEPS, CHANNELS = 7, 4
WITHIN = {"type": "LSTM", "parameters": {"units": 3, "return_sequences": True}}
PADDED: dict[str, list[dict[str, Any]]] = {
    "SimpleRNN": [layer("a", "SimpleRNN", units=3)],
    "LSTM": [layer("a", "LSTM", units=3, return_sequences=True), layer("b", "LSTM", units=3)],
    "GRU": [layer("a", "GRU", units=3, reset_after=False)],
    "Bidirectional": [layer("a", "Bidirectional", layer=WITHIN), layer("b", "GlobalMaxPooling1D")],
    "Bidirectional's last steps": [layer("a", "Bidirectional", layer={"type": "GRU", "parameters": {"units": 3}})],
    "attention": [
        layer("m", "MultiHeadAttention", num_heads=2, key_dim=3),
        layer("s", "Add", ["m", "input"]),
        layer("n", "LayerNormalization"),
        layer("g", "GlobalAveragePooling1D"),
    ],
    "attention with dropout": [
        layer("m", "MultiHeadAttention", num_heads=2, key_dim=3, dropout=0.5),
        layer("g", "GlobalAveragePooling1D"),
    ],
    "attention of one to another": [
        layer("d", "Dense", units=5, activation="relu"),
        layer("m", "MultiHeadAttention", ["d", "input", "d"], num_heads=1, key_dim=2),
        layer("c", "Concatenate", ["m", "d"]),
        layer("g", "GlobalMaxPooling1D"),
    ],
    "TransformerEncoder": [
        layer("p", "PositionEmbedding", sequence_length=STEPS, kind="sinusoidal"),
        layer("t", "TransformerEncoder", num_heads=2, intermediate_dim=8),
        layer("u", "TransformerEncoder", num_heads=2, intermediate_dim=8, norm_first=True, dropout=0.1),
        layer("g", "GlobalAveragePooling1D"),
    ],
}


def answer(model: Any, rows: np.ndarray[Any, Any], lengths: list[int]) -> Any:
    return model({"input": rows, "lengths": np.array(lengths)}, training=False).numpy()


@pytest.mark.parametrize("name", PADDED)
def test_what_stands_on_padded_steps_changes_nothing(tensorflow: Any, name: str) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow

    model = build_model(network([*PADDED[name], softmax(3)]), Input((STEPS, CHANNELS), padded=True), 7)
    rows = np.random.default_rng(1).normal(size=(3, STEPS, CHANNELS)).astype(np.float32)
    lengths = [2, 5, STEPS]
    expected = answer(model, rows, lengths)
    other = rows.copy()
    other[0, 2:], other[1, 5:] = 1e3, -7
    np.testing.assert_array_equal(answer(model, other, lengths), expected)
    # And the rows by themselves, without the padding.
    for row, length in enumerate(lengths):
        alone = answer(model, rows[row : row + 1, :length], [length])
        np.testing.assert_allclose(alone[0], expected[row], rtol=0, atol=1e-6)
    assert np.abs(answer(model, rows, [3, 4, STEPS - 1]) - expected).min(axis=1).max() > 1e-6, "lengths matter"


def test_statistics_of_batches_are_of_the_steps_that_are_there(tensorflow: Any) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model, weights_of  # noqa: PLC0415 - it loads TensorFlow

    layers = [layer("n", "BatchNormalization", momentum=0), layer("g", "GlobalAveragePooling1D"), softmax(3)]
    model = build_model(network(layers), Input((STEPS, CHANNELS), padded=True), 7)
    rows = np.random.default_rng(1).normal(size=(2, STEPS, CHANNELS)).astype(np.float32)
    model({"input": rows, "lengths": np.array([2, 4])}, training=True)
    there = np.concatenate([rows[0, :2], rows[1, :4]])
    np.testing.assert_allclose(weights_of(model)["n"]["moving_mean"], there.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(weights_of(model)["n"]["moving_variance"], there.var(axis=0), atol=1e-5)


def test_a_text_without_words_and_a_row_without_steps_have_finite_answers(tensorflow: Any) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model  # noqa: PLC0415 - it loads TensorFlow

    words = [
        layer("v", "TextVectorization", output_sequence_length=5),
        layer("e", "Embedding", input_dim=9, output_dim=4, mask_zero=True),
    ]
    for last in ("GlobalAveragePooling1D", "GlobalMaxPooling1D"):
        declared = [
            *words,
            layer("t", "TransformerEncoder", num_heads=1, intermediate_dim=4),
            layer("g", last),
            softmax(2),
        ]
        model = build_model(network(declared), Input((), text=True), 7)
        assert np.isfinite(model({"input": np.zeros((2, 5), np.int32)}, training=False).numpy()).all()
        declared = [layer("t", "TransformerEncoder", num_heads=1, intermediate_dim=4), layer("g", last), softmax(2)]
        model = build_model(network(declared), Input((STEPS, CHANNELS), padded=True), 7)
        assert np.isfinite(answer(model, np.ones((1, STEPS, CHANNELS), np.float32), [0])).all()


def test_weights_are_counted_before_they_are_made(tensorflow: Any) -> None:
    assert tensorflow
    from modelwright_trainer.backends.keras.build import build_model, weights_of  # noqa: PLC0415 - it loads TensorFlow
    from modelwright_trainer.backends.keras.memory import count_each  # noqa: PLC0415

    steps = [
        layer("c", "Conv1D", filters=6, kernel_size=2),
        layer("n", "BatchNormalization", scale=False),
        layer("p", "PositionEmbedding"),
        layer("b", "Bidirectional", layer={"type": "GRU", "parameters": {"units": 3, "return_sequences": True}}),
        layer("l", "LSTM", units=4, return_sequences=True, use_bias=False),
        layer("r", "SimpleRNN", units=4, return_sequences=True),
        layer("o", "GRU", units=4, return_sequences=True, reset_after=False),
        layer("m", "MultiHeadAttention", num_heads=2, key_dim=3, value_dim=5, output_shape=8, use_bias=False),
        layer("t", "TransformerEncoder", num_heads=2, intermediate_dim=5, key_dim=3),
        layer("y", "LayerNormalization", center=False),
        layer("g", "GlobalAveragePooling1D"),
        softmax(3),
    ]
    images = [
        layer("s", "SeparableConv2D", filters=5, kernel_size=[2, 3], depth_multiplier=2),
        layer("c", "Conv2D", filters=2, kernel_size=2, use_bias=False),
        layer("f", "Flatten"),
        softmax(3),
    ]
    words = [
        layer("v", "TextVectorization", output_sequence_length=5),
        layer("e", "Embedding", input_dim=9, output_dim=4),
        layer("f", "Flatten"),
        softmax(3),
    ]
    for layers, source in ((steps, Input((6, 4))), (images, Input((8, 8, 3))), (words, Input((), text=True))):
        declared = network(layers)
        found = weights_of(build_model(declared, source, 7))
        for name, count in count_each(declared, declared.follow(source)).items():
            assert count == sum(value.size for value in found.get(name, {}).values()), name
