"""Very large and very small numbers: activations and gates answer as Keras' do there too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_keras import Case, ask, ask_keras, export, make_weights
from export_cases import layer
from modelwright_trainer.backends.keras.build import weights_of
from modelwright_trainer.backends.keras.choices import ACTIVATIONS
from modelwright_trainer.backends.keras.table import STEP_ACTIVATIONS

ENDS = [-1e30, -1e4, -200, -90, -50, -20, -3, -1, -1e-3, -1e-8, 0, 1e-8, 1e-3, 1, 3, 20, 50, 80, 90, 200, 1e4]
"""Squares of what is larger are no FP32 numbers, in Keras neither."""
PLACES = np.array(ENDS, dtype=np.float32)


def assert_alike(found: Any, expected: Any) -> None:
    """Require equal numbers, each by its own scale; what is no number must be none."""
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_holds_at_its_ends(activation: str) -> None:
    # One number a row, so that a softmax is over it alone.
    case = Case(f"ends of {activation}", (layer("Activation", activation=activation),), (1,))
    model, weights = make_weights(case)
    asked = {"x": PLACES[:, None]}
    assert_alike(ask(export(case, weights), asked), ask_keras(case, model, asked))


@pytest.mark.parametrize("activation", STEP_ACTIVATIONS)
@pytest.mark.parametrize("type_", ["SimpleRNN", "LSTM", "GRU"])
def test_an_activation_holds_at_its_ends_within_a_recurrent_layer(type_: str, activation: str) -> None:
    places = PLACES[np.abs(PLACES) <= 200]
    gates = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[type_]
    for varied in ("activation", "recurrent_activation"):
        if type_ == "SimpleRNN" and varied == "recurrent_activation":
            continue
        one = layer(type_, units=len(places), **{varied: activation})
        case = Case(f"ends of {varied} {activation} in {type_}", (one,), (2, 1))
        model, _ = make_weights(case)
        for variable in model.weights:
            values = np.zeros(variable.shape, np.float32)
            if variable.name == "bias":
                # Every gate is at each place, one after the other.
                flat = np.stack([np.roll(places, 5 * gate) for gate in range(gates)]).reshape(-1)
                values[...] = flat if values.ndim == 1 else np.stack([flat, np.zeros_like(flat)])
            variable.assign(values)
        asked = {"x": np.zeros((1, 2, 1), np.float32)}
        assert_alike(ask(export(case, weights_of(model)), asked), ask_keras(case, model, asked))
