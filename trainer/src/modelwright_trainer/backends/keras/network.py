"""A network as it was declared, with all defaults filled in: what is built, trained and exported.

No TensorFlow is imported here. `parse.py` makes networks of candidates, `shapes.py` says what goes from layer to layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelwright_trainer.config import INPUT

from .shapes import Input, Value, follow

if TYPE_CHECKING:
    from .shapes import Shape

__all__ = ["INPUT", "Choice", "Fit", "Input", "Layer", "Network", "Value"]


@dataclass(frozen=True)
class Choice:
    """An optimizer, a schedule, an initializer, a regularizer or a callback, with all its parameters."""

    type: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One layer, with all its parameters.

    Their values: whole numbers and numbers as such, lists as tuples, activations by Keras' canonical name (`linear`
    where there is none), initializers as `Choice`, regularizers as `Choice` or nothing, a layer within as `Layer`.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    """Names of earlier layers, or `input`."""
    parameters: dict[str, Any]
    path: str = ""
    """Where it stands in the run, for messages."""

    def at(self, parameter: str) -> str:
        """Return where a parameter stands, and whose it is."""
        return f"{self.path}.parameters.{parameter} of layer {self.name!r}"

    def __getitem__(self, parameter: str) -> Any:
        """Return a parameter's value."""
        return self.parameters[parameter]


@dataclass(frozen=True)
class Fit:
    """What Keras' `fit` takes."""

    epochs: int
    batch_size: int
    shuffle: bool
    class_weight: dict[str, float] | None
    dtype_policy: str = "float32"
    """Keras' word for what layers compute in, while it is trained."""


@dataclass(frozen=True)
class Network:
    """A candidate with layers."""

    name: str
    path: str
    layers: tuple[Layer, ...]
    """Each after the layers that it stands behind; the last one answers."""
    loss: str
    optimizer: Choice
    fit: Fit
    callbacks: tuple[Choice, ...] = ()

    def follow(self, source: Input) -> dict[str, Value]:
        """Return what comes out of each layer, by its name; refuse by the layer's name what cannot be computed."""
        return follow(self.layers, source)

    def shapes(self, source: Input) -> dict[str, Shape]:
        """Return the shape of what comes out of each layer, without the axis of rows; `None` is not known or varies."""
        return {name: value.shape for name, value in self.follow(source).items()}

    def masks(self, source: Input) -> dict[str, bool]:
        """Return by layer (and `input`) whether the steps that come out have padding behind each row's length.

        There is one length a row for the whole network: `lengths` of sequences, brought to 1 at least and to the number
        of steps at most; for text the tokens that are not 0, and 1 at least. Padding is always at the end.
        """
        return {name: value.padded for name, value in self.follow(source).items()}

    @property
    def vectorization(self) -> Layer | None:
        """The layer that brings text to numbers, where there is one."""
        return next((layer for layer in self.layers if layer.type == "TextVectorization"), None)

    @property
    def last(self) -> Layer:
        """The layer that answers."""
        return self.layers[-1]
