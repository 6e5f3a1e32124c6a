"""What is trained: algorithms of scikit-learn, and networks of layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .fields import Fields, refuse

MOST_LAYERS: Final = 128
INPUT: Final = "input"
"""What layers call the data."""


@dataclass(frozen=True)
class RunLayer:
    """One layer of a network, as the run has it."""

    name: str
    type: str
    inputs: tuple[str, ...] | None
    """Names of layers, or `input`; nothing: the layer before, and for the first the data."""
    parameters: dict[str, Any]


@dataclass(frozen=True)
class RunPart:
    """An optimizer or a callback."""

    type: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One model to train: it has either an algorithm or layers."""

    name: str
    algorithm: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Of the algorithm; of a network what Keras' `fit` takes."""
    layers: tuple[RunLayer, ...] = ()
    loss: str | None = None
    optimizer: RunPart | None = None
    callbacks: tuple[RunPart, ...] = ()


def parse_candidates(objects: list[Fields]) -> tuple[Candidate, ...]:
    """Read all candidates; their names differ."""
    candidates: list[Candidate] = []
    for fields in objects:
        candidate = _parse_candidate(fields)
        if candidate.name in (other.name for other in candidates):
            refuse(fields.at("name"), candidate.name, "must be unique among the candidates")
        candidates.append(candidate)
    if not candidates:
        refuse("candidates", [], "must name at least one candidate")
    return tuple(candidates)


def _parse_candidate(fields: Fields) -> Candidate:
    name = fields.text("name")
    parameters = fields.find("parameters", dict, "an object") or {}
    if fields.fields.get("layers") is None:
        for other in ("loss", "optimizer", "callbacks"):
            if fields.find(other, (str, dict, list), "what a network has") is not None:
                refuse(fields.at(other), fields.fields[other], "goes with layers, and with no algorithm")
        candidate = Candidate(name, fields.text("algorithm"), parameters)
    else:
        if fields.find("algorithm", str, "text") is not None:
            refuse(fields.at("algorithm"), fields.fields["algorithm"], "cannot be given beside layers: give one")
        layers = tuple(_parse_layer(one) for one in fields.objects("layers"))
        if not 1 <= len(layers) <= MOST_LAYERS:
            refuse(fields.at("layers"), len(layers), f"must be 1 to {MOST_LAYERS} layers")
        _refuse_names(layers, fields)
        optimizer = fields.find("optimizer", dict, "an object")
        candidate = Candidate(
            name,
            parameters=parameters,
            layers=layers,
            loss=fields.find("loss", str, "text"),
            optimizer=None if optimizer is None else _parse_part(Fields(optimizer, fields.at("optimizer"))),
            callbacks=tuple(_parse_part(one) for one in fields.objects("callbacks")),
        )
    fields.end()
    return candidate


def _parse_layer(fields: Fields) -> RunLayer:
    inputs = fields.find("inputs", list, "a list of texts")
    layer = RunLayer(
        fields.text("name"),
        fields.text("type"),
        None if inputs is None else fields.texts("inputs"),
        fields.find("parameters", dict, "an object") or {},
    )
    fields.end()
    return layer


def _refuse_names(layers: tuple[RunLayer, ...], fields: Fields) -> None:
    names = [layer.name for layer in layers]
    for index, name in enumerate(names):
        path = f"{fields.at('layers')}[{index}].name"
        if not name or name == INPUT:
            refuse(path, name, f"must be a name; {INPUT!r} is the data's")
        if name in names[:index]:
            refuse(path, name, "must be unique among the layers")


def _parse_part(fields: Fields) -> RunPart:
    part = RunPart(fields.text("type"), fields.find("parameters", dict, "an object") or {})
    fields.end()
    return part
