"""A model for Triton's Python backend, which runs it in processes of its own."""

import json
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Runs the model of the parameter `path`; requests that waited together are run together where they can be."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = json.loads(args["model_config"])["parameters"]["path"]["string_value"]
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run it."""
        asked = [
            {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        responses: list[Any] = [None] * len(asked)
        for places in self._together(asked):
            inputs = {
                name: asked[places[0]][name] if len(places) == 1 else np.concatenate([asked[p][name] for p in places])
                for name in self.inputs
            }
            answers = self.session.run(self.outputs, inputs)
            begin = 0
            for place in places:
                end = begin + len(asked[place][self.inputs[0]])
                tensors = [
                    triton.Tensor(name, answer[begin:end]) for name, answer in zip(self.outputs, answers, strict=True)
                ]
                responses[place] = triton.InferenceResponse(tensors)
                begin = end
        return responses

    def _together(self, asked: list[dict[str, Any]]) -> list[list[int]]:
        groups: dict[Any, list[int]] = {}
        for place, inputs in enumerate(asked):
            groups.setdefault(inputs[self.inputs[0]].shape[1:], []).append(place)
        return list(groups.values())
