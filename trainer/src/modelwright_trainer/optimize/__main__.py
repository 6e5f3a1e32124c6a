"""The process: in goes an order from the environment or a file, out comes an exit code and a report for the kubelet."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Final

from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.log import log
from modelwright_trainer.report import build_failure, write_termination

from .make import make_variants
from .words import read_order

ORDER_ENV: Final = "MODELWRIGHT_OPTIMIZE"
TERMINATION_LOG: Final = Path("/dev/termination-log")
EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 64
EXIT_TRANSIENT: Final = 75
EXIT_TERMINATED: Final = 128 + signal.SIGTERM
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


def main() -> int:
    """Make variants, report, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="modelwright_trainer.optimize",
        description=f"Makes variants of a model; what is asked stands in {ORDER_ENV} as JSON.",
    )
    parser.add_argument("--order", type=Path, help="a file with it instead")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where to report (%(default)s)")
    arguments = parser.parse_args()
    # The first process of a container has no default for the signal.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(EXIT_TERMINATED))
    reason, message, code = Reason.INTERNAL, "", EXIT_BAD_INPUT
    try:
        text = arguments.order.read_text(encoding="utf-8") if arguments.order else os.environ.get(ORDER_ENV, "")
        report = make_variants(read_order(text))
    except RunError as error:
        reason, message = error.reason, error.message
    except MemoryError as error:
        reason = Reason.OUT_OF_MEMORY
        words = f" ({error})" if str(error) else ""
        message = f"the memory does not suffice{words}: give spec.run.optimize.limits.memory more"
    except OSError as error:
        if error.errno in NO_SPACE:
            reason = Reason.NO_SPACE
            message = f"there is no space left ({error}): the volume of a run is bounded; ask for fewer variants"
        else:
            reason, message, code = Reason.FILE_ERROR, f"a file could not be read or written: {error}", EXIT_TRANSIENT
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must learn of it
        message = f"{type(error).__name__}: {error}; this is a fault of the trainer, its log says more"
        code = EXIT_FAILED
        log("internal error", traceback=traceback.format_exc())
    else:
        log("optimize succeeded", variants=len(report["variants"]))
        write_termination({"succeeded": {"variants": report["variants"]}}, arguments.termination_log)
        return 0
    log("optimize failed", reason=str(reason), error=message, code=code)
    write_termination(build_failure(reason, message), arguments.termination_log)
    return code


if __name__ == "__main__":
    sys.exit(main())
