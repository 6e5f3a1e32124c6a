"""Networks for tests, written as a Model has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_trainer.backends.keras.parse import parse_network
from modelwright_trainer.config import Task
from modelwright_trainer.config.candidates import parse_candidates
from modelwright_trainer.config.fields import Fields

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
