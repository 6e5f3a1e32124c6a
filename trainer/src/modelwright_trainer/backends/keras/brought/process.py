"""The process: in go paths, out comes an exit code and a report for the kubelet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.failure import RunError
from modelwright_trainer.log import log
from modelwright_trainer.process import TERMINATION_LOG, end_on_sigterm, run_process

from .convert import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOURCES: Final = "spec.run.convert"


def main(arguments: Sequence[str]) -> int:
    """Convert, report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="modelwright_trainer convert-keras", description="Makes ONNX of a .keras file."
    )
    parser.add_argument("source", type=Path, help="the file, whatever it is called")
    parser.add_argument("output", type=Path, help="the folder for model.onnx")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    given = parser.parse_args(arguments)
    end_on_sigterm()

    def work() -> dict[str, Any]:
        try:
            report = convert(given.source, given.output)
        except RunError as error:
            # The bounds of room know one field only.
            message = error.message.replace("spec.training.resources", RESOURCES)
            raise RunError(error.reason, message) from error
        log("convert succeeded", **report)
        return report

    return run_process(work, given.termination_log, RESOURCES)
