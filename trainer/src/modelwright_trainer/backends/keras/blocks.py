"""Layers that Keras does not have: positions, and the usual block of a Transformer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def sinusoids(length: int, width: int, max_wavelength: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return sines (even channels) and cosines (odd ones) of each position, slower from pair to pair of channels."""
    channels = np.arange(width)
    angles = np.arange(length)[:, None] / max_wavelength ** (2 * (channels // 2) / width)
    return np.where(channels % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)


class PositionEmbedding(keras.layers.Layer):
    """Adds to each step a vector of its position."""

    def __init__(
        self, *, kind: str, sequence_length: int, initializer: Any, max_wavelength: float, **kwargs: Any
    ) -> None:
        """Keep what the table is made of."""
        super().__init__(**kwargs)
        self.kind, self.sequence_length, self.max_wavelength = kind, sequence_length, max_wavelength
        self.initializer = keras.initializers.get(initializer)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the table: learned, or of sines."""
        width = int(shape[-1] or 0)
        learned = self.kind == "learned"
        initial = self.initializer
        if not learned:
            table = sinusoids(self.sequence_length, width, self.max_wavelength)

            def initial(_shape: Any, dtype: Any = None) -> Any:
                return ops.convert_to_tensor(table, dtype=dtype)

        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.sequence_length, width),
            initializer=initial,
            trainable=learned,
        )

    def call(self, inputs: Any) -> Any:
        """Add the first positions."""
        return inputs + self.embeddings[: ops.shape(inputs)[1]]


class TransformerEncoder(keras.layers.Layer):
    """Attention of all steps to all steps, then two Dense layers, each with a bypass and a LayerNormalization."""

    def __init__(  # noqa: PLR0913 - as many as Keras' own layers have
        self,
        *,
        width: int,
        num_heads: int,
        key_dim: int | None,
        intermediate_dim: int,
        dropout: float,
        activation: str,
        norm_first: bool,
        epsilon: float,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        **kwargs: Any,
    ) -> None:
        """Make the layers within."""
        super().__init__(**kwargs)
        weights = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
        }
        layers = keras.layers
        self.norm_first = norm_first
        self.attention = layers.MultiHeadAttention(
            num_heads, key_dim or width // num_heads, dropout=dropout, name="attention", **weights
        )
        self.attention_norm = layers.LayerNormalization(epsilon=epsilon, name="attention_norm")
        self.attention_dropout = layers.Dropout(dropout, name="attention_dropout")
        self.feedforward_norm = layers.LayerNormalization(epsilon=epsilon, name="feedforward_norm")
        self.feedforward_intermediate = layers.Dense(
            intermediate_dim, activation=activation, name="feedforward_intermediate", **weights
        )
        self.feedforward_output = layers.Dense(width, name="feedforward_output", **weights)
        self.feedforward_dropout = layers.Dropout(dropout, name="feedforward_dropout")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights, in the order in which they are used."""
        self.attention.build(shape, shape)
        for norm in (self.attention_norm, self.feedforward_norm):
            norm.build(shape)
        self.feedforward_intermediate.build(shape)
        self.feedforward_output.build((*shape[:-1], self.feedforward_intermediate.units))

    def call(self, inputs: Any, attention_mask: Any = None, training: bool | None = None) -> Any:  # noqa: FBT001 - Keras'
        """Attend, then pass each step by itself."""
        before = self.attention_norm(inputs) if self.norm_first else inputs
        found = self.attention(before, before, attention_mask=attention_mask, training=training)
        found = inputs + self.attention_dropout(found, training=training)
        found = found if self.norm_first else self.attention_norm(found)
        before = self.feedforward_norm(found) if self.norm_first else found
        passed = self.feedforward_output(self.feedforward_intermediate(before))
        passed = found + self.feedforward_dropout(passed, training=training)
        return passed if self.norm_first else self.feedforward_norm(passed)
