"""Each family, exported, is shown by the runtime's program to answer rows independently of each other.

That is `MODELWRIGHT_JOBS`, or what `cargo build --package modelwright-jobs` has built here.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import onnxruntime
import pytest
from against_keras import Case, export, prepared
from export_cases import CASES
from modelwright_trainer.backends.keras.table import LAYERS

BUILT = Path(__file__).parents[3] / "target" / "debug" / "modelwright-jobs"
LIBRARIES = Path(onnxruntime.__file__).parent / "capi"


def _kinds() -> list[Case]:
    """Take one case of each order of layers and of each padding, and so all ways in which the graphs differ."""
    found: dict[tuple[object, ...], Case] = {}
    for case in CASES:
        shapes = ("padding", "return_sequences", "merge_mode", "mask_zero")
        given = [{name: one["parameters"].get(name) for name in shapes} for one in case.layers]
        key = (*(one["type"] for one in case.layers), str(given), case.padded, case.free, case.kind)
        found.setdefault(key, case)
    return list(found.values())


@pytest.mark.parametrize("case", _kinds(), ids=lambda case: case.name)
def test_rows_are_shown_to_be_independent(case: Case, tmp_path: Path) -> None:
    weights, _, _ = prepared(case)
    (tmp_path / "model.onnx").write_bytes(export(case, weights))
    command = [os.environ.get("MODELWRIGHT_JOBS", str(BUILT)), "inspect", "--json", str(tmp_path / "model.onnx")]
    # The package of Python brings the same library along.
    libraries = {"ORT_DYLIB_PATH": str(next(LIBRARIES.glob("libonnxruntime.so.*")))} | os.environ
    done = subprocess.run(  # noqa: S603 - the program under test
        command, capture_output=True, text=True, check=False, env=libraries
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rowIndependence"] == {"independent": True}


def test_every_family_is_asked() -> None:
    asked = {one["type"] for case in _kinds() for one in case.layers}
    assert sorted(asked) == sorted(LAYERS)
