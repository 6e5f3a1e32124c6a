"""A runtime of MLServer for ONNX models, as its documents show one."""

from typing import TYPE_CHECKING, Any

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

if TYPE_CHECKING:
    import numpy as np


class Onnx(MLModel):  # type: ignore[misc]
    """Runs the model of the setting `uri`."""

    async def load(self) -> bool:
        """Load it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run it."""
        inputs: dict[str, np.ndarray[Any, Any]] = {
            tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs
        }
        answers = self.session.run(self.names, inputs)
        outputs = [NumpyCodec.encode_output(name, answer) for name, answer in zip(self.names, answers, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
