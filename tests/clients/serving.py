"""Real serving processes on loopback, for clients that others wrote."""

import json
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

MODELS = pathlib.Path(__file__).parents[2] / "runtime/tests/models"
SERVE = os.environ["MODELWRIGHT_SERVE"]

# Some elements by the protocol's datatype.
DATATYPES: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[0.1, -65504]], np.float16),
    "BF16": np.array([[0.5, -3e38]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -3.4028235e38]], np.float32),
    "FP64": np.array([[0.1, -1.7976931348623157e308]], np.float64),
    "BYTES": np.array([["Grüße".encode(), b""]], np.object_),
}


class Server(NamedTuple):
    """A serving process."""

    http: str
    grpc: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Server]]:
    """Start a model of the runtime's tests, once for each set of arguments, and end it after the last test."""
    started: dict[tuple[str, ...], Server] = {}

    def start(model: str, *arguments: str) -> Server:
        key = (model, *arguments)
        if key not in started or started[key].process.poll() is not None:
            started[key] = _start(model, arguments)
        return started[key]

    yield start
    for server in started.values():
        server.process.kill()
        server.process.wait()


def _start(model: str, arguments: tuple[str, ...]) -> Server:
    command = [SERVE, "--model", str(MODELS / f"{model}.onnx"), "--name", model]
    command += ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    http = grpc = ""
    for line in process.stderr:
        entry = json.loads(line)
        if entry.get("outcome") == "listening":
            http, grpc = entry["http"], entry["grpc"]
        if entry.get("outcome") == "ready":
            break
    else:
        pytest.fail(f"{command} ended before it was ready")
    # Its log must be read, or it would wait for a reader.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return Server(http, grpc, process)
