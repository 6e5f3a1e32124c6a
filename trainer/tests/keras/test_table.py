"""The table of layers against Keras' own signatures: what Keras has and the table does not know fails here."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
from modelwright_trainer.backends.keras.choices import (
    ACTIVATIONS,
    ACTIVATIONS_REFUSED,
    CALLBACKS,
    CALLBACKS_REFUSED,
    FIT,
    INITIALIZERS,
    INITIALIZERS_REFUSED,
    LOSS_ALIASES,
    LOSSES,
    LOSSES_REFUSED,
    OPTIMIZERS,
    REGULARIZERS,
    REGULARIZERS_REFUSED,
    SCHEDULES,
)
from modelwright_trainer.backends.keras.table import LAYERS
from modelwright_trainer.backends.keras.values import CANONICAL
from modelwright_trainer.backends.keras.words import MISSING, Entry, Kind

EVERY_LAYER = {"trainable", "name", "dtype", "autocast", "activity_regularizer"}
OTHER_DEFAULTS = {
    "TextVectorization.output_sequence_length": "what goes on must not depend on the rows that are asked together",
    "fit.batch_size": "Keras says None, and means 32",
}
BESIDE_KERAS = {"zero_output_for_mask"}
"""Taken by `**kwargs` in Keras."""


@pytest.fixture(scope="session")
def keras(tensorflow: Any) -> Any:
    assert tensorflow
    import keras  # noqa: PLC0415 - it loads TensorFlow

    return keras


def signature(constructor: Any) -> dict[str, Any]:
    """Return Keras' parameters with their defaults."""
    found = inspect.signature(constructor).parameters
    return {
        name: MISSING if one.default is inspect.Parameter.empty else one.default
        for name, one in found.items()
        if one.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL) and name != "self"
    }


def agrees(entry: Entry, constructor: Any, where: str, common: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Require that the table says of each parameter what Keras has."""
    theirs = signature(constructor)
    ours = set(entry.parameters) | set(entry.refused)
    assert not set(entry.parameters) & set(entry.refused), where
    assert ours - BESIDE_KERAS == set(theirs) | common, where
    for name, parameter in entry.parameters.items():
        if name in common - set(theirs):
            continue
        default = theirs[name]
        if parameter.kind is Kind.INTEGERS and isinstance(default, int):
            default = (default,) * parameter.axes
        if f"{where}.{name}" not in OTHER_DEFAULTS:
            assert parameter.default == default, f"{where}.{name}"


def test_every_parameter_of_every_layer_is_taken_or_refused_with_keras_defaults(keras: Any) -> None:
    for type_, entry in LAYERS.items():
        if not entry.own:
            agrees(entry, getattr(keras.layers, type_), type_, EVERY_LAYER)
        else:
            assert not hasattr(keras.layers, type_), type_


def test_every_parameter_of_optimizers_and_schedules_is_taken_or_refused(keras: Any) -> None:
    for type_, entry in OPTIMIZERS.items():
        agrees(entry, getattr(keras.optimizers, type_), type_)
    for type_, entry in SCHEDULES.items():
        agrees(entry, getattr(keras.optimizers.schedules, type_), type_)


def test_every_parameter_of_initializers_regularizers_callbacks_and_fit_is_taken_or_refused(keras: Any) -> None:
    for type_, entry in INITIALIZERS.items():
        if type_ not in ("Zeros", "Ones"):  # They have no constructor of their own.
            agrees(entry, getattr(keras.initializers, type_), type_)
        config = {name: parameter.default for name, parameter in entry.parameters.items()}
        for name in entry.names:
            found = keras.initializers.get({"class_name": name, "config": config})
            assert isinstance(found, getattr(keras.initializers, type_))
    for type_, entry in REGULARIZERS.items():
        agrees(entry, getattr(keras.regularizers, type_), type_)
        for name in entry.names:
            assert isinstance(keras.regularizers.get(name), getattr(keras.regularizers, type_))
    for type_, entry in CALLBACKS.items():
        agrees(entry, getattr(keras.callbacks, type_), type_)
    # One word of it is no parameter of `fit`: Keras has it for all layers that are made after it.
    policies = FIT.parameters["dtype_policy"].words
    assert [keras.dtype_policies.get(name).variable_dtype for name in policies] == ["float32"] * len(policies)
    parameters = {name: one for name, one in FIT.parameters.items() if name != "dtype_policy"}
    agrees(replace(FIT, parameters=parameters), keras.Model.fit, "fit")


def test_every_choice_that_keras_has_is_taken_or_refused(keras: Any) -> None:
    def classes(module: Any, base: type) -> set[str]:
        return {
            one.__name__
            for one in vars(module).values()
            if inspect.isclass(one) and issubclass(one, base) and one is not base
        }

    losses = {name for name, one in vars(keras.losses).items() if inspect.isfunction(one)}
    losses -= {"deserialize", "get", "serialize"}
    assert losses == {*LOSSES_REFUSED, *(loss for names in LOSSES.values() for loss in names)}
    for alias, loss in LOSS_ALIASES.items():
        assert keras.losses.get(alias) is keras.losses.get(loss)
    activations = {name for name, one in vars(keras.activations).items() if inspect.isfunction(one)}
    activations -= {"deserialize", "get", "serialize"}
    assert activations | set(CANONICAL) == {*ACTIVATIONS, *ACTIVATIONS_REFUSED}
    for name, canonical in CANONICAL.items():
        assert keras.activations.get(name) is keras.activations.get(canonical)
    initializers = classes(keras.initializers, keras.initializers.Initializer)
    assert initializers == {*INITIALIZERS, *INITIALIZERS_REFUSED}
    regularizers = classes(keras.regularizers, keras.regularizers.Regularizer)
    assert regularizers == {*REGULARIZERS, *REGULARIZERS_REFUSED}
    callbacks = classes(keras.callbacks, keras.callbacks.Callback)
    ours = {"CallbackList", "History", "LambdaCallback", "MonitorCallback", "ProgbarLogger"}
    assert callbacks - ours == {*CALLBACKS, *CALLBACKS_REFUSED}
