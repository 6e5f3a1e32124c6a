"""Rows to calibrate by: in goes `calibration.npz`, out come batches as the graph takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_trainer.archive import read_archive
from modelwright_trainer.failure import Reason, RunError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from .names import Names


class Rows:
    """Rows of the training part, by the names of the graph's inputs."""

    def __init__(self, inputs: dict[str, NDArray[Any]], at_once: int | None) -> None:
        """Keep them; `at_once` is how many rows the graph takes where it takes no other number."""
        self.inputs = inputs
        self.count = len(next(iter(inputs.values())))
        self._at_once = at_once

    def batches(self, size: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Give all rows, so many at once; those that do not fill a run of a fixed size are left out."""
        size = self._at_once or size
        for start in range(0, self.count, size):
            if self._at_once and start + size > self.count:
                return
            yield {name: values[start : start + size] for name, values in self.inputs.items()}


def read_rows(path: Path, model: onnx.ModelProto, names: Names) -> Rows | None:
    """Read the rows, or nothing where there is no such file."""
    try:
        arrays = read_archive(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise _refused(path, f"it is no .npz of plain arrays ({error})") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    taken = [port for port in model.graph.input if port.name not in weights]
    inputs = {}
    for port in taken:
        name = f"inputs/{names.before(port.name)}"
        if name not in arrays:
            raise _refused(path, f"the array {name!r} is missing; it holds {listed(sorted(arrays))}")
        inputs[port.name] = _as_given(arrays[name])
    if not inputs or len({len(values) for values in inputs.values()}) != 1 or not len(next(iter(inputs.values()))):
        raise _refused(path, "expected the same number of rows, at least one, for each input")
    sizes = {dimensions[0].dim_value for port in taken if (dimensions := port.type.tensor_type.shape.dim)}
    fixed = max(sizes, default=0)
    return Rows(inputs, fixed or None)


def _as_given(values: NDArray[Any]) -> NDArray[Any]:
    """Text as ONNX Runtime takes it."""
    return values.astype(object) if values.dtype.kind == "U" else values


def _refused(path: Path, why: str) -> RunError:
    return RunError(Reason.INVALID_RUN, f"{path} cannot be calibrated by: {why}")
