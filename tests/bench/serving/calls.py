"""The protocol over gRPC: messages with raw contents, from the runtime's own description of them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from payloads import DATATYPES, METHOD, Inputs

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SECONDS = 60


class Calls:
    """Writes requests and reads answers."""

    def __init__(self, protocol: Path, work: Path) -> None:
        """Compile the description."""
        compiled = work / "inference.binpb"
        arguments = [f"--proto_path={protocol.parent}", f"--descriptor_set_out={compiled}", str(protocol)]
        if protoc.main(["protoc", *arguments]) != 0:
            message = f"{protocol} cannot be compiled"
            raise ValueError(message)
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self._request: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
        self._answer: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferResponse"))

    def write(self, model: str, inputs: Inputs) -> bytes:
        """Write a request."""
        request = self._request(model_name=model)
        for name, array in inputs.items():
            request.inputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        return bytes(request.SerializeToString())

    def ask(self, address: str, message: bytes) -> tuple[Inputs, int]:
        """Send one request, and read its answer; give the answer's size on the connection too."""
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(METHOD)
            content = call(message, timeout=LONGEST_SECONDS, wait_for_ready=True)
        answer = self._answer.FromString(content)
        dtypes = {datatype: dtype for dtype, datatype in DATATYPES.items()}
        outputs = {
            output.name: np.frombuffer(data, dtypes[output.datatype]).reshape(list(output.shape))
            for output, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        return outputs, len(framed(content))


def framed(message: bytes) -> bytes:
    """Write a message as it goes over the connection: not compressed, its length, itself (gRPC over HTTP/2)."""
    return struct.pack(">BI", 0, len(message)) + message
