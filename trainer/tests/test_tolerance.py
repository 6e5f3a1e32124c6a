"""What counts as the same answer, by the table that the runtime's tests read, too."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from conftest import CONTRACT
from modelwright_trainer.tolerance import differ

CASES: list[dict[str, Any]] = json.loads((CONTRACT / "golden" / "tolerance.json").read_text())
TYPES = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_the_shared_table_of_cases_holds(case: dict[str, Any]) -> None:
    expected, got = (
        np.array([float(one) for one in case[name]], TYPES[case["datatype"]]).reshape(case["shape"])
        for name in ("expected", "got")
    )
    beyond = np.flatnonzero(differ(expected, got, case["rtol"]))
    assert (beyond[0] if beyond.size else None) == case["beyond"]
