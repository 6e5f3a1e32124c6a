"""Networks for tests, written as a Model has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from modelwright_trainer.backends.keras.network import Input
from modelwright_trainer.backends.keras.parse import check_network, parse_network
from modelwright_trainer.config import Task
from modelwright_trainer.config.candidates import parse_candidates
from modelwright_trainer.config.fields import Fields
from modelwright_trainer.failure import RunError

if TYPE_CHECKING:
    from modelwright_trainer.backends.keras.network import Network


def layer(name: str, type_: str, inputs: list[str] | None = None, **parameters: Any) -> dict[str, Any]:
    """Return a layer as it is written."""
    found: dict[str, Any] = {"name": name, "type": type_, "parameters": parameters}
    return found if inputs is None else found | {"inputs": inputs}


def network(layers: list[dict[str, Any]], task: Task = Task.CLASSIFICATION, **more: Any) -> Network:
    """Return the network of a candidate that is called `net`."""
    candidate = parse_candidates([Fields({"name": "net", "layers": layers} | more, "candidates[0]")])[0]
    return parse_network(candidate, "candidates[0]", task)


def softmax(units: int) -> dict[str, Any]:
    """Return the usual last layer."""
    return layer("out", "Dense", units=units, activation="softmax")


TABLE, IMAGES = Input((5,)), Input((8, 8, 1))
EVEN, PADDED, TEXT = Input((6, 4)), Input((6, 4), padded=True), Input((), text=True)
DENSE = layer("a", "Dense", units=4)
TOKENS = layer("tokens", "TextVectorization", output_sequence_length=6, max_tokens=20)
WORDS = layer("words", "Embedding", input_dim=20, output_dim=4, mask_zero=True)


@dataclass
class Case:
    """A network, and how it ends."""

    reason: str
    words: list[str]
    layers: list[dict[str, Any]]
    source: Input = TABLE
    task: Task = Task.CLASSIFICATION
    classes: int | None = 3
    more: dict[str, Any] = field(default_factory=dict)


def dense(**parameters: Any) -> list[dict[str, Any]]:
    return [layer("a", "Dense", **{"units": 4} | parameters), softmax(3)]


def convolution(**parameters: Any) -> list[dict[str, Any]]:
    given = {"filters": 2, "kernel_size": 3} | parameters
    return [layer("c", "Conv2D", **given), layer("f", "Flatten"), softmax(3)]


def rate(type_: str, **parameters: Any) -> dict[str, Any]:
    choice = {"type": type_, "parameters": parameters}
    return {"optimizer": {"type": "Adam", "parameters": {"learning_rate": choice}}}


def adam(**parameters: Any) -> dict[str, Any]:
    return {"optimizer": {"type": "Adam", "parameters": parameters}}


def early(**parameters: Any) -> dict[str, Any]:
    return {"callbacks": [{"type": "EarlyStopping", "parameters": parameters}]}


GOOD = [DENSE, softmax(3)]
REGRESSION = Task.REGRESSION
AT = "candidates[0].layers[0].parameters"


def is_refused(case: Case) -> None:
    """Require that a network ends as its case says."""
    with pytest.raises(RunError) as caught:
        check_network(network(case.layers, case.task, **case.more), case.source, case.task, case.classes)
    assert str(caught.value.reason) == case.reason, caught.value.message
    for words in case.words:
        assert words in caught.value.message
