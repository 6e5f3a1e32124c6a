"""Networks that cannot be: each ends with its reason, and a message that names layer, parameter, value and way out.

Nothing here loads TensorFlow.
"""

from __future__ import annotations

from typing import Any

import pytest
from modelwright_trainer.backends.keras.parse import check_network
from modelwright_trainer.config import Task
from networks import (
    DENSE,
    EVEN,
    GOOD,
    IMAGES,
    PADDED,
    REGRESSION,
    TEXT,
    TOKENS,
    WORDS,
    Case,
    convolution,
    is_refused,
    layer,
    network,
    softmax,
)

CASES = {
    # References
    "unknown input": Case(
        "InvalidNetwork",
        ["layers[1].inputs[0] of layer 'b' is 'aa'", "did you mean 'a'"],
        [DENSE, layer("b", "Dense", ["aa"], units=2), softmax(3)],
    ),
    "a later input": Case(
        "InvalidNetwork",
        ["inputs[0] of layer 'a' is 'b', which does not stand before it"],
        [layer("a", "Dense", ["b"], units=2), layer("b", "Dense", ["a"], units=2), softmax(3)],
    ),
    "itself": Case(
        "InvalidNetwork", ["is 'a', which does not stand before it"], [layer("a", "Dense", ["a"], units=2), softmax(3)]
    ),
    "two inputs of a Dense": Case(
        "InvalidNetwork",
        ["has 2 names, and a Dense takes exactly one", "Concatenate"],
        [DENSE, layer("b", "Dense", ["a", "input"], units=2), softmax(3)],
    ),
    "no inputs": Case("InvalidNetwork", ["has 0 names"], [layer("a", "Add", []), softmax(3)]),
    "a layer that leads nowhere": Case(
        "InvalidNetwork",
        ["layers[0], the Dense 'a', gives something that no layer takes"],
        [DENSE, layer("out", "Dense", ["input"], units=3, activation="softmax")],
    ),
    "one summand": Case(
        "InvalidNetwork", ["the Add 's', has 1 input", "2 at least"], [DENSE, layer("s", "Add"), softmax(3)]
    ),
    # Shapes
    "summands of other widths": Case(
        "InvalidNetwork",
        ["the Add 's'", "'a' of the shape (4)", "'input' of (5)"],
        [DENSE, layer("s", "Add", ["a", "input"]), softmax(3)],
    ),
    "an axis that is not there": Case(
        "InvalidNetwork",
        ["axis of layer 's' is 2", "the axes 1 to 1"],
        [DENSE, layer("s", "Concatenate", ["a", "input"], axis=2), softmax(3)],
    ),
    "put together along rows": Case(
        "InvalidNetwork",
        ["axis of layer 's' is 0"],
        [DENSE, layer("s", "Concatenate", ["a", "input"], axis=0), softmax(3)],
    ),
    "put together along an axis that differs": Case(
        "InvalidNetwork",
        ["the Concatenate 's'", "all other axes must be the same"],
        [
            layer("w", "Dense", units=9),
            layer("s", "Concatenate", ["w", "input"], axis=1),
            layer("f", "Flatten"),
            softmax(3),
        ],
        EVEN,
    ),
    "a convolution behind a table": Case(
        "InvalidNetwork",
        ["the Conv2D 'c', takes the shape (height, width, channels)", "the data gives (5)", "data.images"],
        convolution(),
    ),
    "a convolution behind a Flatten": Case(
        "InvalidNetwork", ["the layer 'f0' gives (64)"], [layer("f0", "Flatten"), *convolution()], IMAGES
    ),
    "an RNN behind an RNN": Case(
        "InvalidNetwork",
        ["the LSTM 'b', takes the shape (steps, channels)", "the layer 'a' gives (2)", "return_sequences: true"],
        [layer("a", "LSTM", units=2), layer("b", "LSTM", units=2), softmax(3)],
        EVEN,
    ),
    "a kernel larger than the image": Case(
        "InvalidNetwork",
        ["kernel_size of layer 'c' is [9, 9]: 9 does not fit into 8 along axis 1", "padding: same"],
        convolution(kernel_size=9),
        IMAGES,
    ),
    "a dilated kernel larger than the image": Case(
        "InvalidNetwork", ["over 9", "does not fit into 8"], convolution(kernel_size=3, dilation_rate=4), IMAGES
    ),
    "a pool larger than what is left": Case(
        "InvalidNetwork",
        ["pool_size of layer 'p' is [7, 7]", "does not fit into 6"],
        [
            layer("c", "Conv2D", filters=2, kernel_size=3),
            layer("p", "MaxPooling2D", pool_size=7),
            layer("f", "Flatten"),
            softmax(3),
        ],
        IMAGES,
    ),
    "heads that do not divide": Case(
        "InvalidNetwork",
        ["num_heads of layer 't' is 3", "does not divide the 4 channels"],
        [
            layer("t", "TransformerEncoder", num_heads=3, intermediate_dim=4),
            layer("g", "GlobalAveragePooling1D"),
            softmax(3),
        ],
        EVEN,
    ),
    "fewer positions than steps": Case(
        "InvalidNetwork",
        ["sequence_length of layer 'p' is 5", "has 6 steps"],
        [layer("p", "PositionEmbedding", sequence_length=5), layer("g", "GlobalAveragePooling1D"), softmax(3)],
        EVEN,
    ),
    "four inputs of attention": Case(
        "InvalidNetwork",
        ["a query, a value and a key, and 4 inputs"],
        [layer("m", "MultiHeadAttention", ["input"] * 4, num_heads=1, key_dim=2), layer("f", "Flatten"), softmax(3)],
        EVEN,
    ),
    # Padding
    **{
        f"{one['type']} behind lengths": Case(
            "InvalidNetwork",
            [f"the {one['type']} 'x', would take padding for data", "GlobalAveragePooling1D"],
            [one, layer("f", "Flatten"), softmax(3)] if one["type"] != "Flatten" else [one, softmax(3)],
            PADDED,
        )
        for one in (
            layer("x", "Conv1D", filters=2, kernel_size=2),
            layer("x", "MaxPooling1D"),
            layer("x", "AveragePooling1D", pool_size=2),
            layer("x", "Flatten"),
        )
    },
    "steps put together behind lengths": Case(
        "InvalidNetwork",
        ["axis of layer 's' is 1", "along their channels (-1) only"],
        [
            layer("w", "Dense", units=4),
            layer("s", "Concatenate", ["w", "input"], axis=1),
            layer("g", "GlobalAveragePooling1D"),
            softmax(3),
        ],
        PADDED,
    ),
    "a Flatten behind masked words": Case(
        "InvalidNetwork",
        ["the Flatten 'f', would take padding for data"],
        [TOKENS, WORDS, layer("f", "Flatten"), softmax(3)],
        TEXT,
    ),
    # Text
    "text behind nothing": Case("InvalidNetwork", ["the Dense 'a', stands behind the data, which is text"], GOOD, TEXT),
    "words of a table": Case(
        "InvalidNetwork",
        ["the Embedding 'words'", "stands behind a TextVectorization only", "oneHot"],
        [WORDS, layer("f", "GlobalAveragePooling1D"), softmax(3)],
    ),
    "tokens of a table": Case(
        "InvalidNetwork", ["the TextVectorization 'tokens'", "data.text"], [TOKENS, WORDS, softmax(3)]
    ),
    "a Dense behind tokens": Case(
        "InvalidNetwork",
        ["'a', stands behind the layer 'tokens', which gives numbers of tokens"],
        [TOKENS, DENSE, softmax(3)],
        TEXT,
    ),
    "tokens twice": Case(
        "InvalidNetwork",
        ["is the second one"],
        [TOKENS, layer("again", "TextVectorization", ["input"], output_sequence_length=3), softmax(3)],
        TEXT,
    ),
    "text of any length": Case(
        "InvalidParameter",
        ["output_sequence_length of TextVectorization 'v' is missing"],
        [layer("v", "TextVectorization"), softmax(3)],
        TEXT,
    ),
    "another standardization": Case(
        "InvalidParameter",
        ["standardize", "ASCII letters are lowered"],
        [layer("v", "TextVectorization", output_sequence_length=3, standardize="lower"), softmax(3)],
        TEXT,
    ),
    # The last layer
    "images that are not flattened": Case(
        "InvalidNetwork", ["the Dense 'out', is the last one and gives (8, 8, 3)", "Flatten"], [softmax(3)], IMAGES
    ),
    "fewer units than classes": Case(
        "InvalidNetwork", ["units of layer 'out' is 2", "3 classes", "3 is needed"], [DENSE, softmax(2)]
    ),
    "more units than classes": Case(
        "InvalidNetwork", ["units of layer 'out' is 10", "3 is needed"], [DENSE, softmax(10)]
    ),
    "one unit of softmax": Case(
        "InvalidNetwork", ["units of layer 'out' is 1", "always 1"], [DENSE, softmax(1)], classes=2
    ),
    "no probabilities": Case(
        "InvalidNetwork", ["activation of layer 'a' is 'linear'", "give it softmax"], [layer("a", "Dense", units=3)]
    ),
    "a softmax in place of a sigmoid": Case(
        "InvalidNetwork",
        ["activation of layer 'out' is 'softmax'", "give it sigmoid"],
        [softmax(2)],
        more={"loss": "binary_crossentropy"},
        classes=2,
    ),
    "three classes by one probability": Case(
        "InvalidNetwork",
        ["candidates[0].loss is binary_crossentropy", "the labels have 3"],
        [layer("out", "Dense", units=1, activation="sigmoid")],
        more={"loss": "binary_crossentropy"},
    ),
    "ends with an RNN": Case("InvalidNetwork", ["the GRU 'g', is the last one"], [layer("g", "GRU", units=3)], EVEN),
    "two numbers predicted": Case(
        "InvalidNetwork", ["units of layer 'a' is 4", "1 is needed"], [DENSE], task=REGRESSION, classes=None
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_cannot_be_is_refused(name: str) -> None:
    is_refused(CASES[name])


HALF = layer("h", "MaxPooling1D")
"""Leaves three of six steps."""


@pytest.mark.parametrize(
    "layers",
    [
        [layer("m", "MultiHeadAttention", num_heads=6, key_dim=1)],
        [layer("m", "MultiHeadAttention", num_heads=6, key_dim=1, value_dim=4)],
        [layer("m", "MultiHeadAttention", num_heads=6, key_dim=3, value_dim=1)],
        [HALF, layer("m", "MultiHeadAttention", ["h", "input"], num_heads=6, key_dim=1, value_dim=4)],
        [HALF, layer("m", "MultiHeadAttention", ["h", "input"], num_heads=6, key_dim=3, value_dim=1)],
        [HALF, layer("m", "MultiHeadAttention", ["input", "h"], num_heads=6, key_dim=1, value_dim=4)],
        [layer("m", "TransformerEncoder", num_heads=6, key_dim=1, intermediate_dim=2)],
    ],
)
def test_heads_that_keras_takes_for_steps_are_refused(layers: list[dict[str, Any]]) -> None:
    rest = [layer("g", "GlobalAveragePooling1D"), softmax(3)]
    is_refused(Case("InvalidNetwork", ["num_heads", "is 6: there are as many steps"], [*layers, *rest], EVEN))
    more: list[dict[str, Any]] = [{"num_heads": 1}, {"num_heads": 5}]
    # It is the bias that is mixed up.
    more += [{"use_bias": False}] if layers[-1]["type"] == "MultiHeadAttention" else []
    for one in more:
        other = layers[-1] | {"parameters": layers[-1]["parameters"] | one}
        check_network(network([*layers[:-1], other, *rest]), EVEN, Task.CLASSIFICATION, 3)
