"""The example that makes golden samples for an import writes what the runtime reads."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parents[2] / "examples" / "golden-samples" / "golden.py"


def test_samples_are_written_as_the_runtime_reads_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.array([[1.0, -2.5]], dtype=np.float32), rate=np.int64(16000))
    np.savez(tmp_path / "two.npz", x=np.array([["a", "Ü"]]), big=np.array([1], dtype=">i4"))
    files = [str(tmp_path / name) for name in ("one.npz", "two.npz")]
    done = subprocess.run([sys.executable, SCRIPT, *files], capture_output=True, check=True)  # noqa: S603
    first, second = (sample["inputs"] for sample in json.loads(done.stdout)["samples"])
    assert [(one["name"], one["datatype"], one["shape"]) for one in first] == [
        ("x", "FP32", [1, 2]),
        ("rate", "INT64", []),
    ]
    data = [base64.b64decode(one["data"]) for one in [*first, *second]]
    assert np.frombuffer(data[0], dtype="<f4").tolist() == [1.0, -2.5]
    assert np.frombuffer(data[1], dtype="<i8").tolist() == [16000]
    assert second[0]["datatype"] == "BYTES"
    assert data[2] == b"\x01\x00\x00\x00a\x02\x00\x00\x00" + "Ü".encode()
    assert data[3] == b"\x01\x00\x00\x00"
