"""A model served by mosec: its file is in BENCH_MODEL, and BENCH_ROWS says whether its rows can be run together.

mosec brings no protocol for tensors. JSON is that of the Open Inference Protocol; anything else is the bare bytes of
the inputs, one after another, and so is the answer.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
import orjson
from mosec import Server, Worker

CORES = os.cpu_count() or 1
JSON_START = b'{"inputs"'
DTYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Model(Worker):  # type: ignore[misc]
    """Runs one request, or those that came within the shortest wait that mosec has."""

    def __init__(self) -> None:
        """Load the model."""
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.environ["BENCH_MODEL"]
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.output = self.session.get_outputs()[0].name
        self.inputs = []
        for tensor in self.session.get_inputs():
            free = [place for place, size in enumerate(tensor.shape) if not isinstance(size, int)]
            # Of several free sizes, the first is the number of rows.
            shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
            shape[free[-1]] = -1
            self.inputs.append((tensor.name, DTYPES[tensor.type], shape))

    def deserialize(self, data: bytes) -> Any:
        """Read JSON or bytes."""
        if data.startswith(JSON_START):
            tensors = {tensor["name"]: tensor for tensor in orjson.loads(data)["inputs"]}
            inputs = {
                name: np.array(tensors[name]["data"], dtype).reshape(tensors[name]["shape"])
                for name, dtype, _ in self.inputs
            }
            return inputs, True
        size = len(data) // len(self.inputs)
        return {
            name: np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, place * size).reshape(shape)
            for place, (name, dtype, shape) in enumerate(self.inputs)
        }, False

    def forward(self, data: Any) -> Any:
        """Run the model."""
        if not isinstance(data, list):
            return self.run(data)
        if len(data) == 1:
            return [self.run(data[0])]
        together = {name: np.concatenate([inputs[name] for inputs, _ in data]) for name, _, _ in self.inputs}
        (answer,) = self.session.run([self.output], together)
        answers, begin = [], 0
        for inputs, is_json in data:
            end = begin + len(inputs[self.inputs[0][0]])
            answers.append((answer[begin:end], is_json))
            begin = end
        return answers

    def run(self, data: Any) -> Any:
        """Run one request."""
        inputs, is_json = data
        (answer,) = self.session.run([self.output], inputs)
        return answer, is_json

    def serialize(self, data: Any) -> bytes:
        """Write JSON or bytes."""
        answer, is_json = data
        if not is_json:
            return bytes(answer.tobytes())
        output = {"name": self.output, "datatype": "FP32", "shape": answer.shape, "data": answer.ravel()}
        return bytes(orjson.dumps({"outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY))


if __name__ == "__main__":
    server = Server()
    if os.environ["BENCH_ROWS"] == "together":
        # Less than half of the CPU that a request takes without it; a second worker does not help.
        server.append_worker(Model, max_batch_size=16, max_wait_time=1)
    else:
        server.append_worker(Model, num=CORES)
    server.run()
