"""The process: in goes an order from the environment or a file, out comes an exit code and a report for the kubelet."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.failure import RunError
from modelwright_trainer.log import log
from modelwright_trainer.process import TERMINATION_LOG, end_on_sigterm, run_process

from .leave import leave_parts
from .order import read_order

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER_ENV: Final = "MODELWRIGHT_EVALUATION"
RESOURCES: Final = "spec.run.prepare"
FIELD: Final = re.compile(r"(?<![\w.])data\.(?=(label|inputs|images|sequences|text|window|format|directory)\b)")


def main(arguments: Sequence[str]) -> int:
    """Prepare, report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="modelwright_trainer prepare-import",
        description=f"Brings data to what an imported model takes; what is asked stands in {ORDER_ENV} as JSON.",
    )
    parser.add_argument("--order", type=Path, help="a file with it instead")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    given = parser.parse_args(arguments)
    end_on_sigterm()

    def prepare() -> dict[str, Any]:
        text = given.order.read_text(encoding="utf-8") if given.order else os.environ.get(ORDER_ENV, "")
        try:
            rows = leave_parts(read_order(text))
        except RunError as error:
            raise RunError(error.reason, as_evaluation(error.message)) from error
        log("prepare succeeded", rows=rows)
        return {"rows": rows}

    return run_process(prepare, given.termination_log, RESOURCES)


def as_evaluation(message: str) -> str:
    """Name fields as they are called here: the readers of data know those of a training."""
    return FIELD.sub("spec.evaluation.data.", message).replace("spec.training.resources", RESOURCES)
