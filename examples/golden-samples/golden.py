"""Makes golden samples for an import: requests that the model takes, one NPZ file each.

    python golden.py speech.npz silence.npz >model/modelwright/golden.json

Each array of a file is an input, by its name. The answers are recorded when the model is imported. Needs NumPy.
"""

import base64
import json
import struct
import sys

import numpy as np

DATATYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}


def describe(name: str, array: np.ndarray) -> dict[str, object]:
    """Return an input as the Open Inference Protocol's binary data has it, in base64."""
    if array.dtype.kind in "US":
        words = [word if isinstance(word, bytes) else word.encode() for word in array.ravel().tolist()]
        datatype, data = "BYTES", b"".join(struct.pack("<I", len(word)) + word for word in words)
    else:
        datatype = DATATYPES[array.dtype.name]
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


samples = []
for path in sys.argv[1:]:
    with np.load(path) as arrays:
        samples.append({"inputs": [describe(name, arrays[name]) for name in arrays.files]})
json.dump({"samples": samples}, sys.stdout)
