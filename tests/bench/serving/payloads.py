"""What is asked, and how: inputs by seed, their bodies in each protocol, and the reading of answers.

Of the Open Inference Protocol, version 2: JSON, its binary tensor extension, and gRPC with raw contents. mosec has no
protocol for tensors; it gets the same JSON, and for binary the bare bytes of its inputs.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

Inputs = dict[str, "NDArray[Any]"]
DATATYPES = {"float32": "FP32", "int64": "INT64"}
# Binary data begin at a multiple of this, so that a server can do without a copy: a line of the processor's cache.
ALIGNMENT = 64
LENGTH_HEADER = "Inference-Header-Content-Length"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
# Of BERT-mini's requests, in tokens.
SHORTEST, LONGEST, REQUESTS = 8, 256, 64


@dataclass(frozen=True)
class Workload:
    """A model and the requests for it, which are sent in turn."""

    name: str
    model: str
    requests: tuple[Inputs, ...]


@dataclass(frozen=True)
class Body:
    """A request as it is sent."""

    path: str
    headers: Mapping[str, str]
    content: bytes


def _floats(*shape: int, seed: int) -> NDArray[np.float32]:
    # Four digits, as people send them: a JSON of 224x224 pixels has 1 MB.
    return np.random.default_rng(seed).random(shape).round(4).astype(np.float32)


def _tokens() -> tuple[Inputs, ...]:
    random = np.random.default_rng(17)
    # By the golden ratio: however few of them in a row are taken, they are spread evenly over all lengths.
    parts = np.arange(REQUESTS) * (math.sqrt(5) - 1) / 2 % 1
    lengths = (SHORTEST + parts * (LONGEST - SHORTEST + 1)).astype(int)
    return tuple(
        {
            "input_ids": random.integers(0, 30522, (1, length)),
            "attention_mask": np.ones((1, length), np.int64),
        }
        for length in lengths
    )


@cache
def workload(name: str) -> Workload:
    """Make a workload."""
    makers: dict[str, tuple[str, Callable[[], tuple[Inputs, ...]]]] = {
        "mlp": ("mlp", lambda: ({"x": _floats(1, 784, seed=11)},)),
        "mlp-32": ("mlp", lambda: ({"x": _floats(32, 784, seed=12)},)),
        "cnn": ("cnn", lambda: ({"x": _floats(1, 1, 28, 28, seed=13)},)),
        "forest": ("forest", lambda: ({"x": _floats(1, 20, seed=14)},)),
        "linear": ("linear", lambda: ({"x": _floats(1, 10, seed=15)},)),
        "image": ("image", lambda: ({"x": _floats(1, 3, 224, 224, seed=16)},)),
        "image-through": ("image-through", lambda: ({"x": _floats(1, 3, 224, 224, seed=16)},)),
        "bert-mini": ("bert-mini", _tokens),
    }
    model, requests = makers[name]
    return Workload(name, model, requests())


def _describe(name: str, array: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}


def json_body(model: str, inputs: Inputs) -> Body:
    """Write tensors as numbers, as short as they can be."""
    # The shortest text of a 32-bit number, not of the 64-bit number that it becomes.
    tensors = [
        _describe(name, array) | {"data": json.loads("[" + ",".join(map(str, array.ravel())) + "]")}
        for name, array in inputs.items()
    ]
    content = json.dumps({"inputs": tensors}, separators=(",", ":")).encode()
    return Body(f"/v2/models/{model}/infer", {"Content-Type": "application/json"}, content)


def binary_body(model: str, inputs: Inputs) -> Body:
    """Write tensors as bytes behind their description, and ask for such an answer."""
    tensors = [
        _describe(name, array) | {"parameters": {"binary_data_size": array.nbytes}} for name, array in inputs.items()
    ]
    document = {"inputs": tensors, "parameters": {"binary_data_output": True}}
    head = json.dumps(document, separators=(",", ":")).encode()
    head = head.ljust(math.ceil(len(head) / ALIGNMENT) * ALIGNMENT)
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
    content = head + b"".join(array.tobytes() for array in inputs.values())
    return Body(f"/v2/models/{model}/infer", headers, content)


def bare_body(_model: str, inputs: Inputs) -> Body:
    """Write the bytes of the tensors, one after another."""
    content = b"".join(array.tobytes() for array in inputs.values())
    return Body("/inference", {"Content-Type": "application/octet-stream"}, content)


def _array(output: dict[str, Any], data: bytes | None) -> NDArray[Any]:
    dtype = next(dtype for dtype, datatype in DATATYPES.items() if datatype == output["datatype"])
    flat = np.array(output["data"], dtype).ravel() if data is None else np.frombuffer(data, dtype)
    return flat.reshape(output["shape"])


def read_answer(headers: Mapping[str, str], content: bytes) -> Inputs:
    """Read an answer in JSON or with binary tensors."""
    length = int(headers.get(LENGTH_HEADER.lower(), len(content)))
    outputs = json.loads(content[:length])["outputs"]
    answer, place = {}, length
    for output in outputs:
        size = (output.get("parameters") or {}).get("binary_data_size")
        answer[output["name"]] = _array(output, None if size is None else content[place : place + size])
        place += size or 0
    return answer


def read_bare(_headers: Mapping[str, str], content: bytes) -> Inputs:
    """Read the bytes of the only output."""
    return {"y": np.frombuffer(content, np.float32)}


def write_raw(work: Workload, folder: Path) -> Path:
    """Write requests for the program that runs ONNX Runtime by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    requests = []
    for number, inputs in enumerate(work.requests):
        described = []
        for name, array in inputs.items():
            file = f"{work.name}-{number}-{name}.bin"
            (folder / file).write_bytes(array.tobytes())
            described.append(_describe(name, array) | {"file": file})
        requests.append(described)
    place = folder / f"{work.name}.json"
    place.write_text(json.dumps(requests))
    return place
