"""Large weights, apart from their graph: in go a graph and its folder, out come the graph without them, and each alone.

A graph of gigabytes would otherwise be in memory, and on the volume, once for every step that makes a variant of it,
and protobuf takes no more than 2 GiB. So all steps work on a graph of some kilobytes: it has large weights as inputs
where shapes count, and a stand-in of two numbers for each where it is quantised by the least and the greatest of them.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from modelwright_trainer.failure import Reason, RunError

from .families import nodes_of, used_by
from .names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE: Final = 2**20
"""Bytes from which on a tensor is kept apart."""
LARGEST_FILE: Final = 2**31 - 1
"""What a graph in one file can have."""
ALIGNED: Final = 4096
"""Places of tensors in a file are multiples of it, so that they can be mapped."""
PACKED: Final = {
    getattr(onnx.TensorProto, name): bits
    for name, bits in (("INT4", 4), ("UINT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2), ("UINT2", 2))
    if hasattr(onnx.TensorProto, name)
}
"""Bits of numbers of which a byte holds several."""
WEIGHTED: Final = {"MatMul": 1, "Gemm": 1, "Gather": 0}
"""Which input of an operator is a tensor that nothing before quantising has to look into."""
MODEL_FILE: Final = "model.onnx"
DATA_FILE: Final = "model.onnx.data"
QUANTIZED: Final = "_quantized"
"""ONNX Runtime's tools end the names of integers so."""
NETWORK: Final = "\tnetwork"
"""Ends the name of a constant of the network where preparation has the same one."""


class Weights:
    """The large weights of one graph, in files of one folder."""

    def __init__(self, folder: Path, work: Path, names: Names) -> None:
        """Begin with none; `work` is a folder in that one, for what there is no file of yet."""
        self.folder, self.work, self.names = folder, work, names
        self.original = 0
        """Bytes of the model, with all that lies beside its graph."""
        self.beside = False
        """Whether some lay beside the graph already: so do those of its variants."""
        self.tensors: dict[str, onnx.TensorProto] = {}
        """Each without its numbers, and with the place where they are."""

    def put(self, tensor: onnx.TensorProto) -> None:
        """Keep a tensor apart."""
        self.beside |= uses_external_data(tensor)
        if not uses_external_data(tensor):
            path = self.work / "weights"
            tensor = _moved(tensor, path, path.relative_to(self.folder))
        self.tensors[tensor.name] = tensor

    def read(self, name: str) -> onnx.TensorProto:
        """Return one with its numbers."""
        tensor = _copy(self.tensors[name])
        _load(tensor, self.folder)
        return tensor

    def beside_them(self, name: str) -> Path:
        """Return a path in the folder of the files, for a graph that reads from them; it is gone with `work`."""
        return self.folder / f"{self.work.name}-{name}"

    def as_inputs(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a graph that takes as inputs what is kept apart."""
        light = onnx.ModelProto()
        light.CopyFrom(model)
        for name, tensor in self.tensors.items():
            light.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        return light

    def as_constants(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a graph that reads from the files what the given one may have as inputs; it belongs beside them."""
        return self._with(model, lambda tensor: tensor)

    def as_stand_ins(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a graph that has two numbers of each tensor, the least and the greatest, instead of an input."""

        def stand_in(tensor: onnx.TensorProto) -> onnx.TensorProto:
            numbers = onnx.numpy_helper.to_array(self.read(tensor.name))
            return onnx.numpy_helper.from_array(np.array([[numbers.min(), numbers.max()]], numbers.dtype), tensor.name)

        return self._with(model, stand_in)

    def _with(self, model: onnx.ModelProto, make: Callable[[onnx.TensorProto], onnx.TensorProto]) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(model)
        ports = [port for port in made.graph.input if port.name not in self.tensors]
        del made.graph.input[:]
        made.graph.input.extend(ports)
        made.graph.initializer.extend(make(tensor) for tensor in self.tensors.values())
        return made

    def find(self, stand_in: onnx.TensorProto, model: onnx.ModelProto) -> onnx.TensorProto | None:
        """Return what a tensor of a variant stands for: a kept one, of its datatype, turned where it was turned."""
        name = stand_in.name.removesuffix(NETWORK)
        if name in self.tensors:
            tensor = self.read(name)
            if stand_in.data_type == onnx.TensorProto.FLOAT16 != tensor.data_type:
                from onnxruntime.transformers.float16 import convert_tensor_float_to_float16  # noqa: PLC0415

                # One of its own: a message keeps the memory of what it held before.
                tensor = _copy(convert_tensor_float_to_float16(tensor))
        elif (of := name.removesuffix(QUANTIZED)) in self.tensors and of != name:
            from onnxruntime.quantization.quant_utils import quantize_nparray  # noqa: PLC0415

            known = {
                one.name: one for one in model.graph.initializer if one.name in {f"{of}_scale", f"{of}_zero_point"}
            }
            scale, zero = (onnx.numpy_helper.to_array(known[f"{of}_{what}"]) for what in ("scale", "zero_point"))
            numbers = quantize_nparray(stand_in.data_type, onnx.numpy_helper.to_array(self.read(of)), scale, zero)
            tensor = onnx.numpy_helper.from_array(numbers)
        else:
            return None
        if list(stand_in.dims) == [2, 1]:
            tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(onnx.numpy_helper.to_array(tensor).T))
        tensor.name = stand_in.name
        return tensor


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a folder on the same volume, for what is needed in between; ONNX Runtime's own files lie there, too."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=".optimize-", dir=folder) as work:
        # What a container has at /tmp holds no model.
        tempfile.tempdir = work
        try:
            yield Path(work)
        finally:
            tempfile.tempdir = before
            for path in folder.glob(f"{Path(work).name}-*"):
                path.unlink()


def read_apart(path: Path, work: Path) -> tuple[onnx.ModelProto, Weights]:
    """Read a graph without its large weights, which are neither among its constants nor among its inputs."""
    model = onnx.load(path, load_external_data=False)
    weights = Weights(path.parent, work, Names(model.graph))
    weights.original = path.stat().st_size
    looked_into = _looked_into(model)
    kept, size = [], 0
    for tensor in model.graph.initializer:
        _say_end(tensor, path.parent, weights.names.before(tensor.name))
        has = _size(tensor)
        is_beside = uses_external_data(tensor)
        weights.original += has if is_beside else 0
        if has >= LARGE and tensor.name not in looked_into and (tensor.raw_data or is_beside):
            weights.put(_copy(tensor))
            continue
        size += has
        if size > LARGEST_FILE:
            message = (
                f"{path} has more than 2 GiB of weights that are not those of matrix products or embeddings, and "
                "variants are made of models with less of them; leave optimize out"
            )
            raise RunError(Reason.CANNOT_OPTIMIZE, message)
        kept.append(_copy(tensor))
        _load(kept[-1], path.parent)
    alone = onnx.ModelProto()
    del model.graph.initializer[:]
    # A message keeps the memory of what was taken out of it.
    alone.CopyFrom(model)
    alone.graph.initializer.extend(kept)
    for node in nodes_of(alone.graph):
        for attribute in node.attribute:
            within = [attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else attribute.g.initializer
            for tensor in within:
                _say_end(tensor, path.parent, tensor.name)
                weights.original += _size(tensor) if uses_external_data(tensor) else 0
                _load(tensor, path.parent)
    return alone, weights


def write(model: onnx.ModelProto, weights: Weights, folder: Path) -> int:
    """Write a variant with what its stand-ins stand for, large tensors beside the graph as before; return its bytes."""
    data = folder / DATA_FILE
    written = onnx.ModelProto()
    written.CopyFrom(model)
    for tensor in written.graph.initializer:
        whole = weights.find(tensor, model)
        if weights.beside and (whole or _size(tensor) >= LARGE):
            whole = _moved(whole or tensor, data, Path(DATA_FILE))
        if whole:
            tensor.CopyFrom(whole)
    weights.names.restore(written.graph)
    content = written.SerializeToString(deterministic=True)
    (folder / MODEL_FILE).write_bytes(content)
    return len(content) + (data.stat().st_size if data.exists() else 0)


def _moved(tensor: onnx.TensorProto, path: Path, location: Path) -> onnx.TensorProto:
    """Write a tensor's numbers to the end of a file, and return it without them."""
    with path.open("ab") as file:
        place = -(-file.tell() // ALIGNED) * ALIGNED
        file.truncate(place)
        length = file.write(_raw(tensor))
    kind = onnx.TensorProto.EXTERNAL
    moved = onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type, data_location=kind)
    for key, value in (("location", location), ("offset", place), ("length", length)):
        moved.external_data.add(key=key, value=str(value))
    return moved


def _raw(tensor: onnx.TensorProto) -> bytes:
    """Return a tensor's bytes, where it has numbers instead, too."""
    made: bytes = tensor.raw_data or onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)).raw_data
    return made


def _copy(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copied = onnx.TensorProto()
    copied.CopyFrom(tensor)
    return copied


def _load(tensor: onnx.TensorProto, folder: Path) -> None:
    if uses_external_data(tensor):
        load_external_data_for_tensor(tensor, str(folder))
        # As it is written where nothing is beside a graph.
        tensor.ClearField("data_location")


def _say_end(tensor: onnx.TensorProto, folder: Path, name: str) -> None:
    """Say how long a tensor is in its file where that is left out: what it takes, as ONNX Runtime reads it.

    ONNX itself reads the rest of the file, where other tensors may lie.
    """
    if not uses_external_data(tensor):
        return
    said = {entry.key: entry.value for entry in tensor.external_data}
    if int(said.get("length") or 0):
        return
    begin, size, file = int(said.get("offset") or 0), _size(tensor), said.get("location", "")
    # Links and ways out of the folder are refused where it is read.
    has = (folder / file).stat().st_size
    if begin + size > has:
        message = (
            f"the weights {name!r} take {size} bytes from byte {begin} of {file} on, and {file} has {has} bytes:"
            " the model is not whole; fetch the whole file, or export it again"
        )
        raise RunError(Reason.CANNOT_OPTIMIZE, message)
    for entry in [entry for entry in tensor.external_data if entry.key == "length"]:
        tensor.external_data.remove(entry)
    tensor.external_data.add(key="length", value=str(size))


def _size(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor in a file."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    count = int(np.prod(tensor.dims, dtype=np.int64))
    if tensor.data_type in PACKED:
        return -(-count * PACKED[tensor.data_type] // 8)
    kind: Any = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return count * int(kind.itemsize)


def _looked_into(model: onnx.ModelProto) -> set[str]:
    """Return the names of tensors that are used otherwise than as somebody's weights, or within a graph of a node."""
    found = {port.name for port in (*model.graph.output, *model.graph.input)}
    for node in model.graph.node:
        weight = WEIGHTED.get(node.op_type)
        found |= used_by(node) - set(node.input)
        found.update(name for place, name in enumerate(node.input) if place != weight)
    return found
