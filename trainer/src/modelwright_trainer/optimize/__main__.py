"""The process: in goes an order from the environment or a file, out comes an exit code and a report for the kubelet."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

from modelwright_trainer.log import log
from modelwright_trainer.process import TERMINATION_LOG, end_on_sigterm, run_process

from .make import make_variants
from .words import read_order

ORDER_ENV: Final = "MODELWRIGHT_OPTIMIZE"


def main() -> int:
    """Make variants, report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="modelwright_trainer.optimize",
        description=f"Makes variants of a model; what is asked stands in {ORDER_ENV} as JSON.",
    )
    parser.add_argument("--order", type=Path, help="a file with it instead")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    arguments = parser.parse_args()
    end_on_sigterm()

    def optimize() -> dict[str, Any]:
        text = arguments.order.read_text(encoding="utf-8") if arguments.order else os.environ.get(ORDER_ENV, "")
        variants = make_variants(read_order(text))["variants"]
        log("optimize succeeded", variants=len(variants))
        return {"variants": variants}

    resources = "spec.run.optimize.limits.memory"
    return run_process(optimize, arguments.termination_log, resources, "optimize", "ask for fewer variants")


if __name__ == "__main__":
    sys.exit(main())
