"""What a model takes and gives: in goes the path of a graph, out come its inputs and outputs, weights unread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto

from modelwright_trainer.failure import Reason, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike

KINDS: Final[dict[int, tuple[str, DTypeLike]]] = {
    TensorProto.FLOAT: ("FP32", np.float32),
    TensorProto.DOUBLE: ("FP64", np.float64),
    TensorProto.FLOAT16: ("FP16", np.float16),
    TensorProto.INT8: ("INT8", np.int8),
    TensorProto.INT16: ("INT16", np.int16),
    TensorProto.INT32: ("INT32", np.int32),
    TensorProto.INT64: ("INT64", np.int64),
    TensorProto.UINT8: ("UINT8", np.uint8),
    TensorProto.UINT16: ("UINT16", np.uint16),
    TensorProto.UINT32: ("UINT32", np.uint32),
    TensorProto.UINT64: ("UINT64", np.uint64),
    TensorProto.BOOL: ("BOOL", np.bool_),
    TensorProto.STRING: ("BYTES", np.object_),
}
LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"


@dataclass(frozen=True)
class Port:
    """One input or output."""

    name: str
    word: str
    """Its datatype as the protocol calls it; empty where it has none of these."""
    dtype: np.dtype[Any]
    """What NumPy has for it; text is objects."""
    shape: tuple[int, ...] | None
    """-1 is any size; nothing where the graph does not say how many axes there are."""

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return bool(self.dtype == object)

    def __str__(self) -> str:
        """Say what it is, for messages."""
        shape = "" if self.shape is None else f" [{','.join(map(str, self.shape))}]"
        return f"{self.name!r} {self.word}{shape}"


@dataclass(frozen=True)
class Ports:
    """What a model takes and gives."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def label(self) -> Port | None:
        """The output that gives labels: by its name, or a single one that gives no floats."""
        return self._answer(LABEL, is_float=False)

    @property
    def probabilities(self) -> Port | None:
        """The output that has a column for each class: by its name, or a single one that gives floats."""
        return self._answer(PROBABILITIES, is_float=True)

    @property
    def at_once(self) -> int:
        """How many rows the graph takes where it takes no other number; otherwise 1."""
        return max([1, *(port.shape[0] for port in self.inputs if port.shape)])

    def _answer(self, name: str, *, is_float: bool) -> Port | None:
        named = {port.name: port for port in self.outputs}
        if LABEL in named or PROBABILITIES in named:
            return named.get(name)
        only = self.outputs[0] if len(self.outputs) == 1 else None
        return only if only is not None and (only.dtype.kind == "f") == is_float else None


def read_ports(path: Path) -> Ports:
    """Read what a graph takes and gives."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except MemoryError:
        raise
    except Exception as error:
        message = f"{path.name} is no ONNX model ({type(error).__name__}: {error!s:.200}); give spec.source one"
        raise RunError(Reason.NOT_ONNX, message) from error
    weights = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_as_port(port) for port in graph.input if port.name not in weights)
    for port in inputs:
        if not port.word or port.shape == ():
            what = "no tensor of numbers or text" if not port.word else "a single value, which no row has"
            message = (
                f"the model's input {port.name!r} is {what}: rows cannot be given to it; leave spec.evaluation out"
            )
            raise RunError(Reason.UNSUITABLE_DATA, message)
    return Ports(inputs, tuple(_as_port(port) for port in graph.output))


def _as_port(port: onnx.ValueInfoProto) -> Port:
    tensor = port.type.tensor_type
    word, dtype = KINDS.get(tensor.elem_type, ("", np.object_))
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim)
    return Port(port.name, word, np.dtype(dtype), shape)
