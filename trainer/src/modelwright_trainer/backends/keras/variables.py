"""The variables of a version, which other trainings start from: one file, by `layer/variable`.

Beside them stands what they mean: which label each probability is of, and which column each feature.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.archive import read_archive
from modelwright_trainer.failure import Reason, RunError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from modelwright_trainer.material import Material

    from .network import Layer

    Meaning: TypeAlias = dict[str, list[str]]

VARIABLES_FILE: Final = "variables.npz"
MEANING: Final = "meaning"
"""The array with it, as bytes of JSON. Variables have a slash in their names."""
WORDS: Final = {"labels": "labels", "columns": "columns (after preprocess)"}
SHOWN: Final = 5


def read_variables(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the variables of a version."""
    try:
        return read_archive(folder / VARIABLES_FILE)
    except (OSError, ValueError) as error:
        message = (
            f"training.from: {VARIABLES_FILE} of the version cannot be read ({error}): it must be a version that a "
            "network was trained to, and none that was imported or made by an algorithm"
        )
        raise RunError(Reason.INVALID_NETWORK, message) from error


def meaning_of(material: Material) -> Meaning:
    """Return what the variables of a network mean; what has no names is left out."""
    found = {"labels": [str(one) for one in material.classes.tolist()], "columns": list(material.features)}
    return {name: values for name, values in found.items() if values}


def write_meaning(meaning: Meaning) -> NDArray[Any]:
    """Return an array of it."""
    return np.frombuffer(json.dumps(meaning).encode(), np.uint8)


def refuse_other_meaning(given: Mapping[str, NDArray[Any]], ours: Meaning) -> None:
    """Refuse variables that mean other labels or columns; those from before this was written say nothing."""
    try:
        theirs = json.loads(given[MEANING].tobytes()) if MEANING in given else {}
    except ValueError:
        theirs = {}
    for name, words in WORDS.items():
        then, now = theirs.get(name), ours.get(name)
        if then is None or now is None or then == now:
            continue
        message = (
            f"training.from: the {words} are others than those of the version, whose weights mean these: "
            f"{_tell_difference(then, now)}. Give data with the same {name} in the same order, or leave training.from "
            "away"
        )
        raise RunError(Reason.INVALID_NETWORK, message)


def _tell_difference(then: list[str], now: list[str]) -> str:
    known, here = set(then), set(now)
    told = [
        f"{who} {listed([repr(one) for one in found], SHOWN)}"
        for who, found in (
            ("only the version has", [one for one in then if one not in here]),
            ("only the data has", [one for one in now if one not in known]),
        )
        if found
    ]
    if told:
        return ", ".join(told)
    place = next(place for place, (one, other) in enumerate(zip(then, now, strict=False)) if one != other)
    return f"in place {place + 1} the version has {then[place]!r}, and the data {now[place]!r}"


def take_vocabulary(given: Mapping[str, NDArray[Any]], layer: Layer) -> NDArray[Any]:
    """Return the words that weights of an Embedding mean."""
    name = f"{layer.name}/vocabulary"
    if name not in given:
        known = [one.removesuffix("/vocabulary") for one in given if one.endswith("/vocabulary")]
        message = (
            f"training.from: the layer {layer.name!r} has a vocabulary, and the version has none of this name (it has "
            f"those of {listed(known) or 'no layer'}): give the layer the name that it had"
        )
        raise RunError(Reason.INVALID_NETWORK, message)
    return given[name]
