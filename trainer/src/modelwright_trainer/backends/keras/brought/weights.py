"""In goes the HDF5 of a file's weights, out come the arrays of each layer, of the shapes that it has."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NoReturn

import h5py
import numpy as np

from modelwright_trainer.failure import Reason, RunError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

RECURRENT: Final = ("SimpleRNN", "LSTM", "GRU")
PARTS: Final = {
    "forward": "forward_layer/cell",
    "backward": "backward_layer/cell",
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
}
"""What Keras calls the layers within layers."""
MOST_PLACES: Final = 10_000
"""Groups and arrays; layers have a few each, and groups that are there under several names would have no end."""
RANDOM: Final = "seed_generator"
"""State of what draws numbers in training alone."""


def read_weights(
    content: bytes, groups: Mapping[str, str], kinds: Mapping[str, str], shapes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the weights that layers have, by their names and shapes, and refuse a file with others."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _read(file, groups, kinds, shapes)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        _refuse(f"its weights cannot be read ({type(error).__name__}: {error!s:.200})")


def _read(
    file: Any, groups: Mapping[str, str], kinds: Mapping[str, str], shapes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, NDArray[Any]]]:
    there = {
        path for path in _walk(file, "", iter(range(MOST_PLACES))) if path.startswith("layers/") and RANDOM not in path
    }
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for layer, named in shapes.items():
        for place, (name, shape) in zip(_places(groups[layer], kinds[layer], named), named.items(), strict=True):
            if place not in there:
                _refuse(f"{layer!r} has the weight {name!r}, and there is no {place}")
            there.remove(place)
            found.setdefault(layer, {})[name] = _read_array(file[place], layer, name, tuple(shape))
    if there:
        _refuse(f"there are weights of no layer: {listed(sorted(there), 5)}")
    return found


def _places(group: str, kind: str, named: Mapping[str, Any]) -> Iterator[str]:
    """Give where each weight lies: numbered in each part."""
    count: dict[str, int] = {}
    for name in named:
        part = PARTS[name.split("/")[0]] + "/" if "/" in name else "cell/" if kind in RECURRENT else ""
        number = count.get(part, 0)
        count[part] = number + 1
        yield f"{group}/{part}vars/{number}"


def _walk(group: Any, path: str, left: Iterator[int]) -> Iterator[str]:
    """Give the paths of arrays that lie in the file itself; a link leads elsewhere."""
    for name in group:
        at = f"{path}/{name}" if path else name
        if next(left, None) is None:
            _refuse(f"its weights have more than {MOST_PLACES} places")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            _refuse(f"{at} is a link to another place")
        one = group[name]
        if isinstance(one, h5py.Group):
            yield from _walk(one, at, left)
        else:
            yield at


def _read_array(values: Any, layer: str, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if not isinstance(values, h5py.Dataset) or values.external or values.is_virtual:
        _refuse(f"the weight {name!r} of {layer!r} does not lie in the file itself")
    if values.dtype != np.float32 or values.shape != shape:
        _refuse(
            f"the weight {name!r} of {layer!r} is {values.dtype} of shape {values.shape}, and float32 of shape {shape} "
            "follows from its layer"
        )
    found: NDArray[Any] = values[()]
    if not np.isfinite(found).all():
        _refuse(f"the weight {name!r} of {layer!r} has numbers that are not finite")
    return found


def _refuse(why: str) -> NoReturn:
    raise RunError(Reason.INVALID_NETWORK, f"spec.source: {why}; save the model again by model.save('NAME.keras')")
