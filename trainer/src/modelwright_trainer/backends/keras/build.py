"""In goes a network and the shape of its data, out comes Keras' model, and its weights by the names of the layers.

This loads TensorFlow: `start.start()` comes first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
from keras import ops

from modelwright_trainer.config import INPUT
from modelwright_trainer.failure import Reason, RunError

from .blocks import PositionEmbedding, TransformerEncoder
from .choices import PROBABILITIES
from .network import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from .network import Layer, Network
    from .shapes import Input, Value

FLOAT32: Final = "float32"


class Model(keras.Model):
    """The layers of a network, one after the other.

    It is called with a dict: `input`, and `lengths` where rows have lengths of their own.
    """

    def __init__(self, network: Network, source: Input) -> None:
        """Make Keras' layers."""
        super().__init__()
        self.network, self.source = network, source
        self.values = network.follow(source)
        # Keras finds the weights of layers that are in a list; its own names are not shown to anyone.
        self.made = [_make_layer(layer, self.values, _policy_of(layer, network)) for layer in network.layers]

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:  # noqa: FBT001 - Keras' own
        """Return what the last layer gives."""
        found: dict[str, Any] = {INPUT: inputs[INPUT]}
        mask = self._find_mask(inputs)
        for layer, made in zip(self.network.layers, self.made, strict=True):
            given = [found[name] for name in layer.inputs]
            values = [self.values[name] for name in layer.inputs]
            call: Callable[..., Any] = _CALLS.get(layer.type, _call_one)
            result = call(layer, made, given, [mask if value.padded else None for value in values], training)
            # Masks are handed to whoever takes one; Keras' own go where they should not.
            if getattr(result, "_keras_mask", None) is not None:
                del result._keras_mask
            found[layer.name] = result
        return found[self.network.last.name]

    def _find_mask(self, inputs: Mapping[str, Any]) -> Any:
        """Return which steps of each row are there, where rows have lengths of their own."""
        if not any(value.padded for value in self.values.values()):
            return None
        given = inputs[INPUT]
        if self.source.text:
            lengths = ops.sum(ops.cast(ops.not_equal(given, 0), "int32"), axis=1)
        else:
            lengths = ops.cast(inputs["lengths"], "int32")
        return ops.less(ops.arange(ops.shape(given)[1])[None, :], ops.maximum(lengths, 1)[:, None])


def build_model(network: Network, source: Input, seed: int) -> Model:
    """Return the model with its first weights, which depend on the seed only."""
    keras.utils.set_random_seed(seed)
    model = Model(network, source)
    shape = tuple(size or 1 for size in source.shape)
    if source.text and network.vectorization is not None:
        shape = (network.vectorization["output_sequence_length"],)
    rows = {INPUT: np.zeros((1, *shape), np.int32 if source.text else np.float32)}
    if source.padded and not source.text:
        rows["lengths"] = np.ones(1, np.int64)
    model(rows, training=False)
    return model


def build_loss(network: Network) -> Any:
    """Return Keras' loss, summed over rows."""
    classes = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "mean_squared_error": keras.losses.MeanSquaredError,
        "mean_absolute_error": keras.losses.MeanAbsoluteError,
        "mean_absolute_percentage_error": keras.losses.MeanAbsolutePercentageError,
        "mean_squared_logarithmic_error": keras.losses.MeanSquaredLogarithmicError,
        "huber": keras.losses.Huber,
        "log_cosh": keras.losses.LogCosh,
    }
    return classes[network.loss](reduction="sum")


def build_optimizer(network: Network) -> Any:
    """Return Keras' optimizer, with its schedule."""
    choice = network.optimizer
    parameters = dict(choice.parameters)
    rate = parameters["learning_rate"]
    if isinstance(rate, Choice):
        values = {name: list(one) if isinstance(one, tuple) else one for name, one in rate.parameters.items()}
        parameters["learning_rate"] = getattr(keras.optimizers.schedules, rate.type)(**values)
    made = getattr(keras.optimizers, choice.type)(**parameters)
    if network.fit.dtype_policy == "mixed_float16":
        # Gradients are too small for FP16 otherwise. A step whose gradients are not finite is left out, and the scale
        # is halved.
        return keras.optimizers.LossScaleOptimizer(made)
    return made


def as_targets(network: Network, truth: NDArray[Any], classes: int) -> NDArray[Any]:
    """Return labels as the loss takes them."""
    if network.loss == "categorical_crossentropy":
        # No table of all classes by all classes: of many it would be larger than the network.
        return (truth[:, np.newaxis] == np.arange(classes)).astype(np.float32)
    if network.loss in PROBABILITIES:
        return truth.reshape(-1, 1).astype(np.int64 if network.loss.startswith("sparse") else np.float32)
    return truth.reshape(-1, 1).astype(np.float32)


def variables_of(model: Model) -> dict[str, dict[str, Any]]:
    """Return Keras' variables by the name of the layer, and by their own."""
    found: dict[str, dict[str, Any]] = {}
    for layer, made in zip(model.network.layers, model.made, strict=True):
        if variables := _name_variables(made):
            found[layer.name] = variables
    return found


def weights_of(model: Model) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the weights as arrays, by the name of the layer, and by their own."""
    return {
        layer: {name: variable.value.numpy() for name, variable in variables.items()}
        for layer, variables in variables_of(model).items()
    }


def load_weights(model: Model, given: Mapping[str, NDArray[Any]], whence: str) -> None:
    """Start from the variables of another training, by `layer/variable`; refuse by the layer's name what cannot."""
    places = {
        f"{layer}/{name}": (layer, variable)
        for layer, variables in variables_of(model).items()
        for name, variable in variables.items()
    }
    for place, (layer, variable) in places.items():
        if place not in given:
            known = sorted({name.split("/")[0] for name in given if "/" in name})
            message = (
                f"training.from: the layer {layer!r} has the variable {place!r}, and {whence} has none of this name "
                f"(its layers: {', '.join(known[:20])}): give the layer the name and the parameters that it had"
            )
            raise RunError(Reason.INVALID_NETWORK, message)
        shape = tuple(given[place].shape)
        if shape != tuple(variable.shape):
            message = (
                f"training.from: {place!r} of the layer {layer!r} has the shape {tuple(variable.shape)}, and {shape} "
                f"in {whence}: give the layer the parameters that it had"
            )
            raise RunError(Reason.INVALID_NETWORK, message)
    for place, (_, variable) in places.items():
        variable.assign(given[place])


def _name_variables(made: Any) -> dict[str, Any]:
    if made is None:
        return {}
    if isinstance(made, keras.layers.Bidirectional):
        within = {"forward": made.forward_layer, "backward": made.backward_layer}
    elif isinstance(made, keras.layers.MultiHeadAttention):
        within = {
            "query": made.query_dense,
            "key": made.key_dense,
            "value": made.value_dense,
            "attention_output": made.output_dense,
        }
    elif isinstance(made, TransformerEncoder):
        within = {
            name: getattr(made, name)
            for name in (
                "attention",
                "attention_norm",
                "feedforward_norm",
                "feedforward_intermediate",
                "feedforward_output",
            )
        }
    else:
        return {variable.name: variable for variable in made.weights}
    return {f"{part}/{name}": one for part, layer in within.items() for name, one in _name_variables(layer).items()}


def as_exported(model: Model) -> Model:
    """Return a model of the same weights that computes in FP32 alone, as the exported graph does."""
    network = model.network
    if network.fit.dtype_policy == FLOAT32:
        return model
    exact = build_model(replace(network, fit=replace(network.fit, dtype_policy=FLOAT32)), model.source, seed=0)
    exact.set_weights(model.get_weights())
    return exact


def _policy_of(layer: Layer, network: Network) -> str:
    """Return what a layer computes in: the last one in FP32, since probabilities and losses have digits to lose."""
    return FLOAT32 if layer is network.last else network.fit.dtype_policy


def _make_layer(layer: Layer, values: Mapping[str, Value], policy: str) -> Any:
    """Return Keras' layer, and those within it, of a policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return _make(layer, values)
    finally:
        keras.config.set_dtype_policy(before)


def _make(layer: Layer, values: Mapping[str, Value]) -> Any:
    """Return Keras' layer; none where text is brought to tokens, which is done before."""
    given = values[layer.inputs[0]]
    if layer.type == "TextVectorization":
        return None
    arguments = {name: _as_keras(value) for name, value in layer.parameters.items()}
    if layer.type == "PositionEmbedding":
        arguments["sequence_length"] = layer["sequence_length"] or given.shape[0]
        return PositionEmbedding(**arguments)
    if layer.type == "TransformerEncoder":
        return TransformerEncoder(width=given.shape[-1] or 0, **arguments)
    if layer.type == "Embedding":
        arguments["mask_zero"] = False
    if layer.type == "MultiHeadAttention":
        arguments |= {"flash_attention": False}
    if layer.type == "GlobalMaxPooling1D":
        # It takes no mask; the steps that are there are all that it is given.
        return keras.layers.GlobalMaxPooling1D()
    return getattr(keras.layers, layer.type)(**arguments)


def _as_keras(value: Any) -> Any:
    """Return a value as Keras' constructors take it; they make initializers themselves, in their own order."""
    if isinstance(value, Choice):
        return {"class_name": value.type, "config": value.parameters}
    if hasattr(value, "parameters"):
        return getattr(keras.layers, value.type)(**{name: _as_keras(one) for name, one in value.parameters.items()})
    return value


def _call_one(_layer: Layer, made: Any, given: list[Any], _masks: list[Any], training: Any) -> Any:
    if made is None:
        return given[0]
    return made(given[0], training=training) if made._call_has_training_arg else made(given[0])


def _call_masked(_layer: Layer, made: Any, given: list[Any], masks: list[Any], training: Any) -> Any:
    return made(given[0], mask=masks[0], training=training)


def _call_average(_layer: Layer, made: Any, given: list[Any], masks: list[Any], _training: Any) -> Any:
    return made(given[0], mask=masks[0])


def _call_maximum(_layer: Layer, made: Any, given: list[Any], masks: list[Any], _training: Any) -> Any:
    if masks[0] is None:
        return made(given[0])
    return made(ops.where(masks[0][:, :, None], given[0], float(np.finfo(np.float32).min)))


def _call_several(_layer: Layer, made: Any, given: list[Any], _masks: list[Any], _training: Any) -> Any:
    return made(given)


def _call_attention(_layer: Layer, made: Any, given: list[Any], masks: list[Any], training: Any) -> Any:
    value = min(1, len(given) - 1)
    key = given[-1]
    mask = None if masks[value] is None else masks[value][:, None, :]
    return made(given[0], given[value], key, attention_mask=mask, training=training)


def _call_transformer(_layer: Layer, made: Any, given: list[Any], masks: list[Any], training: Any) -> Any:
    mask = None if masks[0] is None else masks[0][:, None, :]
    return made(given[0], attention_mask=mask, training=training)


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "Add": _call_several,
    "BatchNormalization": _call_masked,
    "Bidirectional": _call_masked,
    "Concatenate": _call_several,
    "GRU": _call_masked,
    "GlobalAveragePooling1D": _call_average,
    "GlobalMaxPooling1D": _call_maximum,
    "LSTM": _call_masked,
    "MultiHeadAttention": _call_attention,
    "SimpleRNN": _call_masked,
    "TransformerEncoder": _call_transformer,
}
"""How layers are called that take a mask, or several inputs."""
