"""A model served by KServe's Python server: `kserve_server.py MODEL NAME HTTP_PORT GRPC_PORT`, on loopback only."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import kserve
import kserve.protocol.grpc.server as grpc_server
import kserve.protocol.rest.server as rest_server
import onnxruntime


def listen_on_loopback() -> None:
    """Replace the addresses of all interfaces, which KServe has no setting for."""
    rest_server.uvicorn.Config = _on_loopback(rest_server.uvicorn.Config)
    make: Callable[..., Any] = grpc_server.aio.server

    @functools.wraps(make)
    def make_on_loopback(*arguments: Any, **settings: Any) -> Any:
        server = make(*arguments, **settings)
        add = server.add_insecure_port
        server.add_insecure_port = lambda address: add(address.replace("[::]", "127.0.0.1"))
        return server

    grpc_server.aio.server = make_on_loopback


def _on_loopback(config: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(config)
    def make(*arguments: Any, **settings: Any) -> Any:
        # Requests are not logged: that is the faster setting.
        return config(*arguments, **(settings | {"host": "127.0.0.1", "access_log": False}))

    return make


class Onnx(kserve.Model):  # type: ignore[misc]
    """Runs a model."""

    def __init__(self, path: str, name: str) -> None:
        """Load it."""
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def predict(self, payload: kserve.InferRequest, *_arguments: object, **_settings: object) -> kserve.InferResponse:
        """Run it."""
        answers = self.session.run(self.outputs, {tensor.name: tensor.as_numpy() for tensor in payload.inputs})
        outputs = []
        is_binary = bool(payload.use_binary_outputs) or payload.from_grpc
        for name, answer in zip(self.outputs, answers, strict=True):
            output = kserve.InferOutput(name, list(answer.shape), "FP32")
            output.set_data_from_numpy(answer, binary_data=is_binary)
            outputs.append(output)
        return kserve.InferResponse(payload.id or "", self.name, outputs)


if __name__ == "__main__":
    model, name, http_port, grpc_port = sys.argv[1:]
    # It reads the command line itself when it is imported.
    listen_on_loopback()
    kserve.ModelServer(
        http_port=int(http_port), grpc_port=int(grpc_port), workers=1, enable_latency_logging=False
    ).start([Onnx(model, name)])
