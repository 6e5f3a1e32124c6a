"""Networks of one layer, or of few: each layer with the parameters of the table, short and long."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from against_keras import Case
from modelwright_trainer.backends.keras.choices import ACTIVATIONS
from modelwright_trainer.backends.keras.table import LAYERS, STEP_ACTIVATIONS
from modelwright_trainer.backends.keras.words import Kind

SHORT, LONG = 3, 16
CHANNELS = 4
UNITS = 5
SMALL, LARGE = (7, 8, 3), (18, 15, 3)
Layer = dict[str, Any]


def layer(type_: str, *inputs: str, name: str = "", **parameters: Any) -> Layer:
    """Write a layer as a run has it."""
    found: Layer = {"type": type_, "parameters": parameters}
    if inputs:
        found["inputs"] = inputs
    if name:
        found["name"] = name
    return found


def variants(*of: Layer) -> tuple[Layer, ...]:
    """Give parameters beside those that all share."""
    return of


def _given(shared: Layer, more: Layer) -> Layer:
    return shared | more


def _label(one: Layer) -> str:
    words = [f"{name}={_word(value)}" for name, value in one["parameters"].items()]
    return " ".join([one["type"], *words])


def _word(value: Any) -> str:
    return _label(value) if isinstance(value, dict) and "parameters" in value else str(value)


def _case(*layers: Layer, shape: tuple[int, ...], **more: Any) -> Case:
    where = " ".join(["x".join(map(str, shape)), *(name for name in ("padded", "free") if more.get(name))])
    return Case(f"{', '.join(map(_label, layers))}: {where}", layers, shape, **more)


def _both(*layers: Layer, channels: int = CHANNELS, **more: Any) -> list[Case]:
    """Over few steps and many."""
    return [_case(*layers, shape=(time, channels), **more) for time in (SHORT, LONG)]


def _padded_and_not(*layers: Layer) -> list[Case]:
    return [*_both(*layers), *_both(*layers, padded=True)]


def _images(*layers: Layer) -> list[Case]:
    return [_case(*layers, shape=shape) for shape in (SMALL, LARGE)]


def dense() -> list[Case]:
    found = [
        _case(layer("Dense", units=UNITS, activation=one), shape=(width,)) for one in ACTIVATIONS for width in (3, 40)
    ]
    found += [_case(layer("Activation", activation=one), shape=(9,)) for one in ("softmax", "gelu", "hard_silu")]
    for more in variants({}, {"use_bias": False}):
        found += [_case(layer("Dense", units=UNITS, **more), shape=shape) for shape in ((1,), (200,), SMALL)]
        found += _padded_and_not(layer("Dense", units=UNITS, activation="softmax", **more))
    for shape in ((6,), (SHORT, CHANNELS), LARGE):
        found.append(_case(layer("Flatten"), shape=shape))
        found.append(_case(layer("Rescaling", scale=1 / 255, offset=-0.5), shape=shape))
        found.append(_case(layer("Rescaling", scale=3), layer("Dropout", rate=0.4), shape=shape))
    found.append(_case(layer("Rescaling", scale=1 / 255), layer("Flatten"), shape=SMALL, kind="uint8"))
    found.append(_case(layer("Flatten"), layer("Dense", units=2), shape=LARGE, kind="uint8"))
    found += _both(layer("Dropout", rate=0.2), padded=True)
    return found


def convolutions() -> list[Case]:
    found: list[Case] = []
    for more in variants(
        {},
        {"strides": 2},
        {"strides": 3, "activation": "relu"},
        {"dilation_rate": 2},
        {"use_bias": False, "activation": "softmax", "filters": 2, "kernel_size": 1},
        {"kernel_size": 1, "strides": 4},
        {"kernel_size": 2, "strides": 7},
    ):
        for padding in ("valid", "same", "causal"):
            one = layer("Conv1D", padding=padding, **_given({"filters": UNITS, "kernel_size": 4}, more))
            found += [_case(one, shape=(time, CHANNELS)) for time in (7, 8, LONG, LONG + 1)]
            found += [_case(one, shape=(time, CHANNELS), free=True) for time in (7, 8, LONG)]
    for more in variants(
        {},
        {"strides": 2},
        {"strides": [2, 3], "activation": "gelu"},
        {"dilation_rate": [2, 1]},
        {"use_bias": False, "kernel_size": 1},
        {"kernel_size": [2, 5], "filters": 2},
    ):
        for padding in ("valid", "same"):
            sizes = {"filters": UNITS, "kernel_size": [3, 2], "padding": padding}
            found += _images(layer("Conv2D", **_given(sizes, more)))
            if more.get("strides") != [2, 3]:
                found += _images(layer("SeparableConv2D", **_given(sizes, more)))
                found += _images(layer("SeparableConv2D", depth_multiplier=3, activation="tanh", **_given(sizes, more)))
    return found


def poolings() -> list[Case]:
    found: list[Case] = []
    for kind in ("Max", "Average"):
        for padding in ("valid", "same"):
            for more in variants(
                {"pool_size": 2},
                {"pool_size": 3, "strides": 2},
                {"pool_size": 3, "strides": 1},
                {"pool_size": 1, "strides": 4},
                {"pool_size": 2, "strides": 4},
            ):
                one = layer(f"{kind}Pooling1D", padding=padding, **more)
                found += [_case(one, shape=(time, CHANNELS)) for time in (7, 8, LONG, LONG + 1)]
                found += [_case(one, shape=(time, CHANNELS), free=True) for time in (7, 8, LONG)]
            for more in variants(
                {"pool_size": 2}, {"pool_size": [3, 2], "strides": [2, 3]}, {"pool_size": 3, "strides": 1}
            ):
                found += _images(layer(f"{kind}Pooling2D", padding=padding, **more))
            found += _images(layer(f"{kind}Pooling2D", padding=padding)) if kind == "Max" else []
        found += _images(layer(f"Global{kind}Pooling2D"))
        found += _padded_and_not(layer(f"Global{kind}Pooling1D"))
    found += _both(layer("MaxPooling1D"))
    return found


def normalizations() -> list[Case]:
    found: list[Case] = []
    for type_ in ("BatchNormalization", "LayerNormalization"):
        for more in variants(
            {}, {"center": False}, {"scale": False}, {"center": False, "scale": False}, {"epsilon": 0.2}
        ):
            found += [_case(layer(type_, **more), shape=shape) for shape in ((9,), SMALL)]
            found += _padded_and_not(layer(type_, **more))
    return found


def _crossed(*layers: Layer) -> list[Case]:
    """Few steps without padding, and many with it: recurrent layers take Keras long."""
    return [_case(*layers, shape=(SHORT, CHANNELS)), _case(*layers, shape=(LONG, CHANNELS), padded=True)]


def recurrent() -> list[Case]:
    found: list[Case] = []
    for type_ in ("SimpleRNN", "LSTM", "GRU"):
        more_of: list[Layer] = [{"use_bias": False}, {"return_sequences": True}, {"activation": "hard_sigmoid"}]
        if type_ == "GRU":
            more_of += [{"reset_after": False}, {"reset_after": False, "use_bias": False}]
        found += _padded_and_not(layer(type_, units=UNITS))
        for more in more_of:
            found += _crossed(layer(type_, units=UNITS, **more))
        others = cycle(STEP_ACTIVATIONS[3:] + STEP_ACTIVATIONS[:3])
        for activation in STEP_ACTIVATIONS:
            gates: Layer = {} if type_ == "SimpleRNN" else {"recurrent_activation": next(others)}
            one = layer(type_, units=UNITS, activation=activation, **gates)
            found += [_case(one, shape=(SHORT, CHANNELS), padded=True)]
        for mode in ("concat", "sum", "mul", "ave"):
            for sequences in (False, True):
                within = layer(type_, units=UNITS, return_sequences=sequences)
                found += _crossed(layer("Bidirectional", layer=within, merge_mode=mode))
        within = layer(type_, units=UNITS, use_bias=False, activation="softsign")
        found += _crossed(layer("Bidirectional", layer=within))
        within = layer(type_, units=UNITS, return_sequences=True)
        found += _crossed(layer("Bidirectional", layer=within), layer(type_, units=3))
    return found


def attention() -> list[Case]:
    found: list[Case] = []
    first = layer("Dense", units=6, name="first")
    for more in variants(
        {},
        {"value_dim": 5, "output_shape": 7},
        {"use_bias": False},
        {"dropout": 0.3},
        {"num_heads": 1, "key_dim": 8},
    ):
        found += _padded_and_not(layer("MultiHeadAttention", **_given({"num_heads": 2, "key_dim": 3}, more)))
    for inputs in (("first", "input"), ("first", "input", "first"), ("input", "first"), ("first", "first", "input")):
        found += _padded_and_not(first, layer("MultiHeadAttention", *inputs, num_heads=2, key_dim=3))
    for more in variants(
        {},
        {"norm_first": True},
        {"key_dim": 3, "activation": "gelu"},
        {"epsilon": 0.1, "dropout": 0.2},
        {"num_heads": 4},
    ):
        one = layer("TransformerEncoder", **_given({"num_heads": 2, "intermediate_dim": 9}, more))
        found += _padded_and_not(one)
        found += _padded_and_not(one, one, layer("GlobalAveragePooling1D"))
    return found


def text() -> list[Case]:
    found: list[Case] = []
    embedding = layer("Embedding", input_dim=20, output_dim=3)
    masked = layer("Embedding", input_dim=16, output_dim=CHANNELS, mask_zero=True)
    for words in (SHORT, LONG):
        for length in (1, 4, 60):
            numbers = layer("TextVectorization", output_sequence_length=length, max_tokens=16)
            behind: tuple[list[Layer], ...] = (
                [embedding],
                [embedding, layer("Flatten"), layer("Dense", units=2)],
                [masked, layer("LSTM", units=UNITS)],
                [masked, layer("GlobalAveragePooling1D")],
                [
                    masked,
                    layer("PositionEmbedding"),
                    layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
                    layer("TransformerEncoder", num_heads=2, intermediate_dim=8, norm_first=True),
                    layer("GlobalMaxPooling1D"),
                ],
            )
            found += [_case(numbers, *one, shape=(words,), text=True) for one in behind]
        plain = layer("TextVectorization", output_sequence_length=6)
        found.append(_case(plain, masked, layer("GRU", units=2), shape=(words,), text=True))
    for more in variants(
        {},
        {"sequence_length": LONG + 5},
        {"kind": "sinusoidal"},
        {"kind": "sinusoidal", "max_wavelength": 50, "sequence_length": LONG},
    ):
        found += _padded_and_not(layer("PositionEmbedding", **more))
    return found


def merges() -> list[Case]:
    left, right = layer("Dense", "input", units=6, name="left"), layer("Dense", "input", units=6, name="right")
    found: list[Case] = []
    for shape in ((9,), SMALL):
        found.append(_case(left, right, layer("Add", "left", "right"), shape=shape))
        found.append(_case(left, right, layer("Concatenate", "left", "right", "input"), shape=shape))
    found += _padded_and_not(left, right, layer("Add", "left", "right", "left"), layer("LSTM", units=2))
    found += _padded_and_not(left, layer("Concatenate", "left", "input"), layer("GRU", units=2))
    found += _both(left, right, layer("Concatenate", "left", "right", axis=1))
    found += _images(left, right, layer("Concatenate", "left", "right", axis=2))
    return found


TRAINING: dict[Kind, Any] = {Kind.INITIALIZER: "he_normal", Kind.REGULARIZER: {"type": "L2", "parameters": {"l2": 0.3}}}
"""What a parameter that acts in training only is set to."""
TRAINING_NAMES: dict[str, Any] = {
    "trainable": False,
    "dropout": 0.4,
    "recurrent_dropout": 0.3,
    "unit_forget_bias": False,
    "momentum": 0.5,
}


def training_only() -> list[Case]:
    """Every layer with all that acts in training only given: nothing of it may be in the graph."""
    found = []
    seen: set[str] = set()
    plain = dense() + convolutions() + poolings() + normalizations() + recurrent() + attention() + text()
    for case in plain:
        last = case.layers[-1]
        if last["type"] in seen:
            continue
        seen.add(last["type"])
        given = {}
        for name, parameter in LAYERS[last["type"]].parameters.items():
            if parameter.kind in TRAINING:
                given[name] = TRAINING[parameter.kind]
            if name in TRAINING_NAMES:
                given[name] = TRAINING_NAMES[name]
        if given:
            one = last | {"parameters": last["parameters"] | given}
            name = f"{case.name} with all of training"
            found.append(Case(name, (*case.layers[:-1], one), case.shape, case.padded, case.text, case.kind))
    return found


FAMILIES = {
    "dense": dense,
    "convolutions": convolutions,
    "poolings": poolings,
    "normalizations": normalizations,
    "recurrent": recurrent,
    "attention": attention,
    "text": text,
    "merges": merges,
    "training": training_only,
}
CASES = [case for family in FAMILIES.values() for case in family()]
