"""In go the words of `spec.optimize` as the operator passes them on, out come requests that were read in full."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

T = TypeVar("T", bound=StrEnum)

MOST_VARIANTS: Final = 4
LONGEST_NAME: Final = 20
"""Both as in the contract, which a test compares."""
NAME: Final = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?")


class Quantize(StrEnum):
    """How weights become integers of eight bits."""

    DYNAMIC = "Dynamic"
    """Activations are scaled anew in each run."""
    STATIC = "Static"
    """Activations are scaled by what rows of the training part showed."""


class Target(StrEnum):
    """What a variant is for."""

    LATENCY = "Latency"
    SIZE = "Size"


@dataclass(frozen=True)
class Request:
    """One variant that is asked for."""

    name: str
    quantize: Quantize | None
    """None: weights in FP16."""
    target: Target

    def __str__(self) -> str:
        """Say which one, for messages."""
        how = f"quantize: {self.quantize}" if self.quantize else "weights in FP16"
        return f"optimize {self.name!r} ({how}, for: {self.target})"


@dataclass(frozen=True)
class Order:
    """All that is asked."""

    directory: Path
    """The folder with model.onnx, and with calibration.npz where there is one; variants are left in it."""
    requests: tuple[Request, ...]


def read_order(text: str) -> Order:
    """Read the JSON of an order; refuse what is not understood."""
    try:
        order = json.loads(text)
    except ValueError as error:
        message = f"the order is no JSON: {error}"
        raise _refused(message) from error
    _only(order, "the order", ("directory", "variants"))
    variants = order.get("variants")
    if not isinstance(order.get("directory"), str) or not isinstance(variants, list):
        message = "the order needs a folder `directory` and a list `variants`"
        raise _refused(message)
    if not 1 <= len(variants) <= MOST_VARIANTS:
        message = f"optimize has {len(variants)} entries; expected 1 to {MOST_VARIANTS}"
        raise _refused(message)
    requests = tuple(_read_request(variant, f"optimize[{index}]") for index, variant in enumerate(variants))
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            message = f"optimize has two entries with the name {name!r}: give each a name of its own"
            raise _refused(message)
    return Order(Path(order["directory"]), requests)


def _read_request(variant: Any, path: str) -> Request:
    # What prove judges by comes along, and is not for here.
    _only(variant, path, ("name", "quantize", "for", "metric", "maxMetricDrop", "maxDisagreement"))
    name = variant.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        message = (
            f"{path}.name is {name!r}; expected 1 to {LONGEST_NAME} lower-case letters, digits and hyphens, such as "
            "'int8'"
        )
        raise _refused(message)
    quantize = _one_of(Quantize, variant.get("quantize"), f"{path}.quantize")
    default = Target.LATENCY if quantize else Target.SIZE
    target = _one_of(Target, variant.get("for"), f"{path}.for") or default
    return Request(name, quantize, target)


def _one_of(kind: type[T], value: Any, path: str) -> T | None:
    if value is None:
        return None
    known = [str(one) for one in kind]
    if value not in known:
        message = f"{path} is {value!r}; expected {listed(known)}{did_you_mean(str(value), known)}"
        raise _refused(message)
    return kind(value)


def _only(value: Any, path: str, known: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        message = f"{path} is {value!r:.80}; expected an object"
        raise _refused(message)
    for key in value:
        if key not in known:
            message = f"{path} has the unknown field {key!r}{did_you_mean(key, known)}"
            raise _refused(message)


def _refused(message: str) -> RunError:
    return RunError(Reason.INVALID_RUN, message)
