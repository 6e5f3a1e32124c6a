"""What the table of layers is written in: a parameter's kind and bounds, and an entry with its parameters.

Nothing here or in the table imports Keras.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

MISSING: Final = object()
"""A parameter without a default must be given."""


class Kind(StrEnum):
    """What a parameter's value is."""

    INTEGER = "Integer"
    NUMBER = "Number"
    BOOLEAN = "Boolean"
    WORD = "Word"
    INTEGERS = "Integers"
    """One whole number for all axes, or a list with one for each."""
    NUMBERS = "Numbers"
    """A list of numbers."""
    ACTIVATION = "Activation"
    INITIALIZER = "Initializer"
    REGULARIZER = "Regularizer"
    LAYER = "Layer"
    """A layer within this one: `{type, parameters}`."""
    RATE = "LearningRate"
    """A number, or a schedule: `{type, parameters}`."""
    WEIGHTS = "ClassWeights"
    """A number for each label, by the label."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its kind, its bounds, its default."""

    kind: Kind
    default: Any = MISSING
    min: float | None = None
    max: float | None = None
    above: float | None = None
    """The value must be greater than this."""
    below: float | None = None
    words: tuple[str, ...] = ()
    axes: int = 0
    """How many numbers a list has; for lists of any length 0."""
    nullable: bool = False

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    def as_json(self) -> dict[str, Any]:
        """Return it as the operator reads it."""
        found: dict[str, Any] = {"kind": str(self.kind)}
        if self.required:
            found["required"] = True
        elif self.default is not None:
            found["default"] = list(self.default) if isinstance(self.default, tuple) else self.default
        for name in ("min", "max", "above", "below"):
            if (bound := getattr(self, name)) is not None:
                found[name] = bound
        if self.words:
            found["words"] = list(self.words)
        if self.axes:
            found["axes"] = self.axes
        if self.nullable:
            found["nullable"] = True
        return found


class Takes(StrEnum):
    """What a layer can stand behind."""

    NUMBERS = "Numbers"
    TEXT = "Text"
    """The text of the data itself."""
    TOKENS = "Tokens"
    """The numbers of tokens, from a TextVectorization."""


class Gives(StrEnum):
    """The rank of what comes out of a layer, without the axis of rows."""

    SAME = "Same"
    FLAT = "1"
    STEPS = "2"
    SEQUENCES = "Sequences"
    """Rank 2 where `return_sequences` is true, else 1."""


class Padded(StrEnum):
    """What a layer does behind sequences that padding has brought to one length."""

    PASSED = "Passed"
    """Each step by itself, or with the mask: what comes out is padded as what goes in."""
    ENDED = "Ended"
    """It takes the mask, and what comes out has no steps left (an RNN only without `return_sequences`)."""
    REFUSED = "Refused"
    """It would take padding for data."""


@dataclass(frozen=True)
class Entry:
    """An optimizer, a schedule, an initializer, a regularizer, a callback, or `fit`."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Parameters that Keras has and we do not take, with why."""
    names: tuple[str, ...] = ()
    """Other names of the same."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the operator reads it."""
        found: dict[str, Any] = {
            "parameters": {name: self.parameters[name].as_json() for name in sorted(self.parameters)},
            "refused": dict(sorted(self.refused.items())),
        }
        if self.names:
            found["names"] = list(self.names)
        return found


@dataclass(frozen=True)
class LayerEntry(Entry):
    """One type of layer."""

    ranks: tuple[int, ...] = (1, 2, 3)
    """Of what goes in, without the axis of rows: a table 1, sequences 2, images 3, text and nothing else 0."""
    several: bool = False
    """Whether it takes several inputs."""
    takes: Takes = Takes.NUMBERS
    gives: Gives = Gives.SAME
    padded: Padded = Padded.PASSED
    own: bool = False
    """Whether it is a word of ours, and no layer of Keras' own."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the operator reads it."""
        return super().as_json() | {
            "ranks": list(self.ranks),
            "inputs": "several" if self.several else "one",
            "takes": str(self.takes),
            "gives": str(self.gives),
            "padded": str(self.padded),
        }


def integer(default: Any = MISSING, low: int = 1, high: int = 65_536, *, nullable: bool = False) -> Parameter:
    """Return a whole number within bounds."""
    return Parameter(Kind.INTEGER, default, min=low, max=high, nullable=nullable or default is None)


def number(default: Any = MISSING, **bounds: Any) -> Parameter:
    """Return a number within bounds."""
    return Parameter(Kind.NUMBER, default, nullable=default is None, **bounds)


def flag(*, default: bool) -> Parameter:
    """Return true or false."""
    return Parameter(Kind.BOOLEAN, default)


def word(default: Any, *words: str) -> Parameter:
    """Return one of some words."""
    return Parameter(Kind.WORD, default, words=words)


def sizes(axes: int, default: Any = MISSING, high: int = 1024) -> Parameter:
    """Return sizes along axes."""
    return Parameter(Kind.INTEGERS, default, min=1, max=high, axes=axes, nullable=default is None)


def initializer(default: str) -> Parameter:
    """Return what weights are before training."""
    return Parameter(Kind.INITIALIZER, default)


def activation(default: str | None = None) -> Parameter:
    """Return a function of each number."""
    return Parameter(Kind.ACTIVATION, default, nullable=True)


REGULARIZER: Final = Parameter(Kind.REGULARIZER, None, nullable=True)
SHARE: Final = number(0.0, min=0, below=1)
"""The part of numbers that dropout takes."""
